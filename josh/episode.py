"""One task played to its end and scored, without a disk."""

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from josh.config import setting
from josh.driver import Search
from josh.errors import JoshError
from josh.roles import BaseEnv, BaseRewards, Task
from josh.search import Strategy, next_speaker
from josh.threads import explain
from josh.tree import NO_USAGE, Node, Outcome, Speaker, Tree, Usage, conversation, hits, leaves, walk

log = logging.getLogger("josh")


def final_outcome(tree: Tree, leaf: int) -> Outcome:
    """How a leaf of a finished search stands: won where it met all goals, cut off where it could have gone on."""
    node: Node = tree.nodes[leaf]
    if not node.open:
        return Outcome.WON
    if node.turn.outcome is not Outcome.ALIVE:
        return node.turn.outcome
    return Outcome.TRUNCATED if leaf in tree.frontier else Outcome.LOST


TOO_LONG = "the task took longer than"
"""How the error of an episode begins that was given up, whatever it might have earned."""


ENDINGS = {
    Outcome.WON: "completed",
    Outcome.LOST: "completed",
    Outcome.USER_LEFT: "truncated",
    Outcome.TRUNCATED: "truncated",
    Outcome.INFRA_ERROR: "aborted",
}


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished task.

    Attributes:
        task: the task.
        tree: its whole tree.
        reported: the leaves whose conversations are scored: the golden path's of a search, every one of plain
            rollouts. Those that an error ended are left out.
        outcomes: how each of the tree's leaves stands, by node index.
        worth: the reward of the path down to every leaf that came to an end without an error, and to every winner of a
            collapse, by node index; empty where the task was given up.
        metrics: the means of what the environment measures on the reported leaves, by name.
        error: why the task was given up, if it was; its numbers then count nowhere.
        tools: the schemas of the tools the agent had.
    """

    task: Task
    tree: Tree
    reported: tuple[int, ...]
    outcomes: Mapping[int, Outcome]
    worth: Mapping[int, float]
    metrics: Mapping[str, float]
    error: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def scored(self) -> bool:
        """Whether it counts: at least one conversation came to an end without an error."""
        return bool(self.reported)

    @property
    def owed(self) -> bool:
        """Whether an error got in its way, so that it is worth playing again."""
        return bool(self.error) or any(node.turn.error for node in self.tree.nodes)

    @property
    def rewards(self) -> tuple[float, ...]:
        """The reward of each reported leaf."""
        return tuple(self.worth[leaf] for leaf in self.reported)

    @property
    def reward(self) -> float:
        """Mean reward of the reported conversations."""
        return sum(self.rewards) / len(self.rewards) if self.rewards else 0.0

    @property
    def success(self) -> float:
        """Share of the reported conversations that met all goals."""
        won = [not self.tree.nodes[leaf].open for leaf in self.reported]
        return sum(won) / len(won) if won else 0.0

    @property
    def rounds(self) -> float:
        """Mean number of rounds (agent turns) of the reported conversations."""
        counts = [
            sum(self.tree.nodes[i].speaker is Speaker.AGENT for i in walk(self.tree, leaf)[1:])
            for leaf in self.reported
        ]
        return sum(counts) / len(counts) if counts else 0.0

    @property
    def ending(self) -> str:
        """`completed`, `truncated` or `aborted`, by the first reported conversation."""
        return ENDINGS[self.outcomes[self.reported[0]]] if self.reported else "aborted"

    @property
    def agent_turns(self) -> int:
        """Turns that the agent took, in all branches."""
        return sum(node.speaker is Speaker.AGENT for node in self.tree.nodes[1:])

    def usage(self, speaker: Speaker) -> Usage:
        """Model calls made for one side."""
        return sum((node.turn.usage for node in self.tree.nodes[1:] if node.speaker is speaker), NO_USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a conversation, a turn and a task are broken off."""

    max_convo_turns: int | None = setting(
        None, "rounds after which a conversation is cut off (default: environment's)", least=1
    )
    josh_agent_tries: int = setting(20, "most steps in one agent turn", least=1)
    task_timeout: float = setting(3600.0, "seconds that one task may take", above=0, unit="seconds", resumable=True)


class TaskClock:
    """The time limit of one task; it stands still while all the task's calls wait for their turn (`exchange.Clock`)."""

    def __init__(self, seconds: float) -> None:
        """Args: seconds: what the task may take."""
        self.seconds = seconds
        self.limit: asyncio.Timeout | None = None
        self._left: float | None = None
        self._waiting = 0
        self._flying = 0

    def change(self, waiting: int = 0, flying: int = 0) -> None:
        """See `Clock.change`."""
        self._waiting += waiting
        self._flying += flying
        if self.limit is None or self.limit.expired():
            return
        now = asyncio.get_running_loop().time()
        stands = self._waiting > 0 and not self._flying
        ends = self.limit.when()
        if stands and ends is not None:
            self._left = ends - now
            self.limit.reschedule(None)
        elif not stands and ends is None and self._left is not None:
            self.limit.reschedule(now + self._left)


async def play(search: Search, task: Task, env: BaseEnv, *, max_rounds: int, clock: TaskClock) -> Episode:
    """Play a task to its end.

    Args:
        search: the search, at its root.
        task: the task.
        env: its environment.
        max_rounds: rounds after which it is cut off.
        clock: says when it is given up.
    """
    root = search.branches[0]
    rewards: BaseRewards = root.rewards.fork()
    tools = tuple(getattr(root.agent, "tools", ()))
    error = ""
    agent_turns = 0
    try:
        async with asyncio.timeout(clock.seconds) as limit:
            clock.limit = limit
            while search.tree.goals and not search.done:
                agent_next = next_speaker(search.tree) is Speaker.AGENT
                if agent_next and agent_turns == max_rounds:
                    break
                agent_turns += agent_next
                await search.advance()
                log.info("%s: %s", task.id, _progress(search.tree))
                await asyncio.sleep(0)  # lets other tasks, the progress bar and Ctrl-C have their say
    except TimeoutError:
        if not limit.expired():
            raise
        error = f"{TOO_LONG} {clock.seconds:g} seconds"
    finally:
        clock.limit = None
    try:
        episode = conclude(search.tree, task, env, rewards, search.strategy, error)
    except JoshError:
        raise
    except Exception as failure:
        error = f"it could not be scored: {explain(failure)}"
        episode = conclude(search.tree, task, env, rewards, search.strategy, error)
    return replace(episode, tools=tools)


def _progress(tree: Tree) -> str:
    """Where a search stands, in a few words."""
    speaker = tree.nodes[-1].speaker
    live = len(tree.frontier)
    if tree.collapses and tree.collapses[-1].size == len(tree.nodes):
        left = len(tree.nodes[tree.root].open)
        return f"the {speaker}'s turn earned a reward at {tree.nodes[tree.root].path or 'the root'}, {left} goals left"
    return f"after the {speaker}'s turn {live} live leaves, {len(tree.nodes) - 1} turns played"


def conclude(
    tree: Tree, task: Task, env: BaseEnv, rewards: BaseRewards, strategy: Strategy, error: str = ""
) -> Episode:
    """Score a finished tree.

    Args:
        tree: the tree.
        task: the task it was grown on.
        env: the task's environment.
        rewards: a rewards object started on the task.
        strategy: names the tree's result.
        error: why the task was given up, if it was.
    """
    error = error or ("" if tree.goals else "the task has no goals")
    ends = [leaf for leaf in leaves(tree) if leaf]
    outcomes = {leaf: final_outcome(tree, leaf) for leaf in ends}
    sound = [leaf for leaf in ends if outcomes[leaf] is not Outcome.INFRA_ERROR]
    worth = {} if error else {leaf: float(rewards.total(tree.goals, hits(tree, leaf))) for leaf in sound}
    tree, reported = strategy.conclude(tree, worth) if worth else (tree, ())
    for winner in {collapse.winner for collapse in tree.collapses if worth} - worth.keys():
        worth[winner] = float(rewards.total(tree.goals, hits(tree, winner)))
    measured = [env.metrics(task, conversation(tree, leaf)) for leaf in reported]
    values: dict[str, list[float]] = {}
    for name, value in (item for one in measured for item in one.items()):
        values.setdefault(name, []).append(value)
    metrics = {name: sum(found) / len(found) for name, found in values.items()}
    for number in (*worth.values(), *metrics.values()):
        if not math.isfinite(number):
            raise ValueError(f"a reward or metric is {number}")
    if not reported and not error:
        error = next((node.turn.error for node in tree.nodes if node.turn.error), "no conversation came to an end")
    return Episode(task, tree, reported, outcomes, worth, metrics, error)
