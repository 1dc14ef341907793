"""The chat-model protocol, and the line that ties a model to one place in the tree."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any, Protocol

from josh.driver import Place
from josh.errors import FatalError
from josh.messages import Message
from josh.roles import Reply
from josh.seeds import derive
from josh.tree import Usage


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered to one request: its replies, and what they cost."""

    replies: tuple[Reply, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked.

    Attributes:
        messages: the conversation as the model's speaker sees it.
        temperature: sampling temperature, 0 or more.
        seed: seed of this request; no two requests of a run share one.
        n: how many replies to draw.
        options: further fields of the chat-completions request, such as `tools`, `stop` or `max_tokens`.
    """

    messages: Sequence[Message]
    temperature: float
    seed: int
    n: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


class ChatModel(Protocol):
    """Messages in, `n` replies out."""

    @property
    def name(self) -> str:
        """The name it is recorded under; two models of one run differ in it."""
        ...

    async def complete(self, request: Request, on_retry: Callable[[], None]) -> Completion:
        """Answer a request.

        Args:
            request: what is asked.
            on_retry: called before every repetition of a failed call.

        Raises:
            FatalError: every further call would fail as well.
            Exception: this request failed for good.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class Gate:
    """Counts and limits the calls in flight over a whole run; elder tasks go first, so that tasks finish one by one.

    Attributes:
        in_flight: calls in flight now.
        calls: calls made.
        retries: calls that had to be repeated.
    """

    def __init__(self, limit: int) -> None:
        """Args: limit: most calls in flight, at least 1."""
        self.in_flight = 0
        self.calls = 0
        self.retries = 0
        self._limit = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self._fatal: FatalError | None = None

    @asynccontextmanager
    async def slot(self, priority: int) -> AsyncIterator[None]:
        """Wait for a place and hold it; smaller priorities go first, equals in order of arrival."""
        if self.in_flight < self._limit:
            self.in_flight += 1
        else:
            turn = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (priority, next(self._arrivals), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._hand_on()
                raise
        try:
            if self._fatal is not None:
                raise self._fatal
            self.calls += 1
            yield
        except FatalError as error:
            # Those who wait would fail the same way, so none of them gets to try.
            self._fatal = error
            raise
        finally:
            self._hand_on()

    def _hand_on(self) -> None:
        """Give a place that is no longer needed to the first who waits and has not been cancelled."""
        while self._waiting:
            *_, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self.in_flight -= 1


@dataclass(slots=True)
class ModelLine:
    """A chat model as one turn sees it (`roles.Line`): every request's seed follows from the place in the tree."""

    model: ChatModel
    temperature: float
    place: Place
    gate: Gate
    run: tuple[object, ...]
    """What the seeds start from: the run's seed and the task's id."""
    priority: int = 0
    """Place of the task in the run; elder tasks are served first."""

    def draw(self) -> int:
        """The next seed of this turn."""
        place = self.place
        seed = derive(*self.run, place.path, place.depth, place.speaker, place.draws)
        place.draws += 1
        if place.seed is None:
            place.seed, place.model = seed, self.model.name
        return seed

    async def reply(self, messages: Sequence[Message], **options: Any) -> Reply:
        """Ask for one reply; see `roles.Line.reply`."""
        seed, gate, place = self.draw(), self.gate, self.place
        async with gate.slot(self.priority):
            place.usage += Usage(calls=1)
            request = Request(messages, self.temperature, seed, options=options)
            completion = await self.model.complete(request, self._count_retry)
        place.usage += completion.usage
        return completion.replies[0]

    def _count_retry(self) -> None:
        self.gate.retries += 1
