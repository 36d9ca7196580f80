from pathlib import Path

import pytest

from imagegate.config.load import load_settings
from imagegate.errors import ConfigError
from tests.config.files import ISSUE, faults_of, load

KEY = {"AZURE_API_KEY": "sk-test-azure-0001", "OPENAI_API_KEY": "sk-test-openai"}
GOOD_KEY = "sk-fk3J8s0xPqL2mZ7v"


def test_a_port_that_does_not_exist_is_a_fault(tmp_path: Path) -> None:
    for port in (-1, 65_536):
        with pytest.raises(ConfigError, match=f"{port} is no port; use 0 to 65535"):
            load_settings(None, port=port, env={"HOME": str(tmp_path)})


MANY = """\
model_list:
  - model_name: a
    model_info: {mode: image_generation}
    litellm_params:
      model: azuer/img
      api_bse: https://x
      timeout: soon
  - model_name: b
    litellm_params:
      model: azure/gpt-image-2
      api_base: user:pw@example.com
      api_version: 20250401
  - model_name: c
    litellm_params:
      model: openai/gpt-image-2
      api_key: os.environ/NOPE
      api_key: sk-test-twice
  - model_name: d
    litellm_params: {api_key: x}
servr: {}
server: {port: 99999, host: 0.0.0.0, drain: 3}
general_settings: {master_key: sk-1234}
router_settings: {model_group_alias: {x: y}}
default_model: gpt
database_url: mysql://x
catalogue: [gone.toml]
"""


def test_all_faults_come_at_once_with_line_path_and_remedy(tmp_path: Path) -> None:
    message = faults_of(tmp_path, MANY, KEY)
    for told in (
        "line 5, model_list[0].litellm_params.model: provider 'azuer' is not known; did you mean",
        "line 6, model_list[0].litellm_params.api_bse: unknown key; did you mean 'api_base'?",
        "line 7, model_list[0].litellm_params.timeout: must be a valid number",
        "line 11, model_list[1].litellm_params.api_base: this is no http or https URL",
        "line 12, model_list[1].litellm_params.api_version: must be text; put it in quotes",
        "line 17, model_list[2].litellm_params.api_key: this key stands here twice",
        "api_key: the variable NOPE is not set",
        "line 19, model_list[3].litellm_params.model: this key is missing",
        "line 20, servr: unknown key; did you mean 'server'?",
        "line 21, server.port: must be less than or equal to 65535",
        "line 21, server.drain: unknown key; did you mean 'drain_s'?",
        "line 22, general_settings.master_key: the master key is one that everybody knows",
        "line 23, router_settings.model_group_alias.x: there is no model group 'y'",
        "line 24, default_model: there is no model group 'gpt'",
        "line 25, database_url: must be sqlite:///PATH or postgresql://...",
        "line 26, catalogue[0]: gone.toml cannot be read",
    ):
        assert told in message
    assert "has 16 faults:" in message
    assert "sk-test" not in message
    assert "pw@" not in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- a\n- b\n", "the file must be a mapping"),
        ("just text", "the file must be a mapping"),
        ("model_list: [\n", "this is no valid YAML"),
        ("a: b: c\n", "line 1: this is no valid YAML"),
        ("a: *nobody\n", "this is no valid YAML"),
        ("server: !!python/object/apply:os.system [ls]\n", "line 1, server: this value has a tag"),
        ("server: !env HOST\n", "line 1, server: this value has a tag"),
        ("{a: " * 60 + "1" + "}" * 60, "nested deeper than"),
        ("a: &a [*a]\nb: *a\n", "aliases expand"),
        ("model_list: &a {<<: *a}\n", "aliases expand"),
        ("model_list: nothing\n", "model_list: must be a list"),
        ("model_list: [1]\n", "model_list[0]: must be a mapping"),
        ("model_list: []\n", "no image model is served here"),
        ("{}", "no image model is served here"),
        ("model_list: [{model_name: a, litellm_params: {model: groq/x}}]", "not available in this"),
        ("model_list: [{model_name: a, params: {}, litellm_params: {}}]", "keep one of them"),
        ("model_list: [{params: {model: sandbox/gpt-image-2}}]", "model_name: this key is missing"),
        ("assets: {bytes_max: true}", "assets.bytes_max: must be a number"),
        ("assets: {durability: tape}", "must be 'process' or 'power'"),
        ("late_s: -1", "late_s: must be greater than or equal to 0"),
        ("log_format: xml", "log_format: must be"),
        ("litellm_settings: {drop_param: true}", "did you mean 'drop_params'?"),
        ("server: {port: os.environ/PORT_X}", "server.port: the variable PORT_X is not set"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, told: str) -> None:
    assert told in faults_of(tmp_path, text)


def test_aliases_that_expand_without_end_are_cut(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases expand to more than" in faults_of(tmp_path, "\n".join(lines))


def test_merge_keys_and_anchors_work(tmp_path: Path) -> None:
    text = """\
model_list:
  - model_name: a
    params: &p {model: sandbox/gpt-image-2, quality: low}
  - model_name: b
    params: {<<: *p, quality: high}
"""
    one, two = load(tmp_path, text).deployments
    assert one.defaults == {"quality": "low"}
    assert two.defaults == {"quality": "high"}


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match="is no UTF-8 text"):
        load_settings(str(path), env={})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(str(tmp_path), env={})


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ("model: azure/img", "api_base: missing: give the resource's URL"),
        ("model: azure/", "a name is missing after 'azure/'"),
        ("model: FLUX/x", "provider 'FLUX' is not known. For a server that speaks OpenAI's API"),
        ("model: gpt-image-2, extra_headers: {Host: evil}", "'Host' is set by imagegate"),
        ('model: gpt-image-2, extra_headers: {X-A: "a\\nb"}', "'X-A' is no valid header"),
        ("model: gpt-image-2, prompt: hello", "prompt: this belongs to a call"),
        ('model: gpt-image-2, api_key: "sk-test a"', "it holds a blank"),
        (
            "model: gpt-image-2, api_base: 'https://h/v1?key=s'",
            "query fields that are not sent (key)",
        ),
        ("model: gpt-image-2, api_base: 'https://h/v1#x'", "has a fragment"),
        ("model: gpt-image-2, litellm_credential_name: x", "credential_list has no entry named"),
        ("model: gpt-image-2, qualty: low", "did you mean 'quality'?"),
        ("model: azure/i, api_base: 'https://r', azure_ad_token: oidc/x", "oidc/ tokens are not"),
        (
            "model: azure/i, api_base: 'https://r', api_version: newest",
            "'newest' is no api-version",
        ),
    ],
)
def test_broken_deployments(tmp_path: Path, params: str, told: str) -> None:
    text = f"model_list: [{{model_name: a, params: {{{params}}}}}]"
    assert told in faults_of(tmp_path, text, {"OPENAI_API_KEY": "sk-test-openai"})


def test_a_missing_credential_names_its_variables(tmp_path: Path) -> None:
    text = ISSUE.replace("      api_key: os.environ/AZURE_API_KEY\n", "")
    assert "set AZURE_API_KEY or AZURE_OPENAI_API_KEY" in faults_of(tmp_path, text)


def test_an_id_that_stands_twice(tmp_path: Path) -> None:
    entry = "{model_name: a, model_info: {id: x}, params: {model: sandbox/gpt-image-2}}"
    message = faults_of(tmp_path, f"model_list:\n  - {entry}\n  - {entry}\n")
    assert "line 3, model_list[1].model_info.id: the id 'x' is taken" in message


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "there is no master key"),
        ("sk-1234", "one that everybody knows"),
        ("sk-ab12cd", "less than 16 characters"),
        ("sk-aaaaaaaaaaaaaaaaaaa", "repeats a few characters"),
        ('"sk-fk3J8s0x PqL2mZ7v"', "has blanks"),
    ],
)
def test_another_address_needs_a_good_key(tmp_path: Path, key: str, told: str) -> None:
    text = f"{ISSUE}general_settings: {{master_key: {key or 'null'}}}\n"
    message = faults_of(tmp_path, text, KEY, host="0.0.0.0")
    assert told in message
    assert "secrets.token_urlsafe(32)" in message
    assert key not in message or not key
    assert load(tmp_path, text, KEY, host="127.0.0.2").server.host == "127.0.0.2"


def test_a_good_key_may_come_from_the_environment(tmp_path: Path) -> None:
    env = {**KEY, "LITELLM_MASTER_KEY": GOOD_KEY}
    settings = load(tmp_path, ISSUE, env, host="0.0.0.0")
    assert settings.server.master_key.reveal() == GOOD_KEY
