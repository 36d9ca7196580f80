import json
from pathlib import Path

import pytest

from imagegate.config.client_settings import client_settings
from imagegate.config.load import load_settings
from imagegate.config.settings import Deployment
from imagegate.errors import AuthenticationError, ConfigError
from imagegate.types import Secret

ACCOUNT = {
    "type": "service_account",
    "project_id": "own-project",
    "client_email": "img@own-project.iam.gserviceaccount.com",
    "private_key": "test-private-key",
}
MODEL = "vertex_ai/gemini-nano-banana-2.1"


def deployment_of(model: str, env: dict[str, str] | None = None, **given: object) -> Deployment:
    settings, _ = client_settings(model, env=env or {}, **given)  # type: ignore[arg-type]
    (deployment,) = settings.deployments
    return deployment


# --- Google AI Studio --------------------------------------------------------------------------


def test_the_key_goes_into_googles_header() -> None:
    deployment = deployment_of("gemini/gemini-3-pro-image", {"GEMINI_API_KEY": "AIza-test-1"})
    credential = deployment.credential
    assert (credential.kind, credential.header) == ("header", "x-goog-api-key")
    assert credential.secret == Secret("AIza-test-1")
    assert deployment.target.base_url == "https://generativelanguage.googleapis.com"
    assert deployment.model
    assert deployment.model.id == "gemini/gemini-3-pro-image"


def test_google_api_key_wins_as_in_googles_own_sdk() -> None:
    env = {"GEMINI_API_KEY": "AIza-test-1", "GOOGLE_API_KEY": "AIza-test-2"}
    assert deployment_of("gemini/x", env).credential.secret == Secret("AIza-test-2")
    given = deployment_of("gemini/x", env, api_key="AIza-test-3")
    assert given.credential.secret == Secret("AIza-test-3")


def test_without_a_key_both_variables_are_named() -> None:
    with pytest.raises(AuthenticationError, match="GOOGLE_API_KEY or GEMINI_API_KEY"):
        deployment_of("gemini/gemini-3-pro-image")


def test_the_version_of_the_api_can_be_chosen() -> None:
    env = {"GEMINI_API_KEY": "AIza-test", "GOOGLE_GENAI_API_VERSION": "v1"}
    assert deployment_of("gemini/x", env).target.traits == {"api_version": "v1"}
    assert deployment_of("gemini/x", env, api_version="v1beta").target.traits == {
        "api_version": "v1beta"
    }


# --- Vertex AI: where --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("us-central1", "https://us-central1-aiplatform.googleapis.com"),
        ("europe-west4", "https://europe-west4-aiplatform.googleapis.com"),
        ("us", "https://aiplatform.us.rep.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_the_location_decides_the_host(location: str, host: str) -> None:
    target = deployment_of(MODEL, vertex_project="p", vertex_location=location).target
    assert target.base_url == host
    assert target.traits == {"vertex_project": "p", "vertex_location": location}


def test_the_location_is_global_where_none_is_given() -> None:
    target = deployment_of(MODEL, vertex_project="p").target
    assert (target.base_url, target.traits["vertex_location"]) == (
        "https://aiplatform.googleapis.com",
        "global",
    )


@pytest.mark.parametrize(
    ("env", "given"),
    [
        ({}, {"vertex_project": "p", "vertex_location": "eu"}),
        ({}, {"vertex_ai_project": "p", "vertex_ai_location": "eu"}),
        ({"VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "eu"}, {}),
        ({"VERTEX_PROJECT": "p", "VERTEX_LOCATION": "eu"}, {}),
        ({"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "eu"}, {}),
        ({"VERTEXAI_PROJECT": "other"}, {"vertex_project": "p", "vertex_location": "eu"}),
    ],
)
def test_litellms_and_googles_spellings(env: dict[str, str], given: dict[str, object]) -> None:
    deployment = deployment_of(MODEL, env, **given)
    assert deployment.target.traits == {"vertex_project": "p", "vertex_location": "eu"}
    assert (deployment.credential.kind, bool(deployment.credential.secret)) == ("google", False)


@pytest.mark.parametrize("location", ["../x", "evil.example/", "US", "a b"])
def test_what_is_no_location_is_refused(location: str) -> None:
    with pytest.raises(ConfigError, match="is no location"):
        deployment_of(MODEL, vertex_project="p", vertex_location=location)


def test_a_project_is_needed() -> None:
    with pytest.raises(ConfigError, match="VERTEXAI_PROJECT or GOOGLE_CLOUD_PROJECT"):
        deployment_of(MODEL)


def test_an_api_key_is_the_express_mode_and_needs_no_project() -> None:
    deployment = deployment_of(MODEL, api_key="AIza-test", vertex_location="eu")
    assert deployment.target.base_url == "https://aiplatform.googleapis.com"
    assert (deployment.credential.kind, deployment.credential.header) == (
        "header",
        "x-goog-api-key",
    )


# --- Vertex AI: who ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "mapping", "path"])
def test_credentials_are_text_a_mapping_or_a_path(form: str, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(ACCOUNT))
    given = {"text": json.dumps(ACCOUNT), "mapping": ACCOUNT, "path": str(path)}[form]
    deployment = deployment_of(MODEL, vertex_credentials=given)
    assert deployment.target.traits["vertex_project"] == "own-project"
    assert json.loads(deployment.credential.secret.reveal()) == ACCOUNT
    assert "private_key" not in repr(deployment)
    assert "vertex_credentials" not in deployment.target.traits


def test_a_given_project_goes_before_the_accounts_own() -> None:
    deployment = deployment_of(MODEL, vertex_ai_credentials=ACCOUNT, vertex_project="p")
    assert deployment.target.traits["vertex_project"] == "p"
    assert deployment.credential.secret


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(ACCOUNT))
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    deployment = deployment_of(MODEL, env)
    assert deployment.target.traits["vertex_project"] == "own-project"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/no/such/key.json", "cannot be read"),
        ("{not json", "this is no JSON"),
        ({"type": "house_key"}, "'house_key'"),
        ("{}", "None"),
    ],
)
@pytest.mark.parametrize("project", [None, "p"])
def test_bad_credentials_are_told_once_and_at_the_start(
    given: object, words: str, project: str | None
) -> None:
    with pytest.raises(ConfigError, match="vertex_credentials") as caught:
        deployment_of(MODEL, vertex_credentials=given, vertex_project=project)
    assert caught.value.message.count(words) == 1
    assert caught.value.message.count("vertex_credentials:") == 1


def test_a_litellm_file_is_served_as_it_is(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(ACCOUNT))
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""
model_list:
  - model_name: banana
    litellm_params:
      model: gemini/gemini-nano-banana-2.1
      api_key: AIza-test
  - model_name: banana-vertex
    litellm_params:
      model: vertex_ai/gemini-3-pro-image
      vertex_ai_project: acme-img
      vertex_ai_location: global
      vertex_credentials: {key}
  - model_name: imagen
    litellm_params:
      model: vertex_ai/imagegeneration@006
      vertex_project: acme-img
      vertex_location: us-central1
      vertex_credentials: {key}
"""
    )
    studio, vertex, imagen = load_settings(str(config)).deployments
    assert studio.target.base_url == "https://generativelanguage.googleapis.com"
    assert vertex.target.traits["vertex_project"] == "acme-img"
    assert imagen.target.base_url == "https://us-central1-aiplatform.googleapis.com"
    assert imagen.target.traits["method"] == "predict"
    assert not any(deployment.defaults for deployment in (studio, vertex, imagen))
