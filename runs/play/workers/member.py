"""A worker: it plays the tasks that the run gives it, in a process of its own.

1. It connects to the run, which sends the settings, its environment and what its command line trusts (`_settle`).
2. It makes a `Runtime` of its own: plug-ins, tasks and models.
3. It plays the tasks, several at a time. `josh/models/remote.py` asks the run before every request, and a reply is in
   the run's journal before it is used here.
4. It sends the lines of each finished task. Nothing is written on its own disk.
5. It ends with the connection, so it does not outlive the run.
"""

import asyncio
import logging
import os
import platform
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from josh.errors import BudgetError, FatalError, JoshError, UsageError
from josh.memory import relax_gc
from josh.messages import dumps
from josh.models.chat import Lesson
from josh.models.lessons import Lessons
from josh.models.limiter import Limiter
from josh.models.remote import AskingGateway, portable
from josh.redact import redactor
from josh.runs.play.runtime import Runtime
from josh.runs.play.side_by_side import played
from josh.runs.play.watchdog import watched
from josh.runs.play.workers.wire import Connection, Start
from josh.runs.record.episode_json import to_json
from josh.runs.record.record import TaskLines
from josh.runs.record.summary import result_of
from josh.runs.settings import RunSettings, environment
from josh.terminal import only_visible
from josh.threads import one_line
from josh.trust import Trust, trusting

log = logging.getLogger("josh")

NODES_OWN = (
    "CUDA_",
    "NVIDIA_",
    "RAY_",
    "SLURM_",
    "LD_",
    "PYTHON",
    "VIRTUAL_ENV",
    "HOME",
    "TMP",
    "HOST",
    "PWD",
    "OLDPWD",
)
"""Beginnings of the environment variables that a worker never takes from the run's machine."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the run sends to every worker.

    Attributes:
        settings: the run's settings.
        digest: the hash of its tasks, see `Runtime.tasks_digest`.
        trust: what its command line trusts.
        environment: its environment variables, keys included.
        path: its import path.
        folder: its current folder.
        level: the level of its log; with `others` of other packages' too.
        others: see `level`.
        share: most steps of plug-ins at a time that wait for something by themselves.
        lessons: what the endpoints refuse.
    """

    settings: RunSettings
    digest: str
    trust: Trust
    environment: Mapping[str, str]
    path: tuple[str, ...]
    folder: str
    level: int
    others: bool
    share: int
    lessons: tuple[Lesson, ...] = ()


def work(start: Start) -> None:
    """Play tasks for a run until it is over."""
    asyncio.run(_work(start))


async def _work(start: Start) -> None:
    connection = await Connection.to_run(start)
    try:
        connection.send("hello", start.number, platform.node(), os.getpid())
        messages = connection.messages()
        setup: Setup = (await anext(messages))[1]
        relax_gc()
        _settle(setup)
        with trusting(setup.trust), _logging(connection, setup):
            try:
                member = Member(connection, setup)
            except Exception as error:
                connection.send("raised", _reported("it cannot begin", error))
                await connection.flush()
                return
            try:
                with watched(), only_visible():
                    connection.send("ready")
                    async for kind, *values in messages:
                        if kind == "end":
                            break
                        member.take(kind, *values)
            finally:
                await member.aclose()
    except StopAsyncIteration:  # the run is gone
        return
    finally:
        await connection.aclose()


def _settle(setup: Setup) -> None:
    """Take the run's environment, where this machine has nothing of its own."""
    for name, value in setup.environment.items():
        if not name.startswith(NODES_OWN):
            os.environ.setdefault(name, value)
    sys.path += [path for path in setup.path if path not in sys.path]
    with suppress(OSError):  # another machine may have another disk
        os.chdir(setup.folder)


@contextmanager
def _logging(connection: Connection, setup: Setup) -> Iterator[None]:
    """Send the log to the run."""
    root, own = logging.getLogger(), logging.getLogger("josh")
    before = root.handlers[:]
    handler = _Sender(connection)
    if not setup.others:
        handler.addFilter(logging.Filter("josh"))
    root.handlers[:] = [handler]
    own.setLevel(setup.level)
    try:
        yield
    finally:
        root.handlers[:] = before


class _Sender(logging.Handler):
    """Sends log records to the run, from any thread."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        once = bool(getattr(record, "once", False))
        text = self.format(record)
        reason = str(record.args[-1]) if isinstance(record.args, tuple) and record.args else text
        send = partial(self._connection.send, "log", record.levelno, text, reason, once)
        if threading.get_ident() == self._thread:
            send()
        else:
            with suppress(RuntimeError):  # the worker has ended
                self._loop.call_soon_threadsafe(send)


class Member:
    """The tasks that a worker plays."""

    def __init__(self, connection: Connection, setup: Setup) -> None:
        """Load plug-ins, tasks and models. Raises UsageError as `Runtime` does, and for other tasks than the run's."""
        self._connection = connection
        make = partial(AskingGateway, connection.send)
        self._runtime = Runtime(setup.settings, gateway=make, checked=True)
        gateway = self._runtime.gateway
        assert isinstance(gateway, AskingGateway)
        self._gateway = gateway
        gateway.plug_ins = Limiter(setup.share, first=setup.share)
        gateway.lessons = Lessons(setup.lessons)
        if self._runtime.tasks_digest != setup.digest:
            raise UsageError(f"{platform.node()} has other tasks than the run; give every machine the same data")
        self._redact = redactor(environment(), self._runtime.options)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, kind: str, *values: Any) -> None:
        """Take a message of the run: a task to play, a lesson about an endpoint, or word about a call."""
        if kind == "play":
            task = asyncio.ensure_future(self._play(*values))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif kind == "lesson":
            self._gateway.lessons.add(*values)
        else:
            self._gateway.order(kind, *values)

    async def _play(self, position: int, entries: Mapping[Any, Any]) -> None:
        runtime, send = self._runtime, self._connection.send
        task = runtime.tasks[position]
        self._gateway.replies.begin(task.id, entries)
        try:
            episode = await played(runtime, task)
            line = dumps(to_json(episode, self._redact))
            send("finished", position, TaskLines.of(episode, line, runtime.strategy.collapses), result_of(episode))
        except BudgetError as error:
            send("stopped", position, str(error))
        except Exception as error:
            send("raised", _reported(f"task {task.id}", error))
        finally:
            self._gateway.replies.end(task.id)
        await self._connection.flush()

    async def aclose(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runtime.aclose()


def _reported(what: str, error: Exception) -> BaseException:
    """Returns the error that ends the run; one that josh did not raise on purpose is logged with its traceback."""
    if isinstance(error, JoshError | MemoryError):
        return portable(error)
    log.exception("a worker failed")
    return FatalError(f"a worker on {platform.node()} failed; {what}: {one_line(error)}")
