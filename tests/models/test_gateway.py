"""How requests reach their models: retries, limits, budgets, sharing, the journal."""

import asyncio
from collections import Counter

import pytest
from faulty_server import KINDS, BusyServer, FaultyServer

from josh.branch import TurnContext
from josh.dialogue import Speaker, Usage
from josh.errors import BudgetError, FatalError
from josh.models.budget import Budget, Price
from josh.models.chat import Completion, ModelError, Request, RetryableError, Sampling
from josh.models.gateway import ModelGateway
from josh.models.openai_chat import OpenAIChat
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.models.turn_model import BoundModel
from josh.roles import Reply
from josh.runs.record.journal import Replies
from josh.testing import ScriptedModel

HELLO = [{"role": "user", "content": "hello there"}]


def model_at(url, **options):
    return OpenAIChat("tiny", url, environment={}, **options)


def filed(key="a"):
    """File a completion's first reply."""
    where = ReplyKey("task", "", 1, "agent", 0, str(key))
    return lambda got: {where: JournalEntry(got.replies[0], "tiny", 1, 0, Usage(calls=1) + got.usage)}


def ask(model, times=1, gateway=None, seconds=30.0, **limits):
    """Ask so many times at once; what came of each."""

    async def asking():
        calls = [
            gateway.call(model, Request(HELLO, Sampling(), 1 + number), "agent", number, filed(number))
            for number in range(times)
        ]
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.gather(*(call.entries() for call in calls), return_exceptions=True)
        finally:
            await gateway.aclose()
            await model.aclose()

    gateway = gateway or ModelGateway(64, **limits)
    answers = asyncio.run(asking())
    return [next(iter(one.values())).reply.text if isinstance(one, dict) else one for one in answers], gateway


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_pass_is_asked_again(endpoint, kind):
    url, server = endpoint(FaultyServer, rates={kind: 0.5})
    texts, gateway = ask(model_at(url, timeout=0.3 if kind == "hang" else 30.0), times=4, max_attempts=12)
    assert texts == [f"reply to 1 messages, seed {1 + number}" for number in range(4)]
    assert gateway.retries == sum(server.struck.values()) > 0
    assert server.served == 4


def test_asking_again_ends_at_the_limit_of_attempts(endpoint):
    url, server = endpoint()
    server.faults = [500] * 9
    (error,), _ = ask(model_at(url), max_attempts=3)
    assert isinstance(error, ModelError)
    assert "HTTP 500" in str(error)
    assert len(server.requests) == 3


def test_asking_again_ends_at_the_limit_of_time(endpoint):
    url, server = endpoint(latency=0.05)
    server.faults = [500] * 99
    (error,), _ = ask(model_at(url), max_attempts=99, max_retry_seconds=2.0)
    assert isinstance(error, RetryableError)
    assert 1 < len(server.requests) < 40


def test_a_refusal_is_not_repeated(endpoint):
    url, server = endpoint()
    server.faults = [400] * 9
    (error,), _ = ask(model_at(url))
    assert (type(error), error.status) == (ModelError, 400)
    assert len(server.requests) == 1


def test_after_a_fatal_error_nobody_who_waits_gets_to_try(endpoint):
    url, server = endpoint(latency=0.05)
    server.faults = [401] * 99
    errors, _ = ask(model_at(url), times=50)
    assert all(isinstance(error, FatalError) for error in errors)
    assert len(server.requests) <= 4


def test_an_endpoint_that_asks_for_a_pause_gets_it_from_all_calls(endpoint):
    arrived = []
    url, server = endpoint(respond=lambda body: arrived.append(asyncio.get_running_loop().time()) or "yes")
    server.faults = [(429, {}, {"Retry-After": "0.4"})]
    texts, _ = ask(model_at(url), times=20)
    assert texts == ["yes"] * 20
    # The first of four was refused; the other three were under way, and everybody else came after the pause.
    assert len(server.requests) == 21
    assert all(at - arrived[0] >= 0.35 for at in arrived[3:])


def test_no_answer_in_time_halves_the_calls_in_flight_and_names_the_flags(endpoint):
    url, _ = endpoint(latency=1.0)
    errors, gateway = ask(model_at(url, timeout=0.1), times=4, max_attempts=1)
    way = "try a longer --timeout, or a smaller --max_concurrency"
    assert {str(error) for error in errors} == {f"tiny at {url}: no reply within 0.1 seconds; {way}"}
    assert gateway.limiter(url).window == 2


def test_an_endpoint_that_asks_for_more_than_there_is_ends_the_run(endpoint):
    url, server = endpoint()
    server.faults = [(429, {"error": {"message": "daily limit"}}, {"Retry-After": "7200"})] * 9
    (error,), _ = ask(model_at(url))
    assert isinstance(error, FatalError)
    assert "the endpoint asks for a pause of 7200 seconds" in str(error)


@pytest.mark.parametrize("retry_after", [None, "0.05"])
def test_the_number_of_calls_in_flight_settles_where_the_endpoint_bears_it(endpoint, retry_after):
    url, server = endpoint(BusyServer, capacity=6, latency=0.01, retry_after=retry_after)
    texts, gateway = ask(model_at(url), times=400, max_attempts=30)
    assert Counter(map(type, texts)) == {str: 400}
    assert server.refused < 200
    assert 1 <= gateway.limiter(url).window < 16


def test_every_endpoint_has_a_limit_of_its_own(endpoint):
    (one, first), (two, second) = endpoint(latency=0.05), endpoint(latency=0.05)

    async def asking():
        gateway = ModelGateway(3)
        models = [model_at(one), OpenAIChat("other", one, environment={}), model_at(two)]
        calls = [
            gateway.call(model, Request(HELLO, Sampling(), number), "agent", 0, filed((model.name, number)))
            for number in range(6)
            for model in models
        ]
        await asyncio.gather(*(call.entries() for call in calls))
        for model in models:
            await model.aclose()

    asyncio.run(asking())
    assert (first.peak_concurrency, second.peak_concurrency) == (3, 3)


def test_a_budget_of_calls_is_kept_to_the_call():
    for limit in (1, 5, 9):
        model = ScriptedModel(["yes"], "tiny", latency=0.01)
        texts, gateway = ask(model, times=20, budget=Budget(calls=limit))
        assert len(model.requests) == limit == texts.count("yes")
        assert sum(isinstance(one, BudgetError) for one in texts) == 20 - limit
        assert gateway.account == {("agent", "tiny"): Usage(limit, 2 * limit, limit)}


def test_a_budget_of_tokens_or_dollars_lets_no_further_call_out():
    model = ScriptedModel(["yes"], "tiny")
    texts, _ = ask(model, times=20, gateway=ModelGateway(1, budget=Budget(tokens=10)))
    assert (texts.count("yes"), str(texts[-1])) == (4, "max_tokens_total 10")
    model = ScriptedModel(["yes"], "tiny")
    prices = {"tiny": Price(0.01, 0.10)}
    texts, _ = ask(model, times=20, gateway=ModelGateway(1, budget=Budget(cost=0.36, prices=prices)))
    assert (texts.count("yes"), str(texts[-1])) == (3, "max_cost $0.36")


def test_a_call_that_failed_costs_nothing_of_the_budget(endpoint):
    url, server = endpoint()
    server.faults = [400, 400]
    texts, gateway = ask(model_at(url), times=5, gateway=ModelGateway(1, budget=Budget(calls=3)))
    assert [type(one) for one in texts] == [ModelError] * 2 + [str] * 3
    assert gateway.account["agent", "tiny"].calls == 3


def test_a_call_that_is_sent_comes_to_its_end_though_nobody_waits_any_more(tmp_path):
    async def asking():
        model, journal = ScriptedModel(["yes"], latency=0.05), Replies(tmp_path)
        gateway = ModelGateway(1, journal=journal)
        calls = [gateway.call(model, Request(HELLO, Sampling(), 1), "agent", 0, filed(name)) for name in "ab"]
        waiting = [asyncio.ensure_future(call.entries()) for call in calls]
        await asyncio.sleep(0.02)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert [(call.in_flight, call.dropped) for call in calls] == [(True, False), (False, True)]
        await gateway.drain()
        kept = [journal.find(ReplyKey("task", "", 1, "agent", 0, name)) for name in "ab"]
        journal.close()
        return model.requests, kept

    requests, kept = asyncio.run(asking())
    assert len(requests) == 1
    assert kept[0].reply.text == "yes"
    assert kept[1] is None


class Counting:
    """A model that answers every request with its seed, several replies at a time if it can."""

    def __init__(self, several=True, refuses=False):
        self.name, self.endpoint, self.concurrency = "counting", "here", None
        self.requests = []
        self._several = several
        self._refuses = refuses

    async def complete(self, request):
        self.requests.append(request)
        await asyncio.sleep(0)
        if request.n > 1 and self._refuses:
            raise ModelError("n has to be 1", 400)
        count = request.n if self._several else 1
        replies = tuple(Reply(f"{request.seed}/{choice}") for choice in range(count))
        return Completion(replies, Usage(prompt_tokens=7, completion_tokens=3 * count))


def family(model, gateway, paths=("0", "1"), order=None, words=("hi", "hi"), share=True, depth=1):
    """Have fresh siblings ask, in any order; their replies and places."""
    common = {}
    places = [TurnContext(path, depth, Speaker.AGENT, siblings=paths, common=common) for path in paths]
    lines = [BoundModel(model, Sampling(), place, gateway, 4, "task", share=share) for place in places]

    async def asking():
        replies = {}

        async def one(number):
            replies[number] = await lines[number].reply([{"role": "user", "content": words[number]}])

        await asyncio.gather(*map(one, order or range(len(paths))))
        return [replies[number].text for number in range(len(paths))]

    return asyncio.run(asking()), [(place.seed, place.choice, place.usage) for place in places]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_fresh_siblings_share_a_request_and_its_prompt_is_paid_once(order, tmp_path):
    model, journal = Counting(), Replies(tmp_path)
    texts, places = family(model, ModelGateway(8, journal=journal), order=order)
    (request,) = model.requests
    assert request.n == 2
    assert texts == [f"{request.seed}/0", f"{request.seed}/1"]
    assert places == [(request.seed, 0, Usage(1, 7, 6)), (request.seed, 1, Usage())]
    assert family(Counting(), ModelGateway(8, journal=journal)) == (texts, places)
    journal.close()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("able", [{"several": False}, {"refuses": True}])
def test_a_model_that_gives_one_reply_at_a_time_is_found_out_and_remembered(order, able, tmp_path):
    alone, _ = family(Counting(), ModelGateway(8), share=False)
    model, gateway, journal = Counting(**able), ModelGateway(8), Replies(tmp_path)
    gateway.journal = journal
    texts, places = family(model, gateway, order=order)
    assert texts == alone
    assert [usage for _, _, usage in places] == [Usage(1, 7, 3)] * 2
    assert len({seed for seed, _, _ in places}) == 2
    before = len(model.requests)
    family(model, gateway, depth=3)
    assert [request.n for request in model.requests[before:]] == [1, 1]
    assert family(Counting(), ModelGateway(8, journal=journal)) == (texts, places)
    journal.close()


def test_a_refusal_of_the_words_is_no_refusal_of_several_replies():
    class Prude(Counting):
        async def complete(self, request):
            if request.messages[0]["content"] == "bad":
                raise ModelError("not these words", 400)
            return await super().complete(request)

    model, gateway = Prude(), ModelGateway(8)
    with pytest.raises(ModelError, match="not these words"):
        family(model, gateway, words=("bad", "bad"))
    family(model, gateway)
    assert [request.n for request in model.requests] == [2]


def test_siblings_that_ask_different_things_get_each_their_own():
    model = Counting()
    texts, _ = family(model, ModelGateway(8), words=("left", "right"))
    asked = {request.messages[0]["content"] for request in model.requests}
    assert asked == {"left", "right"}
    assert texts[0].endswith("/0")
    assert texts[1].endswith("/1")


def test_a_question_that_changed_is_asked_anew_and_the_old_reply_kept(tmp_path):
    journal = Replies(tmp_path)

    def reply(model, words):
        async def asking():
            line = BoundModel(
                model, Sampling(), TurnContext("", 1, Speaker.USER), ModelGateway(1, journal=journal), 4, "task"
            )
            return (await line.reply([{"role": "user", "content": words}])).text

        return asyncio.run(asking())

    model = ScriptedModel(["first", "second", "third"])
    assert [reply(model, words) for words in ("a", "b", "a", "b")] == ["first", "second", "first", "second"]
    assert len(journal) == 2
    journal.close()


def test_a_model_that_says_how_much_it_takes_gets_that_from_the_start():
    class Hungry(ScriptedModel):
        concurrency = 12
        most = 0

        async def complete(self, request):
            self.most = max(self.most, gateway.in_flight)
            await asyncio.sleep(0.01)
            return await super().complete(request)

    gateway, model = ModelGateway(3), Hungry(["yes"])
    texts, _ = ask(model, times=30, gateway=gateway)
    assert texts == ["yes"] * 30
    assert model.most == 12
