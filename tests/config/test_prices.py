"""Prices of a deployment's own, in LiteLLM's names."""

from pathlib import Path

import pytest
from msgspec.structs import asdict

from imagegate.catalogue.model import Price
from imagegate.catalogue.price import estimate
from imagegate.config.load import load_mapping
from imagegate.config.report import describe
from imagegate.config.settings import Deployment, Settings
from imagegate.types import ImageCall
from tests.config.files import faults_of, load

KNOWN = {"model": "openai/gpt-image-2", "api_key": "sk-test-1"}
UNKNOWN = {"model": "openai/mine", "api_base": "http://127.0.0.1:9/v1", "api_key": "sk-test-1"}
AZURE = {
    "model": "azure/paint",
    "api_base": "https://example-resource.openai.azure.com",
    "api_key": "sk-test-1",
}


def settings_of(params: dict[str, object], info: dict[str, object] | None = None) -> Settings:
    entry = {"model_name": "img", "litellm_params": params}
    entry["model_info"] = {"mode": "image_generation"} | (info or {})
    return load_mapping({"model_list": [entry]}, {"HOME": "/nonexistent"})


def deployment_of(params: dict[str, object], info: dict[str, object] | None = None) -> Deployment:
    return settings_of(params, info).deployments[0]


def rates_of(deployment: Deployment) -> dict[str, int]:
    """Return the rates of the price that counts, without those that are not there or 0."""
    assert deployment.charged_as
    price = deployment.charged_as.price
    assert isinstance(price, Price)
    assert price.is_own
    return {name: rate for name, rate in asdict(price).items() if rate and name != "is_own"}


ROW = {
    "text_in_e10": 50_000,
    "text_in_cached_e10": 12_500,
    "image_in_e10": 80_000,
    "image_in_cached_e10": 20_000,
    "image_out_e10": 300_000,
}


@pytest.mark.parametrize(
    ("place", "prices", "rates"),
    [
        (KNOWN, {"output_cost_per_image_token": "0.000027"}, ROW | {"image_out_e10": 270_000}),
        (KNOWN, {"input_cost_per_token": 4e-06}, ROW | {"text_in_e10": 40_000}),
        (
            KNOWN,
            {"cache_read_input_token_cost": 1e-6, "cache_read_input_image_token_cost": 1.5e-06},
            ROW | {"text_in_cached_e10": 10_000, "image_in_cached_e10": 15_000},
        ),
        (KNOWN, {"input_cost_per_image_token": 7e-6}, ROW | {"image_in_e10": 70_000}),
        (KNOWN, {"output_cost_per_image": 0.04}, {"image_e10": 400_000_000}),
        (UNKNOWN, {"output_cost_per_image": 0.04}, {"image_e10": 400_000_000}),
        (AZURE, {"input_cost_per_image": 0.04}, {"image_e10": 400_000_000}),
        (
            UNKNOWN,
            {"output_cost_per_image": 0.04, "input_cost_per_image": 0.003},
            {"image_e10": 400_000_000, "input_image_e10": 30_000_000},
        ),
        (
            UNKNOWN,
            {"input_cost_per_pixel": 2.4414e-07, "output_cost_per_pixel": 0.0},
            {"megapixel_e10": 2_441_400_000},
        ),
        (UNKNOWN, {"output_cost_per_pixel": "1.3e-9"}, {"megapixel_e10": 13_000_000}),
        (
            UNKNOWN,
            {"input_cost_per_token": 1e-6, "output_cost_per_image": "0.02"},
            {"text_in_e10": 10_000, "image_e10": 200_000_000},
        ),
        (
            UNKNOWN,
            {"input_cost_per_token": 5e-6, "output_cost_per_token": 3e-5},
            {
                "text_in_e10": 50_000,
                "image_in_e10": 50_000,
                "text_out_e10": 300_000,
                "image_out_e10": 300_000,
            },
        ),
        (UNKNOWN, {"input_cost_per_token": 0, "output_cost_per_token": 0.0}, {}),
        (UNKNOWN, {"output_cost_per_image": 0}, {}),
    ],
)  # fmt: skip
def test_each_name_means_what_it_means_to_litellm(
    place: dict[str, object], prices: dict[str, object], rates: dict[str, int]
) -> None:
    assert rates_of(deployment_of(place | prices)) == rates
    assert rates_of(deployment_of(place, prices)) == rates, "model_info holds prices as well"


def test_the_limits_of_the_model_stay_those_of_its_row() -> None:
    own = deployment_of(KNOWN | {"output_cost_per_image": 0.04})
    assert own.model == deployment_of(KNOWN).model
    assert own.priced
    assert own.priced.id == "openai/gpt-image-2"
    unknown = deployment_of(UNKNOWN | {"output_cost_per_image": 0.04})
    assert unknown.model is None
    assert unknown.priced
    assert unknown.priced.id == "openai_compatible/mine"


def test_prices_of_output_tokens_come_before_a_list_price_of_an_image() -> None:
    prices = {"output_cost_per_image": 0.134, "output_cost_per_image_token": 0.00012}
    settings = settings_of(UNKNOWN | prices)
    assert rates_of(settings.deployments[0]) == {"image_out_e10": 1_200_000}
    assert any("output_cost_per_image" in note.text for note in settings.notes)


def test_the_params_win_over_what_is_said_about_the_model() -> None:
    own = deployment_of(UNKNOWN | {"output_cost_per_image": 1}, {"output_cost_per_image": 2})
    assert rates_of(own) == {"image_e10": 10**10}


def test_a_price_keeps_every_digit_that_was_written(tmp_path: Path) -> None:
    text = """
model_list:
  - model_name: img
    params: {model: openai/mine, api_base: "http://127.0.0.1:9/v1", api_key: sk-test-1,
      output_cost_per_image: 1234.5678901234, input_cost_per_image: 0.1000000003}
"""
    rates = rates_of(load(tmp_path, text).deployments[0])
    assert rates == {"image_e10": 12_345_678_901_234, "input_image_e10": 1_000_000_003}
    digits = text.replace("1234.5678901234", "0.1000000000000000055511151231257827")
    assert "at most 10 decimals" in faults_of(tmp_path, digits), "which a float takes for 0.1"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("output_cost_per_image", "a dollar", "must be USD by image"),
        ("output_cost_per_image", -1, "must be USD"),
        ("output_cost_per_image", True, "must be USD"),
        ("output_cost_per_image", ".nan", "must be USD"),
        ("output_cost_per_image", "0.00000000001", "at most 10 decimals"),
        ("output_cost_per_image_token", 30, "must be USD by token, 0 to 1"),
    ],
)
def test_what_is_no_price_is_a_fault_with_its_line(
    tmp_path: Path, name: str, value: object, told: str
) -> None:
    text = f"""
model_list:
  - model_name: img
    params:
      model: openai/gpt-image-2
      api_key: sk-test-1
      {name}: {value}
"""
    message = faults_of(tmp_path, text)
    assert told in message
    assert "line 7" in message


def test_check_says_whose_price_it_is() -> None:
    own = deployment_of(KNOWN | {"output_cost_per_image": 0.04})
    assert "limits of openai/gpt-image-2; your own price: 0.04 USD an image" in describe(own)
    tokens = describe(deployment_of(UNKNOWN | {"output_cost_per_image_token": 3e-5}))
    assert "no limits known; your own price: 30 USD a million tokens of images made" in tokens
    assert "your own price: free" in describe(deployment_of(UNKNOWN | {"output_cost_per_image": 0}))


def test_a_size_that_the_model_chooses_is_reserved_at_the_largest() -> None:
    own = deployment_of(UNKNOWN | {"output_cost_per_pixel": "1e-9"})
    assert own.priced
    price = estimate(own.priced, ImageCall(id="c", operation="generate", model="img", size="auto"))
    assert price
    assert (price.expected_e10, price.highest_e10) == (1024 * 1024 * 10, 8_294_400 * 10)
