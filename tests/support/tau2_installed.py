"""τ²-bench's package for tests: a small double with the same interface, and the real one where it is installed."""

import os
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

DOUBLE, REAL = "double", "real"
FOLDER = Path(__file__).parent / "tau2_double"
CHECKOUT = os.environ.get("JOSH_TEST_TAU2", "")


@contextmanager
def installed(kind, double=FOLDER):
    """Import `tau2` from a double, or from the checkout that `JOSH_TEST_TAU2` names; forget it at the end."""
    if kind == REAL and not CHECKOUT:
        pytest.skip("JOSH_TEST_TAU2 names no checkout of tau2-bench")
    if kind == REAL and find_spec("tau2") is None:
        pytest.skip("tau2 is not installed: pip install --no-deps --ignore-requires-python -e CHECKOUT")
    before, folder = dict(os.environ), str(double)
    _forget()
    if kind == DOUBLE:
        sys.path.insert(0, folder)
    else:
        os.environ["TAU2_DATA_DIR"] = str(Path(CHECKOUT) / "data")
    try:
        yield kind
    finally:
        if kind == DOUBLE:
            sys.path.remove(folder)
        os.environ.clear()
        os.environ.update(before)
        _forget()


def _forget():
    for name in [one for one in sys.modules if one == "tau2" or one.startswith("tau2.")]:
        del sys.modules[name]
