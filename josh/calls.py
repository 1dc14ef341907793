"""Helpers to call a plug-in's methods: which arguments a method takes, and a result that may be awaitable.

A plug-in cannot end more than its own work: `alone` turns a program's end and a cancellation of the current task, which
asyncio would pass on to the whole run, into an error.
"""

import asyncio
import contextlib
import inspect
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

from josh.errors import JoshError, TurnError
from josh.threads import one_line

T = TypeVar("T")


def keyword_parameters(method: Callable[..., Any]) -> frozenset[str] | None:
    """Returns the names of the arguments that a method takes by keyword; None where it takes any (`**kwargs`)."""
    parameters = inspect.signature(method).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return frozenset(one.name for one in parameters)


@cache
def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def has_parameter(method: Callable[..., Any], name: str) -> bool:
    """Returns whether a method has a parameter of this name; `**kwargs` does not count."""
    return _has_parameter(getattr(method, "__func__", method), name)


async def awaited(result: Any) -> Any:
    """Returns a result; awaits it first where it is awaitable."""
    return await result if inspect.isawaitable(result) else result


async def gathered(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Runs coroutines concurrently, and returns their results in order; if one fails, cancels the others first."""
    tasks = [asyncio.get_running_loop().create_task(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


class ContractError(TurnError):
    """A plug-in's method returned what it must not; the text names the class, the method and what to return."""


def pair_of(found: Any, who: str, way: str) -> tuple[Any, Any]:
    """Returns a result that must be a pair. Raises ContractError.

    Args:
        found: the result.
        who: the class and method, such as `Talker.step()`.
        way: what to return.
    """
    if isinstance(found, tuple | list) and len(found) == 2:
        return found[0], found[1]
    raise ContractError(f"{who} returned {found!r:.60}; return {way}")


def not_a_message(speaker: Any, history: str, found: Any) -> str:
    """Returns the error of something in a speaker's history that is not a chat message."""
    way = 'add a message, such as {"role": "assistant", "content": "hello"}'
    return f"{type(speaker).__name__}.{history} got {found!r:.60}, which is not a chat message; {way}"


class Named:
    """Names the class and method in the text of any exception inside, except josh's own.

    It is a class because a generator would take longer than most of the methods that it names.
    """

    __slots__ = ("_who",)

    def __init__(self, who: str) -> None:
        """Args: who: the class and method, such as `Talker.step()`."""
        self._who = who

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, JoshError | TurnError):
            raise ContractError(f"{self._who} failed: {one_line(error)}") from error


class EndedItselfError(TurnError):
    """A plug-in ended the program, or cancelled the task that it runs in."""


@types.coroutine
def alone(work: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Returns, when it is awaited, the result of a plug-in's work, which it drives from one wait to the next.

    Raises:
        EndedItselfError: the work called `sys.exit`, raised an exception outside `Exception`, or cancelled the
            current task. A cancellation from outside, and Ctrl-C, are passed on.
    """
    steps: Any = work.__await__()
    try:
        task = asyncio.current_task()
    except RuntimeError:  # synchronous code has no event loop
        task = None
    sent, thrown = None, None
    while True:
        before = 0 if task is None else task.cancelling()
        try:
            waits_for = steps.send(sent) if thrown is None else steps.throw(thrown)
        except BaseException as error:
            if task is not None and task.cancelling() > before:
                yield from _calmed(task)
                raise EndedItselfError(_CANCELLED) from error
            if isinstance(error, StopIteration):
                return error.value
            if error is thrown or isinstance(error, Exception | KeyboardInterrupt | asyncio.CancelledError):
                raise
            raise EndedItselfError(_ended_by(error)) from error
        if task is not None and task.cancelling() > before:
            yield from _calmed(task)
            steps.close()
            raise EndedItselfError(_CANCELLED)
        try:
            sent, thrown = (yield waits_for), None
        except BaseException as error:
            sent, thrown = None, error


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Keep a plug-in's synchronous work from ending the program.

    Raises:
        EndedItselfError: the work called `sys.exit`, or raised another exception outside `Exception`. Ctrl-C and
            cancellations are passed on.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise EndedItselfError(_ended_by(error)) from error


def _ended_by(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        how = f"called sys.exit({'' if error.args == (None,) else ', '.join(map(repr, error.args))})"
    elif isinstance(error, GeneratorExit):
        how = "raised GeneratorExit"
    else:
        how = f"raised {type(error).__name__}: {error}".rstrip(": ")
    return f"the plug-in {how}; return, or raise an Exception"


def _calmed(task: Any) -> Generator[Any, Any, None]:
    """Take a task's cancellation of itself back."""
    task.uncancel()
    with contextlib.suppress(asyncio.CancelledError):
        yield  # the event loop delivers a cancellation that it has noted already
    if task.cancelling():
        raise asyncio.CancelledError


_CANCELLED = "the plug-in cancelled the task that it runs in; cancel only tasks of its own"
