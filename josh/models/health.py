"""How an endpoint does: whether it answers, and when a run that waits for it gives up.

1. An endpoint that cannot be reached is reported at its first failure. Its calls pause, then one round of them tries
   again, and so on. The run ends when the endpoint never answered in `max_attempts` rounds, or was down for
   `max_seconds`.
2. An endpoint that only asks for pauses ends the run when these take longer than `max_seconds` without an answer.
3. An endpoint that has refused the first `REFUSALS` calls (the first one, with a 403 that is not about its words), or
   has answered none of the last `REFUSALS` calls in all their attempts, ends the run.
Everything that such a run has paid for is kept, and it can be resumed.
"""

import logging
import random
import re

from josh.errors import FatalError
from josh.models.chat import ContextError, ModelError, RetryableError

log = logging.getLogger("josh")

REFUSALS = 8
"""Number of calls after which an endpoint that has answered none counts as refusing all."""
_FIRST, _LONGEST = 0.5, 30.0
"""Seconds: the first pause is shorter than the one, and every pause is shorter than the other."""

_ABOUT_WORDS = re.compile(r"(?i)moderat|flagged|policy|policies|content|safety|guardrail|prompt")
"""Words of a 403 that refuses a single prompt, as some routers do."""


class Health:
    """The health of one endpoint.

    Attributes:
        served: whether it has answered a call.
    """

    def __init__(self, max_attempts: int, max_seconds: float) -> None:
        """Start without any call.

        Args:
            max_attempts: rounds of attempts to reach an endpoint that has never answered.
            max_seconds: seconds without an answer after which the run ends.
        """
        self.served = False
        self._max_attempts = max_attempts
        self._max_seconds = max_seconds
        self._refused = 0
        self._exhausted = 0
        self._warned = False
        self._down_since: float | None = None
        self._throttled_since: float | None = None
        self._last = 0.0
        self._rounds = 0

    def answered(self, endpoint: str) -> None:
        """Note an answer; forgets all failures."""
        if self._down_since is not None:
            log.warning("%s answers", endpoint)
        self.served = True
        self._exhausted = self._rounds = 0
        self._down_since = self._throttled_since = None

    def failed(self, error: RetryableError, begun: float, now: float) -> float:
        """Note an attempt that failed with a transient error.

        Args:
            error: the error.
            begun: start of the attempt, by the event loop's clock.
            now: the time now, by the same clock.

        Returns:
            Seconds in which no call should be sent to the endpoint.

        Raises:
            FatalError: the endpoint has not answered for too long.
        """
        if error.unreachable:
            return self._unreachable(error, begun, now)
        if not self.served and not self._warned and not error.throttled:
            self._warn(error)
        wait = error.wait or 0.0
        if error.throttled:
            self._throttled_since = begun if self._throttled_since is None else self._throttled_since
            since = now - self._throttled_since
            if wait <= self._max_seconds < since + wait:
                pause = f", and asks for a pause of {wait:.0f} seconds" if wait else ""
                raise FatalError(f"{error}; the endpoint has answered no call for {since:.0f} seconds{pause}")
        if wait > self._max_seconds:
            raise FatalError(
                f"{error}; the endpoint asks for a pause of {wait:.0f} seconds, longer than max_retry_seconds"
            )
        return wait

    def gave_up(self, error: ModelError, *, several: bool) -> None:
        """Note a call that failed for good.

        Args:
            error: its error.
            several: whether it asked for several replies, which may be why it was refused.

        Raises:
            FatalError: the endpoint fails all calls. A wrong key may give 400 or 403, too.
        """
        if isinstance(error, ContextError):
            return  # it is about the length of one conversation
        if isinstance(error, RetryableError):
            self._exhausted += 1
            if self._exhausted >= REFUSALS:
                raise FatalError(f"the endpoint answered none of {REFUSALS} calls in all their attempts: {error}")
        elif not several and not self.served:
            if error.status == 403 and not _ABOUT_WORDS.search(str(error)):
                raise FatalError(f"the endpoint refuses the key, or the key the model: {error}")
            self._refused += 1
            if self._refused >= REFUSALS:
                raise FatalError(f"the endpoint refused all of {REFUSALS} requests: {error}")

    def _unreachable(self, error: RetryableError, begun: float, now: float) -> float:
        if self._down_since is None:
            self._down_since = begun
            self._warn(error)
        if self._rounds and begun < self._last:
            return 0.0  # it was sent in the same round as the last failure
        self._rounds += 1
        self._last = now
        down = now - self._down_since
        if down >= self._max_seconds or (not self.served and self._rounds >= self._max_attempts):
            tries = "1 attempt" if self._rounds == 1 else f"{self._rounds} attempts"
            raise FatalError(f"{error}; gave up after {tries} in {down:.0f} seconds")
        return random.uniform(0.0, min(_LONGEST, _FIRST * 2.0 ** min(self._rounds - 1, 10)))

    def _warn(self, error: RetryableError) -> None:
        self._warned = True
        most = "" if self.served else f"{self._max_attempts} attempts and "
        log.warning("%s; trying again for up to %s%g seconds", error, most, self._max_seconds)
