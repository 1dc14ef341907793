"""The published interface: JOSH and AsyncJOSH as classes that are stepped round by round (arXiv:2409.04617)."""

import asyncio
import inspect
import sys
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from josh.branch import Branch, TurnContext
from josh.calls import awaited
from josh.dialogue import Speaker
from josh.driver import Search
from josh.errors import UsageError
from josh.examples import distinct, examples_of
from josh.messages import Message
from josh.roles import BaseJOSHAgent, BaseRewards
from josh.strategies.beam import BeamSearch
from josh.threads import in_thread
from josh.tree import Tree, plant

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Root:
    """The node that a search goes on from.

    Attributes:
        agent: its agent, with the conversation so far.
    """

    agent: Any


class JOSH:
    """Beam search over an agent's turns against a simulated user.

    One `step` plays a round: every live leaf branches in two while the beam has room, the agent takes its turns, the
    tree collapses if a goal was met, and the user answers on the leaves that remain. An exception in a callback ends
    its branch, and the rewards that the turn had earned are lost; the other branches continue.

    Attributes:
        training_examples: (messages, is_successful, is_golden_path) of every branch that a collapse cut off, in tree
            order, without repetitions. Grows with every collapse.
        current_reward: the share of the goals earned so far, in [0, 1].
        root: the node that the search goes on from, with its `agent`.
        golden_agent: the agent that met the last open goal; None until then.
        rewards: the given rewards object, without the goals that were met.
    """

    def __init__(
        self,
        rewards: BaseRewards,
        agent_step: Callable[..., Any],
        user_step: Callable[..., Any],
        add_error_message: Callable[[Any], Any],
        root_agent: BaseJOSHAgent,
        user: Any,
        beam_size: int = 8,
        max_turn_tries: int = 10,
        agent_model: Any = None,
        agent_tokenizer: Any = None,
        agent_env: Any = None,
        debug: bool = False,
        max_concurrency: int | None = None,
    ) -> None:
        """Set up a search; no callback is called yet.

        Args:
            rewards: the goals to earn; without goals the first step is the last, and earns 0. A `BaseRewards`, or any
                object that has its `rewards`, `is_reward`, `delete_reward` and `len()`.
            agent_step: called with `agent`, `model`, `tokenizer` and `env`; acts once and returns the agent and True
                (the turn is over), False (call again) or None (give up). May be async; so may `user_step`.
            user_step: called with the user and the agent; answers and returns the agent and whether the conversation
                is over.
            add_error_message: called with an agent that used up its tries in a turn; returns it.
            root_agent: the agent at the root; every branch gets a fork of it.
            user: the user; every branch gets a fork of it.
            beam_size: most leaves alive at once, at least 1.
            max_turn_tries: most steps in an agent turn, at least 1.
            agent_model: passed to `agent_step` unchanged, like `agent_tokenizer` and `agent_env`.
            agent_tokenizer: see `agent_model`.
            agent_env: see `agent_model`.
            debug: print to stderr what happens.
            max_concurrency: most callbacks at the same time; sync ones then run in threads. None calls them one after
                another in leaf order.

        Raises:
            UsageError: a number is too small.
        """
        self._judge = self._judge_of(rewards)
        for name, number in (("max_turn_tries", max_turn_tries), ("max_concurrency", max_concurrency)):
            if number is not None and number < 1:
                raise UsageError(f"{name} is {number}; give 1 or more")
        self.rewards = rewards
        self.training_examples: list[tuple[list[Message], bool, bool]] = []
        self.current_reward = 0.0
        self.golden_agent: Any = None
        self.debug = debug
        self._strategy = BeamSearch(beam_size)
        self._callbacks = CallbackSteps(
            agent_step, user_step, add_error_message, (agent_model, agent_tokenizer, agent_env), max_concurrency
        )
        self._max_turn_tries = max_turn_tries
        self._parallel = max_concurrency is not None
        self._user = user
        self._stepping = False
        self._total = len(rewards)
        self._seen: set[tuple[str, bool, bool]] = set()
        self._search: Search
        self.set_root_agent(root_agent)

    def _judge_of(self, rewards: Any) -> BaseRewards:
        return rewards if isinstance(rewards, BaseRewards) else _Foreign(rewards)

    @property
    def root(self) -> Root:
        """The node that the search goes on from: the root, and after a collapse its winner."""
        return Root(self._root_agent if self._search.winner is None else self._search.winner.agent)

    @property
    def tree(self) -> Tree:
        """The tree so far."""
        return self._search.tree

    def set_root_agent(self, agent: Any) -> None:
        """Start again from another agent, with the goals that are still open."""
        self._root_agent = agent
        tree = plant(self._judge.rewards, Speaker.AGENT, agent.messages, agent.messages_internal)
        root = Branch(agent, self._user, None, self._judge)
        self._search = Search(
            self._strategy,
            self._callbacks,
            tree,
            root,
            max_turn_tries=self._max_turn_tries,
            parallel=self._parallel,
        )

    def step(self) -> tuple[float, bool]:
        """Play one round.

        Returns:
            The share of the goals earned so far, and whether the search is over: all goals earned, or no leaf alive.

        Raises:
            UsageError: an async callback, or `max_concurrency`, inside a running event loop; await `astep` there.
        """
        if self._parallel or inspect.iscoroutinefunction(self._judge.is_reward):
            return self._callbacks.run(self.astep())
        self._callbacks.blocking = True
        try:
            return _finish(self.astep())
        finally:
            self._callbacks.blocking = False

    async def astep(self) -> tuple[float, bool]:
        """Play one round inside a running event loop; see `step`."""
        if not self._total:
            return 0.0, True
        if self._stepping:
            raise UsageError("a step is still running; wait for it before you start the next one")
        self._search.check_whole()
        self._stepping = True
        try:
            for speaker in (Speaker.AGENT, Speaker.USER):
                if self._search.done:
                    break
                assert self.tree.nodes[self.tree.frontier[0]].speaker is speaker.other, (
                    "a round is an agent turn and a user turn"
                )
                self._say(f"{len(self.tree.frontier)} live leaves, {speaker} to speak")
                before = len(self.tree.collapses)
                await self._search.advance()
                if len(self.tree.collapses) > before:
                    self._collapsed()
        finally:
            self._stepping = False
        return self.current_reward, self._search.done

    def _collapsed(self) -> None:
        tree = self.tree
        collapse = tree.collapses[-1]
        for example in distinct(examples_of(tree, collapse), self._seen):
            self.training_examples.append((list(example.messages), example.is_successful, example.is_golden_path))
        left = len(tree.nodes[collapse.winner].open)
        self.current_reward = (self._total - left) / self._total
        if not left:
            assert self._search.winner is not None
            self.golden_agent = self._search.winner.agent
        self._say(f"reward at {tree.nodes[collapse.winner].path or 'the root'}: {left} goals left, tree collapsed")

    def _say(self, text: str) -> None:
        if self.debug:
            print(f"josh: {text}", file=sys.stderr)


class AsyncJOSH(JOSH):
    """The published asynchronous interface: `await josh.step()`, with callbacks that may be awaited.

    All leaves take their turns at the same time, as many callbacks as there are leaves, unless `max_concurrency` is
    given. Rewards that have `is_reward_async` are asked by it. Unlike in `JOSH`, None from `agent_step` ends the turn
    and not the conversation, as in the published class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See `JOSH`."""
        super().__init__(*args, **kwargs)
        self._callbacks.none_is_over = True
        self._parallel = True
        self.set_root_agent(self._root_agent)

    async def step(self) -> tuple[float, bool]:  # type: ignore[override]
        """Play one round; see `JOSH.step`."""
        return await self.astep()

    def _judge_of(self, rewards: Any) -> BaseRewards:
        return _Awaited(rewards) if hasattr(rewards, "is_reward_async") else super()._judge_of(rewards)


class _Foreign(BaseRewards):
    """Adapts a rewards object that has the published interface and does not inherit from `BaseRewards`."""

    def __init__(self, own: Any) -> None:
        missing = [name for name in ("rewards", "is_reward", "delete_reward", "__len__") if not hasattr(own, name)]
        if missing:
            raise UsageError(f"rewards, a {type(own).__name__}, has no {missing[0]}; subclass BaseRewards")
        super().__init__(own.rewards)
        self._own = own

    def is_reward(self, agent_actions: Sequence[Any]) -> tuple[bool, list[Any]]:
        met, goals = self._own.is_reward(agent_actions)
        return met, list(goals)

    def delete_reward(self, rewards_to_delete: Sequence[Any]) -> None:
        self._own.delete_reward(rewards_to_delete)
        self.rewards = list(self._own.rewards)


class _Awaited(_Foreign):
    """Adapts rewards with the published `is_reward_async`."""

    async def is_reward(self, agent_actions: Sequence[Any]) -> tuple[bool, list[Any]]:  # type: ignore[override]
        met, goals = await self._own.is_reward_async(agent_actions)
        return met, list(goals)


class CallbackSteps:
    """Calls the published callbacks as the steps of a search."""

    def __init__(
        self,
        agent_step: Callable[..., Any],
        user_step: Callable[..., Any],
        add_error_message: Callable[[Any], Any],
        passed_on: tuple[Any, Any, Any],
        max_concurrency: int | None,
    ) -> None:
        self._add_error_message = add_error_message
        self.blocking = False
        self.none_is_over = False
        self._agent_step = agent_step
        self._user_step = user_step
        self._model, self._tokenizer, self._env = passed_on
        self._slots = asyncio.Semaphore(max_concurrency) if max_concurrency else None
        self._runner: asyncio.Runner | None = None

    def agent_step(self, branch: Branch, context: TurnContext) -> Any:
        """See `Steps`."""
        stepped = self._call(
            self._agent_step, agent=branch.agent, model=self._model, tokenizer=self._tokenizer, env=self._env
        )
        return self._over(stepped) if self.none_is_over else stepped

    async def _over(self, stepped: Any) -> tuple[Any, Any]:
        agent, passed = await awaited(stepped)
        return agent, True if passed is None else passed

    def user_step(self, branch: Branch, context: TurnContext) -> Any:
        """See `Steps`."""
        return self._call(self._user_step, branch.user, branch.agent)

    def add_error_message(self, agent: Any, *, silent: bool, tries: int) -> Any:
        """See `Steps`."""
        return self._add_error_message(agent)

    def _call(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._slots is not None:
            return self._call_in_slot(self._slots, callback, *args, **kwargs)
        result = callback(*args, **kwargs)
        return self.run(result) if self.blocking and inspect.isawaitable(result) else result

    async def _call_in_slot(
        self, slots: asyncio.Semaphore, callback: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        async with slots:
            if inspect.iscoroutinefunction(callback):
                return await callback(*args, **kwargs)
            result = await in_thread(callback, *args, **kwargs)
            return await result if inspect.isawaitable(result) else result

    def run(self, awaitable: Awaitable[T]) -> T:
        """Run an awaitable to its end; the event loop lives as long as this object, so that clients stay connected."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise UsageError("step() cannot wait inside a running event loop; use `await josh.astep()`")
        if self._runner is None:
            self._runner = asyncio.Runner()
            weakref.finalize(self, self._runner.close)
        return self._runner.run(_as_coroutine(awaitable))


async def _as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits. Without an event loop, Ctrl-C works as in synchronous code."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("blocking callbacks leave nothing to wait for")
