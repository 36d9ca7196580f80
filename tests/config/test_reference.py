import re
from pathlib import Path

import pytest

from imagegate.config.load import load_mapping
from imagegate.config.reference import config_json_schema, config_reference
from imagegate.config.schema import SECTIONS
from imagegate.errors import ConfigError
from tests.config.files import load

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "configuration.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
ENV = {
    name: f"sk-test-Zq8{name}"
    for name in (
        "OPENAI_API_KEY",
        "AZURE_API_KEY",
        "BFL_API_KEY",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "IMAGEGATE_MASTER_KEY",
        "PICTURES_ID",
        "PICTURES_SECRET",
    )
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_of_the_guide_is_served(tmp_path: Path, example: str) -> None:
    settings = load(tmp_path, example, ENV)
    assert settings.deployments
    assert not settings.skipped


def test_the_reference_names_every_key_with_its_meaning() -> None:
    page = config_reference()
    for _, shape in SECTIONS:
        for key, field in shape.model_fields.items():
            row = next(line for line in page.splitlines() if line.startswith(f"| `{key}` |"))
            assert field.description
            assert row.count("|") == 5


def test_the_schema_knows_both_spellings_of_the_params() -> None:
    entry = config_json_schema()["$defs"]["ModelEntry"]
    assert {"params", "litellm_params"} <= entry["properties"].keys()


def test_a_configuration_given_as_values() -> None:
    entry = {"model_name": "a", "params": {"model": "sandbox/gpt-image-2"}}
    settings = load_mapping({"model_list": [entry], "assets": {"folder": "x"}}, env={})
    assert settings.deployments[0].group == "a"
    assert settings.assets.folder == str(Path.cwd() / "x")
    with pytest.raises(ConfigError, match="the configuration has 1 fault"):
        load_mapping({"model_list": []}, env={})
