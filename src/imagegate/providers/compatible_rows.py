"""Hosts and servers that nearly speak OpenAI's Images API, one row each; no code of their own.

A row is an address, a credential's variables, and a `Dialect`: what it calls things, how it takes
input images, what it says when it refuses. Limits and prices are rows of the catalogue
(`models/compatible.toml`). A new host of this kind is a row here and one there.
"""

from functools import partial

from msgspec import Struct

from imagegate.wire.openai_dialect import SIDES, Dialect, Inputs, edit, generate, named, read_error
from imagegate.wire.probes import Ask, Probes, ask_models, ask_no_images
from imagegate.wire.provider import Provider

_BLOCKED = "moderation_blocked"
_UNPAID = "insufficient_quota"
_NO_KEY = "invalid_api_key"
_NO_MODEL = "model_not_found"
_TOO_MANY = "rate_limit_exceeded"


class Row(Struct, frozen=True, kw_only=True):
    """A host or server, and how it is reached.

    `base_url` is empty for a server of one's own; `base_path` is what its address ends with where
    only a host is given. `passes_unknown`: it takes or ignores fields that we do not know.
    """

    prefix: str
    dialect: Dialect
    base_url: str = ""
    base_path: str = "/v1"
    key_env: tuple[str, ...] = ()
    base_url_env: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    passes_unknown: bool = False


ROWS: tuple[Row, ...] = (
    # https://docs.x.ai/docs/guides/image-generations: `size` is refused. Input images belong to
    # edits: with a generation they are ignored and billed. A refusal is a 200 without an image.
    Row(
        prefix="xai",
        base_url="https://api.x.ai/v1",
        key_env=("XAI_API_KEY",),
        base_url_env=("XAI_API_BASE",),
        dialect=Dialect(
            name="xAI",
            fields=named("n", "quality", "aspect_ratio", "resolution", "user"),
            size="",
            bytes_word="b64_json",
            edits="json",
            inputs=Inputs(one="image", many="images", form="object"),
            cost_field="cost_in_usd_ticks",
            empty_is_refused=True,
            # Both come under other statuses' names (from memory).
            sayings={
                r"^Incorrect API key": _NO_KEY,
                r"used all available credits|monthly spending limit": _UNPAID,
            },
        ),
    ),
    # https://docs.together.ai/reference/post-images-generations: edits go to the same path; the
    # word for bytes is its own, and an answer has no time.
    Row(
        prefix="together_ai",
        base_url="https://api.together.xyz/v1",
        key_env=("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
        base_url_env=("TOGETHER_AI_API_BASE", "TOGETHERAI_API_BASE"),
        dialect=Dialect(
            name="Together AI",
            fields=named("n", "seed", "negative_prompt", "output_format"),
            size=SIDES,
            bytes_word="base64",
            edits="json",
            edits_path="/images/generations",
            inputs=Inputs(one="image_url", many="reference_images"),
            sayings={r"\bNSFW\b": _BLOCKED},
        ),
    ),
    # https://deepinfra.com/docs/openai_api: OpenAI's shapes.
    Row(
        prefix="deepinfra",
        base_url="https://api.deepinfra.com/v1/openai",
        base_path="/v1/openai",
        key_env=("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
        base_url_env=("DEEPINFRA_API_BASE",),
        passes_unknown=True,
        dialect=Dialect(
            name="DeepInfra",
            fields=named("n", "user"),
            bytes_word="b64_json",
            edits="form",
        ),
    ),
    # https://www.volcengine.com/docs/82379/1541523, Seedream at Ark; BytePlus by its api_base. A
    # size is "2K" or pixels. One entry may be an error while others are images.
    Row(
        prefix="volcengine",
        base_url="https://ark.cn-beijing.volces.com/api/v3",
        base_path="/api/v3",
        key_env=("ARK_API_KEY", "VOLCENGINE_API_KEY"),
        base_url_env=("VOLCENGINE_API_BASE",),
        dialect=Dialect(
            name="Volcengine Ark",
            fields=named("seed", "output_format", resolution="size"),
            bytes_word="b64_json",
            edits="json",
            edits_path="/images/generations",
            inputs=Inputs(one="image", many="image"),
            meanings={
                r"\w*SensitiveContentDetected(\.\w+)?": _BLOCKED,
                "AccountOverdueError": _UNPAID,
                "ModelNotOpen": _NO_MODEL,
                "RateLimitExceeded": _TOO_MANY,
            },
        ),
    ),
    # https://docs.z.ai/api-reference/image/generate-image; in China by its api_base. Answers are
    # urls, codes are numbers in quotes.
    Row(
        prefix="zai",
        base_url="https://api.z.ai/api/paas/v4",
        base_path="/api/paas/v4",
        key_env=("ZAI_API_KEY", "ZHIPUAI_API_KEY"),
        base_url_env=("ZAI_API_BASE",),
        dialect=Dialect(
            name="Z.ai",
            fields=named("quality", user="user_id"),
            meanings={
                "1301": _BLOCKED,
                "1113": _UNPAID,
                "100[0-4]": _NO_KEY,
                "130[235]": _TOO_MANY,
            },
        ),
    ),
    # https://docs.siliconflow.com/en/api-reference/images/images-generations: `images` for `data`,
    # errors with nothing around them.
    Row(
        prefix="siliconflow",
        base_url="https://api.siliconflow.com/v1",
        key_env=("SILICONFLOW_API_KEY",),
        base_url_env=("SILICONFLOW_API_BASE",),
        dialect=Dialect(
            name="SiliconFlow",
            fields=named("negative_prompt", "seed", n="batch_size"),
            size="image_size",
            edits="json",
            edits_path="/images/generations",
            inputs=Inputs(one="image"),
            flat_errors=True,
        ),
    ),
    # https://docs.vllm.ai/projects/vllm-omni: one model a server, and another name is refused.
    Row(
        prefix="vllm",
        aliases=("hosted_vllm",),
        key_env=("HOSTED_VLLM_API_KEY", "VLLM_API_KEY"),
        base_url_env=("HOSTED_VLLM_API_BASE", "VLLM_API_BASE"),
        passes_unknown=True,
        dialect=Dialect(
            name="vLLM",
            fields=named("n", "output_format", "output_compression"),
            bytes_word="b64_json",
            edits="form",
            mask_part="mask_image",
            sayings={r"^Model mismatch": _NO_MODEL},
        ),
    ),
    # https://docs.sglang.ai: by default it keeps the file and answers a path of its own.
    Row(
        prefix="sglang",
        key_env=("SGLANG_API_KEY",),
        base_url_env=("SGLANG_API_BASE",),
        passes_unknown=True,
        dialect=Dialect(
            name="SGLang",
            fields=named("n", "output_format", "output_compression", "background"),
            bytes_word="b64_json",
            edits="form",
        ),
    ),
    # https://localai.io/features/image-generation: the negative prompt follows a bar.
    Row(
        prefix="localai",
        key_env=("LOCALAI_API_KEY",),
        base_url_env=("LOCALAI_API_BASE",),
        dialect=Dialect(
            name="LocalAI",
            fields=named("n", "seed"),
            bytes_word="b64_json",
            negative_mark="|",
            edits="json",
            edits_path="/images/generations",
            inputs=Inputs(many="ref_images", form="base64"),
        ),
    ),
    # https://docs.ollama.com/api/openai-compatibility, experimental: one image a call, no edits.
    Row(
        prefix="ollama",
        key_env=("OLLAMA_API_KEY",),
        base_url_env=("OLLAMA_API_BASE",),
        passes_unknown=True,
        dialect=Dialect(name="Ollama", bytes_word="b64_json"),
    ),
)


def _probe_invalid(row: Row) -> Ask | None:
    """Return a request that is surely refused: for no images; at a server of one's own, any."""
    count = row.dialect.fields.get("n", "")
    if not count and row.base_url:
        return None
    return partial(ask_no_images, count=count or "n")


def build_provider(row: Row) -> Provider:
    """Return the provider that a row describes; without a fixed address it needs no credential."""
    dialect = row.dialect
    return Provider(
        name=row.prefix,
        aliases=row.aliases,
        base_url=row.base_url,
        base_path=row.base_path,
        generate=partial(generate, dialect=dialect),
        edit=None if dialect.edits == "none" else partial(edit, dialect=dialect),
        read_error=partial(read_error, dialect=dialect),
        api_key_env=row.key_env,
        base_url_env=row.base_url_env,
        accepts_unknown_fields=row.passes_unknown,
        needs_credential=bool(row.base_url),
        probes=Probes(models=ask_models, invalid=_probe_invalid(row)),
    )


PROVIDERS: tuple[Provider, ...] = tuple(map(build_provider, ROWS))
