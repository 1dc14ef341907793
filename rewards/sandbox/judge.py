"""Inside the sandbox: the process that judges one assertion.

It calls the solution's functions through two pipes and gets plain values back. So the comparison is made here: nothing
that the solution defines or replaces takes part in it, and an object of the solution is equal to itself alone.
"""

import ast
import builtins
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, TypeVar

from josh.rewards.sandbox.solution import SHORT
from josh.rewards.sandbox.values import WRITES, SolutionEnded, decode, encode, receive, send

T = TypeVar("T")


class SolutionError(Exception):
    """An exception of the solution that is not one of Python's own."""


class Calls:
    """The judge's side of the pipes."""

    def __init__(self, incoming: int, outgoing: int, largest: int) -> None:
        """Keep the pipes.

        Args:
            incoming: the pipe with the answers.
            outgoing: the pipe for the requests.
            largest: bytes of an answer.
        """
        self.incoming, self.outgoing, self.largest = incoming, outgoing, largest

    def ask(self, *request: Any) -> Any:
        """Returns the result of a request, a plain value or a `Remote`; raises the solution's exception.

        Raises:
            SolutionEnded: the solution's process ended, or its answer cannot be read.
        """
        send(self.outgoing, [encode(one, self.refer) for one in request])
        answer = receive(self.incoming, self.largest + 10 * SHORT)
        try:
            error, value = self.read(answer, request[2] if request[0] == "call" else ())
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError):
            raise SolutionEnded(WRITES) from None
        if error is not None:
            raise error
        return value

    def read(self, answer: Any, args: Sequence[Any]) -> tuple[BaseException | None, Any]:
        """Returns the error in an answer or None, and the result; changes the arguments that the solution changed."""
        if answer[0] == "error":
            return _error(str(answer[1]), str(answer[2])), None
        _ok, result, changed = answer
        for at, data in changed:
            _update(args[at], decode(data, self.resolve))
        return None, decode(result, self.resolve)

    def refer(self, value: Any) -> list[Any]:
        """Returns the reference of one of the solution's objects; other objects cannot be passed."""
        if type(value) is Remote:
            return ["object", object.__getattribute__(value, "_number")]
        raise TypeError(f"a test cannot pass a value of the type {type(value).__name__} to the solution")

    def resolve(self, name: str, number: Any) -> "Remote":
        """Returns an object of the solution."""
        if name != "object" or type(number) is not int:
            raise ValueError(name)
        return Remote(self, number)


class Remote:
    """An object of the solution, such as a function, seen from the judge."""

    __slots__ = ("_calls", "_number")
    _calls: Calls
    _number: int

    def __init__(self, calls: Calls, number: int) -> None:
        object.__setattr__(self, "_calls", calls)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the result of a call, in the solution's process."""
        return self._calls.ask("call", self._number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._calls.ask("attribute", self._number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._calls.ask("set", self._number, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._calls.ask("item", self._number, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._plain("list", list))

    def __len__(self) -> int:
        return self._plain("len", int)

    def __bool__(self) -> bool:
        return self._plain("bool", bool)

    def __str__(self) -> str:
        return self._plain("str", str)

    def __repr__(self) -> str:
        return self._plain("repr", str)

    def __eq__(self, other: object) -> bool:
        return type(other) is Remote and other._number == self._number

    def __hash__(self) -> int:
        return hash(self._number)

    def _plain(self, what: str, kind: type[T]) -> T:
        found = self._calls.ask(what, self._number)
        if type(found) is not kind:
            raise SolutionEnded(WRITES)
        return found


def judge(test: str, setup: str, replaced: str | None, calls: Calls) -> str:
    """Returns an empty text where an assertion holds for the solution, else why it does not.

    Names that the test reads are the solution's, except for values and functions of the setup, modules of the standard
    library, and Python's own functions. Classes of the setup are the solution's, so that it takes and returns their
    objects.

    Args:
        test: the assertion.
        setup: what runs before it.
        replaced: one of Python's own functions that the solution may replace, because it is under test; or None.
        calls: the solution.
    """
    try:
        calls.ask("load")
        before = ast.Module([one for one in ast.parse(setup).body if not isinstance(one, ast.ClassDef)], [])
        after = ast.parse(test)
        names: dict[str, Any] = {"__name__": "tests"}
        for name, module in _names([before, after]).items():
            if module:
                names[name] = module
            elif (name == replaced or not hasattr(builtins, name)) and calls.ask("has", name) is True:
                names[name] = calls.ask("get", name)
        for tree in (before, after):
            exec(compile(tree, "test", "exec"), names)  # noqa: S102 - the sandbox is for this
    except SolutionEnded as error:
        return str(error)
    except BaseException as error:
        words = str(error).strip()
        return type(error).__name__ + (f": {words}" if words else "")
    return ""


def _names(trees: Sequence[ast.Module]) -> dict[str, ModuleType | None]:
    """Returns the names that programs read and do not bind, in order; with a module of the standard library.

    A name is one of a module where it only stands before a dot, such as `math` in `math.isclose(...)`.
    """
    nodes = [node for tree in trees for node in ast.walk(tree)]
    before_dot = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    bound: set[str] = set()
    alone: dict[str, bool] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            alone[node.id] = alone.get(node.id, False) or id(node) not in before_dot
        elif isinstance(node, ast.Name):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return {
        name: __import__(name) if not alone[name] and name in sys.stdlib_module_names else None
        for name in sorted(alone.keys() - bound)
    }


def _error(name: str, text: str) -> BaseException:
    """Returns the exception of Python with this name, or a `SolutionError`."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        return SolutionError(f"{name}: {text}")
    if not issubclass(kind, Exception):
        return SolutionEnded(name)
    if issubclass(kind, StopIteration | StopAsyncIteration):  # would end a loop of the test
        return RuntimeError(name)
    try:
        return kind(text)
    except TypeError:
        return SolutionError(f"{name}: {text}")


def _update(value: Any, new: Any) -> None:
    """Gives a list, dictionary or set the elements of another one."""
    if type(value) is type(new) and isinstance(value, list | bytearray):
        value[:] = new
    elif type(value) is type(new) and isinstance(value, dict | set):
        value.clear()
        value.update(new)
