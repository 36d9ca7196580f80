import datetime

import pytest

from imagegate.catalogue.model import Catalogue
from imagegate.catalogue.rows import builtin_catalogue, read_rows
from imagegate.errors import ConfigError

NEW_MODEL = """
[[model]]
id = "openai/gpt-image-3"
like = "openai/gpt-image-2.5-flare"
qualities = ["auto", "ultra"]
price = { text_in = "6.00", image_in = "9", image_out = "35.5" }
source = "release notes"
checked = 2026-12-24
"""


@pytest.mark.parametrize(
    "model_id",
    [
        "openai/gpt-image-2.6-sunburst",
        "openai/gpt-image-2.5-flare-2026-09-08",
        "openai/gpt-image-1.5-2025-12-16",
        "openai/dall-e-2",
        "azure/gpt-image-2-2026-04-21",
    ],
)
def test_every_id_of_the_reference_is_found(model_id: str) -> None:
    model = builtin_catalogue().find(model_id)
    assert model is not None
    assert model.id == model_id


def test_a_bare_name_is_openais() -> None:
    catalogue = builtin_catalogue()
    assert catalogue.find("gpt-image-2") == catalogue.find("openai/gpt-image-2")
    assert catalogue.find("flux") is None
    assert catalogue.find("azure/no-such-model") is None


def test_a_life_cycle_belongs_to_its_surface() -> None:
    catalogue = builtin_catalogue()
    dates = {
        row.id: row.shutdown
        for row in catalogue.all()
        if row.name in ("gpt-image-1.5", "gpt-image-2")
    }
    assert dates == {
        "openai/gpt-image-1.5": datetime.date(2026, 12, 1),
        "azure/gpt-image-1.5": datetime.date(2027, 6, 16),
        "openai/gpt-image-2": None,
        "azure/gpt-image-2": datetime.date(2027, 10, 21),
    }
    contested = catalogue.find("azure/gpt-image-1.5")
    assert contested
    assert "2026-12-16" in contested.notes[0]


def test_a_model_is_gone_on_its_shutdown_date() -> None:
    model = builtin_catalogue().find("openai/gpt-image-1")
    assert model
    assert not model.is_shut_down(datetime.date(2026, 10, 22))
    assert model.is_shut_down(datetime.date(2026, 10, 23))


def test_the_sandbox_imitates_limits_but_neither_price_nor_age() -> None:
    catalogue = builtin_catalogue()
    model, imitated = catalogue.find("sandbox/dall-e-3"), catalogue.find("openai/dall-e-3")
    assert model
    assert imitated
    assert (model.id, model.provider) == ("sandbox/dall-e-3", "sandbox")
    assert (model.sizes, model.n_max) == (imitated.sizes, imitated.n_max)
    assert model.price
    assert model.price.is_free
    assert model.shutdown is None
    assert catalogue.find("sandbox/unheard-of") is None


def test_near_names() -> None:
    assert builtin_catalogue().near("gpt-image-2.5-flair")[0] == "openai/gpt-image-2.5-flare"
    assert builtin_catalogue().near("zzzz") == ()


def test_an_overlay_adds_a_model_on_its_first_day() -> None:
    catalogue = read_rows(NEW_MODEL, "more.toml", builtin_catalogue())
    model = catalogue.find("gpt-image-3")
    assert model
    assert model.qualities == ("auto", "ultra")
    assert model.sizes == "flexible"
    assert (model.released, model.snapshots, model.notes) == (None, (), ())
    assert model.price
    assert (model.price.image_out_e10, model.price.text_out_e10) == (355_000, None)
    assert builtin_catalogue().find("gpt-image-3") is None


def test_a_row_like_itself_amends_a_known_one() -> None:
    text = '[[model]]\nid = "openai/gpt-image-1.5"\nlike = "openai/gpt-image-1.5"\nn_max = 4\n'
    model = read_rows(text, "more.toml", builtin_catalogue()).find("gpt-image-1.5")
    assert model
    assert (model.n_max, model.shutdown) == (4, datetime.date(2026, 12, 1))


def test_a_price_may_be_free() -> None:
    text = '[[model]]\nid = "lab/own"\nprice = "free"\nsource = "us"\nchecked = 2026-11-20\n'
    model = read_rows(text, "more.toml", Catalogue()).find("lab/own")
    assert model
    assert model.price
    assert model.price.is_free


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = [", ("no valid TOML",)),
        ("[[models]]", ("unknown key 'models'", "'model'")),
        ('[[model]]\nid = "a/b"\nqualites = []', ("'a/b'", "'qualites'", "'qualities'")),
        ('[[model]]\nid = "a/b"\nsource = "s"', ("'a/b'", "checked")),
        ('[[model]]\nid = "a/b"\nlike = "a/c"', ("'a/c'", "names no model")),
        ('[[model]]\nid = "a/b"\nprice = { text_in = 5.0 }', ("price.text_in", "string")),
        ('[[model]]\nid = "a/b"\nprice = { text_in = "five" }', ("price.text_in", "'five'")),
        ('[[model]]\nid = "a/b"\nprice = { text_in = "-1" }', ("price.text_in", "'-1'")),
        ('[[model]]\nid = "a/b"\nprice = { text_in = "NaN" }', ("price.text_in", "'NaN'")),
        ('[[model]]\nid = "a/b"\nprice = { text_in = "0.00001" }', ("at most 4 decimals",)),
        ('[[model]]\nid = "a/b"\nprice = { text_on = "1" }', ("'text_on'", "'text_in'")),
        ('[[model]]\nid = "a/b"\nprice = 5', ("price is a table",)),
    ],
)
def test_a_fault_in_an_overlay_names_place_and_remedy(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_rows(text, "more.toml", Catalogue())
    assert caught.value.message.startswith("more.toml")
    for word in words:
        assert word in caught.value.message


def test_every_row_has_a_source_and_every_successor_exists() -> None:
    catalogue = builtin_catalogue()
    for model in catalogue.all():
        assert model.source, model.id
        assert not model.successor or catalogue.find(model.successor), model.id
