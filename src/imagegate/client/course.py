"""One request on its way: begun, tried again where nothing was bought, elsewhere where it may."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import structs

from imagegate import clock
from imagegate.catalogue.known_models import DEFAULT_MODEL
from imagegate.client.held import Held
from imagegate.client.inputs import Source, UrlSource, place_input
from imagegate.client.pool import Entry, Pool
from imagegate.client.request import CONNECTION, Request
from imagegate.client.results import CompletedEvent, ImageResponse, PartialImageEvent
from imagegate.client.settings import Candidate
from imagegate.errors import BadRequestError, ImageError
from imagegate.types import Blob, FileId, ImageCall, Json
from imagegate.wire.openai_fields import check_fields, check_image_count, require_prompt

if TYPE_CHECKING:
    from imagegate.assets.spool import CallSpool
    from imagegate.call_options import AttachTerms, CallOptions
    from imagegate.config.settings import Settings
    from imagegate.running import RunningCall

RETRY_WAIT_S = 0.5
RETRY_WAIT_S_MAX = 60.0
_E10 = 10**10
_PREFIXES = {"generate": "image_generation", "edit": "image_edit", "variation": "image_variation"}


SettingsFor = Callable[[Candidate], "tuple[Settings, str]"]


class Tries:
    """Which candidate is next after an error, and how long to wait before it."""

    def __init__(self, candidates: tuple[Candidate, ...], retries_max: int, first: int = 0) -> None:
        self._candidates = candidates
        self._retries_max = retries_max
        self._retries = 0
        self.index = min(first, len(candidates) - 1)

    @property
    def candidate(self) -> Candidate:
        """The candidate to try now."""
        return self._candidates[self.index]

    def wait_after(self, error: ImageError) -> float | None:
        """Return the seconds to wait before the next try, or None where `error` is the end.

        An ambiguous fault is always the end: an image may have been made and billed.
        """
        if error.fault == "moment" and self._retries < self._retries_max:
            wait_s = error.retry_after_s or RETRY_WAIT_S * 2**self._retries
            if wait_s <= RETRY_WAIT_S_MAX:
                self._retries += 1
                return wait_s
        if error.fault not in ("moment", "deployment") or self.index + 1 == len(self._candidates):
            return None
        self.index += 1
        self._retries = 0
        return 0.0


class Course:
    """One request of a client; lives on the loop thread."""

    def __init__(self, pool: Pool, request: Request[Any], settings_for: SettingsFor) -> None:
        self._pool = pool
        self._request = request
        self._settings_for = settings_for
        first = pool.keyed.candidate_of(request.idempotency_key)
        self._tries = Tries(candidates_of(request), request.retries_max, first)
        self._running: RunningCall | None = None
        self._held: Held

    @property
    def call_id(self) -> str:
        """The id of the call that runs now, or ran last; `""` before it was begun."""
        return self._running.id if self._running else ""

    async def begin(self) -> None:
        """Have the first candidate that takes the request start on it. Raises `ImageError`."""
        while True:
            candidate = self._tries.candidate
            try:
                await self._start(candidate)
            except ImageError as error:
                await self._wait_or_raise(error)
            else:
                return

    async def preview(self) -> list[Json]:
        """Return what the first candidate would send and cost; inputs are read, nothing is sent."""
        from imagegate.preview import plain_previews, preview_call

        settings, group = self._settings_for(self._tries.candidate)
        entry = await self._pool.get(settings)
        with entry.in_use():
            runtime = entry.runtime
            spool = runtime.spool.open_call(clock.new_id("call"))
            try:
                call = await _build_call(self._request, spool.call_id, group, entry, spool)
                options = _options(self._request)
                found = await preview_call(call, settings, options, spool, runtime.tools.worker)
                return plain_previews(found)
            finally:
                spool.close()

    async def respond(self) -> ImageResponse:
        """Return the images. Raises the last try's `ImageError`."""
        while True:
            if response := await self._settle():
                return response

    async def events(self) -> AsyncGenerator[PartialImageEvent | CompletedEvent, None]:
        """Yield partial images, then each finished one. Raises the last try's `ImageError`."""
        prefix = _PREFIXES[self._request.operation]
        if self._running is None:
            await self.begin()
        response = None
        while response is None:
            assert self._running is not None
            async for partial in self._running.partials():
                yield PartialImageEvent(partial, prefix, self._held)
            response = await self._settle()
        for index in range(len(response.data)):
            yield CompletedEvent(response, index, prefix)

    async def _settle(self) -> ImageResponse | None:
        """Wait for the try's end; None where it failed and another has begun."""
        assert self._running is not None
        try:
            outcome = await self._running.wait()
        except ImageError as error:
            await self._wait_or_raise(error)
            await self.begin()
            return None
        self._held.done()
        # Asked of us, not of the upstream: what is sent there may have left it out.
        as_url = self._request.fields.get("response_format") == "url"
        return ImageResponse(outcome, self._held, as_url=as_url)

    async def _wait_or_raise(self, error: ImageError) -> None:
        error.model = error.model or self._tries.candidate.model or ""
        wait_s = self._tries.wait_after(error)
        if wait_s is None:
            raise error
        await clock.sleep(wait_s)

    async def _start(self, candidate: Candidate) -> None:
        settings, group = self._settings_for(candidate)
        entry = await self._pool.get(settings)
        with entry.in_use():
            await self._start_on(entry, group)

    async def _start_on(self, entry: Entry, group: str) -> None:
        call_id = clock.new_id("call")
        spool = entry.runtime.spool.open_call(call_id)
        try:
            call = await _build_call(self._request, call_id, group, entry, spool)
            options = _options(self._request, await self._terms(call))
            running = await entry.runtime.pipeline.start(call, spool, options)
        except BaseException:
            spool.close()
            raise
        if options.attach is not None:
            self._pool.keyed.keep(entry, running.id, options.attach, self._tries.index)
        self._running = running
        self._held = entry.hold(self._pool.thread, running)

    async def _terms(self, call: ImageCall) -> "AttachTerms | None":
        """Return by what a call with a key is known, whichever candidate makes it."""
        key = self._request.idempotency_key
        if not key:
            return None
        from imagegate.call_options import AttachTerms
        from imagegate.fingerprint import fingerprint

        asked = structs.replace(call, model=self._request.model or "")
        terms = AttachTerms(fingerprint=await fingerprint(asked, ""), key=key)
        self._pool.keyed.check(terms)
        return terms


def candidates_of(request: Request[Any]) -> tuple[Candidate, ...]:
    """Return what to try, in order: the model asked for, then the fallbacks.

    A fallback at another provider does not get this call's key and host: they are not its own.
    """
    timeout_s = request.timeout_s
    if request.is_mock:
        name = (request.model or DEFAULT_MODEL).rpartition("/")[2]
        return (Candidate(f"sandbox/{name}", {"custom_llm_provider": "sandbox"}, timeout_s),)
    first = Candidate(request.model, request.connection, timeout_s)
    return (first, *(_fallback(each, first) for each in request.fallbacks))


def _fallback(fallback: str | Mapping[str, Any], first: Candidate) -> Candidate:
    if isinstance(fallback, Mapping):
        connection = {name: value for name, value in fallback.items() if name in CONNECTION}
        return Candidate(fallback["model"], connection, first.timeout_s)
    is_same_provider = _provider(fallback) == _provider(first.model or DEFAULT_MODEL)
    return Candidate(fallback, first.connection if is_same_provider else {}, first.timeout_s)


def _provider(model: str) -> str:
    return model.partition("/")[0] if "/" in model else "openai"


def _options(request: Request[Any], terms: "AttachTerms | None" = None) -> "CallOptions":
    from imagegate.call_options import CallOptions

    limit = request.max_cost_usd
    return CallOptions(
        adjust=request.adjust,
        max_cost_e10=None if limit is None else int(limit * _E10),
        timeout_s=request.timeout_s,
        attach=terms,
    )


async def _build_call(
    request: Request[Any], call_id: str, group: str, entry: Entry, spool: "CallSpool"
) -> ImageCall:
    """Return the checked call with its inputs in the spool. Raises `BadRequestError`."""
    from imagegate.prepare import check_inputs

    checked = check_fields({**request.fields, "model": group})
    if request.operation != "variation":
        require_prompt(checked)
    if request.operation != "generate":
        check_image_count(len(request.images), "image")
    inputs = _Inputs(entry, spool)
    markup = await inputs.place(request.markup) if request.markup else None
    if isinstance(markup, FileId):
        raise BadRequestError("a markup is sent as a file, not by its id", param="markup")
    call = ImageCall(
        id=call_id,
        operation=request.operation,
        images=tuple([await inputs.place(image) for image in request.images]),
        mask=await inputs.place(request.mask) if request.mask else None,
        markup=markup,
        **checked,
    )
    server = entry.settings.server
    return check_inputs(
        call, pixels_max=server.image_pixels_max, file_bytes_max=server.file_bytes_max
    )


class _Inputs:
    """Brings inputs into the spool of one call."""

    def __init__(self, entry: Entry, spool: "CallSpool") -> None:
        self._downloader = entry.runtime.downloader
        self._file_bytes_max = entry.settings.server.file_bytes_max
        self._spool = spool

    async def place(self, source: Source) -> Blob | FileId:
        """Return the input as a blob, fetched or copied if need be."""
        return await place_input(source, self._spool, self._fetch, self._file_bytes_max)

    async def _fetch(self, source: UrlSource, spool: "CallSpool") -> Blob:
        from imagegate.transport.download import DownloadLimits

        file = spool.new_file()
        limits = DownloadLimits(bytes_max=self._file_bytes_max)
        await self._downloader.fetch(
            source.url, write=file.write, limits=limits, param=source.param
        )
        return Blob(source=file, offset=0, length=file.size)
