"""The one way from a run to its chat models.

The life of a request:

1. A turn asks. Its place in the tree gives the seed and the key of the reply (`turn_model.py`).
2. Find: where the journal has the reply already, nothing is sent (`reply_journal.py`).
3. Share: siblings that ask the same wait for one call for several replies, whose prompt is paid once. A model that
   gives one reply a request, whatever is asked, gets a call for each.
4. Slot: the call waits until its endpoint has room for it, elder tasks first (`limiter.py`, `call.py`).
5. Budget: what was spent, and what is in flight, is held against the limits (`budget.py`). Once a limit is reached
   nothing more is sent; what is in flight is paid for, and brought to its end.
6. Send: the model makes one attempt (`chat.py`).
7. Retry: what may pass is sent again (`retry.py`). An endpoint that asks to stay away gets nothing from anybody
   meanwhile. An error that will hit every call, and nothing but refusals, end the run.
8. Journal: the replies are on disk before anybody uses them, so that no reply is paid for twice.
9. Hand on: the call is on the account, and every turn that still waits gets its reply.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from josh.config import setting
from josh.dialogue import NO_USAGE, Usage
from josh.errors import BudgetError, FatalError
from josh.models.budget import NO_BUDGET, Budget
from josh.models.call import NO_CLOCK, Call, Clock
from josh.models.chat import ChatModel, Completion, ModelError, Request, RetryableError
from josh.models.limiter import Limiter
from josh.models.reply_journal import Journal, JournalEntry, ReplyKey
from josh.models.retry import until_answered

log = logging.getLogger("josh")

REFUSALS = 20
"""Requests that an endpoint refuses, while it has served none, after which it counts as refusing everything."""


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


class ModelGateway:
    """Asks models on behalf of a run.

    Attributes:
        journal: where answers are kept; None keeps none.
        account: what was spent, by speaker and model name.
        uncounted: the speakers and models of calls whose endpoint did not say how many tokens they took.
        retries: calls that had to be repeated.
        single_reply_only: models, by endpoint and name, found to give one reply per request only.
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
            max_concurrency: most calls in flight per endpoint, at least 1; a model's own `concurrency` goes before it.
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
        self.single_reply_only: set[tuple[str, str]] = set()
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

    def limiter(self, endpoint: str, concurrency: int | None = None) -> Limiter:
        """The limiter of an endpoint, whose window stands open from the start where the model says how far."""
        if endpoint not in self._limiters:
            most, per_minute = self._limits
            limiter = Limiter(concurrency, per_minute, first=concurrency) if concurrency else Limiter(most, per_minute)
            self._limiters[endpoint] = limiter
        return self._limiters[endpoint]

    def call(
        self,
        model: ChatModel,
        request: Request,
        speaker: str,
        priority: Any,
        file: Callable[[Completion], Mapping[ReplyKey, JournalEntry]],
        clock: Clock | None = None,
    ) -> Call:
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
        call = Call(clock or NO_CLOCK)
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

    def _ended(self, call: Call) -> None:
        self._running.discard(call)
        if not call.task.cancelled():
            call.task.exception()  # seen, whether or not anybody still waits to be told

    async def _answer(
        self,
        call: Call,
        model: ChatModel,
        request: Request,
        speaker: str,
        priority: Any,
        file: Callable[[Completion], Mapping[ReplyKey, JournalEntry]],
    ) -> Mapping[ReplyKey, JournalEntry]:
        completion, seconds = await self._ask(call, model, request, priority)
        entries = file(completion)
        if self.journal is not None:
            self.journal.keep(entries, seconds)
        who = speaker, model.name
        if not completion.usage.prompt_tokens:
            self.uncounted.add(who)
            if self._budget.tokens is not None or self._budget.cost is not None:
                raise FatalError(
                    f"{model.name} at {model.endpoint} does not say how many tokens a call takes; use max_calls, not "
                    "max_tokens_total or max_cost"
                )
        self.account[who] = sum((entry.usage for entry in entries.values()), self.account.get(who, NO_USAGE))
        return entries

    async def _ask(self, call: Call, model: ChatModel, request: Request, priority: Any) -> tuple[Completion, float]:
        """Send a request until it is answered, within the limits of attempts and time."""
        return await until_answered(
            lambda: self._send(call, model, request, priority),
            call,
            max_attempts=self._max_attempts,
            max_seconds=self._max_retry_seconds,
            failed=self._count_retry,
        )

    async def _send(self, call: Call, model: ChatModel, request: Request, priority: Any) -> tuple[Completion, float]:
        """One attempt, in a slot of its endpoint."""
        limiter, clock = self.limiter(model.endpoint, model.concurrency), asyncio.get_running_loop().time
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

    def _count_retry(self, error: str) -> None:
        self.retries += 1
        log.info("%s; asking again", error)
