"""SIGTERM, the signal with which schedulers end a job, stops a run or a loop in the same way as Ctrl-C."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def cancelled_by_sigterm() -> Iterator[None]:
    """Make SIGTERM cancel the current asyncio task.

    This has no effect outside the main thread, and on platforms without signal handlers for event loops.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError, RuntimeError):
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)


@contextmanager
def cancelled_error_on_sigterm() -> Iterator[None]:
    """Make SIGTERM raise CancelledError, in a program without an event loop.

    This has no effect outside the main thread.
    """

    def stop(_: int, __: FrameType | None) -> None:
        raise asyncio.CancelledError

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # outside the main thread, the calling program handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
