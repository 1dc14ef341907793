"""When a request that failed is sent again.

A `RetryableError` may pass: the endpoint is busy, cannot be reached, or sent what cannot be read. The request is then
sent again after a random and growing pause, until it is answered, has been sent often enough, or has taken long enough.
Every other error is final.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from josh.models.call import Call
from josh.models.chat import Completion, ModelError, RetryableError

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
        call: the call; once nobody waits for it, it is not sent again.
        max_attempts: most attempts, at least 1.
        max_seconds: seconds in which it is sent again: those that it was out or paused, and not those that it waited
            for a slot.
        failed: gets what went wrong, before every further attempt.

    Raises:
        RetryableError: of the last attempt.
        ModelError: the endpoint refuses the request.
    """
    try:
        return await send()
    except RetryableError as error:
        first = [error]

    async def again() -> Sent:
        # The failure that led here counts as the first attempt; tenacity costs too much to go through every call.
        if first:
            raise first.pop()
        return await send()

    def spent(state: Any) -> bool:
        # Neither the time that others had the endpoint nor the time that it asked for counts.
        return not call.wanted or call.seconds + state.idle_for >= max_seconds

    from tenacity import AsyncRetrying, retry_if_exception_type

    attempts = AsyncRetrying(
        retry=retry_if_exception_type(RetryableError),
        wait=_pause,
        stop=lambda state: state.attempt_number >= max_attempts or spent(state),
        before_sleep=lambda state: failed(str(state.outcome and state.outcome.exception())),
        reraise=True,
    )
    return await attempts(again)


def _pause(state: Any) -> float:
    """Seconds before the next attempt: random and growing, up to 30; the limiter keeps what an endpoint asks for."""
    from tenacity import wait_random_exponential

    error = state.outcome.exception()
    return 0.0 if error.wait else wait_random_exponential(multiplier=0.5, max=30)(state)


def refuses_several(error: ModelError) -> bool:
    """Whether a request for several replies at once may have failed for just that."""
    return error.status is not None and 400 <= error.status < 500 and not isinstance(error, RetryableError)
