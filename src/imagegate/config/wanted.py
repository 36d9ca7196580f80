"""What somebody wants served, before anything is resolved; and what was found on the way."""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from imagegate.config.settings import Routing
from imagegate.types import AdjustPolicy, Json, Secret

TOKEN_LIMITS = ("max_input_tokens", "max_output_tokens")
"""LiteLLM's names of what a text model reads and writes at most, in tokens."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A deployment as a file or a call's keywords ask for it; `""` and empty mean: not given.

    `is_token_refreshed`: an Azure deployment without a key signs in by DefaultAzureCredential.
    `settings` are those that the provider's record names, secrets among them. `defaults` are image
    parameters, and fields that nobody here knows. `prices` are the operator's, in LiteLLM's names.
    """

    group: str
    model: str
    id: str = ""
    custom_llm_provider: str = ""
    api_base: str = ""
    api_key: Secret = Secret("")
    api_version: str = ""
    base_model: str = ""
    organization: str = ""
    project: str = ""
    azure_ad_token: Secret = Secret("")
    azure_ad_token_provider: Callable[[], str] | None = None
    tenant_id: str = ""
    client_id: str = ""
    client_secret: Secret = Secret("")
    azure_scope: str = ""
    azure_credential: str = ""
    is_token_refreshed: bool = False
    timeout_s: float = 0.0
    extra_headers: Mapping[str, str] = {}
    settings: Mapping[str, Json] = {}
    defaults: Mapping[str, Json] = {}
    variations: Literal["no", "edit"] = "no"
    adjust: AdjustPolicy | None = None
    routing: Routing = Routing()
    serves: Literal["images", "responses"] = "images"
    prices: Mapping[str, Json] = {}
    token_limits: Mapping[str, Json] = {}

    def __repr__(self) -> str:
        """Show the names only: headers and defaults may hold secrets."""
        return f"<Wanted {self.group!r}: {self.model!r}>"


class Problem(Struct, frozen=True):
    """What is wrong with one field. `is_credential`: nothing is there to sign in with."""

    field: str
    text: str
    is_credential: bool = False


class Findings:
    """Collects what is wrong with one deployment, and what its owner should know."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def problem(self, field: str, text: str, *, is_credential: bool = False) -> None:
        """Note that `field` is wrong; `text` says what, and what to do."""
        self.problems.append(Problem(field, text, is_credential))

    def note(self, text: str) -> None:
        """Note something that works, but perhaps not as meant."""
        self.notes.append(text)
