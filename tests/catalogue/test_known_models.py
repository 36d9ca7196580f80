import subprocess
import sys
from typing import get_args

from openai.types import ImageModel as OpenAIImageModel

from imagegate.catalogue.known_models import (
    DEFAULT_MODEL,
    ImageGenerationTool,
    ImageModel,
    KnownImageModel,
    model_schema,
)
from imagegate.catalogue.rows import builtin_catalogue


def test_the_catalogue_knows_every_model_of_the_installed_openai_package() -> None:
    assert set(get_args(OpenAIImageModel)) - set(get_args(KnownImageModel)) == set()


def test_the_tool_has_every_field_of_openais() -> None:
    from openai.types.responses.tool_param import ImageGeneration

    ours, theirs = ImageGenerationTool.__annotations__, ImageGeneration.__annotations__
    assert set(ours) == set(theirs)


def test_every_row_is_in_the_type_and_strings_stay_allowed() -> None:
    known = get_args(KnownImageModel)
    assert {row.id for row in builtin_catalogue().all()} <= set(known)
    assert str in get_args(ImageModel)
    assert "gpt-image-2" in known
    assert len(known) == len(set(known))


def test_the_default_model_is_current() -> None:
    model = builtin_catalogue().find(DEFAULT_MODEL)
    assert model
    assert model.shutdown is None


def test_the_schema_names_the_known_models_and_takes_any_string() -> None:
    schema = model_schema()
    assert schema["type"] == "string"
    assert "enum" not in schema
    assert "azure/gpt-image-2" in schema["examples"]
    assert "gpt-image-2.5-flare" in schema["description"]


def test_generated_files_are_fresh() -> None:
    command = [sys.executable, "tools/generate.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
