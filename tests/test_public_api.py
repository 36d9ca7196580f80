"""The public surface: its names, its aliases, and how little an import loads."""

import subprocess
import sys
from types import ModuleType

import imagegate

HEAVY = ("sqlalchemy", "alembic", "starlette", "PIL", "pydantic", "yaml", "aiohttp", "rich")


def test_all_is_the_public_names() -> None:
    public = {
        name
        for name, value in vars(imagegate).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(imagegate.__all__)
    assert len(imagegate.__all__) == len(set(imagegate.__all__))


def test_an_import_loads_nothing_heavy() -> None:
    code = f"import sys, imagegate; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_call_without_a_file_loads_no_database_and_no_server() -> None:
    names = ("sqlalchemy", "alembic", "starlette", "pydantic", "yaml", "uvicorn")
    code = (
        "import sys, imagegate\n"
        "imagegate.image_generation('a', model='sandbox/gpt-image-2.5-flare', size='1024x1024')\n"
        f"print([m for m in {names!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_errors_are_caught_by_their_usual_names() -> None:
    assert issubclass(imagegate.UpstreamTimeoutError, imagegate.APITimeoutError)
    assert issubclass(imagegate.UpstreamTimeoutError, imagegate.Timeout)
    assert issubclass(imagegate.UpstreamUnreachableError, imagegate.APIConnectionError)
    assert issubclass(imagegate.ContentPolicyViolationError, imagegate.BadRequestError)
    assert issubclass(imagegate.RateLimitError, imagegate.APIError)
