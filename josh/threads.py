"""Runs blocking work in threads beside the event loop, and writes an exception in one line."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from josh.errors import JoshError, TurnError

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run a blocking function in a thread, so that the event loop continues.

    Unlike `asyncio.to_thread`, a call that never returns does not keep the process alive.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((result, error))

    def run() -> None:
        result, failure = None, None
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            loop.call_soon_threadsafe(finish, result, failure)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    result, error = await done
    if isinstance(error, StopIteration):
        raise RuntimeError("a blocking step raised StopIteration") from error  # a coroutine cannot raise it
    if error is not None:
        raise error
    return cast(T, result)


def one_line(error: BaseException) -> str:
    """Returns an exception's type and text in one line; only the text of an exception that is written for users."""
    text = " ".join(str(error).split())
    if text and isinstance(error, JoshError | TurnError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_MUTE = (LookupError, AttributeError, TypeError, AssertionError, ArithmeticError, NameError, NotImplementedError)
"""Errors whose text says little without the name of their class."""


def plain(error: BaseException) -> str:
    """Returns an exception's text in one line, for messages to users: without its class where the text says enough.

    `one_line` is for errors of a plug-in, whose author looks for the class.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    return one_line(error) if isinstance(error, (*_MUTE, UnicodeError, RecursionError)) or not text else text
