"""The chat-model protocol, and the line that ties a model to one place in the tree."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from josh.driver import Place
from josh.messages import Message
from josh.roles import Reply
from josh.seeds import derive
from josh.tree import Usage


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered to one request: its replies, and what they cost."""

    replies: tuple[Reply, ...]
    usage: Usage


class ChatModel(Protocol):
    """Messages in, `n` replies out."""

    @property
    def name(self) -> str:
        """The name it is recorded under; two models of one run differ in it."""
        ...

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        temperature: float,
        seed: int,
        options: Mapping[str, Any],
        on_retry: Callable[[], None],
    ) -> Completion:
        """Ask for replies.

        Args:
            messages: the conversation as the model's speaker sees it.
            n: how many replies to draw.
            temperature: sampling temperature, 0 or more.
            seed: seed of this request; no two requests of a run share one.
            options: further fields of the chat-completions request.
            on_retry: called before every repetition of a failed call.

        Raises:
            FatalError: every further call would fail as well.
            Exception: this request failed for good.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


@dataclass(slots=True)
class Gate:
    """Counts and limits the calls in flight over a whole run.

    Attributes:
        limit: most calls in flight.
        in_flight: calls in flight now.
        calls: calls finished.
        retries: calls that had to be repeated.
    """

    limit: int
    in_flight: int = 0
    calls: int = 0
    retries: int = 0
    slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.slots = asyncio.Semaphore(self.limit)


@dataclass(slots=True)
class ModelLine:
    """A chat model as one turn sees it (`roles.Line`): every request's seed follows from the place in the tree."""

    model: ChatModel
    temperature: float
    place: Place
    gate: Gate
    run: tuple[object, ...]
    """What the seeds start from: the run's seed and the task's id."""

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
        async with gate.slots:
            gate.in_flight += 1
            try:
                completion = await self.model.complete(
                    messages,
                    n=1,
                    temperature=self.temperature,
                    seed=seed,
                    options=options,
                    on_retry=self._count_retry,
                )
            finally:
                gate.in_flight -= 1
                gate.calls += 1
                place.usage += Usage(calls=1)
        place.usage += completion.usage
        return completion.replies[0]

    def _count_retry(self) -> None:
        self.gate.retries += 1
        self.place.usage += Usage(retries=1)
