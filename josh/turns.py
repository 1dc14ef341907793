"""One turn being taken, a step at a time. The only place that catches a plug-in's errors while it plays."""

import asyncio
import inspect
import logging
import math
from collections.abc import Sequence
from typing import Any

from josh.branch import Branch, Steps, TurnContext
from josh.errors import JoshError
from josh.messages import Message, same_words
from josh.roles import BaseRewards
from josh.threads import explain
from josh.tree import Hit, Outcome, Speaker, Turn

log = logging.getLogger("josh")


class TurnRunner:
    """One turn being taken, a step at a time."""

    def __init__(
        self, branch: Branch, is_copy: bool, place: TurnContext, cast: Steps, max_turn_tries: int, name: str
    ) -> None:
        self.branch = branch
        self.is_duplicate = False
        self._parent = branch
        self._to_fork = is_copy
        self._place = place
        self._cast = cast
        self._max_turn_tries = max_turn_tries
        self._name = name
        self._actions: list[tuple[Any, ...]] = []
        self._hits: list[Hit] = []
        self._outcome = Outcome.ALIVE
        self._error = ""
        self._added: tuple[tuple[Message, ...], tuple[Message, ...]] = ((), ())
        self._seen: tuple[tuple[int, Message | None], ...] = ()

    @property
    def sound(self) -> bool:
        """Whether no error broke the turn off."""
        return self._outcome is not Outcome.INFRA_ERROR

    @property
    def can_differ(self) -> bool:
        """Whether another try may come out otherwise: seeds were drawn for it."""
        return self._place.draws > 0

    def repeats(self, other: "TurnRunner") -> bool:
        """Whether both said and did the same."""
        return (
            self.sound
            and other.sound
            and same_words(self._added[0], other._added[0])
            and same_words(self._added[1], other._added[1])
        )

    def second_try(self) -> "TurnRunner":
        """The same turn once more, with the seeds that come next."""
        place = self._place
        onwards = TurnContext(place.path, place.depth, place.speaker, place.directive, place.draws, place.usage)
        return type(self)(self._parent, True, onwards, self._cast, self._max_turn_tries, self._name)

    def account_for(self, second: "TurnRunner") -> None:
        """Take over the account of a second try, which holds the first one's, and the error that broke it off."""
        self._place.usage = second._place.usage
        self._error = second._error

    async def run(self) -> None:
        """Take the whole turn."""
        while not await self.step():
            pass

    async def step(self) -> bool:
        """Take one step; True when the turn is over. The only catcher of plug-in errors."""
        try:
            if self._to_fork:
                self.branch, self._to_fork = self.branch.fork(), False
            if not self._seen:
                self._seen = (_end(self.branch.agent.messages), _end(self.branch.agent.messages_internal))
            return await self._step()
        except JoshError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled the search: the plug-in let a cancellation of its own escape.
            self._fail(error)
        except Exception as error:
            self._fail(error)
        return True

    def _fail(self, error: BaseException) -> None:
        self._outcome, self._error = Outcome.INFRA_ERROR, explain(error)
        task = f"{self._name}: " if self._name else ""
        where = f"{task}{self._place.speaker} at {self._place.path or 'the root'}, turn {self._place.depth}"
        log.warning("%s: %s", where, self._error, exc_info=log.isEnabledFor(logging.DEBUG))

    def turn(self) -> Turn:
        """The turn as the tree keeps it. Of a turn that an error broke off, only the account remains."""
        place = self._place
        account: dict[str, Any] = {
            "usage": place.usage,
            "model": place.model,
            "seed": place.seed,
            "choice": place.choice,
            "duplicate": self.is_duplicate,
            "error": self._error,
        }
        if self._outcome is Outcome.INFRA_ERROR:
            return Turn(outcome=self._outcome, **account)
        messages, internal = self._added
        return Turn(messages, internal, tuple(self._actions), tuple(self._hits), self._outcome, **account)

    async def _step(self) -> bool:
        raise NotImplementedError

    def _judge(self, actions: Sequence[Any]) -> float | None:
        """Add a hit if the actions earned one; their value, if they have any."""
        hit, value = judge(self.branch.rewards, actions, len(self._actions) - 1)
        if hit:
            self._hits.append(hit)
        return value

    def _note_messages(self) -> None:
        """Note what the turn added to the conversation, as both sides see it and as the agent is trained on it."""
        agent = self.branch.agent
        seen, seen_internal = self._seen
        self._added = (
            _since(seen, agent.messages, agent, "messages"),
            _since(seen_internal, agent.messages_internal, agent, "messages_internal"),
        )


class AgentTurnRunner(TurnRunner):
    """A turn of the agent: steps until it hands the floor over, gives up or runs out of tries."""

    async def _step(self) -> bool:
        branch = self.branch
        # What an earlier step did must never be paid again.
        branch.agent.recent_actions = []
        result = self._cast.agent_step(branch, self._place)
        branch.agent, passed = await result if inspect.isawaitable(result) else result
        self._actions.append(tuple(branch.agent.recent_actions))
        if branch.rewards.reads is Speaker.AGENT:
            self._judge(self._actions[-1])
        over = passed is None or bool(passed)
        if passed is None or passed is Outcome.TRUNCATED:
            self._outcome = passed or Outcome.LOST
        elif not over and len(self._actions) >= self._max_turn_tries:
            self._note_messages()
            branch.agent = self._cast.add_error_message(
                branch.agent, silent=not any(self._added), tries=len(self._actions)
            )
            over = True
        if over:
            self._note_messages()
        return over


class UserTurnRunner(TurnRunner):
    """A turn of the user: one step."""

    async def _step(self) -> bool:
        branch = self.branch
        result = self._cast.user_step(branch, self._place)
        branch.agent, over = await result if inspect.isawaitable(result) else result
        self._note_messages()
        value = None
        if branch.rewards.reads is Speaker.USER:
            texts = user_texts(self._added[0])
            self._actions.append(tuple(texts))
            value = self._judge(texts)
        if over:
            self._outcome = parting(self._hits, value)
        return True


def judge(rewards: BaseRewards, actions: Sequence[Any], step: int) -> tuple[Hit | None, float | None]:
    """Judge one step of a turn.

    Args:
        rewards: holds the goals still open on the turn's path.
        actions: what the step did, or the texts of the user's turn.
        step: which step of the turn it is, counted from 0.

    Returns:
        The hit, if the actions earned one, and their value, if they have any.

    Raises:
        ValueError: the rewards name a goal that is not open, or a value that is not finite.
    """
    met, goals = rewards.is_reward(list(actions))
    closed = [goal for goal in goals if goal not in rewards.rewards] if met else []
    if closed:
        raise ValueError(f"{type(rewards).__name__}.is_reward() named {closed[0]!r}, which is no open goal")
    value = rewards.value(actions)
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{type(rewards).__name__}.value() is {value}; give a finite number or None")
    return Hit(step, tuple(goals), 1.0 if value is None else float(value)) if met else None, value


def user_texts(messages: Sequence[Message]) -> list[str]:
    """What the user says in some messages, for the rewards to read."""
    return [message.get("content") or "" for message in messages if message.get("role") == "user"]


def parting(hits: Sequence[Hit], value: float | None) -> Outcome:
    """How a conversation stands that the user's turn ended, by what the turn earned and what it was worth."""
    # A user who has given a verdict (a refusal, too little) has not just walked away.
    lost = Outcome.USER_LEFT if value is None else Outcome.LOST
    return Outcome.WON if hits else lost


def _end(history: Sequence[Message]) -> tuple[int, Message | None]:
    return len(history), history[-1] if history else None


def _since(end: tuple[int, Message | None], history: Sequence[Message], agent: Any, name: str) -> tuple[Message, ...]:
    """The messages after an earlier end of a history. Raises TypeError where what stood before it has changed."""
    size, last = end
    if len(history) < size or (size and history[size - 1] is not last and history[size - 1] != last):
        raise TypeError(f"{type(agent).__name__}.{name} was rewritten; a history may only grow")
    new = tuple(history[size:])
    for message in new:
        if not isinstance(message, dict):
            raise TypeError(f"{type(agent).__name__}.{name} got {message!r:.80}, which is no chat message")
    return new
