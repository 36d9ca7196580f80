"""A call that has ended, read back from its rows and its kept images: the same answer again."""

from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from imagegate.assets.bucket import BucketError, ObjectGoneError
from imagegate.assets.store import HELD, AssetStore, KeptFile
from imagegate.config.settings import Deployment
from imagegate.errors import (
    AttemptReport,
    ContentPolicyViolationError,
    ImageError,
    NotFoundError,
    OverloadedError,
    UpstreamFailedError,
    UpstreamUnreachableError,
)
from imagegate.fan_out import gravest, join_results, shortfall
from imagegate.ledger import Ledger
from imagegate.ledger.answers import read_brought, read_told
from imagegate.ledger.records import (
    AssetRecord,
    AttemptRecord,
    AttemptState,
    CallRecord,
    cost_e10_of,
)
from imagegate.ledger.review import VerdictRecord
from imagegate.providers import provider_for
from imagegate.running import Outcome
from imagegate.types import Adjustment, Blob, ImageCall, ImageResult
from imagegate.wire.provider import Target

BUCKET_RETRY_S = 5.0

End: TypeAlias = Outcome | ImageError

_FAILED: tuple[AttemptState, ...] = ("unsent", "refused", "unknown")


class StoredCall(Struct, frozen=True, eq=False):
    """The rows of one call, each list in the order of its parts.

    `assets` are the images that may be delivered; `held` are the ids of attempts of whose images a
    guardrail keeps all from everybody, `held_count` is how many images are kept so.
    """

    call: CallRecord
    attempts: tuple[AttemptRecord, ...]
    assets: tuple[AssetRecord, ...]
    held: frozenset[str] = frozenset()
    held_count: int = 0
    verdicts: tuple[VerdictRecord, ...] = ()

    @property
    def cost_e10(self) -> int | None:
        """What it cost, None while that is unknown."""
        return cost_e10_of(self.attempts)

    @property
    def adjustments(self) -> tuple[Adjustment, ...]:
        """What was sent otherwise than it was asked for."""
        return msgspec.json.decode(self.call.adjustments, type=tuple[Adjustment, ...])

    def of(self, attempt: AttemptRecord) -> tuple[AssetRecord, ...]:
        """Return the kept images of one attempt."""
        return tuple(asset for asset in self.assets if asset.attempt_id == attempt.id)

    @property
    def settled(self) -> list[AttemptRecord]:
        """The attempts whose images may be delivered."""
        return [one for one in self.attempts if one.state == "settled" and one.id not in self.held]

    @property
    def has_all_images(self) -> bool:
        """Whether every attempt whose images may be delivered still has them."""
        return bool(self.settled or self.held) and all(self.of(one) for one in self.settled)


class OpenAsset(Struct, frozen=True, eq=False):
    """A kept image that is open for reading; close its file."""

    file: KeptFile
    blob: Blob


class Opened(Struct, frozen=True, eq=False):
    """How a stored call ended; close it when its images have been read."""

    end: End
    files: tuple[KeptFile, ...] = ()

    def close(self) -> None:
        """Close the files of the images."""
        for file in self.files:
            file.close()


async def read_stored(ledger: Ledger, call: CallRecord) -> StoredCall:
    """Return the rows of a call."""
    attempts = await ledger.attempts_of(call.id)
    order = {attempt.id: attempt.number for attempt in attempts}
    assets = sorted(
        await ledger.assets_of(call.id), key=lambda one: (order[one.attempt_id], one.index)
    )
    passed = tuple(one for one in assets if not one.file.startswith(HELD))
    held = frozenset(one.id for one in attempts if one.state == "settled" and one.error_code)
    # One image of several may have been released: then its attempt has something to deliver.
    held |= {one.attempt_id for one in assets} - {one.attempt_id for one in passed}
    passed = tuple(one for one in passed if one.attempt_id not in held)
    count = len(assets) - len(passed)
    return StoredCall(call, attempts, passed, held, count, await ledger.verdicts_of(call.id))


async def open_stored(
    stored: StoredCall, ledger: Ledger, store: AssetStore, asked: ImageCall
) -> Opened:
    """Return how a call ended that has ended, as the answer to `asked`."""
    told = error_of(stored)
    if told is not None:
        return Opened(told)
    opened: dict[str, OpenAsset] = {}
    try:
        for asset in stored.assets:
            opened[asset.id] = await open_asset(asset, ledger, store)
    except (OSError, ImageError) as error:
        for one in opened.values():
            one.file.close()
        return Opened(error if isinstance(error, ImageError) else _gone(stored.call.id))
    blobs = {name: one.blob for name, one in opened.items()}
    return Opened(_outcome(stored, blobs, asked), tuple(one.file for one in opened.values()))


def error_of(stored: StoredCall) -> ImageError | None:
    """Return why a call that has ended delivers nothing, None where its rows say that it does."""
    if stored.call.state != "done":
        return _error(stored)
    if stored.held and not stored.settled:
        return _refusal(stored)
    return None if stored.has_all_images else _gone(stored.call.id)


async def open_asset(
    asset: AssetRecord, ledger: Ledger, store: AssetStore, *, may_be_held: bool = False
) -> OpenAsset:
    """Return a kept image, from the folder or from the bucket that it moved to.

    Raises `OSError` where it is kept no more, `OverloadedError` where the bucket does not answer.
    """
    try:
        file = store.open_kept(asset.file, may_be_held=may_be_held)
    except FileNotFoundError:
        if asset.file.startswith(HELD) and not may_be_held:
            raise
    else:
        return OpenAsset(file, blob_of(asset, file))
    # It may have moved since its row was read.
    moved = asset if asset.object else await ledger.get_asset(asset.id)
    if moved is None or not moved.object:
        raise FileNotFoundError(asset.file)
    try:
        file, size = await store.fetch_kept(moved.object, moved.sha256)
    except ObjectGoneError as error:
        raise FileNotFoundError(moved.object) from error
    except BucketError as error:
        raise _bucket_away(error) from error
    raw = replace(moved, offset=0, length=size, encoding="raw", escaped=False)
    return OpenAsset(file, blob_of(raw, file))


def _outcome(stored: StoredCall, blobs: dict[str, Blob], asked: ImageCall) -> Outcome:
    settled = stored.settled
    results = [_result(stored, one, blobs) for one in settled]
    warnings = [text for one in settled for text in read_brought(one.answer).warnings]
    warnings += shortfall(asked, len(stored.assets), _lost(stored))
    return Outcome(
        call=asked,
        result=join_results(results),
        adjustments=stored.adjustments,
        warnings=tuple(dict.fromkeys(warnings)),
        cost_e10=stored.cost_e10,
        deployment=_deployment(stored.call, settled[0]),
        attempts=len(stored.attempts),
        upstream_headers=_request_id(settled[0]),
        assets=stored.assets,
    )


def _lost(stored: StoredCall) -> list[ImageError]:
    """Return why parts of a call that delivers others are missing."""
    return [
        _held(one) if one.id in stored.held else _told(one)
        for one in stored.attempts
        if one.id in stored.held or (one.state in _FAILED and not _is_replaced(one))
    ]


def _is_replaced(attempt: AttemptRecord) -> bool:
    told = read_told(attempt.answer)
    return told is not None and told.is_replaced


def _result(stored: StoredCall, attempt: AttemptRecord, blobs: dict[str, Blob]) -> ImageResult:
    found = {asset.index: blobs[asset.id] for asset in stored.of(attempt)}
    return read_brought(attempt.answer).result(found)


def blob_of(asset: AssetRecord, file: KeptFile) -> Blob:
    """Return the image's range of its open file."""
    return Blob(
        source=file,
        offset=asset.offset,
        length=asset.length,
        encoding=asset.encoding,
        escaped=asset.escaped,
        media_type=asset.media_type,
        width_px=asset.width_px,
        height_px=asset.height_px,
    )


def _deployment(call: CallRecord, attempt: AttemptRecord) -> Deployment:
    """Return the deployment as its row tells of it: the configuration may be another one now."""
    provider = provider_for(attempt.provider)
    assert provider is not None
    target = Target(base_url="", upstream_model=attempt.upstream_model)
    return Deployment(id=attempt.deployment_id, group=call.model, provider=provider, target=target)


def _request_id(attempt: AttemptRecord) -> dict[str, str]:
    found = attempt.upstream_request_id
    return {"x-imagegate-upstream-request-id": found} if found else {}


def _error(stored: StoredCall) -> ImageError:
    failed = [one for one in stored.attempts if one.state in _FAILED]
    error = gravest([_told(one) for one in failed]) if failed else _process_ended("")
    error.call_id = stored.call.id
    error.attempts = tuple(_report(one, _told(one)) for one in failed)
    return error


def failures_of(stored: StoredCall) -> tuple[ImageError, ...]:
    """Return why each attempt brought nothing that may be delivered, in order; none: all did.

    Each error tells of its own attempt only.
    """
    found = [_failure(stored, one) for one in stored.attempts if _has_failed(stored, one)]
    if stored.call.state in ("failed", "unknown") and not found:
        return (_error(stored),)
    return tuple(found)


def _has_failed(stored: StoredCall, attempt: AttemptRecord) -> bool:
    return attempt.id in stored.held or attempt.state in ("unsent", "refused", "unknown")


def _failure(stored: StoredCall, attempt: AttemptRecord) -> ImageError:
    error = _held(attempt) if attempt.id in stored.held else _told(attempt)
    error.call_id = stored.call.id
    error.attempts = (_report(attempt, error),)
    return error


def _refusal(stored: StoredCall) -> ImageError:
    """Return why what was bought may not be delivered: a guardrail of ours held it back."""
    error = gravest([_held(one) for one in stored.attempts if one.id in stored.held])
    error.call_id = stored.call.id
    return error


def _held(attempt: AttemptRecord) -> ImageError:
    told = read_told(attempt.answer)
    return told.error() if told else unchecked()


def unchecked() -> ImageError:
    """Return why an image is not delivered that no guardrail has let pass."""
    return ContentPolicyViolationError(
        "The gateway ended before a guardrail had let this image pass. It was made and paid for, "
        "and is kept out of reach of callers; a retry would buy another one.",
        code="content_policy_violation",
    )


def _told(attempt: AttemptRecord) -> ImageError:
    told = read_told(attempt.answer)
    if told is not None:
        return told.error()
    if attempt.state == "unknown":
        return _process_ended(attempt.error_code)
    return UpstreamUnreachableError(
        "The gateway ended before this call was sent; nothing was bought. Send it again.",
        code=attempt.error_code or None,
    )


def _process_ended(code: str) -> ImageError:
    return UpstreamFailedError(
        "The gateway ended while this call was at its provider, which may have made and billed "
        "the image; no whole answer arrived. x-imagegate-new-call: true buys it anew.",
        code=code or "process_ended",
    )


def _report(attempt: AttemptRecord, error: ImageError) -> AttemptReport:
    return AttemptReport(
        deployment=attempt.deployment_id,
        state=attempt.state,
        code=attempt.error_code,
        message=error.message,
        upstream=error.upstream,
        provider=attempt.provider,
        model=attempt.upstream_model,
    )


def _bucket_away(error: BucketError) -> ImageError:
    return OverloadedError(
        f"The image is kept in a bucket that does not answer: {error}.",
        code="bucket_unavailable",
        retry_after_s=BUCKET_RETRY_S,
    )


def _gone(call_id: str) -> ImageError:
    error = NotFoundError(
        "The image of this call was made and paid for, and is not kept any more. Send a new "
        "Idempotency-Key, or x-imagegate-new-call: true, to buy it anew.",
        code="image_not_kept",
        http_status=410,
    )
    error.call_id = call_id
    return error
