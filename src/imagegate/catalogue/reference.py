"""The catalogue's reference pages: what each model takes and costs, and provider parameters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from imagegate.catalogue.model import TOKEN_RATES, Model, Price
from imagegate.catalogue.price import format_usd
from imagegate.catalogue.rows import builtin_catalogue

TAKEN = ("sizes", "qualities", "formats", "backgrounds", "n", "images", "own parameters")
CHARGED = (
    "text in",
    "text cached",
    "image in",
    "image cached",
    "image out",
    "text out",
    "by image",
    "in a batch",
)


def models_reference() -> str:
    """Return the reference page of all models."""
    models = builtin_catalogue().all()
    providers = dict.fromkeys(model.provider for model in models)
    sections = [
        _section(name, [model for model in models if model.provider == name]) for name in providers
    ]
    head = (
        "# Models\n\n"
        "What the catalogue knows. It advises, the upstream decides: an id that is missing here is"
        " sent as asked.\nPrices are USD per million tokens, or USD by image. `sandbox/<name>`"
        " imitates `openai/<name>` and is free.\nA model is gone on its shutdown date.\n"
    )
    return "\n".join([head, *sections])


def _section(provider: str, models: Sequence[Model]) -> str:
    rows = [model for model in models if not model.snapshot_of]
    takes = table(
        ("model", "operations", *TAKEN),
        ([_id(model), *_takes(model)] for model in rows),
    )
    prices = table(
        ("model", *CHARGED),
        ([_id(model), *_prices(model.price)] for model in rows),
    )
    life = table(
        ("model", "snapshots", "released", "shutdown", "successor", "source", "checked"),
        ([_id(model), *_life(model)] for model in rows),
    )
    notes = [f"- {_id(model)}: {note}" for model in rows for note in model.notes]
    remarks = ["### Notes\n", *notes, ""] if notes else []
    return "\n".join(
        [
            f"## {provider}\n",
            "### What they take\n",
            takes,
            "### Prices\n",
            prices,
            "### Life\n",
            life,
            *remarks,
        ]
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; an empty cell is a dash."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell or '-' for cell in line)} |\n" for line in lines)


def _id(model: Model) -> str:
    return f"`{model.id}`"


def _takes(model: Model) -> list[str]:
    return [
        ", ".join(model.operations),
        _sizes(model),
        ", ".join((*model.qualities, *model.quality_values)),
        ", ".join(model.output_formats) or model.default_format,
        ", ".join(model.backgrounds),
        str(model.n_max),
        str(model.images_max),
        ", ".join(f"`{name}`" for name in (*_own_fields(model), *model.params)),
    ]


def _sizes(model: Model) -> str:
    if model.aspect_ratios:
        return ", ".join((*model.aspect_ratios, *model.resolutions))
    return model.sizes if isinstance(model.sizes, str) else ", ".join(model.sizes)


def _own_fields(model: Model) -> list[str]:
    known = {
        "aspect_ratio": model.aspect_ratios,
        "resolution": model.resolutions,
        "seed": model.seed_max,
        "negative_prompt": model.negative_prompt,
    }
    return [name for name, is_taken in known.items() if is_taken]


def _prices(price: Price | None) -> list[str]:
    if price is None:
        return ["unknown"] + [""] * (len(TOKEN_RATES) + 1)
    rates = [getattr(price, name) for name in TOKEN_RATES]
    tokens = ["" if rate is None else format_usd(rate * 1_000_000) for rate in rates]
    batch = [f"{name} {format_usd(rate * 1_000_000)}" for name, rate in price.batch_e10.items()]
    return [*tokens, ", ".join(_image_prices(price)), ", ".join(batch).replace("_", " ")]


def _image_prices(price: Price) -> Iterator[str]:
    if price.image_e10 is not None:
        yield format_usd(price.image_e10)
    for key, rate in price.images_e10.items():
        yield f"{key}: {format_usd(rate)}"
    if price.first_megapixel_e10 is not None:
        yield f"first megapixel {format_usd(price.first_megapixel_e10)}"
    if price.megapixel_e10 is not None:
        yield f"megapixel {format_usd(price.megapixel_e10)}"
    if price.input_image_e10 is not None:
        yield f"input image {format_usd(price.input_image_e10)}"
    if price.reported:
        yield "as the answer says"


def _life(model: Model) -> list[str]:
    return [
        ", ".join(model.snapshots),
        str(model.released or ""),
        str(model.shutdown or ""),
        model.successor,
        model.source,
        str(model.checked),
    ]


# provider parameters

PARAMETERS_HEAD = """\
# Parameters by provider

What passes by name beside OpenAI's own fields: to the SDK as a keyword, to the gateway as a field
of the body. What a model does not know is left out, with an adjustment; nothing that a provider
refuses is sent. Models with the same parameters share a line; *others* are those without a row.
The pages in `docs/guide/providers` say what each means. Where any further field passes, a model
with a line of its own still gets no seed, negative prompt or shape that the line lacks.

*seed*: the greatest one. *mask*: the part that the provider edits; it is made from OpenAI's mask,
whose clear part is edited. *n*: images a request; more become several requests. *an edit lacks*:
left out of an edit.
"""
OPEN = "Any further field passes as it is.\n"
PARAMETERS = (
    "model",
    "own parameters",
    "seed",
    "negative prompt",
    "shape by name",
    "mask",
    "n",
    "an edit lacks",
)


def parameters_reference(providers: Mapping[str, bool]) -> str:
    """Return the page of what passes by name, a section a provider.

    `providers` are all by name; true where fields that nobody knows pass as they are.
    """
    rows = [row for row in builtin_catalogue().rows.values() if not row.snapshot_of]
    sections = (
        _parameters(name, [row for row in rows if row.provider == name], is_open=is_open)
        for name, is_open in providers.items()
    )
    return "\n".join([PARAMETERS_HEAD, *filter(None, sections)])


def _parameters(name: str, rows: Iterable[Model], *, is_open: bool) -> str:
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        model = "*others*" if row.is_assumption else f"`{row.name}`"
        lines.setdefault(tuple(_parameters_of(row)), []).append(model)
    shown = table(PARAMETERS, ([", ".join(names), *cells] for cells, names in lines.items()))
    told = [OPEN] * is_open + [shown] * bool(lines)
    return "\n".join([f"## {name}\n", *told]) if told else ""


def _parameters_of(model: Model) -> Iterator[str]:
    yield _names(model.params)
    yield f"{model.seed_max:,}" if model.seed_max else ""
    yield "yes" if model.negative_prompt else ""
    yield _names(name for name in ("aspect_ratio", "resolution") if name in _own_fields(model))
    yield _mask(model)
    yield str(model.n_max)
    yield _names(model.edit_without)


def _mask(model: Model) -> str:
    if not model.mask or "edit" not in model.operations:
        return ""
    return {"alpha": "clear"}.get(model.mask_edit, model.mask_edit)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
