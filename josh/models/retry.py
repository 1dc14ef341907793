"""Retries of a request that failed.

A `RetryableError` is transient: the endpoint is busy, cannot be reached, or sent a body that cannot be parsed. The
request is then retried after a random and growing pause, until it is answered, or until it has used up its attempts or
its time. Every other error is final. An endpoint that cannot be reached uses up nothing of a request: all its requests
wait for it together (`health.py`).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from josh.models.call import Call
from josh.models.chat import Completion, ContextError, ModelError, RetryableError

Sent = tuple[Completion, float]
"""A completion, and the seconds that it took."""


async def until_answered(
    send: Callable[[], Awaitable[Sent]],
    call: Call,
    *,
    max_attempts: int,
    max_seconds: float,
    failed: Callable[[str], None],
) -> Sent:
    """Send a request until it is answered.

    Args:
        send: makes one attempt.
        call: the call; it is not retried when no turn waits for it.
        max_attempts: most attempts, at least 1.
        max_seconds: seconds in which it is retried: the time in flight and in pauses, without the time it waited for a
            slot.
        failed: called with the error's text before every further attempt.

    Raises:
        RetryableError: the error of the last attempt.
        ModelError: the endpoint refused the request.
    """
    unreachable = 0

    async def attempt() -> Sent:
        nonlocal unreachable
        try:
            return await send()
        except RetryableError as error:
            unreachable += error.unreachable
            raise

    try:
        return await attempt()
    except RetryableError as error:
        first = [error]

    async def retry() -> Sent:
        # The first failure counts as the first attempt: tenacity is too slow to run every call through it.
        if first:
            raise first.pop()
        return await attempt()

    def spent(state: Any) -> bool:
        # The time in which the call waited for a slot, or for a pause that the endpoint asked for, does not count.
        return not call.wanted or call.seconds + state.idle_for >= max_seconds

    from tenacity import AsyncRetrying, retry_if_exception_type

    attempts = AsyncRetrying(
        retry=retry_if_exception_type(RetryableError),
        wait=_pause,
        stop=lambda state: state.attempt_number - unreachable >= max_attempts or spent(state),
        before_sleep=lambda state: failed(str(state.outcome and state.outcome.exception())),
        reraise=True,
    )
    return await attempts(retry)


def _pause(state: Any) -> float:
    """Returns the seconds before the next attempt: random and growing, up to 30.

    It is 0 where the endpoint asks for a pause or cannot be reached, because the limiter makes that pause.
    """
    from tenacity import wait_random_exponential

    error = state.outcome.exception()
    return 0.0 if error.wait or error.unreachable else wait_random_exponential(multiplier=0.5, max=30)(state)


def refuses_several(error: ModelError) -> bool:
    """Returns whether a request may have failed because it asks for several replies."""
    return error.status is not None and not isinstance(error, RetryableError | ContextError)
