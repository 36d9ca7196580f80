"""The log hears of a model's end at start, and once at each stage."""

import datetime
import logging

import pytest

from imagegate import telemetry
from imagegate.catalogue.rows import builtin_catalogue
from imagegate.config.settings import Deployment
from imagegate.providers import provider_for
from imagegate.runtime.retirements import tell_retirements
from imagegate.wire.provider import Target

END = datetime.date(2026, 12, 1)


def test_each_stage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    openai = provider_for("openai")
    assert openai
    deployment = Deployment(
        id="one",
        group="img",
        provider=openai,
        target=Target(openai.base_url, "gpt-image-1.5"),
        model=builtin_catalogue().find("openai/gpt-image-1.5"),
    )
    told: dict[str, int] = {}
    with caplog.at_level(logging.WARNING, telemetry.LOGGER):
        for days_left in range(70, -5, -1):
            tell_retirements((deployment,), END - datetime.timedelta(days_left), told)
    days = [vars(record)["days_left"] for record in caplog.records]
    assert days == [60, 14, 1, 0]
    assert [record.message for record in caplog.records] == ["model.retires"] * 3 + [
        "model.retired"
    ]
