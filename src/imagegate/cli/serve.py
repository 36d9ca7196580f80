"""`imagegate serve`."""

import sys
from functools import partial
from pathlib import Path

from imagegate.candidates import served_names
from imagegate.cli.failure import error_console
from imagegate.config.load import load_settings
from imagegate.config.settings import Settings
from imagegate.errors import ConfigError
from imagegate.gateway.server import serve as serve_gateway
from imagegate.sinks.log import attach_log, detach_log

_CURL = """\
curl -s {url}/v1/images/generations \\
  -H 'Content-Type: application/json'{authorization} \\
  -d '{{"model": "{model}", "prompt": "a red circle"}}' |
python3 -c 'import base64, json, sys
image = json.load(sys.stdin)["data"][0]["b64_json"]
open("circle.png", "wb").write(base64.b64decode(image))'"""

_AUTHORIZATION = """ \\
  -H "Authorization: Bearer $IMAGEGATE_MASTER_KEY\""""

_PYTHON = """\
import base64{also}
from openai import OpenAI  # pip install openai

client = OpenAI(base_url="{url}/v1", api_key={key})
result = client.images.generate(
    model="{model}", prompt="a red circle"
)
open("circle.png", "wb").write(base64.b64decode(result.data[0].b64_json))"""


def serve(*, config: Path | None = None, host: str | None = None, port: int | None = None) -> int:
    """Start the gateway. Without a configuration it serves drawings of its own, for nothing.

    Ctrl-C lets running calls end first; a second one leaves at once. A changed file is read anew,
    as at SIGHUP; one with faults changes nothing.

    Parameters
    ----------
    config
        Configuration file in LiteLLM's shape, or with our own keys.
    host
        Address to listen on; 127.0.0.1 unless the file says otherwise.
    port
        Port to listen on; 4000 unless the file says otherwise.
    """
    load = partial(load_settings, None if config is None else str(config), host, port)
    settings = load()
    _tell(settings)
    writer = attach_log(sys.stderr, settings.log_format)
    try:
        return serve_gateway(settings, on_ready=partial(_announce, settings), load=load)
    except OSError as error:
        raise ConfigError(
            f"the gateway cannot work in {settings.assets.folder}: {error.strerror or error}. Make "
            "room or rights there, or set another assets.folder and database_url"
        ) from error
    finally:
        detach_log(writer)


def _tell(settings: Settings) -> None:
    """Say on stderr what an operator should know before the first call."""
    console = error_console()
    for note in settings.notes:
        text = f"{note.name}: {note.text}" if note.name else note.text
        console.print(text, markup=False, highlight=False)
    for entry in settings.skipped:
        text = f"skipped {entry.name} (line {entry.line}): {entry.reason}"
        console.print(text, markup=False, highlight=False)


def _announce(settings: Settings, url: str) -> None:
    """Print the address, and two ways to try it that work as they stand."""
    model = settings.default_model or next(iter(served_names(settings)), "MODEL")
    has_key = bool(settings.server.master_key)
    curl = _CURL.format(url=url, model=model, authorization=_AUTHORIZATION if has_key else "")
    python = _PYTHON.format(
        url=url,
        model=model,
        also=", os" if has_key else "",
        key='os.environ["IMAGEGATE_MASTER_KEY"]' if has_key else '"any"',
    )
    before = "With its master key in IMAGEGATE_MASTER_KEY:\n\n" if has_key else ""
    sys.stdout.write(f"imagegate is ready at {url}\n\n{before}{curl}\n\n{python}\n\n")
    sys.stdout.flush()
