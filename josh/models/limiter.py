"""How many calls an endpoint gets at once: a number that finds its own level."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any

FIRST_WINDOW = 4
"""Calls in flight to start with; every answer adds one, so that the number doubles with every round trip."""


class Limiter:
    """One endpoint's calls in flight: slow start and additive increase, multiplicative decrease when it is too much.

    The rule is that of TCP (RFC 5681, section 3.1): the window grows by one with every answer up to the level at which
    the endpoint last complained, from there by one with every windowful, and is halved by HTTP 429, once for all the
    calls that were in flight together.

    Attributes:
        in_flight: calls in flight now.
        window: calls that may be in flight; the whole part counts.
    """

    def __init__(self, limit: int, per_minute: float | None = None, first: int = FIRST_WINDOW) -> None:
        """Start with a small window.

        Args:
            limit: the largest window, at least 1.
            per_minute: most calls to begin per minute, evenly spaced; None for no such limit.
            first: the window to start with, if the largest is not smaller.
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
        """Wait for a place and hold it; smaller priorities go first, equals in order of arrival."""
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
        """The endpoint has served a call. Args: begun: when it began, by the loop's clock."""
        if self.in_flight >= int(self.window):
            self._full_at = _now()
        if self._full_at < begun:
            return  # the window was not what held anybody back
        step = 1.0 if self.window < self._threshold else 1.0 / self.window
        self.window = min(float(self._limit), self.window + step)

    def throttled(self, begun: float) -> None:
        """The endpoint has refused a call as one too many. Args: begun: when it began, by the loop's clock."""
        if begun < self._cut_at:
            return  # it went out before the last cut, which was for all of its time
        self.window = max(1.0, self.window / 2)
        self._threshold = self.window
        self._cut_at = _now()

    def pause(self, seconds: float) -> None:
        """Begin no call for so long."""
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
        """Let those in who wait, as many as there is room for; come back when a pause is over."""
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
