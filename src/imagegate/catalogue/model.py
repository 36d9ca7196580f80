"""`Model`, what we know about one model on one surface, and `Catalogue`, all of them by id.

The catalogue advises, the upstream decides: a model without a row is sent as asked.
"""

import datetime
import difflib
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from imagegate.types import Json, Operation

Sizes: TypeAlias = Literal["flexible"] | tuple[str, ...]
TokenRange: TypeAlias = tuple[int, int, int]
"""The least, the expected and the most."""

SANDBOX = "sandbox"
NEAR_MAX = 3


class Price(Struct, frozen=True, kw_only=True):
    """What a token of each class costs, in 1e-10 USD. None: that class has no known price."""

    text_in_e10: int | None = None
    text_in_cached_e10: int | None = None
    image_in_e10: int | None = None
    image_in_cached_e10: int | None = None
    image_out_e10: int | None = None
    text_out_e10: int | None = None

    @property
    def is_free(self) -> bool:
        """Whether every class is known to cost nothing."""
        return all(getattr(self, name) == 0 for name in self.__struct_fields__)


FREE = Price(**dict.fromkeys(Price.__struct_fields__, 0))


class OutputTokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many tokens an image takes, by quality.

    `bases` are the base factors of the area formula; `table` counts tokens by size instead.
    `percent` widens an estimate where a model was only measured: the least, the expected and the
    most, as percentages of the formula. `auto_quality` is what `quality: auto` is expected to be.
    """

    bases: Mapping[str, int] = {}
    table: Mapping[str, Mapping[str, int]] = {}
    percent: Mapping[str, TokenRange] = {}
    auto_quality: str = "medium"


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model on one surface: what it takes, what it costs, how long it lives.

    `id` is `provider/name`. `sizes` is "flexible" (`geometry.py` has the rule) or a list. Lists
    name what may be sent; `auto` stands among them where the API takes the word. An empty list:
    the field does not exist there. `operations` are those that the surface still serves.
    `input_image_tokens` are those of one input image. `shutdown` is the first day without the
    model; `notes` keep what is disputed, as text. `traits` are facts for the adapter.
    """

    id: str
    operations: tuple[Operation, ...] = ("generate", "edit")
    sizes: Sizes = "flexible"
    qualities: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()
    input_formats: tuple[str, ...] = ("png", "jpeg", "webp")
    input_fidelities: tuple[str, ...] = ()
    complexities: tuple[str, ...] = ()
    moderations: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    response_formats: tuple[str, ...] = ()
    n_max: int = 10
    images_max: int = 16
    prompt_chars_max: int = 32_000
    partial_images_max: int = 3
    mask: bool = True
    markup: bool = False
    stream: bool = True
    price: Price | None = None
    output_tokens: OutputTokens | None = None
    input_image_tokens: TokenRange = (0, 0, 0)
    released: datetime.date | None = None
    shutdown: datetime.date | None = None
    successor: str = ""
    source: str
    checked: datetime.date
    notes: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    snapshot_of: str = ""
    traits: Mapping[str, Json] = {}

    @property
    def provider(self) -> str:
        """The provider's name, which is the id's prefix."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """The name on that surface, without the prefix."""
        return self.id.partition("/")[2]

    def is_shut_down(self, today: datetime.date) -> bool:
        """Return whether its shutdown date has come."""
        return self.shutdown is not None and self.shutdown <= today


class Catalogue(Struct, frozen=True):
    """Every model that we know, by id, in the order of the files."""

    rows: Mapping[str, Model] = {}

    def find(self, model_id: str) -> Model | None:
        """Return the row of `provider/name`, or of a bare OpenAI name; None where there is none.

        `sandbox/<name>` imitates `openai/<name>`: its limits, no price, no life cycle.
        """
        provider, slash, name = model_id.partition("/")
        if model_id in self.rows:
            return self.rows[model_id]
        if not slash:
            return self.rows.get(f"openai/{model_id}")
        imitated = self.rows.get(f"openai/{name}") if provider == SANDBOX else None
        return _imitation(imitated) if imitated else None

    def all(self) -> tuple[Model, ...]:
        """Return every row, snapshots included."""
        return tuple(self.rows.values())

    def overlay(self, models: Iterable[Model]) -> "Catalogue":
        """Return a catalogue in which `models` and their snapshots are added or replaced."""
        rows = dict(self.rows)
        for model in models:
            rows[model.id] = model
            rows.update((row.id, row) for row in _snapshots(model))
        return Catalogue(rows)

    def near(self, name: str) -> tuple[str, ...]:
        """Return up to three ids that look like `name`, the likest first."""
        full = name if "/" in name else f"openai/{name}"
        return tuple(difflib.get_close_matches(full, self.rows, n=NEAR_MAX, cutoff=0.6))


def _imitation(model: Model) -> Model:
    return msgspec.structs.replace(
        model,
        id=f"{SANDBOX}/{model.name}",
        price=FREE,
        shutdown=None,
        successor="",
        snapshots=(),
        source="imagegate: drawn here, nothing is bought",
    )


def _snapshots(model: Model) -> list[Model]:
    return [
        msgspec.structs.replace(
            model, id=f"{model.provider}/{name}", snapshots=(), snapshot_of=model.id
        )
        for name in model.snapshots
    ]
