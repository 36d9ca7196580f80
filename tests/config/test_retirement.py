"""The end of a model is told ahead, on the surface that it ends on."""

import datetime
from pathlib import Path

import pytest

from imagegate.config.retirement import retirement_of, shutdown_of
from imagegate.config.settings import Deployment
from tests.config.files import load

END = datetime.date(2026, 12, 1)


def deployment(folder: Path, params: str) -> Deployment:
    text = f"""
model_list:
  - model_name: img
    model_info: {{mode: image_generation}}
    params: {{api_key: sk-test-x, {params}}}
"""
    return load(folder, text).deployments[0]


@pytest.mark.parametrize(
    ("days", "stage"), [(61, None), (60, 60), (15, 60), (14, 14), (2, 14), (1, 1), (0, 0), (-9, 0)]
)
def test_it_is_told_sixty_fourteen_and_one_days_ahead(
    days: int, stage: int | None, tmp_path: Path
) -> None:
    found = retirement_of(
        deployment(tmp_path, "model: gpt-image-1.5"), END - datetime.timedelta(days)
    )
    assert (found and found.stage) == stage


def test_the_text_names_date_successor_and_source(tmp_path: Path) -> None:
    one = deployment(tmp_path, "model: gpt-image-1.5")
    found = retirement_of(one, datetime.date(2026, 11, 30))
    assert found
    assert found.text.startswith("openai/gpt-image-1.5 ends on 2026-12-01, in 1 day; use openai/")
    assert "source:" in found.text
    over = retirement_of(one, END)
    assert over
    assert "was shut down on 2026-12-01" in over.text


@pytest.mark.parametrize(
    "params",
    [
        "model: azure/gpt-image-1.5, api_base: 'https://r.openai.azure.com'",
        "model: openai/gpt-image-1.5, api_base: 'http://127.0.0.1:9/v1'",
        "model: openai/gpt-image-9",
    ],
)
def test_another_surface_has_another_life(params: str, tmp_path: Path) -> None:
    assert shutdown_of(deployment(tmp_path, params)) is None


def test_a_file_is_loaded_with_a_note_for_what_has_ended(tmp_path: Path) -> None:
    text = """
model_list:
  - {model_name: old, params: {model: dall-e-3, api_key: sk-test-x}}
  - {model_name: new, params: {model: gpt-image-2, api_key: sk-test-x}}
"""
    notes = [note for note in load(tmp_path, text).notes if "shut down" in note.text]
    assert [note.name for note in notes] == ["old"]
    assert "was shut down on 2026-05-12" in notes[0].text
