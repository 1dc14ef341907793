"""Names the plug-in that holds up a run.

A plug-in that waits without `await` holds up everything else: the other tasks, `--task_timeout` and Ctrl-C. No code of
the event loop can notice this, so a thread does.
"""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from josh.roles import Task
from josh.scoring import Scorer
from josh.turns import TurnRunner

log = logging.getLogger("josh")

PATIENCE = 30.0
"""Seconds in which the event loop did not run, after which a line names the plug-in."""
_PLUG_INS = ("josh.agents.", "josh.users.", "josh.envs.", "josh.rewards.")


@contextmanager
def watched(seconds: float = PATIENCE) -> Iterator[None]:
    """Watch the running event loop: a plug-in that holds it up is named in the log, each method once.

    Args:
        seconds: how long the loop may stand still, above 0.
    """
    thread, pause, over = threading.get_ident(), min(1.0, seconds / 4), threading.Event()
    last, named = time.monotonic(), set[str]()

    async def beat() -> None:
        nonlocal last
        while True:
            last = time.monotonic()
            await asyncio.sleep(pause)

    def watch() -> None:
        while not over.wait(pause):
            if time.monotonic() - last >= seconds and (found := _held_by(sys._current_frames().get(thread))):
                where, method = found
                if method not in named:
                    named.add(method)
                    log.warning("%s: %s", where, _advice(method, seconds))

    heart = asyncio.ensure_future(beat())
    threading.Thread(target=watch, daemon=True, name="josh watchdog").start()
    try:
        yield
    finally:
        over.set()
        heart.cancel()


def _advice(method: str, seconds: float) -> str:
    way = "wait with `await`"
    if method.endswith(".step"):
        way += ", or in a plain `def step` of a class with `blocking = True`"
    return (
        f"{method}() has held up the whole run for {seconds:g} seconds, and --task_timeout cannot end it; {way} "
        "(Ctrl-C twice ends the run)"
    )


def _held_by(frame: FrameType | None) -> tuple[str, str] | None:
    """Returns where in the run a thread's innermost frames are, and the plug-in's method; None outside a plug-in."""
    method, where, inner = "", "", None
    while frame is not None and (_module(frame), frame.f_code.co_name) != ("asyncio.events", "_run"):
        # The method is the last one that the engine called; what this called itself is not named.
        if not method and inner is not None and _is_engine(frame):
            method = _name(inner)
        where = where or (method and _place(frame))
        if _module(frame).partition(".")[0] not in sys.stdlib_module_names:
            inner = frame if _is_plug_in(frame) else None
        frame = frame.f_back
    return (where or "a task", method) if method else None


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_plug_in(frame: FrameType) -> bool:
    return not f"{_module(frame)}.".startswith("josh.") or _module(frame).startswith(_PLUG_INS)


def _is_engine(frame: FrameType) -> bool:
    """Returns whether a frame is of a module that calls plug-ins; those of `josh.models` call libraries."""
    return not _is_plug_in(frame) and not _module(frame).startswith("josh.models.")


def _name(frame: FrameType) -> str:
    owner = frame.f_locals.get("self")
    return frame.f_code.co_qualname if owner is None else f"{type(owner).__name__}.{frame.f_code.co_name}"


def _place(frame: FrameType) -> str:
    own = frame.f_locals.get("self")
    if isinstance(own, TurnRunner):
        return own.where
    task = own.task if isinstance(own, Scorer) else frame.f_locals.get("task")
    return f"task {task.id}" if isinstance(task, Task) else ""
