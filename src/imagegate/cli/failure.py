"""Says what went wrong: a few lines for people on stderr, one JSON object for machines."""

import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from imagegate.cli.exits import BAD_REQUEST, INTERRUPTED, LOCAL_FAILURE, Interrupted, exit_code
from imagegate.errors import AuthenticationError, BadRequestError, ImageError, RateLimitError
from imagegate.types import Json

if TYPE_CHECKING:
    from rich.console import Console

SANDBOX_MODEL = "sandbox/gpt-image-2.5-flare"
_BILLED = "Look at the provider's usage page before you send the same call again: it may be there."


def report_error(error: ImageError, *, as_json: bool) -> int:
    """Tell of `error` and return the exit code."""
    code = exit_code(error)
    if as_json:
        _write_json(_error_json(error, code))
        return code
    console = error_console()
    console.print(f"imagegate: {error.message}", style="bold red", markup=False, highlight=False)
    for line in _next_steps(error):
        console.print(line, markup=False, highlight=False)
    _explain(console, error)
    return code


def report_interrupt(interrupted: Interrupted, *, as_json: bool) -> int:
    """Tell what Ctrl-C left behind and return the exit code."""
    call_id = interrupted.call_id
    text = "Stopped before a call was sent; nothing was bought."
    if call_id:
        text = (
            f"Stopped. Call {call_id} had been sent and ends with this process; the provider may "
            "still make and bill the image. No file was written."
        )
    if as_json:
        failure = {"message": text, "type": "interrupted", "call_id": call_id or None}
        _write_json({"error": failure | {"exit_code": INTERRUPTED}})
    else:
        error_console().print(text, markup=False, highlight=False)
    return INTERRUPTED


def report_usage(text: str, *, as_json: bool) -> int:
    """Tell what is wrong with a command line and return the exit code."""
    if as_json:
        return report_error(BadRequestError(text, code="wrong_usage"), as_json=True)
    console = error_console()
    console.print(f"imagegate: {text}", style="bold red", markup=False, highlight=False)
    console.print("See imagegate COMMAND --help.", markup=False, highlight=False)
    return BAD_REQUEST


def report_bug(error: Exception, *, as_json: bool) -> int:
    """Tell of an error that no one foresaw, with the place where it was raised."""
    if as_json:
        message = f"{type(error).__name__}: {error}"
        _write_json({"error": {"message": message, "type": "failed", "exit_code": LOCAL_FAILURE}})
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
    text = f"imagegate: {type(error).__name__}: {error}"
    error_console().print(text, style="bold red", markup=False, highlight=False)
    if not isinstance(error, OSError):
        hint = f"This is a bug in imagegate (at {place}). Please report it with the command."
        error_console().print(hint, markup=False, highlight=False)
    return LOCAL_FAILURE


def error_console() -> "Console":
    """Return the console for everything that is not a command's result."""
    from rich.console import Console

    return Console(stderr=True)


def _next_steps(error: ImageError) -> list[str]:
    steps = []
    if isinstance(error, AuthenticationError) and error.param == "api_key":
        steps.append(f"To try without a key: --model {SANDBOX_MODEL}")
    if isinstance(error, RateLimitError) and error.retry_after_s:
        steps.append(f"Try again in {error.retry_after_s:g} s.")
    if error.fault == "ambiguous":
        steps.append(_BILLED)
    return steps


def _explain(console: "Console", error: ImageError) -> None:
    """Tell whose it is, where it was not only the command that was wrong."""
    if error.upstream is None and error.fault == "call":
        return
    finding = error.finding
    if finding is None:
        return
    from imagegate.cli.finding import print_rows, print_words, verdict_rows

    request_id = [("request", error.request_id)] if error.request_id else []
    print_rows(console, [*verdict_rows(finding), *request_id])
    if error.upstream is not None:
        print_words(console, finding.text)


def _error_json(error: ImageError, code: int) -> Json:
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
            "call_id": error.call_id,
            "may_be_billed": error.fault == "ambiguous",
            "exit_code": code,
            "attempts": msgspec.to_builtins(error.attempts),
            "finding": error.finding.fields() if error.finding else None,
        }
    }


def _write_json(value: Json) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
