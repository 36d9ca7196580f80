"""All commands on one screen, each imported when it is called."""

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagegate.cli import failure
from imagegate.cli.exits import OK, Interrupted
from imagegate.errors import ImageError

if TYPE_CHECKING:
    from cyclopts import App

COMMANDS = {
    "serve": "Start the gateway.",
    "generate": "Make images from a prompt.",
    "edit": "Edit one or more images with a prompt.",
    "preview": "Show what a call would become and cost, without spending.",
    "models": "List the models that imagegate knows, or what a configuration serves.",
    "explain": "Say whose an error is to fix, and what to do next.",
    "doctor": "Find what is wrong with a configuration and its providers, for free.",
    "check": "Tell what a configuration serves, skips, and does unlike LiteLLM.",
    "calls": "Tell what became of a gateway's calls, and fetch their images.",
    "guardrails": "Try a guardrail of a configuration on a prompt or images.",
    "held": "Look at, release or delete images that guardrails hold.",
    "keys": "List, create, rotate or revoke virtual keys.",
    "teams": "List or create teams.",
    "spend": "Tell what was spent.",
    "audit": "Tell what admins did.",
    "migrate": "Bring the ledger's database up to date.",
    "version": "Print the version.",
}
GROUPS = {
    "calls": {
        "list": "List calls, the newest first.",
        "show": "Show one call: its state, cost, attempts and adjustments.",
        "fetch": "Save the images of a call, whoever was there when they came.",
        "reconcile": "List charges that nobody knows, and settle them by the provider's export.",
        "cancel": "Take a call back that was not sent yet.",
    }
}
USAGES = {
    "edit": "Usage: imagegate edit IMAGE... PROMPT [OPTIONS]",
    "guardrails": "Usage: imagegate guardrails test NAME [PROMPT] --config FILE [OPTIONS]",
}
EXIT_CODES = """\
Exit codes:
  0  done                             4  provider failed, may have billed
  1  file not written; bug of ours    5  rate limit, overload or budget
  2  wrong usage or request           6  refused by a content policy
  3  configuration or credential    130  Ctrl-C
  explain, doctor: 10 request, 11 credential or access, 12 model retired,
      13 provider, 14 relay or gateway, 15 network or clock, 16 policy,
      20 undecided"""


def build_app() -> "App":
    """Return the command line."""
    from cyclopts import App

    app = App(
        name="imagegate",
        help="One OpenAI-compatible door to every image model.",
        help_epilogue=EXIT_CODES,
        help_format="plaintext",
        version_flags=[],
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, text in COMMANDS.items():
        if name in GROUPS:
            app.command(_build_group(name, text))
        else:
            where = f"imagegate.cli.{name}:{name}"
            app.command(where, name=name, help=text, usage=USAGES.get(name))
    return app


def _build_group(name: str, text: str) -> "App":
    from cyclopts import App

    group = App(name=name, help=text, help_format="plaintext", version_flags=[])
    for command, told in GROUPS[name].items():
        group.command(f"imagegate.cli.{name}:{command}_{name}", name=command, help=told)
    return group


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. No traceback for anything that users do."""
    from cyclopts import CycloptsError

    # A `kill` cleans up as Ctrl-C does; the gateway has handlers of its own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    as_json = "--json" in arguments
    try:
        result = build_app()(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return failure.report_usage(str(error), as_json=as_json)
    except ImageError as error:
        return failure.report_error(error, as_json=as_json)
    except Interrupted as interrupted:
        return failure.report_interrupt(interrupted, as_json=as_json)
    except KeyboardInterrupt:
        return failure.report_interrupt(Interrupted(""), as_json=as_json)
    except BrokenPipeError:  # `imagegate models | head`
        sys.stderr.close()
        return OK
    except Exception as error:  # the last resort: users get no traceback
        return failure.report_bug(error, as_json=as_json)
    return result if isinstance(result, int) else OK
