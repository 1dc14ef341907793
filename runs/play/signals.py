"""How a run hears that it has to stop."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cancelled_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, with which schedulers end a job, cancel the current task as Ctrl-C does.

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
