"""Model calls of workers: a worker sends its requests itself, and the gateway of the run decides when.

The life of a request (steps 1 to 9 are those of `gateway.py`):

1. In the worker, `AskingGateway` finds no reply, and asks the run (`ask`): who asks which model, for how many replies.
2. At the run, `Asked` makes a call of the run's only gateway, with a `RemoteModel` in place of the chat model. So slot,
   budget, pauses, retries and the health of an endpoint are those of the whole run.
3. For every attempt the run answers `go`; the worker's chat model sends the request, and the worker reports the
   completion with its journal entries (`done`), or the error (`failed`).
4. The run writes the entries into its journal. Then `answer` lets the worker use the reply.

A model in the worker's process, such as `hf:`, has a limiter of its own in every worker.
"""

import asyncio
import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, Protocol

from josh.errors import TurnError
from josh.models.call import Call
from josh.models.chat import ChatModel, Completion, Lesson, Request, Sampling
from josh.models.gateway import ModelGateway
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.threads import one_line

Entries = Mapping[ReplyKey, JournalEntry]


class Send(Protocol):
    """Sends a message: its kind, and what it says. Messages arrive in the order in which they are sent."""

    def __call__(self, kind: str, *values: Any) -> None:
        """Send it; this does not wait."""
        ...


def portable(error: BaseException) -> BaseException:
    """Returns an error that another process can read: itself, or its text where it cannot be copied."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301, our own bytes
    except Exception:
        return TurnError(one_line(error))
    return error


class AskedGateway(ModelGateway):
    """The gateway of a run whose workers send the requests; a worker follows the lessons about its endpoint."""

    async def _taught(self, model: ChatModel, request: Request) -> Completion:
        return await model.complete(request)


class RemoteModel:
    """The chat model of one call of a worker, as the run's gateway sees it."""

    def __init__(self, name: str, endpoint: str, concurrency: int | None, go: Callable[[], None]) -> None:
        """See `ChatModel` for the first three. Args: go: lets the worker make one attempt."""
        self.name = name
        self.endpoint = endpoint
        self.concurrency = concurrency
        self.entries: Entries = {}
        self._go = go
        self._attempt: asyncio.Future[Completion] | None = None

    async def complete(self, request: Request) -> Completion:
        """Let the worker send its request once, and wait for the result; see `ChatModel.complete`."""
        self._attempt = asyncio.get_running_loop().create_future()
        self._go()
        return await self._attempt

    def done(self, completion: Completion, entries: Entries) -> None:
        """Note the completion of an attempt, and its journal entries."""
        self.entries = entries
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(completion)

    def failed(self, error: BaseException) -> None:
        """Note that an attempt failed."""
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_exception(error)

    async def aclose(self) -> None:
        """Does nothing: the worker closes its connections."""


class _AskedClock:
    """The clock of a task that a worker plays: it lets the worker know when a call waits for a slot again."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait
        self._first = True

    def change(self, waiting: int = 0, in_flight: int = 0) -> None:
        if waiting > 0:
            if not self._first:
                self._wait()
            self._first = False


class Asked:
    """The calls of one worker, at the run's gateway."""

    def __init__(self, gateway: ModelGateway, send: Send, worker: str) -> None:
        """Serve a worker.

        Args:
            gateway: the run's.
            send: sends a message to the worker.
            worker: its name, which tells its own models from those of other workers.
        """
        self._gateway = gateway
        self._send = send
        self._worker = worker
        self._models: dict[int, RemoteModel] = {}
        self._calls: dict[int, Call] = {}
        self._waits: dict[int, asyncio.Task[None]] = {}

    def ask(self, number: int, model: tuple[str, str, int | None], speaker: str, priority: Any, n: int) -> None:
        """Start a call.

        Args:
            number: the worker's number of the call.
            model: name, endpoint and concurrency of its chat model.
            speaker: see `ModelGateway.call`, as for the next one.
            priority: see there.
            n: number of replies.
        """
        name, endpoint, concurrency = model
        if concurrency is not None:
            endpoint = f"{endpoint} ({self._worker})"
        remote = RemoteModel(name, endpoint, concurrency, lambda: self._send("go", number))
        clock = _AskedClock(lambda: self._send("wait", number))
        request = Request((), Sampling(), 0, n=n)
        call = self._gateway.call(remote, request, speaker, priority, lambda _: remote.entries, clock)
        self._models[number], self._calls[number] = remote, call
        self._waits[number] = asyncio.ensure_future(self._wait(number, call))

    def done(self, number: int, completion: Completion, entries: Entries) -> None:
        """Note an attempt of a call; see `RemoteModel.done`."""
        self._models[number].done(completion, entries)

    def failed(self, number: int, error: BaseException, *, wanted: bool) -> None:
        """Note a failed attempt of a call; without `wanted`, no turn waits for it, and it is not retried."""
        if not wanted:
            self._waits[number].cancel()
            # The call sees the error only after the cancelled task has stopped waiting for it.
            asyncio.get_running_loop().call_soon(self._models[number].failed, error)
        else:
            self._models[number].failed(error)

    def drop(self, number: int) -> None:
        """End a call that no turn waits for, and that has no attempt in flight."""
        if number in self._calls:
            self._calls[number].task.cancel()

    def lost(self) -> None:
        """End all calls, because the worker is gone; a request in flight is lost."""
        for call in self._calls.values():
            call.task.cancel()

    async def _wait(self, number: int, call: Call) -> None:
        try:
            with suppress(Exception):  # the call has it, too
                await call.entries()
        except asyncio.CancelledError:  # no turn waits for the call any more
            await asyncio.wait([call.task])
        finally:
            for table in (self._models, self._calls, self._waits):
                table.pop(number, None)
        if not call.task.cancelled():
            error = call.task.exception()
            self._send("answer", number, None if error is None else portable(error))


class TaskReplies:
    """The journal as a worker sees it: the replies of the tasks that it plays (`reply_journal.Journal`)."""

    def __init__(self, send: Send) -> None:
        """Start without a reply. Args: send: sends a message to the run."""
        self._send = send
        self._known: dict[str, dict[ReplyKey, JournalEntry]] = {}

    def begin(self, task: str, entries: Entries) -> None:
        """Begin a task, with the replies that the run's journal has for it."""
        self._known[task] = dict(entries)

    def end(self, task: str) -> None:
        """Forget a task's replies."""
        self._known.pop(task, None)

    def find(self, key: ReplyKey) -> JournalEntry | None:
        """Returns the entry of a key, or None."""
        return self._known.get(key.task, {}).get(key)

    def note(self, entries: Entries) -> None:
        """Note entries that the run's journal has."""
        for key, entry in entries.items():
            self._known.setdefault(key.task, {})[key] = entry

    def keep(self, entries: Entries, seconds: float) -> None:
        """Let the run store entries; it has them before it has anything that this worker sends later."""
        self._send("keep", dict(entries), seconds)
        self.note(entries)


class AskingGateway(ModelGateway):
    """The gateway of a worker: it asks the run before it sends a request.

    Attributes:
        replies: the replies of the tasks that the worker plays.
    """

    def __init__(self, send: Send, *limits: Any, **more: Any) -> None:
        """Set the gateway up. Args: send: sends a message to the run; limits, more: see `ModelGateway`."""
        super().__init__(*limits, **more)
        self.replies = TaskReplies(send)
        self.journal = self.replies
        self._tell = send
        self._numbers = count()
        self._orders: dict[int, asyncio.Queue[tuple[str, BaseException | None]]] = {}

    def order(self, kind: str, number: int, error: BaseException | None = None) -> None:
        """Take a message of the run about a call: `go`, `wait` or `answer`."""
        if number in self._orders:
            self._orders[number].put_nowait((kind, error))

    def learn(self, lesson: Lesson, why: str = "") -> None:
        """Keep what an endpoint refuses, and let the run know, which stores it and informs the other workers."""
        if self.lessons.add(lesson):
            self._tell("learn", lesson, why)

    async def _answer(
        self,
        call: Call,
        model: ChatModel,
        request: Request,
        speaker: str,
        priority: Any,
        file: Callable[[Completion], Entries],
    ) -> Entries:
        number = next(self._numbers)
        orders = self._orders[number] = asyncio.Queue()
        change, waits = call.clock.change, True
        change(waiting=1)
        self._tell("ask", number, (model.name, model.endpoint, model.concurrency), str(speaker), priority, request.n)
        entries: Entries = {}
        try:
            while True:
                kind, error = await orders.get()
                if kind == "answer":
                    break
                if kind == "wait":
                    change(waiting=1)
                    waits = True
                    continue
                change(waiting=-int(waits), in_flight=1)
                waits, call.in_flight = False, True
                try:
                    completion = await self._taught(model, request)
                    entries = file(completion)
                    self._tell("done", number, completion, dict(entries))
                except asyncio.CancelledError:
                    raise
                except Exception as caught:
                    self._tell("failed", number, portable(caught), call.wanted)
                finally:
                    call.in_flight = False
                    change(in_flight=-1)
        except asyncio.CancelledError:
            self._tell("drop", number)
            raise
        finally:
            self._orders.pop(number, None)
            if waits:
                change(waiting=-1)
        if error is not None:
            raise error
        self.replies.note(entries)
        return entries
