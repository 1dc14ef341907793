"""When a run gives up on an endpoint. Times are given, so nothing waits."""

import asyncio

import pytest

from josh.dialogue import Usage
from josh.errors import FatalError
from josh.models.chat import Completion, ModelError, Request, RetryableError, Sampling
from josh.models.gateway import ModelGateway
from josh.models.health import REFUSALS, Health
from josh.roles import Reply

GONE = RetryableError("cannot connect", unreachable=True)


def words(caplog):
    """The warnings, without what the command line's log adds to the third of a kind."""
    return [text.partition(" (further")[0] for text in caplog.messages]


def busy(wait=None):
    return RetryableError("HTTP 429: slow down", 429, wait)


def test_an_endpoint_that_never_answered_is_given_up_after_so_many_rounds(caplog):
    health = Health(3, 300.0)
    assert [0.0 < health.failed(GONE, now, now) <= 0.5 * 2**turn for turn, now in enumerate((1.0, 2.0))] == [True, True]
    with pytest.raises(FatalError, match="cannot connect; gave up after 3 attempts in 2 seconds"):
        health.failed(GONE, 3.0, 3.0)
    assert words(caplog) == ["cannot connect; trying again for up to 3 attempts and 300 seconds"]


def test_calls_that_fail_together_are_one_round():
    health = Health(2, 300.0)
    pauses = [health.failed(GONE, 0.9, 1.0 + late / 10) for late in range(8)]
    assert pauses[0] > 0.0
    assert pauses[1:] == [0.0] * 7


def test_an_endpoint_that_answered_before_has_all_the_time_to_come_back(caplog):
    health = Health(2, 300.0)
    health.answered("here")
    for now in range(10, 300, 20):
        assert health.failed(GONE, now, now) <= 30.0
    health.answered("here")
    for now in range(300, 600, 20):
        health.failed(GONE, now, now)
    with pytest.raises(FatalError, match="in 300 seconds"):
        health.failed(GONE, 600, 600)
    warning = "cannot connect; trying again for up to 300 seconds"
    assert words(caplog) == [warning, "here answers", warning]


def test_an_endpoint_that_only_asks_for_pauses_is_given_up():
    health = Health(10, 300.0)
    assert health.failed(busy(250.0), 0.0, 1.0) == 250.0
    with pytest.raises(FatalError, match="answered no call for 251 seconds, and asks for a pause of 250 seconds"):
        health.failed(busy(250.0), 250.0, 251.0)
    health.answered("here")
    assert health.failed(busy(250.0), 252.0, 253.0) == 250.0


def test_an_endpoint_that_answers_no_call_in_all_attempts_is_given_up():
    health = Health(10, 300.0)
    health.answered("here")
    for _ in range(REFUSALS - 1):
        health.gave_up(RetryableError("HTTP 500: no", 500), several=False)
    health.answered("here")
    for _ in range(REFUSALS - 1):
        health.gave_up(RetryableError("HTTP 500: no", 500), several=False)
    with pytest.raises(FatalError, match="answered none of 8 calls in all their attempts: HTTP 500: no"):
        health.gave_up(RetryableError("HTTP 500: no", 500), several=False)


def test_an_endpoint_that_refuses_the_first_calls_is_given_up_and_a_later_refusal_is_about_its_call():
    health = Health(10, 300.0)
    for _ in range(99):
        health.gave_up(ModelError("HTTP 400: n has to be 1", 400), several=True)
    for _ in range(REFUSALS - 1):
        health.gave_up(ModelError("HTTP 400: no", 400), several=False)
    with pytest.raises(FatalError, match="refused all of 8 requests: HTTP 400: no"):
        health.gave_up(ModelError("HTTP 400: no", 400), several=False)
    health.answered("here")
    for _ in range(99):
        health.gave_up(ModelError("HTTP 400: no", 400), several=False)


def test_a_403_for_the_key_is_final_and_a_403_for_the_words_is_not():
    with pytest.raises(FatalError, match="refuses the key, or the key the model: HTTP 403: Forbidden"):
        Health(10, 300.0).gave_up(ModelError("HTTP 403: Forbidden", 403), several=False)
    Health(10, 300.0).gave_up(ModelError("HTTP 403: your input was flagged", 403), several=False)


def test_calls_wait_together_for_a_server_that_starts_late():
    class Late:
        name, endpoint, concurrency, tries = "late", "here", None, 0

        async def complete(self, request):
            self.tries += 1
            await asyncio.sleep(0.001)
            if self.tries <= 4:
                raise GONE
            return Completion((Reply("yes"),), Usage(prompt_tokens=1))

    async def asking():
        gateway, model = ModelGateway(4, max_attempts=2), Late()
        requests = [Request([], Sampling(), number) for number in range(4)]
        calls = [gateway.call(model, one, "agent", 0, lambda got: {}) for one in requests]
        return await asyncio.gather(*(call.entries() for call in calls)), model.tries, gateway.retries

    assert asyncio.run(asking()) == ([{}] * 4, 8, 4)
