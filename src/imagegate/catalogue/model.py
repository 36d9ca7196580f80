"""`Model`, what we know about one model on one surface, and `Catalogue`, all of them by id.

The catalogue advises, the upstream decides: a model without a row is sent as asked.
"""

import datetime
import difflib
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from imagegate.types import Json, Operation

Sizes: TypeAlias = Literal["flexible", "any"] | tuple[str, ...]
MaskEdit: TypeAlias = Literal["alpha", "white", "black"]
TokenRange: TypeAlias = tuple[int, int, int]
"""The least, the expected and the most."""

SANDBOX = "sandbox"
ANY_NAME = "*"
NEAR_MAX = 3


class Price(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is charged, in 1e-10 USD; None: no such charge is known.

    A token of each class; an output image (`image_e10`, or `images_e10` by key); a million output
    pixels (`megapixel_e10`, the first one apart where it is dearer); an input image. A key of
    `images_e10` is a resolution, a size, a quality word, or a resolution and a quality ("1K
    high"), as they are sent. `reported`: each answer carries its own cost, which then counts,
    unless the price `is_own`: an operator's word for what the deployment charges. `batch_e10` are
    the token rates of the provider's batch API, by name ("text_in"); nothing here goes there.
    """

    text_in_e10: int | None = None
    text_in_cached_e10: int | None = None
    image_in_e10: int | None = None
    image_in_cached_e10: int | None = None
    image_out_e10: int | None = None
    text_out_e10: int | None = None
    image_e10: int | None = None
    images_e10: Mapping[str, int] = {}
    megapixel_e10: int | None = None
    first_megapixel_e10: int | None = None
    input_image_e10: int | None = None
    batch_e10: Mapping[str, int] = {}
    reported: bool = False
    is_own: bool = False

    @property
    def is_free(self) -> bool:
        """Whether every token class is known to cost nothing."""
        return _token_rates(self) == _NOTHING

    @property
    def has_token_rates(self) -> bool:
        """Whether the usage that the upstream reports decides what is charged."""
        return _token_rates(self) != _UNKNOWN

    @property
    def has_image_rates(self) -> bool:
        """Whether finished images are charged by the piece or by their pixels."""
        has_rate = self.image_e10 is not None or self.megapixel_e10 is not None
        return has_rate or bool(self.images_e10)


TOKEN_RATES = Price.__struct_fields__[: Price.__struct_fields__.index("image_e10")]
_token_rates = attrgetter(*TOKEN_RATES)
_NOTHING, _UNKNOWN = (0,) * len(TOKEN_RATES), (None,) * len(TOKEN_RATES)
FREE = msgspec.structs.replace(Price(), **dict.fromkeys(TOKEN_RATES, 0))


class OutputTokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many tokens an image takes, by quality.

    `bases` are the base factors of the area formula; `table` counts tokens by size instead, and
    `resolutions` by resolution, whatever the quality ("" for a model that has none).
    `percent` widens an estimate where a model was only measured: the least, the expected and the
    most, as percentages of the formula. `auto_quality` is what `quality: auto` is expected to be.
    `text` are the tokens of text and thought that come with an image.
    """

    bases: Mapping[str, int] = {}
    table: Mapping[str, Mapping[str, int]] = {}
    resolutions: Mapping[str, int] = {}
    percent: Mapping[str, TokenRange] = {}
    auto_quality: str = "medium"
    text: TokenRange = (0, 0, 0)


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model on one surface: what it takes, what it costs, how long it lives.

    `id` is `provider/name`; `provider/*` says what may hold for that provider's models without
    a row. Lists name what may be sent; `auto` stands among them where the API takes the word. An
    empty list: the field does not exist there. `operations` are those that the surface still
    serves. `input_image_tokens` are those of one input image. `shutdown` is the first day without
    the model; `notes` keep what is disputed, as text. `traits` are facts for the adapter.

    Shape. `sizes` is a list, "flexible" (OpenAI's rule, in `geometry.py`) or "any" within the
    bounds of `size_multiple_px`, `side_px_*`, `pixels_*` (0: no bound). Where there are
    `aspect_ratios`, a size becomes one of them, and one of `resolutions` if there are any;
    `ratio_pixels` says how large each comes out: `{"3:2" = {"1K" = "1264x848"}}`, with "" for a
    model without resolutions. `default_resolution` is what the model makes when none is sent.

    Words. `quality_values` maps OpenAI's quality to the model's own word. `default_format` is
    what comes when no format is sent; `output_compression` says whether its strength can be
    chosen. `seed_max` is 0 where there is no seed. `mask_edit` is the
    part of a mask that is edited: the clear one (`alpha`), or the white or black one of a mask
    without alpha; `mask = false`: there are no masks. A call for more than `n_max` images becomes
    several. `params` are the provider's own parameters, which pass by name. `edit_without` are
    fields that an edit does not take there: `prompt`, `size`, `seed`, names of `params`.
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
    mask_edit: MaskEdit = "alpha"
    markup: bool = False
    stream: bool = True
    aspect_ratios: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    default_resolution: str = ""
    ratio_pixels: Mapping[str, Mapping[str, str]] = {}
    size_multiple_px: int = 1
    side_px_min: int = 0
    side_px_max: int = 0
    pixels_min: int = 0
    pixels_max: int = 0
    quality_values: Mapping[str, str] = {}
    default_format: str = ""
    output_compression: bool = True
    seed_max: int = 0
    negative_prompt: bool = False
    params: tuple[str, ...] = ()
    edit_without: tuple[str, ...] = ()
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

    @property
    def is_assumption(self) -> bool:
        """Whether this is a provider's `*` row: no model, but what its unknown ones may take."""
        return self.name == ANY_NAME

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

    def assume(self, provider: str) -> Model | None:
        """Return what may hold for a model of `provider` that has no row, None where nobody says.

        The row has no price: nobody knows it.
        """
        return self.rows.get(f"{provider}/{ANY_NAME}")

    def all(self) -> tuple[Model, ...]:
        """Return every row, snapshots included."""
        return tuple(row for row in self.rows.values() if not row.is_assumption)

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
        known = [row.id for row in self.all()]
        return tuple(difflib.get_close_matches(full, known, n=NEAR_MAX, cutoff=0.6))


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
