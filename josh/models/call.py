"""One call on its way: who waits for it, and whether it is out."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from josh.models.limiter import Limiter
from josh.models.reply_journal import JournalEntry, ReplyKey


class Clock(Protocol):
    """Measures the time of a task. It stands still while every call of the task waits for a slot."""

    def change(self, waiting: int = 0, flying: int = 0) -> None:
        """So many more, or fewer, calls wait for a slot or have one."""
        ...


class NoClock:
    """The clock of a call whose time nobody measures."""

    def change(self, waiting: int = 0, flying: int = 0) -> None:
        """Nothing."""


NO_CLOCK = NoClock()


class Call:
    """One request on its way.

    Attributes:
        task: what brings the answers.
        in_flight: whether it is out now.
        dropped: whether it was given up because nobody waited for it any more.
        seconds: how long it was out so far, over all attempts.
    """

    __slots__ = ("_clock", "_waiters", "dropped", "in_flight", "seconds", "task")

    def __init__(self, clock: Clock = NO_CLOCK) -> None:
        """Args: clock: the task's."""
        self.in_flight = False
        self.dropped = False
        self.seconds = 0.0
        self._clock = clock
        self._waiters = 0

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for the answers."""
        return self._waiters > 0

    @asynccontextmanager
    async def turn(self, limiter: Limiter, priority: Any) -> AsyncIterator[None]:
        """Wait for a turn at the endpoint and have it, while the task's clock knows."""
        change = self._clock.change
        change(waiting=1)
        waiting = True
        try:
            async with limiter.slot(priority):
                change(waiting=-1, flying=1)
                waiting = False
                try:
                    yield
                finally:
                    change(flying=-1)
        finally:
            if waiting:
                change(waiting=-1)

    def start(self, work: Coroutine[Any, Any, Mapping[ReplyKey, JournalEntry]]) -> None:
        """Begin the work that brings the answers."""
        self.task = asyncio.ensure_future(work)

    async def entries(self) -> Mapping[ReplyKey, JournalEntry]:
        """Wait for the answers. Raises what `ChatModel.complete` raises, and BudgetError."""
        self._waiters += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiters -= 1
            if not self._waiters and not self.in_flight and not self.task.done():
                self.dropped = True
                self.task.cancel()
