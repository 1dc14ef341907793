"""The run's end of its workers: it hands out the tasks, and is the only one that writes, pays and counts.

1. `Hub.listening` takes the connections of workers, which a `Place` starts (`processes.py`, `on_ray.py`).
2. A worker that is ready gets tasks, the first ones first, each with the replies that the journal has for it. As many
   tasks are in play as in one process, `max_concurrency`, spread over the workers.
3. Calls of the workers go through the run's gateway (`josh/models/remote.py`): one budget, one limiter per endpoint.
4. The lines of a finished task are written at once.
5. When a worker is gone, its tasks are handed out again, and another worker takes its place. The replies that reached
   the journal are not asked for again. Only calls in flight are lost.
6. After too many deaths without any progress between them the run ends with an error; it can be resumed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from josh.errors import FatalError
from josh.models.chat import Lesson
from josh.models.remote import Asked
from josh.runs.play.runtime import Runtime
from josh.runs.play.workers.member import Setup
from josh.runs.play.workers.wire import Connection, Start, new_password
from josh.runs.record.record import Record, TaskLines
from josh.runs.record.summary import Result, counted
from josh.threads import one_line

log = logging.getLogger("josh")

DEATHS = 5
"""Number of workers that may die one after the other before anything is finished or answered in between."""
PATIENCE = 30.0
"""Seconds without a worker that is ready after which a line says so."""


class Place(Protocol):
    """Where workers live."""

    @property
    def host(self) -> str:
        """The address at which its workers reach this process."""
        ...

    async def live(self, start: Start) -> str:
        """Start a worker and wait until it is gone; cancelled, end it. Returns how it ended, such as `signal 9`."""
        ...


@dataclass(slots=True)
class _Worker:
    """A connected worker."""

    number: int
    name: str
    connection: Connection
    calls: Asked
    playing: set[int] = field(default_factory=set)


class Hub:
    """The tasks of a run, and the workers that play them.

    Attributes:
        over: done when every task is finished, or the budget is spent and no task is in play; or the error of the run.
    """

    def __init__(
        self,
        runtime: Runtime,
        record: Record,
        positions: list[int],
        finished: Callable[[int, Result, TaskLines], None],
        workers: int,
        setup: Setup,
    ) -> None:
        """Set the hub up.

        Args:
            runtime: the run's; its gateway is an `AskedGateway`.
            record: gets the finished tasks, and has the journal.
            positions: the positions of the tasks to play.
            finished: called for every task that was written, with its position, its result and its lines.
            workers: number of workers, at least 1.
            setup: what every worker gets.
        """
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._runtime = runtime
        self._record = record
        self._waiting = positions
        heapify(self._waiting)
        self._finished = finished
        self._most = runtime.settings.traffic.max_concurrency
        self._share = -(-min(self._most, len(positions)) // workers)
        self._count = workers
        self._setup = setup
        self._password = new_password()
        self._workers: dict[int, _Worker] = {}
        self._began = 0
        self._deaths = 0
        self._resting = False
        self.stopped = ""

    @asynccontextmanager
    async def listening(self, place: Place) -> AsyncIterator[None]:
        """Keep workers alive inside; at the end they finish, and nothing of them is left."""
        server = await asyncio.start_server(self._connected, place.host, 0)
        port = server.sockets[0].getsockname()[1]
        keepers = [asyncio.ensure_future(self._keep(place, port, number)) for number in range(self._count)]
        silence = asyncio.ensure_future(self._complain())
        try:
            self._hand_out()
            yield
            for worker in self._workers.values():
                worker.connection.send("end")
            await asyncio.wait(keepers, timeout=5.0)
        finally:
            for task in (*keepers, silence):
                task.cancel()
            await asyncio.gather(*keepers, silence, return_exceptions=True)
            for worker in list(self._workers.values()):
                self._lost(worker)
                await worker.connection.aclose()
            server.close()

    def rest(self) -> None:
        """Begin no further task, call or worker; calls in flight finish."""
        self._resting = True
        self.over.cancel()

    async def _keep(self, place: Place, port: int, number: int) -> None:
        """Keep one worker alive until the run is over."""
        while not self.over.done():
            try:
                why = await place.live(Start(place.host, port, self._password, number))
            except Exception as error:
                self._fail(FatalError(f"worker {number} cannot be started: {one_line(error)}"))
                return
            await asyncio.sleep(0.1)  # what it sent at last, such as its error, comes first
            if (worker := self._workers.get(number)) is not None:
                self._lost(worker)
            if self.over.done():
                return
            self._deaths += 1
            log.warning("worker %d has ended (%s); a new one takes its place", number, why)
            if self._deaths >= DEATHS:
                many = f"{self._deaths} workers in a row ended before they finished or asked anything"
                self._fail(FatalError(f"{many}; the last: {why}. --executor local shows more of the reason"))
                return
            await asyncio.sleep(0.2 * self._deaths)

    async def _complain(self) -> None:
        while True:
            await asyncio.sleep(PATIENCE)
            if not self._workers:
                log.warning("no worker is ready yet; the run waits for %s", counted(self._count, "worker"))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a worker until its connection ends."""
        worker: _Worker | None = None
        connection = await Connection.of_worker(reader, writer, self._password)
        if connection is None:
            return
        try:
            async for kind, *values in connection.messages():
                if kind == "hello":
                    number, machine, process = values
                    name = f"worker {number}, process {process} of {machine}"
                    self._began += 1
                    calls = Asked(self._runtime.gateway, connection.send, f"{name}, session {self._began}")
                    worker = _Worker(number, name, connection, calls)
                    lessons = tuple(self._record.replies.lessons())
                    connection.send("setup", replace(self._setup, lessons=lessons))
                else:
                    assert worker is not None, "a worker says hello first"
                    self._take(worker, kind, values)
        except Exception as error:
            self._fail(error)
        finally:
            if worker is not None:
                self._lost(worker)
            await connection.aclose()

    def _take(self, worker: _Worker, kind: str, values: list[Any]) -> None:
        """Take a message of a worker."""
        calls = worker.calls
        if kind == "ready":
            self._workers[worker.number] = worker
            self._hand_out()
        elif kind == "ask":
            if not self._resting:
                calls.ask(*values)
        elif kind == "done":
            self._deaths = 0
            calls.done(*values)
        elif kind == "failed":
            number, error, wanted = values
            calls.failed(number, error, wanted=wanted)
        elif kind == "drop":
            calls.drop(*values)
        elif kind == "keep":
            self._record.replies.keep(*values)
        elif kind == "learn":
            self._learn(*values)
        elif kind == "log":
            level, text, reason, once = values
            # Of each reason, the last argument, only a few lines are shown; see `cli._FewOfEach`.
            log.log(level, "%s%.0s", text, reason, extra={"once": once})
        elif kind == "raised":
            self._fail(values[0])
        else:
            self._ended(worker, kind, *values)

    def _ended(self, worker: _Worker, kind: str, position: int, *values: Any) -> None:
        """Take the end of a task: its lines, or the limit of the budget that stopped it."""
        worker.playing.discard(position)
        if kind == "finished":
            self._deaths = 0
            lines, result = values
            self._record.add_lines(position, self._runtime.tasks[position].id, lines)
            self._finished(position, result, lines)
        else:
            self.stopped = self.stopped or values[0]
        self._hand_out()

    def _learn(self, lesson: Lesson, why: str) -> None:
        self._runtime.gateway.learn(lesson, why)
        for worker in self._workers.values():
            worker.connection.send("lesson", lesson)

    def _hand_out(self) -> None:
        """Give tasks to the workers that have the fewest."""
        in_play = sum(len(worker.playing) for worker in self._workers.values())
        while self._waiting and not self.stopped and in_play < self._most and not self.over.done():
            free = [worker for worker in self._workers.values() if len(worker.playing) < self._share]
            if not free:
                break
            worker = min(free, key=lambda one: (len(one.playing), one.number))
            position = heappop(self._waiting)
            worker.playing.add(position)
            in_play += 1
            entries = self._record.replies.of_task(self._runtime.tasks[position].id)
            worker.connection.send("play", position, entries)
        if not in_play and (self.stopped or not self._waiting) and not self.over.done():
            self.over.set_result(None)

    def _lost(self, worker: _Worker) -> None:
        """Take the tasks back from a worker that is gone."""
        worker.calls.lost()
        if self._workers.get(worker.number) is worker:
            del self._workers[worker.number]
        for position in worker.playing:
            heappush(self._waiting, position)
        worker.playing.clear()
        if not self.over.done():
            self._hand_out()

    def _fail(self, error: BaseException) -> None:
        if not self.over.done():
            self.over.set_exception(error)
