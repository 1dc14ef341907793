"""Finds τ²-bench's package at run time: it is never a dependency of josh.

1. The package is called `tau2`, as is another project on PyPI.
2. It is imported when a world, a task or a prompt is asked for, which takes about 2 seconds.
3. Its log messages are turned off, and litellm, which it imports, does not look for prices on the net.
"""

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any, Final

from josh.errors import UsageError
from josh.threads import one_line

OLDEST: Final = (1, 0)
"""The first version that josh works with."""
SOURCE: Final = "https://github.com/sierra-research/tau2-bench"
OLDEST_PYTHON: Final = (3, 12)
"""The first Python that its package says it takes."""
HOW: Final = f"clone {SOURCE} and give: pip install -e tau2-bench" + (
    "" if sys.version_info >= OLDEST_PYTHON else " with Python 3.12 (josh's envs/tau2/README.md: with Python 3.11)"
)
DATA: Final = "TAU2_DATA_DIR"
_NEEDED: Final = ("registry", "environment.environment", "evaluator.evaluator", "data_model.simulation")


def tau2(module: str) -> Any:
    """Returns a module of the package, such as `registry`.

    Raises:
        UsageError: the package is absent, too old or another one, or it lacks a package that it needs.
    """
    _prepare()
    try:
        return importlib.import_module(f"tau2.{module}")
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{error.name}.".startswith("tau2."):
            raise UsageError(f"tau2 needs the package {error.name}; give: pip install {error.name}") from None
        raise UsageError(f"tau2 {version()} has no module tau2.{module}, which josh needs; {HOW}") from None
    except ImportError as error:
        raise UsageError(f"tau2 {version()} cannot be imported: {one_line(error)}") from None


def version() -> str:
    """Returns the version of the installed package; empty where it is absent, `unknown` where it has none."""
    try:
        return metadata.version("tau2")
    except metadata.PackageNotFoundError:
        found = sys.modules.get("tau2")
        known = str(getattr(found, "__version__", "") or "unknown")
        return known if found is not None or _has("tau2") else ""


@contextmanager
def reading_data(what: str) -> Iterator[None]:
    """Turns an error in reading the benchmark's files into a UsageError.

    Args:
        what: what is read, for the error.
    """
    try:
        yield
    except OSError as error:
        file = error.filename or one_line(error)
        way = f"{DATA}=DIR names the folder data of a whole checkout of {SOURCE}"
        raise UsageError(f"tau2 cannot read {what}: there is no {file}; {way}") from None
    except ValueError as error:
        raise UsageError(f"tau2 cannot read {what}: {one_line(error)}") from None


def _prepare() -> None:
    """Raises UsageError unless the right package is there, and quiets it before its first import."""
    if "tau2.registry" in sys.modules:
        return
    if not _has("tau2"):
        raise UsageError(f"env tau2 needs tau2-bench, which is not installed; {HOW}")
    found = version()
    if not all(_has(f"tau2.{module}") for module in _NEEDED):
        if _has("tau2.run") or _has("tau2.domains"):
            raise UsageError(f"tau2 {found} is too old; josh needs tau2-bench 1.0 or newer; {HOW}")
        raise UsageError(f"the installed tau2 {found} is not tau2-bench; give: pip uninstall tau2; then {HOW}")
    numbers = tuple(map(int, re.findall(r"\d+", found)[:2]))
    if numbers and numbers < OLDEST:
        raise UsageError(f"tau2 {found} is too old; josh needs tau2-bench 1.0 or newer; {HOW}")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    if _has("loguru"):
        importlib.import_module("loguru").logger.disable("tau2")


def _has(module: str) -> bool:
    """Returns whether a module could be imported; its package is not imported."""
    name, _, inside = module.partition(".")
    found = importlib.util.find_spec(name) if sys.modules.get(name, "") is not None else None
    for part in inside.split(".") if inside else ():
        places = list((found.submodule_search_locations if found is not None else None) or ())
        found = importlib.machinery.PathFinder.find_spec(part, places) if places else None
    return found is not None
