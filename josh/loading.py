"""Finds a plug-in's class by its name: a short name, `package.module:Name` or `./file.py:Name`."""

import importlib
import importlib.util
import json
import sys
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from josh.errors import UsageError
from josh.trust import require_trusted, trust

FILE_MODULE = "josh_plugin_"
"""The prefix of the module names of files that were loaded by their path."""


def load(name: str, known: Mapping[str, str], kind: str) -> Any:
    """Returns the object that a name stands for.

    Args:
        name: a key of `known`, `package.module:Name`, or `path/to/file.py:Name`.
        known: short name to `package.module:Name`.
        kind: the plug-in's role, for the error message (`agent`).

    Raises:
        UsageError: there is no such object, or its module cannot be imported; the text lists the short names.
        UntrustedError: recorded data names it, and this command may not run it; see `josh.trust`.
    """
    module_name, _, attribute = known.get(name, name).rpartition(":")
    if not attribute or not module_name or "://" in name:
        if "://" in name:
            scheme = name.partition("://")[0]
            raise UsageError(f"{kind} is {name!r}; an address begins with http:// or https://, not with {scheme}://")
        if name.rstrip(":").endswith(".py"):
            raise UsageError(f"{kind} {name!r} names no class; give {name.rstrip(':')}:Class")
        names = ", ".join(sorted(known))
        raise UsageError(f"no {kind} named {name!r}; known: {names}, or give module:Class or ./file.py:Class")
    if name not in known:
        require_trusted(name, kind)
    is_file = module_name.endswith(".py")
    if ":" in module_name and ".py:" in module_name:
        raise UsageError(f"{kind} is {name!r}, which has two colons; give {module_name.partition(':')[0]}:Class")
    if not is_file and (module_name.startswith(".") or "/" in module_name):
        raise UsageError(
            f"{kind} {name!r}: {module_name} is neither a module nor a Python file; give {module_name}.py:{attribute}"
        )
    module = _from_file(Path(module_name), kind) if is_file else _from_path(module_name, kind)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UsageError(f"{kind} {name!r}: {module_name} has no {attribute!r}") from None


def said_by(kind: type, attribute: str, name: str) -> str:
    """Returns the name of a plug-in that a class names, which may run where the class may.

    A relative path of a file means a file beside the one that says it, in any current folder.

    Args:
        kind: the class, such as an environment.
        attribute: the attribute of the class in which the name stands; a parent's file may say it.
        name: a short name, `module:Class` or `file.py:Class`.
    """
    file, colon, wanted = name.rpartition(":")
    if colon and file.endswith(".py"):
        owner = next((one for one in kind.__mro__ if attribute in vars(one)), kind)
        home = getattr(sys.modules.get(owner.__module__), "__file__", None)
        name = f"{(Path(home).resolve().parent if home else Path.cwd()) / file}:{wanted}"
    trust().admit(name)
    return name


def _from_file(path: Path, kind: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise UsageError(f"{kind}: there is no file {path}")
    # The module's name follows from the path, so that a file is loaded once and its classes can be pickled.
    name = f"{FILE_MODULE}{path.as_posix().encode().hex()}"
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
        raise UsageError(f"{kind}: {path} cannot be imported: {_why(error, path)}") from error
    return module


def _from_path(path: str, kind: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise UsageError(f"{kind}: {path} cannot be imported: {_why(error)}") from error
        raise UsageError(f"{kind}: there is no module {path}; give module:Class or ./file.py:Class") from None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{kind}: {path} cannot be imported: {_why(error)}") from error


def _why(error: BaseException, path: Path | None = None) -> str:
    """Returns why a module cannot be imported: the encoding of its file, or the exception with its class.

    Args:
        error: the exception of the import.
        path: the module's file, if it is known.
    """
    file = error.filename if isinstance(error, SyntaxError) and error.filename else path
    if isinstance(error, SyntaxError | ValueError | UnicodeError) and file is not None:
        with suppress(OSError):
            data = Path(file).read_bytes()
            other = json.detect_encoding(data[:4])
            if not other.startswith("utf-8"):
                return f"{_name(file, path)} is in {other[:6].upper()}; save it as UTF-8"
            try:
                data.decode(_declared(data))
            except UnicodeDecodeError as fault:
                return f"{_name(file, path)} is not UTF-8 (byte {fault.start + 1}); save it as UTF-8"
    return f"{type(error).__name__}: {error}"


def _declared(data: bytes) -> str:
    """Returns the encoding that a file of Python declares in its first lines."""
    with suppress(SyntaxError):  # these lines have another one
        return tokenize.detect_encoding(BytesIO(data).readline)[0]
    return "utf-8"


def _name(file: str | Path, path: Path | None) -> str:
    return "it" if path is not None and Path(file) == path else str(file)
