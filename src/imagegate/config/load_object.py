"""Finds what an import path in the configuration names: `module.name`, beside the file first."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from imagegate.errors import ConfigError


def load_object(path: str, folder: str) -> Any:
    """Return the object `module.name`; `module.py` in `folder` wins over an installed module.

    Only the operator's configuration is ever read this way. Raises `ConfigError` that says what
    is missing.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise ConfigError(f"{path!r} is no import path; write module.ClassName")
    try:
        module = _load(module_name, folder)
        return getattr(module, name)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise ConfigError(f"{path!r} cannot be loaded: {error}") from error


def require(module_name: str, extra: str) -> None:
    """Raise `ConfigError` at the start where an extra is not installed, not at the first call."""
    try:
        importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{module_name} is not installed; pip install 'imagegate[{extra}]'"
        ) from error


def _load(module_name: str, folder: str) -> ModuleType:
    file = Path(folder) / Path(*module_name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(module_name, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        return importlib.import_module(module_name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
