"""Reads tests: assertions in Python, as MBPP has them."""

import ast
import builtins
import warnings
from collections.abc import Iterator, Sequence
from typing import Final

from josh.errors import UsageError

COMPARERS: Final = frozenset(
    {"abs", "all", "any", "bool", "dict", "float", "frozenset", "int", "isinstance", "len", "list", "map", "max", "min"}
    | {"range", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip"}
)
"""Functions of Python that tests use around the function under test."""


def fault_of(test: str) -> str:
    """Returns why a test is not a program of Python, such as `line 1: invalid syntax`; empty where it is one."""
    try:
        tree = _parsed(test)
    except SyntaxError as error:
        return f"line {error.lineno or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or "it is nested too deeply"
    return "" if tree.body else "it is empty"


def refuse_faults(tests: Sequence[str], setup: str = "", where: str = "") -> None:
    """Raises UsageError where a test, or a setup with text, does not parse.

    Args:
        tests: the tests.
        setup: what runs before them.
        where: the beginning of the error message, such as a file's line.
    """
    named = [(f"test {number} ({test.strip()!r:.60})", test) for number, test in enumerate(tests, start=1)]
    for name, text in [*([("the setup of the tests", setup)] if setup.strip() else []), *named]:
        fault = fault_of(text)
        if fault:
            raise UsageError(f"{where}{name} does not parse: {fault}; give assertions in Python")


def function_of(tests: Sequence[str], setup: str = "") -> str | None:
    """Returns the name of the function that tests call, or None.

    It is the first name that the first test calls, of those that every test calls. Names of the setup, methods and
    Python's own functions are passed over. Where the tests call nothing else, it is one of Python's own, such as `sum`
    in `assert sum(10, 15) == 6`.

    Args:
        tests: the tests, each of which parses.
        setup: what runs before them; parses.
    """
    known = set(_bound(_parsed(setup)))
    called = [[name for name in _called(_parsed(test)) if name not in known] for test in tests]
    if not called:
        return None
    names = [name for name in called[0] if all(name in other for other in called)] or called[0]
    own = [name for name in names if not hasattr(builtins, name)]
    if own or any(not hasattr(builtins, name) for other in called for name in other):
        return own[0] if own else None
    tested = [name for name in names if name not in COMPARERS]
    return tested[0] if tested else names[-1] if names else None


def definitions(setup: str) -> list[str]:
    """Returns the imports, functions and classes of a setup, which a solution may use."""
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [ast.unparse(one) for one in _parsed(setup).body if isinstance(one, kinds)]


def _called(tree: ast.Module) -> Iterator[str]:
    """Yields the names of called functions, the outer ones first."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yields the names that a setup defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]


def _parsed(code: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in its texts
        return ast.parse(code)
