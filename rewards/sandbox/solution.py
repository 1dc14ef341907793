"""Inside the sandbox: the process that runs the solution for one assertion, and answers its judge.

It has neither the tests nor the nonce in its memory, and no open file but the two pipes to its judge.
"""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final

from josh.rewards.sandbox.values import decode, encode, receive, send

SHORT: Final = 200
"""Characters of an error."""
_ACTS: Final[dict[str, Callable[..., Any]]] = {
    "call": lambda thing, args, kwargs: thing(*args, **kwargs),
    "attribute": getattr,
    "set": setattr,
    "item": lambda thing, key: thing[key],
    "list": list,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
}


class Solution:
    """The solution's names and objects."""

    def __init__(self, code: str, shared: Sequence[str]) -> None:
        """Keep a solution, which is not run yet.

        Args:
            code: the solution.
            shared: definitions of the tests' setup, which it may use.
        """
        self.code, self.shared = code, shared
        self.module = ModuleType("solution")
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}

    def load(self) -> None:
        """Runs the solution, behind the definitions of the setup; those that need the solution follow it."""
        sys.modules["solution"] = self.module
        names, later = vars(self.module), []
        for definition in self.shared:
            try:
                exec(compile(definition, "setup", "exec"), names)  # noqa: S102 - the sandbox is for this
            except Exception:
                later.append(definition)
        for code in (self.code, *later):
            exec(compile(code, "solution", "exec"), names)  # noqa: S102

    def refer(self, value: Any) -> list[Any]:
        """Returns a reference to an object; the same object has the same one."""
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return ["object", self.numbers[id(value)]]

    def do(self, what: str, *rest: Any) -> Any:
        """Returns the result of one request."""
        if what == "load":
            return self.load()
        if what == "has":
            return rest[0] in vars(self.module)
        if what == "get":
            return vars(self.module)[rest[0]]
        return _ACTS[what](self.objects[rest[0]], *rest[1:])

    def answer(self, request: list[Any]) -> list[Any]:
        """Returns the answer to a request: the result with the arguments that a call changed, or the error."""
        try:
            given = [decode(one, lambda _name, number: self.objects[number]) for one in request]
            result = encode(self.do(*given), self.refer)
            changed = []
            if given[0] == "call":
                after = [encode(one, self.refer) for one in given[2]]
                changed = [[at, one] for at, one in enumerate(after) if one != request[2][1][at]]
        except BaseException as error:
            return ["error", type(error).__name__, str(error)[:SHORT]]
        return ["ok", result, changed]


def serve(solution: Solution, incoming: int, outgoing: int, largest: int) -> None:
    """Answers the judge until it ends.

    Args:
        solution: the solution.
        incoming: the pipe with the requests.
        outgoing: the pipe for the answers.
        largest: bytes of an answer.
    """
    while True:
        request = receive(incoming)
        try:
            send(outgoing, solution.answer(request), largest)
        except (ValueError, RecursionError) as error:
            send(outgoing, ["error", type(error).__name__, str(error)[:SHORT]])
