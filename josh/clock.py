"""The time limit of one task."""

import asyncio


class TaskClock:
    """The time limit of one task; it stands still while all the task's calls wait for their turn (`gateway.Clock`)."""

    def __init__(self, seconds: float) -> None:
        """Args: seconds: what the task may take."""
        self.seconds = seconds
        self.limit: asyncio.Timeout | None = None
        self._left: float | None = None
        self._waiting = 0
        self._flying = 0

    def change(self, waiting: int = 0, flying: int = 0) -> None:
        """See `Clock.change`."""
        self._waiting += waiting
        self._flying += flying
        if self.limit is None or self.limit.expired():
            return
        now = asyncio.get_running_loop().time()
        stands = self._waiting > 0 and not self._flying
        ends = self.limit.when()
        if stands and ends is not None:
            self._left = ends - now
            self.limit.reschedule(None)
        elif not stands and ends is None and self._left is not None:
            self.limit.reschedule(now + self._left)
