"""`/admin/held`: images that a guardrail holds. Whoever may looks at one, releases or deletes it.

A released image is its owner's from then on: fetched by its call, replayed, by signed url.
"""

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagegate import clock, telemetry
from imagegate.assets.blobs import raw_bytes
from imagegate.assets.bucket import BucketError
from imagegate.errors import ImageError, NotFoundError
from imagegate.gateway.admin.desk import Desk, one_of, page
from imagegate.gateway.assets import send_asset
from imagegate.ledger.answers import without_refusal
from imagegate.ledger.records import AssetRecord
from imagegate.ledger.review import DropHeld, Release
from imagegate.ledger.reviews import HeldImage
from imagegate.stored import open_asset
from imagegate.types import Json

logger = logging.getLogger(telemetry.LOGGER)

_PASSING = ("allow", "mask", "blur")


async def list_held(request: Request) -> Response:
    """Return the held images, the newest first."""
    desk = Desk(request)
    found = await desk.reviews.held(before=desk.text("after"), limit=desk.limit)
    return page([plain(one) for one in found], desk.limit, found[-1].asset.id if found else "")


async def get_held(request: Request) -> Response:
    """Return a held image itself. That it was looked at is written down."""
    desk = Desk(request)
    held = await _find(desk)
    await desk.record()
    response = await send_asset(request, held.asset, 0, may_be_held=True)
    response.headers["cache-control"] = "no-store"
    return response


async def release_held(request: Request) -> Response:
    """Let an image be delivered, and return it; it is kept anew from now on."""
    desk = Desk(request)
    held = await _find(desk)
    release = await _release(desk, held.asset)
    released = plain(held) | {"state": "released", "expires_at": release.expires_at}
    try:
        await desk.commit(release, before=plain(held), after=released)
    except ImageError as error:
        if error.http_status == 409:  # any other may have been written all the same
            desk.runtime.tools.store.remove((release.file,))
        raise
    await _clear(desk, held.asset)
    return JSONResponse(released)


async def drop_held(request: Request) -> Response:
    """Delete a held image; what its call cost stays booked, and its answer a refusal."""
    desk = Desk(request)
    held = await _find(desk)
    await desk.commit(DropHeld(held.asset.id), before=plain(held))
    await _clear(desk, held.asset)
    return JSONResponse(plain(held) | {"state": "deleted"})


async def _find(desk: Desk) -> HeldImage:
    found = await desk.reviews.held_image(desk.id)
    return one_of([found] if found else [], "held_image", desk.id)


async def _release(desk: Desk, asset: AssetRecord) -> Release:
    """Copy an image to where it may be delivered from; return what is to be written."""
    tools, settings = desk.runtime.tools, desk.runtime.settings.assets
    attempts = await tools.ledger.attempts_of(asset.call_id)
    attempt = next(one for one in attempts if one.id == asset.attempt_id)
    try:
        opened = await open_asset(asset, tools.ledger, tools.store, may_be_held=True)
        try:
            file = await asyncio.to_thread(tools.store.copy_out, opened.blob)
            length = raw_bytes(opened.blob)
        finally:
            opened.file.close()
    except OSError as error:
        raise _elsewhere(asset.id) from error
    return Release(
        asset_id=asset.id,
        attempt_id=attempt.id,
        file=file,
        length=length,
        expires_at=clock.now_s() + max(settings.retention_s, settings.evidence_s),
        answer=without_refusal(attempt.answer),
    )


async def _clear(desk: Desk, asset: AssetRecord) -> None:
    """Delete what is left of a held image, and its file if no other lies in it."""
    store = desk.runtime.tools.store
    if not await desk.runtime.ledger.has_in_folder(asset.file):
        store.remove((asset.file,))
    if store.bucket is not None and asset.object:
        try:
            await store.bucket.delete(asset.object)
        except BucketError as error:
            told = {"file": asset.object, "reason": str(error)}
            logger.warning(telemetry.BUCKET_FAILED, extra=told)


def _elsewhere(asset_id: str) -> NotFoundError:
    return NotFoundError(
        f"The file of {asset_id} cannot be copied here. Ask the gateway on whose disk it is, and "
        "look whether that disk is full.",
        code="image_not_found",
    )


def plain(held: HeldImage) -> dict[str, Json]:
    """Return a held image as JSON, without the image."""
    asset, call = held.asset, held.call
    because = [str(one.verdict) for one in held.verdicts if one.action not in _PASSING]
    return {
        "object": "held_image",
        "id": asset.id,
        "state": "held",
        "call_id": call.id,
        "model": call.model,
        "key_id": call.key_id,
        "team_id": call.team_id,
        "end_user": call.end_user,
        "held_by": because or ["no verdict"],  # its process died before there was one
        "media_type": asset.media_type,
        "width": asset.width_px,
        "height": asset.height_px,
        "created_at": asset.created_at,
        "expires_at": asset.expires_at,
    }
