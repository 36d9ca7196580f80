from pathlib import Path

import pytest

from imagegate.config.load import load_settings
from imagegate.config.report import check_report
from imagegate.errors import ConfigError
from tests.config.files import ISSUE, faults_of, load

KEY = {"AZURE_API_KEY": "sk-test-azure-0001"}


def test_the_missions_example_reaches_the_deployment_route(tmp_path: Path) -> None:
    (deployment,) = load(tmp_path, ISSUE, KEY).deployments
    assert deployment.group == "gpt-image-2"
    assert deployment.provider.name == "azure"
    assert deployment.target.base_url == "https://example-resource.cognitiveservices.azure.com"
    assert deployment.target.upstream_model == "gpt-image-2-1"
    assert deployment.target.traits["surface"] == "deployments"
    assert deployment.target.traits["api_version"] == "2025-04-01-preview"
    assert deployment.credential.kind == "api-key"
    assert deployment.credential.secret.reveal() == KEY["AZURE_API_KEY"]
    assert deployment.model is None


def test_an_unset_variable_of_an_image_deployment_is_a_fault(tmp_path: Path) -> None:
    message = faults_of(tmp_path, ISSUE)
    assert "line 7, model_list[0].litellm_params.api_key: the variable AZURE_API_KEY" in message


def test_azure_by_model_name_and_a_plain_openai_model(tmp_path: Path) -> None:
    text = """\
model_list:
  - model_name: gpt-image-1
    litellm_params:
      model: azure/gpt-image-1
      api_base: os.environ/AZURE_API_BASE_EU
      api_key: os.environ/AZURE_API_KEY_EU
  - model_name: plain
    litellm_params:
      model: gpt-image-1
"""
    env = {
        "AZURE_API_BASE_EU": "https://eu.openai.azure.com/",
        "AZURE_API_KEY_EU": "sk-test-eu",
        "OPENAI_API_KEY": "sk-test-openai",
    }
    azure, plain = load(tmp_path, text, env).deployments
    assert azure.credential.secret.reveal() == "sk-test-eu"
    assert azure.target.base_url == "https://eu.openai.azure.com"
    assert azure.target.traits["api_version"] == "2025-04-01-preview"
    assert azure.model is not None
    assert azure.model.id == "azure/gpt-image-1"
    assert azure.model.shutdown is None  # its name is the operator's and proves no life cycle
    assert plain.provider.name == "openai"
    assert plain.target.base_url == "https://api.openai.com/v1"
    assert plain.credential.kind == "bearer"
    assert plain.model is not None
    assert plain.model.shutdown is not None


def test_a_sandbox_deployment_says_how_it_behaves(tmp_path: Path) -> None:
    text = """\
model_list:
  - model_name: slow
    litellm_params: {model: sandbox/gpt-image-2, delay_s: 3, fail: moderation, quality: low}
"""
    (deployment,) = load(tmp_path, text).deployments
    assert (deployment.target.traits["delay_s"], deployment.target.traits["fail"]) == (
        3,
        "moderation",
    )
    assert deployment.defaults == {"quality": "low"}


def test_what_makes_no_images_is_skipped_with_its_unset_variables(tmp_path: Path) -> None:
    text = (
        ISSUE
        + """\
  - model_name: chat
    litellm_params: {model: azure/gpt-4o, api_key: os.environ/CHAT_KEY, api_base: os.environ/BASE}
  - model_name: claude
    litellm_params: {model: anthropic/claude-5, api_key: os.environ/ANTHROPIC_KEY}
  - model_name: nano
    model_info: {mode: image_generation}
    litellm_params: {model: fal_ai/fal-ai/flux-pro}
  - model_name: embed
    model_info: {mode: embedding}
    litellm_params: {model: openai/text-embedding-3-small}
  - model_name: all
    litellm_params: {model: openai/*}
"""
    )
    skipped = {entry.name: entry for entry in load(tmp_path, text, KEY).skipped}
    assert skipped["chat"].unset == ("BASE", "CHAT_KEY")
    assert "model_info.mode: image_generation" in skipped["chat"].reason
    assert skipped["claude"].reason == "provider 'anthropic' is not available in this version"
    assert skipped["nano"].reason == "provider 'fal_ai' is not available in this version"
    assert "'embedding'" in skipped["embed"].reason
    assert "its model_name has none" in skipped["all"].reason
    assert skipped["claude"].line == 11


@pytest.mark.parametrize("name", ["OTEL_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"])
def test_a_collector_that_is_to_be_spoken_to_over_grpc_is_told(tmp_path: Path, name: str) -> None:
    text = ISSUE + "litellm_settings: {callbacks: [otel]}\n"
    told = [note.text for note in load(tmp_path, text, KEY | {name: "otlp_grpc"}).notes]
    assert any("otel over gRPC: it goes out over HTTP" in text for text in told)
    assert not any("gRPC" in note.text for note in load(tmp_path, text, KEY).notes)


def test_litellms_own_keys_are_told_once(tmp_path: Path) -> None:
    text = (
        ISSUE
        + """\
      tpm: 5
      tags: [a]
      input_cost_per_second: 0.04
litellm_settings: {drop_params: false, callbacks: [x], request_timeout: 33}
router_settings: {num_retries: 3, redis_host: x, model_group_alias: {img: gpt-image-2}}
general_settings: {master_key: sk-1234, database_url: os.environ/NOT_SET}
agents: []
"""
    )
    settings = load(tmp_path, text, KEY)
    told = "\n".join(f"{note.name}: {note.text}" for note in settings.notes)
    assert "litellm_params: not acted on here: input_cost_per_second, tpm" in told
    assert "callbacks: not acted on here: x" in told
    assert "router_settings: not acted on here: redis_host" in told
    assert "general_settings: not acted on here: database_url" in told
    assert "LiteLLM: sections not acted on here: agents" in told
    assert "everybody knows; fine on loopback only" in told
    assert settings.adjust == "strict"
    assert settings.deployments[0].timeout_s == 33
    assert settings.aliases == {"img": "gpt-image-2"}


def test_image_parameters_and_unknown_fields_become_defaults(tmp_path: Path) -> None:
    text = (
        ISSUE
        + """\
      quality: low
      size: 1024x1024
      cfg_scale: 7
      extra_body: {steps: 30}
      timeout: 1e2
      variations: no
      extra_headers: {X-Team: images, Ocp-Apim-Subscription-Key: sk-test-apim}
"""
    )
    settings = load(tmp_path, text, KEY)
    (deployment,) = settings.deployments
    expected = {"quality": "low", "size": "1024x1024", "cfg_scale": 7, "steps": 30}
    assert deployment.defaults == expected
    assert deployment.timeout_s == 100
    assert deployment.headers == {"X-Team": "images"}
    assert deployment.credential.headers["Ocp-Apim-Subscription-Key"].reveal() == "sk-test-apim"
    assert any(
        "sent upstream as fields of the request: cfg_scale" in n.text for n in settings.notes
    )


def test_base_model_decides_the_row_and_never_the_wire(tmp_path: Path) -> None:
    text = ISSUE.replace(
        "mode: image_generation", "mode: image_edit, base_model: azure/gpt-image-2"
    )
    (deployment,) = load(tmp_path, text, KEY).deployments
    assert deployment.model is not None
    assert deployment.model.id == "azure/gpt-image-2"
    assert deployment.model.shutdown is not None
    assert deployment.target.upstream_model == "gpt-image-2-1"


def test_an_unknown_base_model_is_told(tmp_path: Path) -> None:
    text = ISSUE.replace("mode: image_generation", "mode: image_edit, base_model: gpt-image-22")
    settings = load(tmp_path, text, KEY)
    assert settings.deployments[0].model is None
    assert any("near: openai/gpt-image-2" in note.text for note in settings.notes)


def test_a_server_of_ones_own_has_no_limits_and_no_life_cycle(tmp_path: Path) -> None:
    text = """\
model_list:
  - model_name: own
    params: {model: openai/dall-e-3, api_base: "http://127.0.0.1:9/v1"}
  - model_name: priced
    params: {model: openai/x, api_base: "http://127.0.0.1:9/v1", base_model: gpt-image-1}
"""
    own, priced = load(tmp_path, text).deployments
    assert own.provider.name == "openai_compatible"
    assert own.model is None
    assert own.credential.kind == "none"
    assert priced.model is not None
    assert priced.model.id == "openai/gpt-image-1"
    assert priced.model.shutdown is None


def test_the_environments_key_at_a_server_of_ones_own_is_told(tmp_path: Path) -> None:
    text = 'model_list: [{model_name: o, params: {model: openai/x, api_base: "http://own:9/v1"}}]'
    settings = load(tmp_path, text, {"OPENAI_API_KEY": "sk-test-openai"})
    assert settings.deployments[0].credential.kind == "bearer"
    assert "OPENAI_API_KEY is sent to own" in settings.notes[0].text


def test_ids_are_stable_and_unique(tmp_path: Path) -> None:
    entry = ISSUE.partition("\n")[2]
    first = load(tmp_path, ISSUE + entry, KEY).deployments
    again = load(tmp_path, ISSUE + entry, KEY).deployments
    assert [one.id for one in first] == [one.id for one in again]
    assert first[1].id == f"{first[0].id}-2"


def test_our_own_sections(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(
        '[[model]]\nid = "azure/gpt-image-2-1"\nlike = "azure/gpt-image-2"\n'
        'source = "test"\nchecked = 2026-11-20\n'
    )
    text = (
        ISSUE
        + """\
server: {port: 4711, calls_max: 7}
assets: {folder: pictures, retention_s: 0, durability: power}
database_url: sqlite:///ledger.db
catalogue: [more.toml]
adjust: strict
on_retired: refuse
default_model: gpt-image-2
late_s: 0
log_format: json
"""
    )
    settings = load(tmp_path, text, KEY)
    assert (settings.server.port, settings.server.calls_max) == (4711, 7)
    assert settings.assets.folder == str(tmp_path / "pictures")
    assert settings.assets.retention_s == 0
    assert settings.database_url.reveal() == f"sqlite:///{tmp_path / 'ledger.db'}"
    assert settings.deployments[0].model is not None
    assert (settings.adjust, settings.on_retired, settings.log_format) == (
        "strict",
        "refuse",
        "json",
    )
    assert (settings.default_model, settings.late_s) == ("gpt-image-2", 0)


def test_environment_variables_and_named_credentials_of_the_file(tmp_path: Path) -> None:
    text = """\
environment_variables: {BASE: "https://r.openai.azure.com"}
credential_list:
  - credential_name: eu
    credential_values: {api_key: os.environ/AZURE_API_KEY, api_base: os.environ/BASE}
model_list:
  - model_name: a
    params: {model: azure/img, litellm_credential_name: eu}
"""
    (deployment,) = load(tmp_path, text, KEY).deployments
    assert deployment.target.base_url == "https://r.openai.azure.com"
    assert deployment.credential.secret.reveal() == KEY["AZURE_API_KEY"]


def test_no_file_is_the_sandbox_and_spends_nothing(tmp_path: Path) -> None:
    env = {"IMAGEGATE_HOME": str(tmp_path / "home"), "OPENAI_API_KEY": "sk-test-openai"}
    settings = load_settings(None, port=0, env=env)
    assert {deployment.provider.name for deployment in settings.deployments} == {"sandbox"}
    groups = [deployment.group for deployment in settings.deployments]
    assert "gpt-image-2" in groups
    assert settings.default_model in groups
    assert settings.aliases["sandbox/gpt-image-2"] == "gpt-image-2"
    assert settings.assets.folder == str(tmp_path / "home" / "assets")
    assert settings.database_url.reveal() == f"sqlite:///{tmp_path / 'home' / 'imagegate.db'}"
    assert any("OPENAI_API_KEY is set" in note.text for note in settings.notes)
    assert settings.server.port == 0


def test_the_data_home_follows_xdg(tmp_path: Path) -> None:
    by_xdg = load_settings(None, env={"XDG_DATA_HOME": "/data", "HOME": "/home/a"})
    by_home = load_settings(None, env={"HOME": "/home/a"})
    assert by_xdg.assets.folder == "/data/imagegate/assets"
    assert by_home.assets.folder == "/home/a/.local/share/imagegate/assets"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml cannot be read: No such file"):
        load_settings(str(tmp_path / "nothing.yaml"), env={})


def test_the_report_says_what_is_served_skipped_and_different(tmp_path: Path) -> None:
    text = (
        ISSUE + "      tpm: 5\n  - {model_name: c, params: {model: groq/x, api_key: os.environ/G}}"
    )
    report = check_report(load(tmp_path, text, KEY))
    assert [(line.state, line.name) for line in report] == [
        ("served", "gpt-image-2"),
        ("skipped", "c"),
        ("note", "litellm_params"),
    ]
    assert "api-version 2025-04-01-preview" in report[0].text
    assert report[1].unset == ("G",)


def test_no_secret_is_in_any_repr(tmp_path: Path) -> None:
    text = ISSUE + "      extra_headers: {X-Api-Token: sk-test-header}\n"
    settings = load(tmp_path, text, KEY)
    shown = repr(settings.deployments) + repr(settings.server) + repr(check_report(settings))
    assert "sk-test" not in shown


def test_a_databases_password_is_in_no_repr(tmp_path: Path) -> None:
    url = "postgresql://gate:sk-test-hidden@127.0.0.1/gate"
    settings = load(tmp_path, f"{ISSUE}database_url: {url}\n", KEY)
    assert settings.database_url.reveal() == url
    assert "sk-test-hidden" not in f"{settings!r} {settings}"


def test_the_budget_of_every_end_user(tmp_path: Path) -> None:
    text = f"{ISSUE}litellm_settings: {{max_end_user_budget: 0.05}}\n"
    assert load(tmp_path, text, KEY).end_user_budget_e10 == 5 * 10**8
    assert load(tmp_path, ISSUE, KEY).end_user_budget_e10 is None
