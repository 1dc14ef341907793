"""Takes one turn, a step at a time. This is the only place that catches a plug-in's errors during a search.

The life of a turn:
    1. The branch is forked, unless the turn is its parent's only continuation.
    2. The plug-in acts, step by step; the rewards judge the actions of each step (reward events).
    3. The new messages are noted, as both speakers saw them and as each speaker's model is trained on them.
    4. At the end of the turn the world takes them in (`follow`) and reports its state (`observe`), which the rewards
       may judge, too.
    5. The rewards decide whether the path has won.
An exception in any of these ends this leaf and does not affect other leaves. What the speaker itself is to blame for
counts: `AgentError` ends the conversation as lost, a conversation that outgrows its model's context as truncated. Every
other exception ends it as `infra_error`. Only `JoshError` (a wrong setting, a refused key) ends the whole search.
"""

import asyncio
import json
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from josh.branch import Branch, Steps, TurnContext
from josh.calls import ContractError, EndedItselfError, Named, alone, awaited, has_parameter, not_a_message, pair_of
from josh.dialogue import Hit, Outcome, Speaker, Turn
from josh.errors import JoshError, TurnError
from josh.messages import Message, flip_roles, same_words, snapshot
from josh.models.chat import ContextError
from josh.reading import LENGTH, cut_reason
from josh.roles import AgentError, BaseRewards
from josh.threads import one_line
from josh.tree import Node, spend

log = logging.getLogger("josh")

OUTGREW = "outgrew the model's context"
"""The failure of a turn whose conversation does not fit into its model's context."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for all turns of a search.

    Attributes:
        steps: the plug-ins' steps.
        max_turn_tries: most steps of an agent turn, at least 1.
        name: the search's name in the log.
    """

    steps: Steps
    max_turn_tries: int
    name: str = ""


class TurnRunner:
    """Takes one turn.

    Attributes:
        branch: the branch of the turn's leaf.
        is_duplicate: whether the turn repeats an elder sibling's, even after it was resampled.
    """

    def __init__(
        self,
        branch: Branch,
        is_copy: bool,
        context: TurnContext,
        rules: Rules,
        parent: Node,
        earned: Callable[[], Sequence[Hit]],
    ) -> None:
        """Prepare the turn; no plug-in is called yet.

        Args:
            branch: the parent's branch.
            is_copy: whether to fork the branch first.
            context: the turn's place in the tree.
            rules: the rules for all turns.
            parent: the node before the turn.
            earned: returns the reward events on the path to the parent.
        """
        self.branch = branch
        self.is_duplicate = False
        self._origin = branch
        self._to_fork = is_copy
        self._context = context
        self._sequence = context.sequence
        self._thoughts = context.thoughts
        self._rules = rules
        self._parent = parent
        self._earned = earned
        self._actions: list[tuple[Any, ...]] = []
        self._hits: list[Hit] = []
        self._outcome = Outcome.ALIVE
        self._error = ""
        self._cut = ""
        self._failure = ""
        self._added: tuple[tuple[Message, ...], tuple[Message, ...]] = ((), ())
        self._user_view: tuple[Message, ...] | None = None
        self._seen: tuple[tuple[int, Message | None], ...] = ()
        self._observed: Any = None

    @property
    def hits(self) -> Sequence[Hit]:
        """The reward events of the turn so far."""
        return self._hits

    @property
    def sound(self) -> bool:
        """Whether the turn ended without an error or a failure."""
        return self._outcome is not Outcome.INFRA_ERROR and not self._failure

    @property
    def can_differ(self) -> bool:
        """Whether another try may give another turn: it drew seeds."""
        return self._context.draws > 0

    @property
    def said(self) -> tuple[Sequence[Message], ...] | None:
        """The turn's messages, as both speakers see them and as each model is trained on them; None if not sound."""
        return (*self._added, self._user_view or ()) if self.sound else None

    def repeats(self, other: tuple[Sequence[Message], ...] | None) -> bool:
        """Returns whether the turn has the same messages as another one, given by its `said`."""
        own = self.said
        if own is None or other is None:
            return False
        return all(map(same_words, own, other))

    def resampled(self) -> "TurnRunner":
        """Returns a new runner of the same turn, which continues with the next seeds."""
        first = self._context
        context = TurnContext(
            first.path,
            first.depth,
            first.speaker,
            first.directive,
            first.draws,
            first.usage,
            decision=first.decision,
            sequence=self._sequence,
            thoughts=self._thoughts,
            instruction=first.instruction,
        )
        return type(self)(self._origin, True, context, self._rules, self._parent, self._earned)

    def account_for(self, second: "TurnRunner") -> None:
        """Copy the cost of the resampled turn, which includes this turn's cost, and the error that ended it."""
        self._context.usage = second._context.usage
        self._error = second._error

    async def run(self) -> None:
        """Take the whole turn."""
        while not await self.step():
            pass

    async def step(self) -> bool:
        """Take one step; returns True when the turn is over."""
        try:
            return bool(await alone(self._stepped()))
        except JoshError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # The search was not cancelled: the plug-in cancelled its own work and did not catch the exception.
            self.fail(error)
        except Exception as error:
            self.fail(error)
        return True

    async def _stepped(self) -> bool:
        """Take one step, which may be the first or the last of the turn."""
        if self._to_fork:
            self.branch, self._to_fork = self.branch.fork(), False
        if not self._seen:
            agent = self.branch.agent
            self._seen = (_end(agent.messages), _end(agent.messages_internal))
        if not await self._counted_step():
            return False
        if self._context.thoughts:
            self.branch.thoughts = {**self.branch.thoughts, self._context.speaker: self._context.thoughts}
        if self._hits or self._observed is not None or self._context.samples:
            await self._close()
        return True

    def fail(self, error: BaseException) -> None:
        """End the turn with an error."""
        self._outcome, self._error = Outcome.INFRA_ERROR, one_line(error)
        self._cut = self._failure = ""
        debug = log.isEnabledFor(logging.DEBUG)
        log.warning("%s: %s", self.where, self._error, exc_info=debug)
        of_plug_in = not isinstance(error, TurnError) or (
            isinstance(error, ContractError | EndedItselfError) and error.__cause__ is not None
        )
        if of_plug_in and not debug:
            log.warning("--debug shows where in the plug-in", extra={"once": True})

    @property
    def where(self) -> str:
        """The turn's task, if it has a name, speaker and place in the tree, in words."""
        task = f"{self._rules.name}: " if self._rules.name else ""
        return f"{task}{self._context.speaker} at {self._context.path or 'the root'}, turn {self._context.depth}"

    @property
    def live(self) -> tuple[Message, ...]:
        """The turn's messages as its speakers hold them: the messages that both see, the agent's and the user's."""
        messages, internal = self._added
        return (*messages, *(() if internal is messages else internal), *(self._user_view or ()))

    def turn(self) -> Turn:
        """Returns the turn for the tree; a turn that ended with an error keeps only its cost, seed and error."""
        context = self._context
        account = (context.usage, context.model, context.seed, context.choice)
        flaws = (self.is_duplicate, self._error, self._cut, self._failure)
        if self._outcome is Outcome.INFRA_ERROR:
            return Turn((), (), (), (), self._outcome, None, None, (), None, *account, *flaws)
        seen, inner = self._added
        # The tree holds copies, so that no later change of a message reaches it.
        messages = tuple(map(snapshot, seen))
        internal = messages if inner is seen else tuple(map(snapshot, inner))
        actions, hits = tuple(self._actions), tuple(self._hits)
        samples, view = context.samples, None if self._user_view is None else tuple(map(snapshot, self._user_view))
        return Turn(
            messages, internal, actions, hits, self._outcome, self._observed, None, samples, view, *account, *flaws
        )

    async def _step(self) -> bool:
        raise NotImplementedError

    async def _counted_step(self) -> bool:
        """Take one step, and note whether its last reply was cut off; end the turn where the speaker fails."""
        agent, replies = self.branch.agent, len(self._context.finishes)
        before = len(agent.messages), len(agent.messages_internal)
        try:
            over = await self._step()
        except AgentError as error:
            if self._context.speaker != Speaker.AGENT:
                raise
            await self._end_by_itself(Outcome.LOST, f"{error}{self._cause(error.hint)}")
            return True
        except ContextError as error:
            await self._end_by_itself(Outcome.TRUNCATED, f"{OUTGREW}: {' '.join(str(error).split())}")
            return True
        finishes, agent = self._context.finishes[replies:], self.branch.agent
        if finishes and before != (len(agent.messages), len(agent.messages_internal)):
            self._cut = cut_reason(finishes[-1]) or self._cut
        return over

    def _cause(self, hint: str) -> str:
        """Returns the cause of a failure and the way out: the limit of length, if it ended every reply of the turn."""
        cuts = [cut_reason(reason) for reason in self._context.finishes]
        if cuts and all(cut == LENGTH for cut in cuts):
            return ", because every reply ended by length; raise --max_tokens"
        return f"; {hint}" if hint else ""

    async def _end_by_itself(self, outcome: Outcome, failure: str) -> None:
        """End the conversation by the speaker's own failure. What it wrote and earned before stays."""
        self._outcome, self._failure = outcome, failure
        self._note_messages()
        if self.branch.world is not None:
            self._observed = await observed(self.branch.world)
        log.info("%s: %s", self.where, failure)

    async def _judge(self, actions: Sequence[Any]) -> float | None:
        """Add a hit if the actions earned one; their value, if they have any."""
        rewards = self.branch.rewards
        found = ask(rewards, actions, self._observed)
        if type(found) is not tuple:
            found = await awaited(found)
        hit, value = verdict(rewards, actions, max(len(self._actions) - 1, 0), found)
        if hit:
            self._hits.append(hit)
        return value

    async def _close(self) -> None:
        """Finish a turn that is over: judge the world's state, and decide the outcome."""
        branch, context = self.branch, self._context
        if branch.rewards.reads is not context.speaker and reads_world(branch.rewards) and self._observed is not None:
            await self._judge(())
        self._outcome = final(self._outcome, self._parent.open, self._earned, self._hits, branch.rewards)
        if context.samples:
            last = context.sequence
            branch.sequences = {**branch.sequences, context.speaker: last}

    async def _ask_world(self, *, over: bool) -> None:
        """Let the world take in the turn, which may end the conversation, and report its state."""
        world, speaker = self.branch.world, self._context.speaker
        follow = getattr(world, "follow", None)
        if callable(follow):
            self._note_messages()
            what = f"{type(world).__name__}.follow()"
            with Named(what):
                ended = await awaited(follow(speaker, self._added[0], over))
            if not isinstance(ended, Outcome | None):
                raise ContractError(f"{what} is {ended!r:.80}; give a josh.Outcome or None")
            self._outcome = ended or self._outcome
        self._observed = await observed(world)

    def _note_messages(self) -> None:
        """Note the turn's new messages, as both speakers see them and as the agent is trained on them."""
        agent = self.branch.agent
        seen, seen_internal = self._seen
        messages = _since(seen, agent.messages, agent, "messages")
        internal = _since(seen_internal, agent.messages_internal, agent, "messages_internal")
        self._added = messages, messages if internal == messages else internal


class AgentTurnRunner(TurnRunner):
    """A turn of the agent: it takes steps until it ends the turn, gives up or has used up its tries."""

    async def _end_by_itself(self, outcome: Outcome, failure: str) -> None:
        await super()._end_by_itself(outcome, failure)
        self._user_view = heard(self.branch.user, self._added[0])

    async def _step(self) -> bool:
        branch = self.branch
        # An action of an earlier step must not be rewarded again.
        branch.agent.recent_actions = []
        try:
            stepped = self._rules.steps.agent_step(branch, self._context)
            branch.agent, passed = stepped if type(stepped) is tuple else await awaited(stepped)
        except (AgentError, ContextError):
            self._actions.append(tuple(branch.agent.recent_actions))
            raise
        self._actions.append(tuple(branch.agent.recent_actions))
        over = passed is None or bool(passed)
        last = over or len(self._actions) >= self._rules.max_turn_tries
        if last and branch.world is not None:
            await self._ask_world(over=False)
        if branch.rewards.reads is Speaker.AGENT:
            await self._judge(self._actions[-1])
        if passed is None or passed is Outcome.TRUNCATED:
            self._outcome = passed or Outcome.LOST
        elif not over and last:
            self._note_messages()
            branch.agent = self._rules.steps.add_error_message(
                branch.agent, silent=not any(self._added), tries=len(self._actions)
            )
        if last:
            self._note_messages()
            self._user_view = heard(branch.user, self._added[0])
        return last


class UserTurnRunner(TurnRunner):
    """A turn of the user: one step."""

    async def _step(self) -> bool:
        branch = self.branch
        own = view_of(branch.user)
        before = None if own is None else _end(own)
        stepped = self._rules.steps.user_step(branch, self._context)
        found = stepped if type(stepped) is tuple else await awaited(stepped)
        way = "the agent and whether the conversation is over, as in: return agent, False"
        branch.agent, over = pair_of(found, f"{type(branch.user).__name__}.step()", way)
        self._note_messages()
        if before is not None:
            self._user_view = _spoken(branch.user, before, self._added[0])
        if branch.world is not None:
            await self._ask_world(over=bool(over))
        value = None
        if branch.rewards.reads is Speaker.USER:
            texts = user_texts(self._added[0])
            self._actions.append(tuple(texts))
            value = await self._judge(texts)
        if over:
            self._outcome = outcome_of_ending(self._hits, value)
        return True


async def judge(
    rewards: BaseRewards, actions: Sequence[Any], step: int, world: Any = None
) -> tuple[Hit | None, float | None]:
    """Judge one step of a turn.

    Args:
        rewards: holds the goals still open on the turn's path.
        actions: the step's actions, or the texts of the user's turn.
        step: index of the step in the turn, from 0.
        world: the world's report of its state after the step, where it was asked.

    Returns:
        The hit, or None where the actions earned nothing; and their value, or None where they have none.

    Raises:
        ValueError: the rewards name a goal that is not open, or a value that is not finite.
    """
    return verdict(rewards, actions, step, await awaited(ask(rewards, actions, world)))


def ask(rewards: BaseRewards, actions: Sequence[Any], world: Any) -> Any:
    """Returns what `is_reward` says of a step, which may have to be awaited."""
    with Named(f"{type(rewards).__name__}.is_reward()"):
        return rewards.is_reward(list(actions), **({"observed": world} if reads_world(rewards) else {}))


def verdict(
    rewards: BaseRewards, actions: Sequence[Any], step: int, found: tuple[bool, Sequence[Any]]
) -> tuple[Hit | None, float | None]:
    """Returns what a step earned, and its value; see `judge`."""
    way = "whether a goal is met, and the goals met, as in: return bool(met), met"
    usual = type(found) is tuple and len(found) == 2
    met, goals = found if usual else pair_of(found, f"{type(rewards).__name__}.is_reward()", way)
    if type(goals) is not list and (isinstance(goals, str) or not isinstance(goals, Iterable)):
        raise ContractError(f"{type(rewards).__name__}.is_reward() returned the goals {goals!r:.60}; return a list")
    closed = [goal for goal in goals if goal not in rewards.rewards] if met else []
    if closed:
        raise ValueError(f"{type(rewards).__name__}.is_reward() named {closed[0]!r}, which is not an open goal")
    value = rewards.hit_value(actions)
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{type(rewards).__name__}.hit_value() is {value}; give a finite number or None")
    return Hit(step, tuple(goals), 1.0 if value is None else float(value)) if met else None, value


def reads_world(rewards: BaseRewards) -> bool:
    """Whether a rewards class judges what the world says of itself: its `is_reward` takes `observed`."""
    return has_parameter(rewards.is_reward, "observed")


async def observed(world: Any) -> Any:
    """Returns a world's report of its state (`observe`) as JSON; None where there is no world or no such method."""
    observe = getattr(world, "observe", None)
    if not callable(observe):
        return None
    with Named(f"{type(world).__name__}.observe()"):
        return json.loads(json.dumps(await awaited(observe())))


def final(
    outcome: Outcome,
    still_open: Sequence[Any],
    earned: Callable[[], Sequence[Hit]],
    hits: Sequence[Hit],
    rewards: BaseRewards,
) -> Outcome:
    """Returns the outcome of a turn; where the turn earned a reward, the rewards decide whether the path has won.

    Args:
        outcome: the turn's own outcome.
        still_open: the goals that were open before the turn.
        earned: returns the reward events before the turn.
        hits: the reward events of the turn.
        rewards: the rewards.
    """
    if not hits:
        return outcome
    left = spend(still_open, hits)[1]
    if rewards.won(list(left), [*earned(), *hits]):
        # The open goals already say that a leaf met all goals; its outcome need not.
        return Outcome.WON if left else outcome
    return Outcome.USER_LEFT if outcome is Outcome.WON else outcome


def user_texts(messages: Sequence[Message]) -> list[str]:
    """Returns the texts of the user's messages, which the rewards read."""
    return [message.get("content") or "" for message in messages if message.get("role") == "user"]


def outcome_of_ending(hits: Sequence[Hit], value: float | None) -> Outcome:
    """Returns the outcome of a conversation that the user ended, by the turn's reward events and its value."""
    # A turn with a value holds the user's verdict (a refusal, too little): the agent lost. Without one the user left.
    lost = Outcome.USER_LEFT if value is None else Outcome.LOST
    return Outcome.WON if hits else lost


def view_of(user: Any) -> list[Message] | None:
    """Returns the conversation as the user's model is trained on it; None for a user without one."""
    own = getattr(user, "messages_internal", None)
    return own if isinstance(own, list) else None


def heard(user: Any, messages: Sequence[Message]) -> tuple[Message, ...] | None:
    """Add the agent's messages to the conversation as the user's model is trained on it.

    Returns:
        The added messages; None where they are the given ones with the two roles swapped, or the user has no view.
    """
    own = view_of(user)
    if own is None:
        return None
    words = flip_roles(messages)
    seen = user.hear(messages) if hasattr(user, "hear") else words
    # A new list, because a user's own `fork` may share the old one between branches.
    user.messages_internal = [*own, *seen]
    return None if seen == words else tuple(seen)


def _spoken(user: Any, before: tuple[int, Message | None], messages: Sequence[Message]) -> tuple[Message, ...] | None:
    """Add the user's messages to its view unless it did so itself.

    Returns:
        The messages that the user added to its view; None where they are its own messages with the two roles swapped.
    """
    own = view_of(user)
    assert own is not None, "a user keeps its view"
    added, words = _since(before, own, user, "messages_internal"), tuple(flip_roles(messages))
    if not added:
        user.messages_internal = [*own, *words]
    return added if added and added != words else None


def _end(history: Sequence[Message]) -> tuple[int, Message | None]:
    return len(history), history[-1] if history else None


def _since(end: tuple[int, Message | None], history: Sequence[Message], agent: Any, name: str) -> tuple[Message, ...]:
    """Returns the messages after an earlier end of a history. Raises TypeError where the history before it changed."""
    size, last = end
    if len(history) < size or (size and history[size - 1] is not last and history[size - 1] != last):
        raise TypeError(f"{type(agent).__name__}.{name} was rewritten; only add messages to a history")
    new = tuple(history[size:])
    for message in new:
        if not isinstance(message, dict):
            raise ContractError(not_a_message(agent, name, message))
    return new
