"""From a request's body to a call whose inputs have been looked at; nothing is decided here."""

import asyncio
from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec import Struct

from imagegate.assets.spool import CallSpool
from imagegate.candidates import can_draw, is_image_model
from imagegate.config.settings import Settings
from imagegate.errors import BadRequestError
from imagegate.gateway.body import BodyReader, is_form, read_json
from imagegate.gateway.connection import Connection
from imagegate.gateway.form import read_form
from imagegate.prepare import check_inputs
from imagegate.runtime.snapshot import Snapshot
from imagegate.transport.download import DownloadLimits
from imagegate.types import Blob, ImageCall, Json, Operation
from imagegate.wire.openai_calls import ParsedCall, parse_form_call, parse_json_call
from imagegate.wire.responses import BODY, check_shape, image_tool, parse_call

_INPUTS = ("image", "images", "mask", "markup")
FETCH_S_MAX = 120.0  # for all urls of one call together


class Request(Struct, frozen=True):
    """An image request that was let in: headers by lower-case name, the body still to come.

    `path_model` is the model that the path names, `""` where it names none. Where the path says
    nothing of the `operation`, inputs make it an edit.
    """

    headers: Mapping[bytes, bytes]
    connection: Connection
    operation: Operation | None
    path_model: str


class Intake:
    """Reads calls into their spools, within the limits of the settings."""

    def __init__(self, runtime: Snapshot) -> None:
        self._settings = runtime.settings
        self._limits = runtime.settings.server
        self._downloader = runtime.downloader

    async def read_call(self, request: Request, spool: CallSpool) -> ImageCall:
        """Return the call of a request; a model that the path names wins over the body's.

        Raises `BadRequestError`, `RequestTooLargeError`, or `CallerLeftError`.
        """
        if request.operation == "responses":
            return await self._read_responses(request, spool)
        if is_form(request.headers):
            call = await self._read_form(request, spool)
        else:
            call = await self._read_json(request, spool)
        if request.path_model:
            call = msgspec.structs.replace(call, model=request.path_model)
        if call.operation == "generate":
            return call
        return self._check_inputs(call)

    async def _read_form(self, request: Request, spool: CallSpool) -> ImageCall:
        body = BodyReader(request.connection, request.headers, self._limits.form_bytes_max)
        content_type = request.headers[b"content-type"]
        form = await read_form(
            body, content_type, spool, file_bytes_max=self._limits.file_bytes_max
        )
        operation = request.operation or "edit"
        return parse_form_call(operation, form.fields, form.files, spool.call_id)

    async def _read_json(self, request: Request, spool: CallSpool) -> ImageCall:
        body = BodyReader(request.connection, request.headers, self._limits.json_bytes_max)
        lifted = await read_json(body, spool)
        operation = request.operation or _operation_of(lifted.json())
        parsed = parse_json_call(operation, lifted, spool.call_id)
        if operation == "generate":
            return parsed.call
        return parsed.with_fetched(await self._fetch(parsed, spool))

    async def _read_responses(self, request: Request, spool: CallSpool) -> ImageCall:
        if is_form(request.headers):
            raise BadRequestError("Send a response's request as application/json.", param="model")
        body = BodyReader(request.connection, request.headers, self._limits.json_bytes_max)
        # A long conversation is long without its images, too.
        lifted = await read_json(body, spool, skeleton_bytes_max=self._limits.json_bytes_max)
        call = parse_call(lifted, spool.call_id)
        _resolve_alias(call.extra[BODY], self._settings)
        check_shape(
            call.extra[BODY],
            is_image_model=partial(is_image_model, settings=self._settings),
            can_draw=partial(can_draw, settings=self._settings),
        )
        return call

    async def _fetch(self, parsed: ParsedCall, spool: CallSpool) -> dict[str, Blob]:
        """Return a blob for each https url among the inputs."""
        try:
            async with asyncio.timeout(FETCH_S_MAX):
                return {url: await self._fetch_one(url, spool) for url in parsed.urls()}
        except TimeoutError:
            raise BadRequestError(
                f"The image urls could not be fetched within {FETCH_S_MAX:.0f} s. Send the images "
                "as data urls or as files.",
                param="images",
                code="invalid_image_url",
            ) from None

    async def _fetch_one(self, url: str, spool: CallSpool) -> Blob:
        file = spool.new_file()
        limits = DownloadLimits(bytes_max=self._limits.file_bytes_max)
        await self._downloader.fetch(url, write=file.write, limits=limits, param="images")
        return Blob(file, 0, file.size)

    def _check_inputs(self, call: ImageCall) -> ImageCall:
        return check_inputs(
            call,
            pixels_max=self._limits.image_pixels_max,
            file_bytes_max=self._limits.file_bytes_max,
        )


def _resolve_alias(fields: dict[str, Json], settings: Settings) -> None:
    """Put the model group in the image tool where an alias of one stands."""
    tool = image_tool(fields)
    if tool is not None and isinstance(tool.get("model"), str):
        tool["model"] = settings.aliases.get(tool["model"], tool["model"])


def _operation_of(fields: Json) -> Operation:
    has_inputs = isinstance(fields, dict) and any(fields.get(name) for name in _INPUTS)
    return "edit" if has_inputs else "generate"
