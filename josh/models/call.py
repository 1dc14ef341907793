"""One call to a model: how many turns wait for it, and whether it is in flight."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from josh.models.limiter import Limiter
from josh.models.reply_journal import JournalEntry, ReplyKey


class Clock(Protocol):
    """Measures the time of a task. It stops while all calls of the task wait for a slot."""

    def change(self, waiting: int = 0, in_flight: int = 0) -> None:
        """Change the number of calls that wait for a slot and of calls in flight, by positive or negative numbers."""
        ...


class NoClock:
    """A clock for calls without a time limit."""

    def change(self, waiting: int = 0, in_flight: int = 0) -> None:
        """Does nothing."""


NO_CLOCK = NoClock()


class Call:
    """One request to a model.

    Attributes:
        clock: the clock of the task that it belongs to.
        task: the asyncio task that returns the journal entries.
        in_flight: whether an attempt is running.
        dropped: whether it was cancelled because no turn waited for it.
        seconds: the time in flight so far, over all attempts.
        faults: number of attempts that the endpoint answered with 5xx.
    """

    __slots__ = ("_waiters", "clock", "dropped", "faults", "in_flight", "seconds", "task")

    def __init__(self, clock: Clock = NO_CLOCK) -> None:
        """Args: clock: the task's."""
        self.in_flight = False
        self.dropped = False
        self.seconds = 0.0
        self.faults = 0
        self.clock = clock
        self._waiters = 0

    @property
    def wanted(self) -> bool:
        """Whether a turn waits for the replies."""
        return self._waiters > 0

    @asynccontextmanager
    async def turn(self, limiter: Limiter, priority: Any) -> AsyncIterator[None]:
        """Wait for a slot of the endpoint and hold it; report both to the task's clock."""
        change = self.clock.change
        change(waiting=1)
        waiting = True
        try:
            async with limiter.slot(priority):
                change(waiting=-1, in_flight=1)
                waiting = False
                try:
                    yield
                finally:
                    change(in_flight=-1)
        finally:
            if waiting:
                change(waiting=-1)

    def start(self, work: Coroutine[Any, Any, Mapping[ReplyKey, JournalEntry]]) -> None:
        """Start the work that returns the journal entries."""
        self.task = asyncio.ensure_future(work)

    async def entries(self) -> Mapping[ReplyKey, JournalEntry]:
        """Wait for the journal entries. Raises the errors of `ChatModel.complete`, and BudgetError."""
        self._waiters += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiters -= 1
            if not self._waiters and not self.in_flight and not self.task.done():
                self.dropped = True
                self.task.cancel()
