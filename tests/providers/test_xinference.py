import json

import pytest

from imagegate.errors import BadRequestError, UpstreamEmptyError
from imagegate.providers import xinference
from imagegate.types import Json
from imagegate.wire.provider import Target
from tests.providers.talk import answer, body_of, call, request_of, talk

TARGET = Target("http://127.0.0.1:9997/v1", "sd3.5")


def kwargs_of(**fields: Json) -> Json:
    body = json.loads(body_of(request_of(xinference.generate(call(**fields), TARGET))))
    return json.loads(body["kwargs"]) if "kwargs" in body else None


def test_kwargs_may_be_an_object_or_text_and_named_arguments_win() -> None:
    assert kwargs_of() is None
    assert kwargs_of(extra={"kwargs": {"seed": 1, "eta": 0}}, seed=7) == {"seed": 7, "eta": 0}
    assert kwargs_of(extra={"kwargs": '{"eta": 0}', "scheduler": "ddim"}) == {
        "eta": 0,
        "scheduler": "ddim",
    }


@pytest.mark.parametrize("kwargs", ["no JSON", "[1]", 7, ["a"]])
def test_kwargs_that_are_no_object_are_refused_before_anything_is_sent(kwargs: Json) -> None:
    with pytest.raises(BadRequestError) as caught:
        request_of(xinference.generate(call(extra={"kwargs": kwargs}), TARGET))
    assert caught.value.param == "kwargs"


def test_one_path_among_images_is_no_result() -> None:
    body = {"created": 1, "data": [{"b64_json": "QUJD"}, {"url": "/root/image/a.jpg"}]}
    with pytest.raises(UpstreamEmptyError, match="its own disk"):
        talk(xinference.generate(call(), TARGET), answer(200, body))
