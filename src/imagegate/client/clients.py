"""`Client` and `AsyncClient`, and the functions that use one client of the whole process."""

import inspect
import logging
import weakref
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from imagegate import telemetry
from imagegate.client import calls
from imagegate.client.course import Course
from imagegate.client.loop import await_run, close_at_exit, loop_thread, run
from imagegate.client.pool import Pool
from imagegate.client.request import Request
from imagegate.client.settings import Config, SettingsSource
from imagegate.client.stream import ImageStream
from imagegate.types import Json

# A library is quiet unless its user asks: what happened is in the result or in the error.
logging.getLogger(telemetry.LOGGER).addHandler(logging.NullHandler())

P = ParamSpec("P")
T = TypeVar("T")

_SIGNATURES: dict[Callable[..., object], inspect.Signature] = {
    build: inspect.signature(build)
    for build in (calls.image_generation, calls.image_edit, calls.image_variation)
}
_KNOWN = {name for signature in _SIGNATURES.values() for name in signature.parameters}
# By pool, not by client: a stream outlives a client that its caller let go.
_open_pools: weakref.WeakSet[Pool] = weakref.WeakSet()

# Pools from before a fork: their connections are the parent's, who will close them.
_inherited: list[Pool | None] = []


class Door:
    """What both clients share: the configuration, the defaults and the pool of runtimes."""

    def __init__(self, config: Config | None = None, **defaults: Any) -> None:
        self._source = SettingsSource(config)
        self._defaults = defaults
        self._pool: Pool | None = None
        self._is_closed = False

    def _request(
        self, build: Callable[..., Request[T]], args: tuple[Any, ...], given: dict[str, Any]
    ) -> Request[T]:
        """Return what `build` makes of the arguments and of this client's defaults."""
        if self._is_closed:
            raise RuntimeError("this client is closed; make a new one")
        signature = _SIGNATURES[build]
        said = signature.bind_partial(*args).arguments
        defaults = {
            name: value
            for name, value in self._defaults.items()
            if name not in said and (name in signature.parameters or name not in _KNOWN)
        }
        return build(*args, **(defaults | given))

    async def _send(self, request: Request[Any]) -> Any:
        """Return the response, or the stream of a call that has begun; runs on the loop thread."""
        course = self._course(request)
        await course.begin()
        return ImageStream(course) if request.stream else await course.respond()

    def _course(self, request: Request[Any]) -> Course:
        return Course(self._pool_here(), request, self._source.settings_for)

    async def _close(self) -> None:
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None and pool.thread is loop_thread():
            await pool.aclose()

    def _pool_here(self) -> Pool:
        thread = loop_thread()
        if self._pool is None or self._pool.thread is not thread:  # new, or behind a fork
            _inherited.append(self._pool)
            self._pool = Pool(thread)
            _open_pools.add(self._pool)
        return self._pool


def _method(build: Callable[P, Request[T]]) -> Callable[Concatenate["Client", P], T]:
    def call(self: "Client", /, *args: P.args, **given: P.kwargs) -> T:
        result: T = run(self._send(self._request(build, args, given)))
        return result

    return _named(call, build, "image", is_method=True)


def _async_method(
    build: Callable[P, Request[T]],
) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    async def call(self: "AsyncClient", /, *args: P.args, **given: P.kwargs) -> T:
        result: T = await await_run(self._send(self._request(build, args, given)))
        return result

    return _named(call, build, "image", is_method=True)


def _function(build: Callable[P, Request[T]]) -> Callable[P, T]:
    def call(*args: P.args, **given: P.kwargs) -> T:
        result: T = run(_shared._send(_shared._request(build, args, given)))
        return result

    return _named(call, build, "image")


def _async_function(build: Callable[P, Request[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    async def call(*args: P.args, **given: P.kwargs) -> T:
        result: T = await await_run(_shared._send(_shared._request(build, args, given)))
        return result

    return _named(call, build, "aimage")


F = TypeVar("F", bound=Callable[..., Any])


def _named(call: F, build: Callable[..., Any], prefix: str, *, is_method: bool = False) -> F:
    """Give `call` the name, the docstring and the parameters of `build`."""
    update_wrapper(call, build)
    signature = _SIGNATURES[build]
    own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)] if is_method else []
    call.__name__ = call.__qualname__ = build.__name__.replace("image", prefix, 1)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *signature.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )
    return call


class Client(Door):
    """A pipeline in this process; use it as a context manager, or `close` it.

    `config` is a path to a YAML file or its content as a mapping; without one, `provider/model`
    names are served with the keys of the environment. `defaults` are parameters of each call that
    may override them. It may be shared between threads. Results stay readable after `close`,
    which takes the bytes of those that are still referred to into memory.

    Raises `ConfigError` with all faults of a configuration at once.
    """

    def __init__(self, config: Config | None = None, **defaults: Any) -> None:
        super().__init__(config, **defaults)

    image_generation = _method(calls.image_generation)
    image_edit = _method(calls.image_edit)
    image_variation = _method(calls.image_variation)

    def close(self) -> None:
        """End all connections, and with them the calls that are still running."""
        run(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Door):
    """`Client` with coroutines; its calls may be awaited from any event loop."""

    def __init__(self, config: Config | None = None, **defaults: Any) -> None:
        super().__init__(config, **defaults)

    image_generation = _async_method(calls.image_generation)
    image_edit = _async_method(calls.image_edit)
    image_variation = _async_method(calls.image_variation)

    async def aclose(self) -> None:
        """End all connections, and with them the calls that are still running."""
        await await_run(self._close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


_shared = Door()

image_generation = _function(calls.image_generation)
image_edit = _function(calls.image_edit)
image_variation = _function(calls.image_variation)
aimage_generation = _async_function(calls.image_generation)
aimage_edit = _async_function(calls.image_edit)
aimage_variation = _async_function(calls.image_variation)


def open_stream(
    client: Client, build: Callable[..., Request[Any]], *args: Any, **given: Any
) -> ImageStream:
    """Return the events of a call, streamed or not, that begins with the first of them.

    For callers who must know the call's id while it runs.
    """
    request = client._request(build, args, given)
    return ImageStream(client._course(request))


def preview_of(
    client: Client, build: Callable[..., Request[Any]], *args: Any, **given: Any
) -> list[Json]:
    """Return what a call would become at each deployment, as plain JSON; nothing is sent."""
    previews: list[Json] = run(client._course(client._request(build, args, given)).preview())
    return previews


async def _close_all() -> None:
    for pool in list(_open_pools):
        if pool.thread is loop_thread():
            await pool.aclose()


close_at_exit(_close_all)
