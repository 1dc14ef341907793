"""Limits the calls in flight of an endpoint, and adapts the limit to the endpoint's answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any

FIRST_WINDOW = 4
"""The first number of calls in flight; every answer adds one, so the number doubles with every round trip."""


class Limiter:
    """Limits one endpoint's calls in flight by slow start, additive increase and multiplicative decrease.

    The rule is that of TCP (RFC 5681, section 3.1):
    1. Below the threshold the window grows by one with every answer (slow start).
    2. From there it grows by one per window of answers.
    3. HTTP 429, or no answer in time, halves the window, once for all calls that were in flight together, and sets the
       threshold to it.

    Attributes:
        in_flight: number of calls in flight.
        window: most calls in flight; a fraction is rounded down.
    """

    def __init__(self, limit: int, per_minute: float | None = None, first: int = FIRST_WINDOW) -> None:
        """Start with a small window.

        Args:
            limit: the largest window, at least 1.
            per_minute: most calls to start per minute, evenly spaced; None for no such limit.
            first: the first window, unless `limit` is smaller.
        """
        self.in_flight = 0
        self.window = float(min(limit, first))
        self._limit = limit
        self._threshold = float(limit)
        self._spacing = 60.0 / per_minute if per_minute else 0.0
        self._opens_at = -inf
        self._cut_at = -1.0
        self._full_at = -1.0
        self._waiting: list[tuple[Any, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self, priority: Any) -> AsyncIterator[None]:
        """Wait for a slot and hold it; smaller priorities go first, equal ones in order of arrival."""
        if self._waiting or not self._has_room(_now()):
            turn = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (priority, next(self._arrivals), turn))
            self._admit()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        else:
            self._enter()
        try:
            yield
        finally:
            self._leave()

    def answered(self, begun: float) -> None:
        """Note that the endpoint answered a call. Args: begun: start of the call, by the loop's clock."""
        if self.in_flight >= int(self.window):
            self._full_at = _now()
        if self._full_at < begun:
            return  # the window was not full during the call, so no call waited for it
        step = 1.0 if self.window < self._threshold else 1.0 / self.window
        self.window = min(float(self._limit), self.window + step)

    def throttled(self, begun: float) -> None:
        """Note that the endpoint gets too many calls. Args: begun: start of the failed call, by the loop's clock."""
        if begun < self._cut_at:
            return  # the window was already halved for the calls of that time
        self.window = max(1.0, self.window / 2)
        self._threshold = self.window
        self._cut_at = _now()

    def pause(self, seconds: float) -> None:
        """Start no call for some seconds."""
        self._opens_at = max(self._opens_at, _now() + seconds)

    def _has_room(self, now: float) -> bool:
        return self.in_flight < int(self.window) and now >= self._opens_at

    def _enter(self) -> None:
        self.in_flight += 1
        if self.in_flight >= int(self.window):
            self._full_at = _now()
        if self._spacing:
            self._opens_at = max(self._opens_at, _now()) + self._spacing

    def _leave(self) -> None:
        self.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        """Give free slots to the calls that wait; set a timer where a pause keeps them waiting."""
        while self._waiting and self._has_room(now := _now()):
            *_, turn = heappop(self._waiting)
            if not turn.done():
                self._enter()
                turn.set_result(None)
        if self._waiting and self._timer is None and now < self._opens_at:
            self._timer = asyncio.get_running_loop().call_at(self._opens_at, self._reopen)

    def _reopen(self) -> None:
        self._timer = None
        self._admit()


def _now() -> float:
    return asyncio.get_running_loop().time()
