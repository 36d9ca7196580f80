"""`webhooks`: which urls are told how a call ended, and by what secret they know that it is us."""

from typing import Annotated

from pydantic import BeforeValidator, SecretStr

from imagegate.config.fields import Names, Section, Text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Webhooks(Section):
    """Urls that are told how a call ended, signed by the Standard Webhooks specification."""

    secret: Annotated[list[SecretStr], BeforeValidator(_listed)] = []
    """`whsec_` and the base64 of 24 to 64 random bytes; without it there are no webhooks. A list \
of two while it is changed: messages are signed by both."""
    url: Text | None = None
    """Where calls with `Prefer: respond-async` are told of that name no url of their own."""
    teams: dict[Text, Text] = {}
    """The same for calls of single teams: their id -> url."""
    keys: dict[Text, Text] = {}
    """The same for calls with single virtual keys: their id -> url."""
    allow_hosts: Names = []
    """Hosts of yours whose addresses may be private and whose urls may be http."""
