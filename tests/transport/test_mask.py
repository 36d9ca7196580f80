"""What an upstream repeats of our credential is starred, however the answer is cut."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from imagegate.config.settings import Credential
from imagegate.errors import UpstreamCredentialError
from imagegate.transport.auth import AccessToken, Tokens
from imagegate.transport.mask import MESSAGE_CHARS_MAX, Mask, said
from imagegate.types import Secret

KEY = "canary/key+0123"
MASK = Mask(Credential("bearer", Secret(KEY)), {"authorization": "Bearer fetched-token-1"})


def streamed(mask: Mask, *chunks: bytes, bytes_max: int | None = None) -> list[bytes]:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def scene() -> list[bytes]:
        return [chunk async for chunk in mask.stream(source(), bytes_max=bytes_max)]

    return asyncio.run(scene())


@pytest.mark.parametrize(
    "spelling", [KEY, KEY.replace("/", "\\/"), "canary%2Fkey%2B0123", "fetched-token-1"]
)
def test_each_spelling_becomes_as_many_stars(spelling: str) -> None:
    said = f'{{"message": "no key {spelling}"}}'.encode()
    assert MASK.hide(said) == said.replace(spelling.encode(), b"*" * len(spelling))


@pytest.mark.parametrize("at", range(len(KEY) + 1))
def test_a_cut_hides_nothing_from_it(at: int) -> None:
    said, cut = f"no {KEY}!".encode(), 3 + at
    assert b"".join(streamed(MASK, said[:cut], said[cut:])) == b"no " + b"*" * len(KEY) + b"!"
    assert b"".join(streamed(MASK, *(said[i : i + 1] for i in range(len(said))))).endswith(b"**!")


def test_what_cannot_be_a_secret_waits_for_nothing() -> None:
    assert streamed(MASK, b"data: one\n\n", b"data: two\n\n") == [
        b"data: one\n\n",
        b"data: two\n\n",
    ]
    assert streamed(MASK, b"it ends in cana", b"da") == [b"it ends in ", b"canada"]
    assert streamed(MASK, b"it ends in cana") == [b"it ends in ", b"cana"]


def test_beyond_the_bound_bytes_pass_as_they_are() -> None:
    image = KEY.encode()
    assert streamed(MASK, image, image, bytes_max=len(image)) == [b"*" * len(image)] * 2
    chunks = streamed(MASK, image, image, image, bytes_max=len(image))
    assert chunks == [b"*" * len(image), b"*" * len(image), image]


def test_a_short_secret_is_a_word() -> None:
    mask = Mask(Credential("bearer", Secret("none")), {"authorization": "Bearer none"})
    assert mask.hide(b"none of it") == b"none of it"


def test_the_settings_of_a_signature_are_hidden_and_its_region_is_not() -> None:
    aws = {
        "aws_secret_access_key": Secret("aws-secret-1"),
        "aws_profile_name": Secret("production"),
    }
    mask = Mask(Credential("sigv4", aws=aws), {"x-amz-security-token": "session-1"})
    assert mask.hide_in({"x-id": "aws-secret-1 session-1 production"}) == {
        "x-id": "************ ********* production"
    }


class Refusing:
    """A token service that repeats what it was asked, at such length that it is cut."""

    def __init__(self, words: str) -> None:
        self._words = words

    def get_token(self, *_: str) -> AccessToken:
        raise RuntimeError(self._words)


@pytest.mark.parametrize("before", [0, MESSAGE_CHARS_MAX - 5])
def test_what_a_token_service_repeats_is_starred_also_where_it_is_cut(before: int) -> None:
    words = f"{'.' * before}{KEY} is wrong"
    credential = Credential("entra", Secret(KEY), {"scope": "s"})
    tokens = Tokens(lambda _settings, _secret: Refusing(words))
    with pytest.raises(UpstreamCredentialError) as caught:
        asyncio.run(tokens.token(credential))
    assert "gave no token" in caught.value.message
    assert "*" in caught.value.message
    assert KEY[:4] not in caught.value.message


def test_what_is_said_of_a_google_account_hides_the_secrets_inside_it() -> None:
    info = {
        "type": "authorized_user",
        "client_id": "client-0123456789",
        "client_secret": "canary-client-secret",
        "refresh_token": "canary-refresh-token",
    }
    nested = {"type": "impersonated_service_account", "source_credentials": info}
    for account in (info, nested):
        credential = Credential("google", Secret(json.dumps(account)))
        words = "canary-client-secret and canary-refresh-token of client-0123456789"
        assert said(words, credential) == f"{'*' * 20} and {'*' * 20} of client-0123456789"


def test_what_aws_says_of_a_key_hides_it() -> None:
    aws = {"aws_access_key_id": Secret("AKIACANARY0"), "aws_profile_name": Secret("production")}
    assert said("AKIACANARY0 of production", Credential("sigv4", aws=aws)) == (
        "*********** of production"
    )
