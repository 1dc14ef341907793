"""The time limit of one task."""

import asyncio


class TaskClock:
    """The time limit of one task; it stops while all the task's calls wait for a slot (`josh.models.call.Clock`)."""

    def __init__(self, seconds: float) -> None:
        """Args: seconds: time that the task may take."""
        self.seconds = seconds
        self.limit: asyncio.Timeout | None = None
        self._left: float | None = None
        self._waiting = 0
        self._in_flight = 0

    def change(self, waiting: int = 0, in_flight: int = 0) -> None:
        """See `Clock.change`."""
        self._waiting += waiting
        self._in_flight += in_flight
        if self.limit is None or self.limit.expired():
            return
        now = asyncio.get_running_loop().time()
        stopped = self._waiting > 0 and not self._in_flight
        ends = self.limit.when()
        if stopped and ends is not None:
            self._left = ends - now
            self.limit.reschedule(None)
        elif not stopped and ends is None and self._left is not None:
            self.limit.reschedule(now + self._left)
