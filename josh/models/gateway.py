"""A run's whole traffic with its chat models: journal, budget, limits, retries.

Every reply is in the journal before anybody uses it, so that no reply is paid for twice.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from josh.config import setting
from josh.errors import BudgetError, FatalError
from josh.models.chat import ChatModel, Completion, ModelError, Request, RetryableError
from josh.models.limiter import Limiter
from josh.roles import Reply
from josh.tree import NO_USAGE, Usage

log = logging.getLogger("josh")


class Key(NamedTuple):
    """Where in a run a reply belongs, and to what.

    Attributes:
        task: the task's id.
        path: see `Node.path`.
        depth: see `Node.depth`.
        speaker: whose turn it is.
        draw: which of the turn's draws, from 0.
        request: a hash of what is asked: run seed, model, temperature, messages, options, and for which siblings.
    """

    task: str
    path: str
    depth: int
    speaker: str
    draw: int
    request: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One reply as the journal keeps it.

    Attributes:
        reply: the reply.
        model: name of the model that gave it.
        seed: seed of the request that it came with.
        choice: which of that request's replies it is, from 0.
        usage: what that request cost; nothing for any choice but the first, so that sums are right.
    """

    reply: Reply
    model: str
    seed: int
    choice: int = 0
    usage: Usage = NO_USAGE


class Journal(Protocol):
    """Where answers are kept, for good."""

    def find(self, key: Key) -> JournalEntry | None:
        """The answer kept under a key, if any."""
        ...

    def keep(self, answers: Mapping[Key, JournalEntry], seconds: float) -> None:
        """Keep the answers to one request, all or none, before this returns.

        Args:
            answers: the answers by their keys.
            seconds: how long the endpoint took.
        """
        ...


class Price(NamedTuple):
    """US dollars per token."""

    prompt: float
    completion: float


def cost(usage: Usage, price: Price) -> float:
    """What some calls cost, in US dollars; discounts for cached prompts are not known, and not counted."""
    return usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend, over all its resumptions; None for no limit. Calls in flight are brought to their end.

    Attributes:
        calls: most calls; never exceeded by calls that are answered.
        tokens: tokens, prompts and replies together, after which no further call goes out.
        cost: US dollars after which no further call goes out; every model that is called needs a price.
        prices: what models cost, by name.
    """

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    prices: Mapping[str, Price] | None = None

    def spent(self, account: Mapping[tuple[str, str], Usage], in_flight: int) -> str:
        """Which limit is reached, in words; empty while there is none.

        Args:
            account: what was spent so far, by speaker and model.
            in_flight: calls that are about to be answered.
        """
        total = sum(account.values(), NO_USAGE)
        if self.calls is not None and total.calls + in_flight >= self.calls:
            return f"max_calls {self.calls}"
        if self.tokens is not None and total.prompt_tokens + total.completion_tokens >= self.tokens:
            return f"max_tokens_total {self.tokens}"
        if self.cost is not None:
            prices = self.prices or {}
            if sum(cost(usage, prices[model]) for (_, model), usage in account.items() if usage.calls) >= self.cost:
                return f"max_cost ${self.cost:g}"
        return ""


NO_BUDGET = Budget()

REFUSALS = 20
"""Requests that an endpoint refuses, and none served, after which it is taken at its word."""


class Clock(Protocol):
    """Measures a task's time, and is told how many of its calls wait for their turn, and how many have it."""

    def change(self, waiting: int = 0, flying: int = 0) -> None:
        """So many more, or fewer, calls wait or have their turn."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How models are asked: how often, for how long, and again after a failure."""

    max_concurrency: int = setting(
        16, "most model calls in flight per endpoint, and most tasks at a time", least=1, resumable=True
    )
    requests_per_minute: float | None = setting(
        None, "most model calls to begin per minute and endpoint", above=0, unit="calls", resumable=True
    )
    single_replies: bool = setting(False, "ask for every sibling's reply apart, instead of for several with n=2")
    timeout: float = setting(120.0, "seconds that one model call may take", above=0, unit="seconds", resumable=True)
    max_attempts: int = setting(10, "most times that a failing model call is made", least=1, resumable=True)
    max_retry_seconds: float = setting(
        300.0, "seconds in which a failing model call is made again", above=0, unit="seconds", resumable=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a run may spend."""

    max_calls: int | None = setting(
        None, "model calls after which the run stops; resume it with more", least=1, resumable=True
    )
    max_tokens_total: int | None = setting(
        None, "the same in tokens, prompts and replies together", least=1, resumable=True
    )
    max_cost: float | None = setting(None, "the same in US dollars", above=0, unit="US dollars", resumable=True)
    price: str | None = setting(
        None,
        "dollars per million tokens as MODEL=PROMPT/REPLY, several by commas (default: litellm's)",
        resumable=True,
    )


class ModelGateway:
    """Asks models on behalf of a run.

    Attributes:
        journal: where answers are kept; None keeps none.
        account: what was spent, by speaker and model name.
        uncounted: the speakers and models of calls whose endpoint did not say how many tokens they took.
        retries: calls that had to be repeated.
        alone: models, by endpoint and name, found to give one reply per request only.
        plug_ins: the limit on steps that wait for something by themselves, most likely for a model of their own.
    """

    def __init__(
        self,
        max_concurrency: int,
        *,
        per_minute: float | None = None,
        max_attempts: int = 10,
        max_retry_seconds: float = 300.0,
        budget: Budget = NO_BUDGET,
        journal: Journal | None = None,
    ) -> None:
        """Set the limits.

        Args:
            max_concurrency: most calls in flight per endpoint, at least 1; a model's own `at_once` goes before it.
            per_minute: most calls to begin per minute and endpoint.
            max_attempts: most times a request is sent.
            max_retry_seconds: seconds after its first failure in which a request is sent again; also the longest that
                an endpoint may ask to stay away.
            budget: what may be spent.
            journal: where answers are kept.
        """
        self.journal = journal
        self.account: dict[tuple[str, str], Usage] = {}
        self.uncounted: set[tuple[str, str]] = set()
        self.retries = 0
        self.alone: set[tuple[str, str]] = set()
        self.plug_ins = Limiter(max_concurrency, first=max_concurrency)
        self._limits = max_concurrency, per_minute
        self._max_attempts = max_attempts
        self._max_retry_seconds = max_retry_seconds
        self._budget = budget
        self._limiters: dict[str, Limiter] = {}
        self._running: set[Call] = set()
        self._sent = 0
        self._served: set[str] = set()
        self._refused: Counter[str] = Counter()
        self._fatal: FatalError | None = None

    @property
    def in_flight(self) -> int:
        """Calls in flight now, over all endpoints."""
        return self.plug_ins.in_flight + sum(limiter.in_flight for limiter in self._limiters.values())

    def limiter(self, endpoint: str, at_once: int | None = None) -> Limiter:
        """The limiter of an endpoint, whose window stands open from the start where the model says how far."""
        if endpoint not in self._limiters:
            most, per_minute = self._limits
            limiter = Limiter(at_once, per_minute, first=at_once) if at_once else Limiter(most, per_minute)
            self._limiters[endpoint] = limiter
        return self._limiters[endpoint]

    def call(
        self,
        model: ChatModel,
        request: Request,
        speaker: str,
        priority: Any,
        file: Callable[[Completion], Mapping[Key, JournalEntry]],
        clock: Clock | None = None,
    ) -> "Call":
        """Have a request answered and the answers journalled.

        The call goes on by itself: once it is sent it is brought to its end, whatever becomes of those who wait.

        Args:
            model: who is asked.
            request: what is asked.
            speaker: on whose account.
            priority: smaller ones go first.
            file: which answers the completion holds, and under which keys they belong.
            clock: the task's, if it has one.
        """
        call = Call(clock)
        call.start(self._answer(call, model, request, speaker, priority, file))
        self._running.add(call)
        call.task.add_done_callback(lambda _: self._ended(call))
        return call

    async def drain(self, seconds: float | None = None) -> bool:
        """Wait for the calls in flight, whose answers are paid for, and drop the others.

        Args:
            seconds: how long to wait at most.

        Returns:
            Whether all have come to their end.
        """
        flying = [call.task for call in self._running if call.in_flight]
        for call in self._running:
            if not call.in_flight:
                call.task.cancel()
        late = (await asyncio.wait(flying, timeout=seconds))[1] if flying else ()
        return not late

    async def aclose(self) -> None:
        """Drop all calls."""
        tasks = [call.task for call in self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, call: "Call") -> None:
        self._running.discard(call)
        if not call.task.cancelled():
            call.task.exception()  # seen, whether or not anybody still waits to be told

    async def _answer(
        self,
        call: "Call",
        model: ChatModel,
        request: Request,
        speaker: str,
        priority: Any,
        file: Callable[[Completion], Mapping[Key, JournalEntry]],
    ) -> Mapping[Key, JournalEntry]:
        completion, seconds = await self._ask(call, model, request, priority)
        answers = file(completion)
        if self.journal is not None:
            self.journal.keep(answers, seconds)
        who = speaker, model.name
        if not completion.usage.prompt_tokens:
            self.uncounted.add(who)
            if self._budget.tokens is not None or self._budget.cost is not None:
                raise FatalError(
                    f"{model.name} at {model.endpoint} does not say how many tokens a call takes; use max_calls, not "
                    "max_tokens_total or max_cost"
                )
        self.account[who] = sum((answer.usage for answer in answers.values()), self.account.get(who, NO_USAGE))
        return answers

    async def _ask(self, call: "Call", model: ChatModel, request: Request, priority: Any) -> tuple[Completion, float]:
        """Send a request until it is answered, within the limits of attempts and time."""
        try:
            return await self._send(call, model, request, priority)
        except RetryableError as error:
            first = [error]

        async def again() -> tuple[Completion, float]:
            # The failure that led here counts as the first attempt; tenacity costs too much to go through every call.
            if first:
                raise first.pop()
            return await self._send(call, model, request, priority)

        def spent(state: Any) -> bool:
            # Not the time that others had the endpoint, or that it asked for.
            return not call.wanted or call.seconds + state.idle_for >= self._max_retry_seconds

        from tenacity import AsyncRetrying, retry_if_exception_type

        attempts = AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            wait=_pause,
            stop=lambda state: state.attempt_number >= self._max_attempts or spent(state),
            before_sleep=self._count_retry,
            reraise=True,
        )
        return await attempts(again)

    async def _send(self, call: "Call", model: ChatModel, request: Request, priority: Any) -> tuple[Completion, float]:
        """One attempt, in a slot of its endpoint."""
        limiter, clock = self.limiter(model.endpoint, model.at_once), asyncio.get_running_loop().time
        async with call.turn(limiter, priority):
            if self._fatal is not None:
                # Those who waited would fail the same way, so none of them gets to try.
                raise self._fatal
            spent = self._budget.spent(self.account, self._sent)
            if spent:
                raise BudgetError(spent)
            call.in_flight = True
            self._sent += 1
            begun = clock()
            try:
                completion = await model.complete(request)
            except RetryableError as error:
                self._slow_down(model, limiter, error, begun)
                raise
            except FatalError as error:
                self._fatal = error
                raise
            except ModelError as error:
                self._count_refusal(model, error)
                raise
            finally:
                call.in_flight = False
                call.seconds += clock() - begun
                self._sent -= 1
            limiter.answered(begun)
            self._served.add(model.endpoint)
            return completion, clock() - begun

    def _count_refusal(self, model: ChatModel, error: ModelError) -> None:
        """Raise FatalError where an endpoint has refused everything so far: a wrong key may come as 400 or 403 too."""
        self._refused[model.endpoint] += 1
        if model.endpoint not in self._served and self._refused[model.endpoint] >= REFUSALS:
            self._fatal = FatalError(f"nothing but refusals, {REFUSALS} of them: {error}")
            raise self._fatal from None

    def _slow_down(self, model: ChatModel, limiter: Limiter, error: RetryableError, begun: float) -> None:
        if error.throttled:
            limiter.throttled(begun)
        if not error.wait:
            return
        if error.wait > self._max_retry_seconds:
            self._fatal = FatalError(f"{error}; it asks to come back in {error.wait:.0f} seconds")
            raise self._fatal from None
        limiter.pause(error.wait)
        if error.wait > 10:
            log.warning("%s asks to wait %.0f seconds", model.endpoint, error.wait)

    def _count_retry(self, state: Any) -> None:
        self.retries += 1
        log.info("%s; asking again", state.outcome.exception())


class Call:
    """One request on its way.

    Attributes:
        task: what brings the answers.
        in_flight: whether it is out now.
        dropped: whether it was given up because nobody waited for it any more.
        seconds: how long it was out so far, over all attempts.
    """

    __slots__ = ("_clock", "_waiters", "dropped", "in_flight", "seconds", "task")

    def __init__(self, clock: Clock | None = None) -> None:
        """Args: clock: the task's, if it has one."""
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
        change = self._clock.change if self._clock else _nothing
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

    def start(self, work: Coroutine[Any, Any, Mapping[Key, JournalEntry]]) -> None:
        """Set off."""
        self.task = asyncio.ensure_future(work)

    async def answers(self) -> Mapping[Key, JournalEntry]:
        """Wait for the answers. Raises what `ChatModel.complete` raises, and BudgetError."""
        self._waiters += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiters -= 1
            if not self._waiters and not self.in_flight and not self.task.done():
                self.dropped = True
                self.task.cancel()


def _nothing(waiting: int = 0, flying: int = 0) -> None:
    """What a clock that nobody keeps does."""


def _pause(state: Any) -> float:
    """Seconds before the next attempt: random and growing, up to 30; what an endpoint asks for, its limiter sees to."""
    from tenacity import wait_random_exponential

    error = state.outcome.exception()
    return 0.0 if error.wait else wait_random_exponential(multiplier=0.5, max=30)(state)


def refuses_several(error: ModelError) -> bool:
    """Whether a request for several replies at once may have failed for just that."""
    return error.status is not None and 400 <= error.status < 500 and not isinstance(error, RetryableError)
