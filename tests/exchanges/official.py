"""Holds conversations against the provider's own SDK, in both directions.

Another provider's SDK is one more module like `openai_sdk.py`, and its names in `CHECKS`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.exchanges import aws_sdk, google_sdk, openai_sdk, openrouter_sdk, xinference_sdk
from tests.exchanges.case import Case, Response, Turn


class Check(NamedTuple):
    """What asserts that the SDK sends a recorded request, and takes a recorded good answer."""

    request: Callable[[Case, Turn], None]
    answer: Callable[[Case, Response], None]


CHECKS: Mapping[str, Check] = {
    **{
        name: Check(sdk.check_request, sdk.check_answer)
        for sdk in (openai_sdk, google_sdk, openrouter_sdk, xinference_sdk)
        for name in sdk.CLIENTS
    },
    "botocore": Check(aws_sdk.check_request, aws_sdk.check_answer),
}
"""By the name that `official.client` of a case gives."""
