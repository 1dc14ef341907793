"""Playing a plan: the driver asks a strategy what to do, has the turns taken, and tells it what happened.

This is the one place where an exception of a plug-in is caught: it ends its own leaf as `infra_error` and nothing
else. Only `JoshError` (a wrong setting, a refused key) ends the whole search.
"""

import asyncio
import contextlib
import contextvars
import inspect
import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from josh.errors import JoshError, UsageError
from josh.messages import Message, same_words
from josh.roles import BaseRewards, fork
from josh.search import Strategy, child_paths, grow
from josh.tree import NO_USAGE, Expand, Hit, Node, Outcome, Speaker, Tree, Turn, Usage, spend

T = TypeVar("T")

log = logging.getLogger("josh")


@dataclass(slots=True)
class Branch:
    """What one live leaf carries. The rewards are shared until goals are spent on a path of its own."""

    agent: Any
    user: Any
    world: Any
    rewards: BaseRewards

    def fork(self) -> "Branch":
        """The same for a sibling."""
        world = None if self.world is None else fork(self.world)
        return Branch(fork(self.agent), fork(self.user), world, self.rewards)


@dataclass(slots=True)
class Place:
    """Where in the tree a turn is taken, and the account of the model calls made for it.

    Attributes:
        path: see `Node.path`.
        depth: see `Node.depth`.
        speaker: whose turn it is.
        directive: the instruction to the speaker, if the strategy gave one.
        draws: seeds drawn so far in this turn.
        usage: what the turn's model calls cost so far.
        model: name of the model asked, if any.
        seed: seed of the first request, or the first seed drawn, if any.
        choice: which reply to that request the turn was given.
        siblings: the paths of all turns taken fresh from the same parent, this one's included; empty where there is
            nothing to share between them.
        common: whatever they want to share.
    """

    path: str
    depth: int
    speaker: Speaker
    directive: str | None = None
    draws: int = 0
    usage: Usage = NO_USAGE
    model: str = ""
    seed: int | None = None
    choice: int = 0
    siblings: tuple[str, ...] = ()
    common: dict[str, Any] = field(default_factory=dict)


class Cast(Protocol):
    """How one step of either side is made; steps may return awaitables."""

    def agent_step(self, branch: Branch, place: Place) -> Any:
        """Have the agent act once; (agent, True | False | None) as `BaseJOSHAgent.step` says."""
        ...

    def user_step(self, branch: Branch, place: Place) -> Any:
        """Have the user answer; (agent, whether the conversation is over)."""
        ...

    def add_error_message(self, agent: Any, *, silent: bool) -> Any:
        """Mark an agent that used up its tries without ending its turn; returns the agent.

        Args:
            agent: the agent.
            silent: whether it added nothing at all to the conversation in this turn.
        """
        ...


class Search:
    """One search on one task: a tree, the branches at its frontier, and the rules to grow it by.

    Attributes:
        strategy: the rules.
        tree: the tree so far.
        branches: what the live leaves carry, by node index.
        winner: the branch of the latest collapse; None before the first.
    """

    def __init__(
        self,
        strategy: Strategy,
        cast: Cast,
        tree: Tree,
        root: Branch,
        *,
        max_turn_tries: int,
        parallel: bool,
        resample: bool = False,
        name: str = "",
    ) -> None:
        """Start a search.

        Args:
            strategy: the rules.
            cast: the plug-ins' steps.
            tree: a tree whose frontier is its root.
            root: what the root carries.
            max_turn_tries: steps that an agent turn may take, at least 1.
            parallel: take the turns of a phase at the same time, instead of step by step in leaf order.
            resample: take a turn that repeats its elder sibling's a second time, with other seeds, and flag it where
                that changes nothing.
            name: what the log calls it.
        """
        self.tree = tree
        self.branches = dict.fromkeys(tree.frontier, root)
        self.winner: Branch | None = None
        self.strategy = strategy
        self._cast = cast
        self._max_turn_tries = max_turn_tries
        self._parallel = parallel
        self._resample = resample
        self._name = name
        self._advancing = False

    @property
    def done(self) -> bool:
        """Whether nothing is left to play."""
        return not self.tree.frontier

    def check_whole(self) -> None:
        """Raises UsageError where an interrupt has left a phase half played."""
        if self._advancing:
            raise UsageError("the search was broken off in the middle of a turn; start a new one")

    async def advance(self) -> None:
        """Play one phase: a turn of the same speaker on every live leaf. Does nothing when the search is done."""
        self.check_whole()
        self._advancing = True
        plan = self.strategy.plan(self.tree)
        families = [self._takers(expand) for expand in plan]
        await self._take([taker for family in families for taker in family])
        if self._resample:
            families = await self._without_copies(families)
        takers = [taker for family in families for taker in family]
        before, size = self.tree, len(self.tree.nodes)
        self.tree = self.strategy.settle(grow(before, plan, [taker.turn() for taker in takers]))
        self.branches = {leaf: takers[leaf - size].branch for leaf in self.tree.frontier}
        if len(self.tree.collapses) > len(before.collapses):
            winner = self.tree.root
            self.winner = takers[winner - size].branch
            self._spend(self.winner, winner)
        else:
            for leaf, branch in self.branches.items():
                if self.tree.nodes[leaf].turn.hits:
                    branch.rewards = branch.rewards.fork()
                    self._spend(branch, leaf)
        self._advancing = False

    def _takers(self, expand: Expand) -> list["_Taker"]:
        parent = self.tree.nodes[expand.node]
        kind = _AgentTaker if expand.speaker is Speaker.AGENT else _UserTaker
        paths = child_paths(parent, expand)
        shared: dict[str, Any] = {"siblings": paths, "common": {}} if expand.copies > 1 else {}
        return [
            kind(
                self.branches[expand.node],
                expand.copies > 1,
                Place(path, parent.depth + 1, expand.speaker, expand.directive, **shared),
                self._cast,
                self._max_turn_tries,
                self._name,
            )
            for path in paths
        ]

    async def _without_copies(self, families: Sequence[list["_Taker"]]) -> list[list["_Taker"]]:
        """Take turns that repeat an elder sibling's once more; what still repeats one is flagged."""
        again = {
            taker: taker.second_try()
            for family in families
            for place, taker in enumerate(family)
            if taker.can_differ and any(taker.repeats(elder) for elder in family[:place])
        }
        await self._take(list(again.values()))
        settled = []
        for family in families:
            kept: list[_Taker] = []
            for taker in family:
                second = again.get(taker)
                if second is not None:
                    taker.account_for(second)
                if second is not None and second.sound and not any(map(second.repeats, kept)):
                    kept.append(second)
                else:
                    taker.is_duplicate = any(map(taker.repeats, kept))
                    kept.append(taker)
            settled.append(kept)
        return settled

    async def _take(self, takers: Sequence["_Taker"]) -> None:
        if not self._parallel or len(takers) < 2:
            # Step by step over all leaves, the order in which the published JOSH calls back.
            going = takers
            while going:
                going = [taker for taker in going if not await taker.step()]
            return
        tasks = [asyncio.ensure_future(taker.run()) for taker in takers]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _spend(self, branch: Branch, leaf: int) -> None:
        node = self.tree.nodes[leaf]
        met, _ = spend(self.tree.nodes[node.parent].open, node.turn.hits)
        try:
            branch.rewards.delete_reward(list(met))
        except JoshError:
            raise
        except Exception as error:
            # The tree keeps its own account of open goals, so the search stays right.
            log.warning("delete_reward failed: %s", explain(error), exc_info=log.isEnabledFor(logging.DEBUG))


class _Taker:
    """One turn being taken, a step at a time."""

    def __init__(self, branch: Branch, is_copy: bool, place: Place, cast: Cast, max_turn_tries: int, name: str) -> None:
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

    def repeats(self, other: "_Taker") -> bool:
        """Whether both said and did the same."""
        return (
            self.sound
            and other.sound
            and same_words(self._added[0], other._added[0])
            and same_words(self._added[1], other._added[1])
        )

    def second_try(self) -> "_Taker":
        """The same turn once more, with the seeds that come next."""
        place = self._place
        onwards = Place(place.path, place.depth, place.speaker, place.directive, place.draws, place.usage)
        return type(self)(self._parent, True, onwards, self._cast, self._max_turn_tries, self._name)

    def account_for(self, second: "_Taker") -> None:
        """Take over the account of a second try, which holds the first one's, and the error that broke it off."""
        self._place.usage = second._place.usage
        self._error = second._error

    async def run(self) -> None:
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


class _AgentTaker(_Taker):
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
            branch.agent = self._cast.add_error_message(branch.agent, silent=not any(self._added))
            over = True
        if over:
            self._note_messages()
        return over


class _UserTaker(_Taker):
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


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run a function that blocks without holding up the loop.

    Unlike `asyncio.to_thread`, a call that never returns does not keep the process alive.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((result, error))

    def run() -> None:
        result, failure = None, None
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop may be gone by now
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    result, error = await done
    if isinstance(error, StopIteration):
        raise RuntimeError("a blocking step raised StopIteration") from error  # a coroutine cannot raise it
    if error is not None:
        raise error
    return cast(T, result)


def explain(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def final_outcome(tree: Tree, leaf: int) -> Outcome:
    """How a leaf of a finished search stands: won where it met all goals, cut off where it could have gone on."""
    node: Node = tree.nodes[leaf]
    if not node.open:
        return Outcome.WON
    if node.turn.outcome is not Outcome.ALIVE:
        return node.turn.outcome
    return Outcome.TRUNCATED if leaf in tree.frontier else Outcome.LOST
