"""Asks the models of a probe. Every reply is in the probe's journal before it is used, so a resumed probe pays once.

Both models get the same requests with the same seeds: a seed follows from the probe's seed, the question and the turn,
and not from the model. So two equal models give equal replies.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from josh.branch import TurnContext
from josh.episode import first_of
from josh.errors import BudgetError, UsageError
from josh.messages import Message
from josh.models.chat import ChatModel, ContextError, ModelError, Sampling
from josh.models.gateway import ModelGateway
from josh.models.hf_loading import is_local
from josh.models.turn_model import BoundModel
from josh.reading import cut_reason, without_thoughts
from josh.redact import redactor
from josh.roles import Reply
from josh.runs.play.model_factory import ModelFactory
from josh.runs.play.run import hand_over_journal
from josh.runs.probe.settings import BASELINE, JUDGE, MODEL, PROBE, ProbeSettings
from josh.runs.record.journal import Replies
from josh.runs.record.prices import budget_of, prices_of, read_prices
from josh.runs.record.summary import bill
from josh.runs.settings import environment
from josh.seeds import derive

SPEAKERS: Final = {MODEL: "agent", BASELINE: BASELINE, JUDGE: JUDGE}
"""The speaker of each side in the journal and in error messages, which name flags by it."""


class CannotLoadError(UsageError):
    """A model of this machine is there, but cannot be loaded."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands in a probe. Its seed and its key in the journal follow from it.

    Attributes:
        task: the item or question.
        path: tells requests about one turn apart, such as the two orders of a comparison.
        depth: the turn, from 0.
        order: requests with a smaller number are sent first.
    """

    task: str
    path: str = "0"
    depth: int = 0
    order: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a request.

    Attributes:
        text: the reply's text without thoughts.
        reply: the reply as it came; None where none came.
        error: why none came; empty where one did.
        too_long: whether none came because the conversation does not fit into the model's context.
    """

    text: str = ""
    reply: Reply | None = None
    error: str = ""
    too_long: bool = False

    @property
    def cut(self) -> bool:
        """Whether the reply was cut off at its limit of tokens, or by a filter."""
        return self.reply is not None and bool(cut_reason(self.reply.finish_reason))


@dataclass(slots=True)
class _Paired(BoundModel):
    """A model whose seeds do not depend on the side, so that both sides draw alike."""

    def _seed(self, path: str, draw: int) -> int:
        return derive(self.seed, self.task, path, self.context.depth, "reply", draw)


class Asker:
    """The models of a probe and the gateway to them.

    Attributes:
        stopped: the budget limit that was reached, such as `max_calls 100`; empty for none.
        gateway: sends the requests.
        asked: number of requests that have been answered or have failed.
    """

    def __init__(self, settings: ProbeSettings, *, recorded: bool = False) -> None:
        """Set the models up; those of this machine are looked for, and loaded when they are asked.

        Args:
            settings: the probe's settings.
            recorded: take every reply from the journal, and none from a model.

        Raises:
            UsageError: a model, a key or a price is missing or wrong.
        """
        self.stopped = ""
        self.asked = 0
        self._settings = settings
        self._redact = redactor(environment(), PROBE.flat(settings))
        traffic = settings.traffic
        self._recorded = recorded
        self._factory = ModelFactory(settings.local, traffic.timeout, rehearsed=True, recorded=recorded)
        sides = [side for side in SPEAKERS if settings.side(side).model]
        self._models = {side: self._made(self._factory, side) for side in sides}
        self._prices = prices_of(self._models.values(), read_prices(settings.spending.price))
        self.gateway = ModelGateway(
            traffic.max_concurrency,
            per_minute=traffic.requests_per_minute,
            max_attempts=traffic.max_attempts,
            max_retry_seconds=traffic.max_retry_seconds,
            budget=budget_of(settings.spending, self._prices),
        )

    @property
    def announced(self) -> list[str]:
        """Where requests and keys go, one line for each model that does not go to the plain default."""
        return self._factory.announced(keyless=False)

    @property
    def prices(self) -> dict[str, Any]:
        """The price of each model by its name; None where it is unknown."""
        return dict(self._prices)

    @property
    def paid(self) -> bool:
        """Whether a model of another machine was asked."""
        asked = {*self.gateway.account, *self.gateway.unusable}
        return any(not is_local(name) for _, name in asked)

    def use(self, replies: Replies) -> None:
        """Take replies from a journal, and store new ones there."""
        hand_over_journal(self.gateway, replies)

    @asynccontextmanager
    async def opened(self, side: str) -> AsyncIterator[ChatModel]:
        """Give the model of a side; one of this machine is in memory only inside. Raises CannotLoadError."""
        if self._recorded or not is_local(str(self._settings.side(side).model)):
            yield self._models[side]
            return
        try:
            model = self._made(ModelFactory(self._settings.local, self._settings.traffic.timeout), side)
        except UsageError as error:
            raise CannotLoadError(str(error)) from None
        try:
            yield model
        finally:
            await model.aclose()

    async def ask(
        self,
        side: str,
        model: ChatModel,
        place: Place,
        messages: Sequence[Message],
        *,
        temperature: float | None,
        max_tokens: int | None,
        as_the_model: bool = False,
        **options: Any,
    ) -> Said:
        """Ask a model once.

        Args:
            side: `MODEL`, `BASELINE` or `JUDGE`.
            model: its model, from `opened`.
            place: where the request stands.
            messages: the conversation.
            temperature: the sampling temperature; None for the side's own setting.
            max_tokens: most tokens of the reply, unless the side's own setting says so; None for the model's limit.
            as_the_model: sample from the model's own distribution, not as the side's settings say, and keep the tokens
                of the reply; for models of this machine.
            options: further fields of the request.

        Raises:
            FatalError: it is useless to go on.
        """
        sampling = self._settings.side(side).sampling
        template: dict[str, Any] = {
            "chat_template": sampling.chat_template,
            "chat_template_kwargs": sampling.chat_template_kwargs,
        }
        temperature = sampling.temperature if temperature is None else temperature
        if as_the_model:
            sampling = Sampling(temperature=temperature, max_tokens=max_tokens, **template)
        else:
            sampling = replace(sampling, temperature=temperature, max_tokens=sampling.max_tokens or max_tokens)
        context = TurnContext(place.path, place.depth, SPEAKERS[side])
        seed, priority = self._settings.seed, (place.order,)
        bound = _Paired(
            model,
            sampling,
            context,
            self.gateway,
            seed,
            place.task,
            priority,
            share=False,
            keep_samples=as_the_model and not options,
        )
        try:
            reply = await bound.reply(messages, **options)
        except BudgetError as error:
            self.stopped = str(error)
            return Said(error=str(error))
        except ContextError as error:
            return Said(error=self._redact(str(error)), too_long=True)
        except ModelError as error:
            return Said(error=self._redact(str(error)))
        finally:
            self.asked += 1
        return Said(without_thoughts(reply.text), reply)

    def bill(self) -> dict[str, Any]:
        """Returns the cost so far by side, in calls, tokens and US dollars, as `summary.json` of a run has it."""
        gateway = self.gateway
        found = bill(gateway.account, self._prices, gateway.uncounted, gateway.unusable)
        sides = {speaker: side for side, speaker in SPEAKERS.items()}
        usage = {sides[name]: used for name, used in found["usage"].items() if name in sides}
        return {**found, "usage": usage}

    async def aclose(self) -> None:
        """Close the connections."""
        await self.gateway.aclose()
        for model in set(self._models.values()):
            await model.aclose()

    def _made(self, factory: ModelFactory, side: str) -> ChatModel:
        one = self._settings.side(side)
        return factory.get(one.model, one.base_url, one.api_key_var, SPEAKERS[side], one.sampling)


async def together(work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Returns the results of some coroutines that run at the same time. Raises the first error by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as error:
        raise first_of(error) from None
    return [task.result() for task in tasks]
