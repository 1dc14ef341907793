"""From the name of a plug-in to its class: a short name, `package.module:Name` or `./file.py:Name`."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from josh.errors import UsageError

FILE_MODULE = "josh_plugin_"
"""What the names of modules begin with that were loaded from a file by its path."""


def load(name: str, known: Mapping[str, str], kind: str) -> Any:
    """Find what a name stands for.

    Args:
        name: a key of `known`, `package.module:Name`, or `path/to/file.py:Name`.
        known: short name to `package.module:Name`.
        kind: what is looked for, for the error message (`agent`).

    Raises:
        UsageError: there is no such thing; the text lists the short names.
    """
    place, colon, attribute = known.get(name, name).rpartition(":")
    if not colon:
        if name.endswith(".py"):
            raise UsageError(f"{kind} {name!r} names no class; give {name}:Class")
        names = ", ".join(sorted(known))
        raise UsageError(f"no {kind} named {name!r}; known: {names}, or give module:Class or ./file.py:Class")
    if not place.endswith(".py") and (place.startswith(".") or "/" in place):
        raise UsageError(f"{kind} {name!r}: {place} is no module, and no file of Python; give {place}.py:{attribute}")
    module = _from_file(Path(place), kind) if place.endswith(".py") else _from_path(place, kind)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UsageError(f"{kind} {name!r}: {place} has no {attribute!r}") from None


def _from_file(path: Path, kind: str) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{kind}: there is no file {path.resolve()}")
    # A name of its own, the same for the same file, so that a class is loaded once and can be pickled.
    name = f"{FILE_MODULE}{path.resolve().as_posix().encode().hex()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a .py file always has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"{kind}: {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _from_path(path: str, kind: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(path)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{kind}: {path} cannot be imported: {type(error).__name__}: {error}") from error
