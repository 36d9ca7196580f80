"""The server: routes, script and gates. It lives on one event loop."""

import asyncio
import hashlib
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.upstream.answers import Answer, Kitchen, refused
from tests.upstream.ask import Ask, check_ask, check_key, read_ask
from tests.upstream.bill import Bill, Record
from tests.upstream.connection import HEAD_BYTES_MAX, Connection, Head
from tests.upstream.jobs import Jobs
from tests.upstream.modes import MODES, answer_in
from tests.upstream.refusals import REFUSALS, Refusal, error_body

MODELS = ("gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.5-sunburst", "gpt-image-1.5")


@dataclass(frozen=True)
class Script:
    """What to do with a call: a mode and its options."""

    mode: str = "ok"
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name, _, detail = self.mode.partition(":")
        known = detail in REFUSALS or detail.isdigit() if name == "status" else name in MODES
        if not known:
            raise ValueError(f"the fake upstream has no mode {self.mode!r}")


class UpstreamServer:
    """OpenAI's and Azure's Images API with a bill. `key` is the only one taken; None takes any."""

    def __init__(self, key: str | None = None) -> None:
        self.bill = Bill()
        self.key = key
        self.queue: deque[Script] = deque()
        self.always = Script()
        self.port = 0
        self.held = 0
        self._files: dict[str, tuple[bytes, str]] = {}
        self.jobs = Jobs(self._serve_file)
        self._gate = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; 0 takes a free port."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", port, limit=HEAD_BYTES_MAX, backlog=2048
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop what is still being answered."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def release(self) -> None:
        """Let all calls go on that are held now."""
        gate, self._gate = self._gate, asyncio.Event()
        gate.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(reader, writer)
        try:
            while head := await connection.read_head():
                await self._serve(connection, head)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The peer left, or this server closes: either way nobody waits for an answer.
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
        await connection.close()

    async def _serve(self, connection: Connection, head: Head) -> None:
        body = await connection.read_body(head)
        if head.path.startswith("/_"):
            answer = self._control(head, body)
            record = self.bill.open_record(head.method, head.path, {}, {})
        else:
            record = self.bill.open_record(head.method, head.path, head.query, head.headers)
            record.keep_body(body)
            answer = self._answer(record, body)
            self._note(record, answer)
        await self._deliver(connection, answer, record)

    def _note(self, record: Record, answer: Answer) -> None:
        record.status = answer.status
        record.billed = answer.billed and answer.images_billed > 0
        record.images_billed = answer.images_billed if record.billed else 0
        record.answered_sha256 = answer.hashes
        self.bill.add(record)

    # What is asked for

    def _answer(self, record: Record, body: bytes) -> Answer:
        if record.path.startswith("/files/"):
            return self._file(record)
        job = self.jobs.answer(record, body, self.port)
        if job is not None:
            return job
        if record.method == "GET":
            return self._models(record)
        try:
            ask = read_ask(record, body)
        except (ValueError, TypeError) as error:
            text = error_body(f"Bad body: {error}", "invalid_request_error", None, None)
            return refused(Refusal(400, text))
        if ask is None:
            return refused(REFUSALS["model_not_found"])
        no = check_key(record, ask, self.key) or check_ask(record, ask)
        return refused(no) if no else self._scripted(record, ask)

    def _scripted(self, record: Record, ask: Ask) -> Answer:
        script = self.queue.popleft() if self.queue else self.always
        options = script.options | ask.marks
        record.mode = options.pop("mode", script.mode)
        try:
            return answer_in(record.mode, Kitchen(ask, options, self._serve_file))
        except (KeyError, ValueError) as error:
            text = error_body(f"The fake upstream cannot: {error!r}", "test_error", None, None)
            return refused(Refusal(400, text))

    def _serve_file(self, image: bytes, media: str) -> str:
        name = f"{hashlib.sha256(image).hexdigest()}.{media}"
        self._files[name] = (image, f"image/{media}")
        return f"http://127.0.0.1:{self.port}/files/{name}"

    def _file(self, record: Record) -> Answer:
        held = self._files.get(record.path.removeprefix("/files/"))
        if held is None:
            return refused(Refusal(404, b"no such file", {}, "text/plain"))
        return Answer(body=held[0], content_type=held[1], billed=False)

    def _models(self, record: Record) -> Answer:
        rows = [{"id": name, "object": "model", "owned_by": "openai"} for name in MODELS]
        wanted = record.path.rpartition("/")[2]
        if wanted == "models":
            return _json({"object": "list", "data": rows})
        found = [row for row in rows if row["id"] == wanted]
        return _json(found[0]) if found else refused(REFUSALS["model_not_found"])

    # How it goes out

    async def _deliver(self, connection: Connection, answer: Answer, record: Record) -> None:
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.hang or answer.hold_at == -1:
            await self._hold(connection, record, forever=answer.hang)
        if answer.drop:
            connection.reset()
            return
        await self._send(connection, answer, record)

    async def _send(self, connection: Connection, answer: Answer, record: Record) -> None:
        await connection.write_head(answer, record.number)
        end = len(answer.body) if answer.cut_at is None else answer.cut_at
        start = 0
        if answer.hold_at is not None and answer.hold_at >= 0:
            start = min(answer.hold_at, end)
            await connection.write_body(answer, 0, start, record)
            await self._hold(connection, record, forever=False)
        await connection.write_body(answer, start, end, record)
        if answer.cut_at is None:
            await connection.write_end(answer)
            self.bill.finish(record)
        elif answer.reset:
            connection.reset()
        else:
            await connection.close()

    async def _hold(self, connection: Connection, record: Record, *, forever: bool) -> None:
        """Wait for a release, or for the peer to leave, which ends the connection."""
        gate = asyncio.Event() if forever else self._gate
        waits = [asyncio.create_task(gate.wait()), asyncio.create_task(connection.peer_left())]
        self._count_held(1)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            record.left = waits[1].done()
        finally:
            self._count_held(-1)
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if record.left:
            raise ConnectionResetError

    def _count_held(self, change: int) -> None:
        with self.bill.changed:
            self.held += change
            self.bill.changed.notify_all()

    # What a test in another process says

    def _control(self, head: Head, body: bytes) -> Answer:
        match (head.method, head.path):
            case ("GET", "/_bill"):
                return _json([record.as_json() for record in self.bill.records()])
            case ("POST", "/_reset"):
                self.reset()
            case ("POST", "/_release"):
                self.release()
            case ("POST", "/_mode"):
                return self._set_mode(json.loads(body))
            case _:
                return refused(Refusal(404, b"{}"))
        return _json({"held": self.held})

    def _set_mode(self, wish: dict[str, Any]) -> Answer:
        times = wish.pop("times", None)
        try:
            script = Script(wish.pop("mode"), {name: str(value) for name, value in wish.items()})
        except (KeyError, ValueError) as error:
            return refused(Refusal(400, str(error).encode(), {}, "text/plain"))
        if times is None:
            self.always = script
        else:
            self.queue.extend([script] * times)
        return _json({"mode": script.mode})

    def reset(self) -> None:
        """Forget the bill and the script; calls in flight go on."""
        self.bill.reset()
        self.queue.clear()
        self.always = Script()


def _json(body: Any) -> Answer:
    return Answer(body=json.dumps(body).encode(), billed=False)
