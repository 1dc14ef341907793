"""Sends every request of a run to its chat model.

The life of a request:

1. Ask: a turn asks. Its place in the tree gives the seed and the key of the reply (`turn_model.py`).
2. Find: if the journal already has the reply, no request is sent (`reply_journal.py`).
3. Share: siblings with the same question wait for one call for several replies, so that the run pays for the prompt
   once. If a model gives only one reply per request, each sibling makes its own call.
4. Slot: the call waits until its endpoint has a free slot; calls of earlier tasks go first (`limiter.py`, `call.py`).
5. Budget: the gateway compares the usage so far, and the calls in flight, with the limits (`budget.py`). After a limit
   is reached it sends no further call; calls in flight finish, because they are paid for.
6. Send: the model makes one attempt (`chat.py`). A field that the endpoint refuses by name is left out (`lessons.py`).
7. Retry: a transient error leads to another attempt after a pause (`retry.py`). If an endpoint asks for a pause, all
   its calls wait. An error that every call would meet, or an endpoint that only refuses, ends the run.
8. Journal: the replies, and the cost of answers that cannot be used, are written to disk before any turn uses them, so
   that the run never pays twice for a reply.
9. Deliver: the call is added to the account, and every turn that waits gets its reply.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from josh.config import setting
from josh.dialogue import NO_USAGE, Usage
from josh.errors import BudgetError, FatalError
from josh.models.budget import NO_BUDGET, Budget
from josh.models.call import NO_CLOCK, Call, Clock
from josh.models.chat import ChatModel, Completion, Lesson, ModelError, Request, RetryableError
from josh.models.health import Health
from josh.models.lessons import (
    IDS,
    SEVERAL,
    SYSTEM,
    Lessons,
    adapted,
    hint,
    names_several,
    refused_field,
    refused_in_messages,
    without_ends,
)
from josh.models.limiter import Limiter
from josh.models.reply_journal import Journal, JournalEntry, Notes, ReplyKey
from josh.models.retry import until_answered

log = logging.getLogger("josh")

FAULTS = 4
"""Number of 5xx in a row after which a request for several replies is tried as single ones."""
SHARED, LETTERS = 10, 7
"""Number of requests for several replies after which the tokens are checked, and more letters per token than a text has
on average: English has 4 to 5, and half of the tokens would make it 8 to 10."""

INSTEAD = {
    SEVERAL: "siblings ask one by one",
    SYSTEM: "the system prompt is put before the first user message",
    "stop": "replies are cut there",
    IDS: "ids have nine letters and digits",
}
"""What the gateway does about a refused field, where it does not leave the field out or rename it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Limits on the model calls: rate, time and retries."""

    max_concurrency: int = setting(
        16, "most model calls in flight per endpoint, and most tasks at a time", least=1, resumable=True
    )
    requests_per_minute: float | None = setting(
        None, "most model calls to start per minute and endpoint", above=0, unit="calls", resumable=True
    )
    single_replies: bool = setting(
        False, "send a request for each sibling's reply, instead of one request for several (n=2)"
    )
    timeout: float = setting(120.0, "seconds that one model call may take", above=0, unit="seconds", resumable=True)
    max_attempts: int = setting(10, "most attempts of a model call that fails", least=1, resumable=True)
    max_retry_seconds: float = setting(
        300.0, "seconds in which a model call that fails is retried", above=0, unit="seconds", resumable=True
    )


class ModelGateway:
    """Sends a run's requests to its models: with a journal, a budget, limits and retries.

    Attributes:
        journal: stores the replies; None for no journal.
        account: the usage so far, by speaker and model name.
        uncounted: speaker and model name of calls for which the endpoint gave no number of tokens.
        retries: number of attempts after the first, over all calls.
        lessons: what the endpoints refuse; among them the models that give only one reply to a request for several.
        unusable: the usage of answers that could not be used, but were or may have been billed, by speaker and model
            name: bodies that are not chat completions, and calls that ended at the timeout.
        notes: stores the lessons and the unusable answers; None for nowhere.
        plug_ins: limits the steps that block a thread, which probably wait for a model of their own.
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
            max_concurrency: most calls in flight per endpoint, at least 1; a model's own `concurrency` overrides it.
            per_minute: most calls to start per minute and endpoint; None for no such limit.
            max_attempts: most attempts of a call, at least 1.
            max_retry_seconds: seconds in which a call that fails is retried; also the longest pause that an endpoint
                may ask for.
            budget: the limits of the run's spending.
            journal: stores the replies.
        """
        self.journal = journal
        self.account: dict[tuple[str, str], Usage] = {}
        self.uncounted: set[tuple[str, str]] = set()
        self.retries = 0
        self.unusable: dict[tuple[str, str], Usage] = {}
        self.lessons = Lessons()
        self.notes: Notes | None = None
        self.plug_ins = Limiter(max_concurrency, first=max_concurrency)
        self._limits = max_concurrency, per_minute
        self._max_attempts = max_attempts
        self._max_retry_seconds = max_retry_seconds
        self._budget = budget
        self._limiters: dict[str, Limiter] = {}
        self._running: set[Call] = set()
        self._sent = 0
        self._health: dict[str, Health] = {}
        self._shared: dict[str, tuple[int, int, int]] = {}
        self._gave_several: set[tuple[str, str]] = set()
        self._fatal: FatalError | None = None

    @property
    def in_flight(self) -> int:
        """Calls in flight now, over all endpoints."""
        return self.plug_ins.in_flight + sum(limiter.in_flight for limiter in self._limiters.values())

    def limiter(self, endpoint: str, concurrency: int | None = None) -> Limiter:
        """Returns the limiter of an endpoint; a model with a `concurrency` gets a full window from the start."""
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
        """Start a call: it sends the request and writes the replies to the journal.

        The call runs by itself: an attempt in flight finishes even if no turn waits for it any more.

        Args:
            model: the model.
            request: the request.
            speaker: the speaker whose account the call is on.
            priority: calls with a smaller one get a slot first.
            file: makes journal entries of the completion, each under its key.
            clock: the task's clock, if it has one.
        """
        call = Call(clock or NO_CLOCK)
        call.start(self._answer(call, model, request, speaker, priority, file))
        self._running.add(call)
        call.task.add_done_callback(lambda _: self._ended(call))
        return call

    async def drain(self, seconds: float | None = None) -> bool:
        """Wait for the calls in flight, because they are paid for, and cancel the others.

        Args:
            seconds: longest time to wait; None for no limit.

        Returns:
            Whether all calls in flight have finished.
        """
        in_flight = [call.task for call in self._running if call.in_flight]
        for call in self._running:
            if not call.in_flight:
                call.task.cancel()
        late = (await asyncio.wait(in_flight, timeout=seconds))[1] if in_flight else ()
        return not late

    async def aclose(self) -> None:
        """Cancel all calls."""
        tasks = [call.task for call in self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, call: Call) -> None:
        self._running.discard(call)
        if not call.task.cancelled():
            call.task.exception()  # retrieved, so that asyncio does not warn where no turn waits

    async def _answer(
        self,
        call: Call,
        model: ChatModel,
        request: Request,
        speaker: str,
        priority: Any,
        file: Callable[[Completion], Mapping[ReplyKey, JournalEntry]],
    ) -> Mapping[ReplyKey, JournalEntry]:
        completion, seconds = await self._ask(call, model, request, priority, speaker)
        entries = file(completion)
        if self.journal is not None:
            self.journal.keep(entries, seconds)
        who = speaker, model.name
        if len(completion.replies) > 1:
            self._check_tokens(model, completion)
        if not completion.usage.prompt_tokens:
            self.uncounted.add(who)
            if self._budget.tokens is not None or self._budget.cost is not None:
                raise FatalError(
                    f"{model.name} at {model.endpoint} does not say how many tokens a call takes; use max_calls, not "
                    "max_tokens_total or max_cost"
                )
        self.account[who] = sum((entry.usage for entry in entries.values()), self.account.get(who, NO_USAGE))
        return entries

    def _check_tokens(self, model: ChatModel, completion: Completion) -> None:
        """Warn once where the reported tokens cannot hold all replies of the requests, but only the first ones."""
        calls, letters, tokens = self._shared.get(model.name, (0, 0, 0))
        calls, tokens = calls + 1, tokens + completion.usage.completion_tokens
        letters += sum(len(reply.text) for reply in completion.replies)
        self._shared[model.name] = calls, letters, tokens
        if calls == SHARED and 0 < tokens * LETTERS < letters:
            log.warning(
                "%s at %s counts the tokens of the first of several replies only, so its tokens and cost are higher "
                "than reported; --single_replies counts all",
                model.name,
                model.endpoint,
            )

    async def _ask(
        self, call: Call, model: ChatModel, request: Request, priority: Any, speaker: str
    ) -> tuple[Completion, float]:
        """Send a request, and retry it within the limits of attempts and time."""
        try:
            return await until_answered(
                lambda: self._send(call, model, request, priority, speaker),
                call,
                max_attempts=self._max_attempts,
                max_seconds=self._max_retry_seconds,
                failed=self._count_retry,
            )
        except ModelError as error:
            if way := hint(error, speaker):
                error.args = (f"{error}; {way}",)
            try:
                self._health_of(model).gave_up(error, several=request.n > 1)
            except FatalError as fatal:
                self._fatal = fatal
                raise fatal from None
            raise

    async def _send(
        self, call: Call, model: ChatModel, request: Request, priority: Any, speaker: str
    ) -> tuple[Completion, float]:
        """Make one attempt, in a slot of the endpoint."""
        limiter, clock = self.limiter(model.endpoint, model.concurrency), asyncio.get_running_loop().time
        async with call.turn(limiter, priority):
            if self._fatal is not None:
                # Calls that waited for a slot would fail in the same way, so they are not sent.
                raise self._fatal
            spent = self._budget.spent(self.account, self._sent, self.unusable)
            if spent:
                raise BudgetError(spent)
            call.in_flight = True
            self._sent += 1
            begun = clock()
            try:
                completion = await self._taught(model, request)
            except RetryableError as error:
                self._note_unusable((speaker, model.name), error)
                self._doubt_several(call, model, request, error)
                try:
                    self._slow_down(model, limiter, error, begun)
                except FatalError as fatal:
                    self._fatal = fatal
                    raise fatal from None
                raise
            except FatalError as error:
                self._fatal = error
                raise
            finally:
                call.in_flight = False
                call.seconds += clock() - begun
                self._sent -= 1
            limiter.answered(begun)
            self._health_of(model).answered(model.endpoint)
            if len(completion.replies) > 1:
                self._gave_several.add((model.endpoint, model.name))
            return completion, clock() - begun

    def _note_unusable(self, who: tuple[str, str], error: ModelError) -> None:
        """Count an answer that cannot be used, but was or may have been billed."""
        if error.billed is None:
            return
        self.unusable[who] = self.unusable.get(who, NO_USAGE) + error.billed
        if self.notes is not None:
            self.notes.spoil(who, error.billed, str(error))

    async def _taught(self, model: ChatModel, request: Request) -> Completion:
        """Ask a model; a request with a field that the endpoint refuses by name is sent again without it."""
        while True:
            lessons = self.lessons.of(model.endpoint, model.name)
            sent = adapted(request, lessons) if lessons else request
            try:
                completion = await model.complete(sent)
            except ModelError as error:
                # Every round leaves out one more field of the request, so that the rounds come to an end.
                refused = refused_field(error, sent) or refused_in_messages(error, sent)
                if refused is None or refused.field == SEVERAL:
                    raise
                self.learn(Lesson(model.endpoint, model.name, *refused), str(error))
            else:
                if request.sampling.stop or "stop" in request.options:
                    completion = without_ends(completion, request)
                return replace(completion, lessons=lessons) if lessons else completion

    def learn(self, lesson: Lesson, why: str = "") -> None:
        """Keep what an endpoint refuses, for all later requests and sessions.

        Args:
            lesson: the refused field.
            why: the endpoint's refusal, which is shown in one line; empty to show nothing.
        """
        if not self.lessons.add(lesson):
            return  # another call in flight was refused for the same reason
        if self.notes is not None:
            self.notes.learn(lesson)
        if why:
            usual = f"it is sent as {lesson.instead}" if lesson.instead else "requests go without it"
            what = "a system message" if lesson.field == SYSTEM else repr(lesson.field)
            way = INSTEAD.get(lesson.field, usual)
            log.warning("%s; %s is refused, so %s from here on", why.rstrip("."), what, way)

    def _doubt_several(self, call: Call, model: ChatModel, request: Request, error: RetryableError) -> None:
        """Raises ModelError where a request for several replies may fail with 5xx because it asks for several."""
        if request.n == 1 or (error.status or 0) < 500 or (model.endpoint, model.name) in self._gave_several:
            return
        call.faults += 1
        if names_several(error) or call.faults >= min(FAULTS, self._max_attempts):
            raise ModelError(str(error), error.status) from None

    def _health_of(self, model: ChatModel) -> Health:
        if model.endpoint not in self._health:
            self._health[model.endpoint] = Health(self._max_attempts, self._max_retry_seconds)
        return self._health[model.endpoint]

    def _slow_down(self, model: ChatModel, limiter: Limiter, error: RetryableError, begun: float) -> None:
        """Pause the endpoint's calls as an error demands. Raises FatalError where it has not answered for too long."""
        if error.throttled or error.late:
            limiter.throttled(begun)
        wait = self._health_of(model).failed(error, begun, asyncio.get_running_loop().time())
        if not wait:
            return
        limiter.pause(wait)
        if error.wait and wait > 10:
            log.warning("%s asks for a pause of %.0f seconds", model.endpoint, wait)

    def _count_retry(self, error: str) -> None:
        self.retries += 1
        log.info("%s; retrying", error)
