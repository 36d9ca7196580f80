"""A scripted API on loopback: says what the test wrote for a path, and keeps what was asked."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

NOT_FOUND = (404, {}, '{"detail":"Not Found"}')


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Surface:
    """`answers` maps "GET /v1/models" to status, headers and body: JSON, text, or a generator."""

    def __init__(self, answers: Mapping[str, tuple[int, dict[str, str], Any]]) -> None:
        self.asked: list[Asked] = []
        self.answers = dict(answers)
        surface = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                surface.asked.append(Asked(self.command, self.path, headers, body))
                path = self.path.partition("?")[0]
                status, extra, said = surface.answer_to(self.command, path)
                if callable(said):
                    self.stream(status, extra, said)
                    return
                text = said if isinstance(said, str) else json.dumps(said)
                self.send_response_only(status)
                kind = "application/json" if text.startswith(("{", "[")) else "text/html"
                for name, value in {"content-type": kind, **extra}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def stream(self, status: int, extra: dict[str, str], said: Any) -> None:
                """Send what `said` yields, piece by piece, and close the connection."""
                self.send_response_only(status)
                for name, value in {"connection": "close", **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in said():
                    self.wfile.write(piece)
                    self.wfile.flush()
                self.close_connection = True

            do_GET = do_POST = answer  # noqa: N815 - the base class's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def answer_to(self, method: str, path: str) -> tuple[int, dict[str, str], Any]:
        """Return what is said there: for the path, or for every path (`GET *`)."""
        others = self.answers.get(f"{method} *", NOT_FOUND)
        return self.answers.get(f"{method} {path}", others)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


def error(message: str, code: str | None, kind: str = "invalid_request_error") -> dict[str, Any]:
    """Return an error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def models(*names: str) -> dict[str, Any]:
    """Return a list of models."""
    return {"object": "list", "data": [{"id": name} for name in names]}


MISSING_PROMPT = (
    400,
    {},
    error("Missing required parameter: 'prompt'.", "missing_required_parameter"),
)
