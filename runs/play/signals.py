"""SIGTERM and SIGHUP stop a run or a loop in the same way as Ctrl-C.

Schedulers end a job with SIGTERM. A terminal that is closed, and a connection that is lost, send SIGHUP; a process that
ignores it (`nohup`) goes on.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


def _signals() -> list[signal.Signals]:
    names = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    found = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [one for one in found if signal.getsignal(one) != signal.SIG_IGN]


@contextmanager
def cancelled_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP cancel the current asyncio task.

    This has no effect outside the main thread, and on platforms without signal handlers for event loops. Afterwards the
    signals do what they did before.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    signals = {one: signal.getsignal(one) for one in _signals()}
    for one in signals:
        with suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(one, task.cancel)
    try:
        yield
    finally:
        for one, handler in signals.items():
            with suppress(NotImplementedError, RuntimeError):
                if loop.remove_signal_handler(one) and handler is not None:
                    signal.signal(one, handler)


@contextmanager
def cancelled_error_on_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise CancelledError, in a program without an event loop.

    This has no effect outside the main thread.
    """

    def stop(_: int, __: FrameType | None) -> None:
        raise asyncio.CancelledError

    try:
        before = {one: signal.signal(one, stop) for one in _signals()}
    except ValueError:  # outside the main thread, the calling program handles signals
        yield
        return
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
