"""How a run, or a loop of runs, hears that it has to stop: SIGTERM, with which schedulers end a job, acts as Ctrl-C."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def cancelled_by_sigterm() -> Iterator[None]:
    """Let SIGTERM cancel the current task, in a program that runs an event loop.

    Where the platform has no signal handlers for event loops, and outside the main thread, this changes nothing.
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
    """Let SIGTERM raise CancelledError, in a program without an event loop. In other threads this changes nothing."""

    def stop(_: int, __: FrameType | None) -> None:
        raise asyncio.CancelledError

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: whoever runs us there looks after signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
