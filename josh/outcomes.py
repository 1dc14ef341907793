"""A finished task: how each leaf ended, which conversations count, and their rewards."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from josh.calls import has_parameter
from josh.dialogue import NO_USAGE, Outcome, Speaker, Usage
from josh.errors import JoshError
from josh.roles import BaseEnv, BaseRewards, Task
from josh.search import Strategy
from josh.tags import RewardTag
from josh.threads import one_line
from josh.transcript import transcript
from josh.tree import Node, Pair, Tree, conversation, hits, leaves, walk
from josh.turns import user_texts

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
        reported: the leaves whose conversations count: the golden path's leaf of a search, all leaves of plain
            rollouts. Leaves that ended with an error are left out.
        outcomes: the final outcome of each leaf, by node index.
        worth: the reward of the path to every leaf that ended without an error, and to every winner of a collapse, by
            node index; empty where the task was given up.
        metrics: the means of the environment's metrics over the reported leaves, by name.
        error: why the task was given up, if it was; its numbers then count nowhere.
        tools: the schemas of the agent's tools.
        user_tools: the schemas of the user's tools.
        scores: the rewards' `score()` of each leaf that ended without an error, by node index and name; empty where
            the rewards class has no scores.
        judged: the cost of the judge's calls.
        unread_tags: places in the user's words, in the whole tree, that look like the environment's tag and are none.
        disputed_tags: tags in the user's words, in the whole tree, that are quoted, negated or asked about.
        pairs: the rewards' `pairs()` of the tree; empty where the task was given up.
        budget: the budget that kept the search from further turns, such as `40 turns`; empty where none did.
        no_rows: why its conversations are no training rows, such as `marked as spoilt by its authors`; empty where they
            may be.
    """

    task: Task
    tree: Tree
    reported: tuple[int, ...]
    outcomes: Mapping[int, Outcome]
    worth: Mapping[int, float]
    metrics: Mapping[str, float]
    error: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    user_tools: tuple[Mapping[str, Any], ...] = ()
    scores: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    judged: Usage = NO_USAGE
    unread_tags: int = 0
    disputed_tags: int = 0
    pairs: tuple[Pair, ...] = ()
    no_rows: str = ""
    budget: str = ""

    @property
    def scored(self) -> bool:
        """Whether the episode counts: at least one conversation ended without an error."""
        return bool(self.reported)

    @property
    def unrated(self) -> bool:
        """Whether its conversations are sound, but nothing says what they earned, as where they are imported."""
        return not self.reported and not self.error and bool(self.outcomes)

    @property
    def owed(self) -> bool:
        """Whether the task should be played again, because an error ended it or one of its turns."""
        return bool(self.error) or any(node.turn.error for node in (*self.tree.nodes, *self.again))

    @property
    def again(self) -> tuple[Node, ...]:
        """The turns of all conversations with fresh users that confirm its wins; the agent's cost nothing."""
        replays = (replay for node in self.tree.nodes if node.confirmation for replay in node.confirmation.replays)
        return tuple(node for replay in replays for node in replay.tree.nodes[1:])

    @property
    def rewards(self) -> tuple[float, ...]:
        """The reward of each reported conversation, in their order."""
        return tuple(self.worth[leaf] for leaf in self.reported)

    @property
    def reward(self) -> float:
        """Mean reward of the reported conversations."""
        return sum(self.rewards) / len(self.rewards) if self.rewards else 0.0

    @property
    def success(self) -> float:
        """Share of the reported conversations that won; 0 where the task has no goals."""
        won = [self.tree.is_won(leaf) for leaf in self.reported]
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
    def mean_scores(self) -> dict[str, float]:
        """The mean of each score over the reported conversations that have it, by name."""
        found: dict[str, list[float]] = {}
        for leaf in self.reported:
            for name, number in self.scores.get(leaf, {}).items():
                found.setdefault(name, []).append(number)
        return {name: sum(numbers) / len(numbers) for name, numbers in found.items()}

    @property
    def ending(self) -> str:
        """`completed`, `truncated` or `aborted`, by the first reported conversation; by the first one if unrated."""
        if self.unrated:
            return ENDINGS[next(iter(self.outcomes.values()))]
        return ENDINGS[self.outcomes[self.reported[0]]] if self.reported else "aborted"

    @property
    def agent_turns(self) -> int:
        """Turns that the agent took, in all branches."""
        return sum(node.speaker is Speaker.AGENT for node in self.tree.nodes[1:])

    def tools_of(self, speaker: Speaker) -> tuple[Mapping[str, Any], ...]:
        """Returns the schemas of one speaker's tools."""
        return self.tools if speaker is Speaker.AGENT else self.user_tools

    def usage(self, speaker: Speaker) -> Usage:
        """Returns the cost of the model calls made for one speaker, those of confirmations included."""
        turns = (*self.tree.nodes[1:], *self.again)
        return sum((node.turn.usage for node in turns if node.speaker is speaker), NO_USAGE)


def golden_leaf(episode: Episode) -> int | None:
    """Returns the golden path's leaf: the last winner of a collapse, or the best win that counts; None for none."""
    tree = episode.tree
    if tree.collapses:
        winner = tree.collapses[-1].winner
        return winner if tree.is_won(winner) else None
    return max(
        (leaf for leaf in episode.reported if tree.is_won(leaf)), key=lambda leaf: episode.worth[leaf], default=None
    )


def final_outcome(tree: Tree, leaf: int) -> Outcome:
    """Returns the outcome of a leaf of a finished search.

    It has won where it met all goals, and is truncated where it is alive in the frontier. A live leaf outside the
    frontier has lost, because the strategy dropped it; so has a leaf whose win too few fresh users confirmed.
    """
    if tree.is_won(leaf):
        return Outcome.WON
    outcome = tree.nodes[leaf].turn.outcome
    if tree.is_doubtful(leaf) and outcome is not Outcome.INFRA_ERROR:
        return Outcome.LOST
    if outcome is not Outcome.ALIVE:
        return outcome
    return Outcome.TRUNCATED if leaf in tree.frontier else Outcome.LOST


def final_outcomes(tree: Tree) -> dict[int, Outcome]:
    """Returns the outcome of each leaf of a finished tree, by node index, in the order of the nodes."""
    return {leaf: final_outcome(tree, leaf) for leaf in leaves(tree) if leaf}


def conclude(
    tree: Tree,
    task: Task,
    env: BaseEnv,
    rewards: BaseRewards,
    strategy: Strategy,
    error: str = "",
    scores: Mapping[int, Mapping[str, float]] = MappingProxyType({}),
) -> Episode:
    """Returns the episode of a finished tree: its result, rewards and metrics.

    Args:
        tree: the tree.
        task: the task it was grown on.
        env: the task's environment.
        rewards: a rewards object that was started on the task.
        strategy: names the tree's result.
        error: why the task was given up, if it was.
        scores: the scores of each leaf that ended without an error, by node index and name.

    Raises:
        ValueError: a reward or a metric is not finite.
    """
    outcomes = final_outcomes(tree)
    takes_scores = has_parameter(rewards.path_reward, "scores")

    def reward(leaf: int) -> float:
        given = {"scores": scores.get(leaf, {})} if takes_scores else {}
        return float(rewards.path_reward(tree.goals, hits(tree, leaf), **given))

    sound = [leaf for leaf, outcome in outcomes.items() if outcome is not Outcome.INFRA_ERROR]
    worth = {} if error else {leaf: reward(leaf) for leaf in sound}
    tree, reported = _result(strategy, tree, worth) if worth else (tree, ())
    for winner in {collapse.winner for collapse in tree.collapses if worth} - worth.keys():
        worth[winner] = reward(winner)
    measured = [metrics_of(env, task, tree, leaf, outcomes.get(leaf, Outcome.ALIVE)) for leaf in reported]
    values: dict[str, list[float]] = {}
    for name, value in (item for one in measured for item in one.items()):
        values.setdefault(name, []).append(value)
    metrics = {name: sum(found) / len(found) for name, found in values.items()}
    for number in (*worth.values(), *metrics.values()):
        if not math.isfinite(number):
            raise ValueError(f"a reward or metric is {number}")
    if not reported and not error:
        error = next((node.turn.error for node in tree.nodes if node.turn.error), "no conversation has ended")
    unread, disputed = _doubtful_tags(tree, env.tag)
    return Episode(
        task,
        tree,
        tuple(reported),
        outcomes,
        worth if reported else {},
        metrics,
        error,
        scores=scores,
        unread_tags=unread,
        disputed_tags=disputed,
        pairs=() if error else _pairs(rewards, task, tree),
        no_rows=env.no_rows(task) if hasattr(env, "no_rows") else "",
    )


def metrics_of(env: BaseEnv, task: Task, tree: Tree, leaf: int, outcome: Outcome) -> Mapping[str, float]:
    """Returns the environment's metrics of one conversation, which also gets its record where it wants it."""
    whole = {"conversation": transcript(tree, leaf, outcome)} if has_parameter(env.metrics, "conversation") else {}
    return env.metrics(task, conversation(tree, leaf), **whole)


def _pairs(rewards: BaseRewards, task: Task, tree: Tree) -> tuple[Pair, ...]:
    """Returns the rewards' pairs. Raises ValueError where one is not a pair of sibling turns."""
    name = f"{type(rewards).__name__}.pairs()"
    found = tuple(rewards.pairs(task, tree)) if hasattr(rewards, "pairs") else ()
    for pair in found:
        if not isinstance(pair, Pair):
            raise ValueError(f"{name} gives {pair!r:.60}; give josh.Pair")
        places = pair.better, pair.worse
        inside = all(0 < place < len(tree.nodes) for place in places)
        if not inside or pair.better == pair.worse or len({tree.nodes[place].parent for place in places}) > 1:
            raise ValueError(f"{name} compares nodes {pair.better} and {pair.worse}; give two turns after one node")
    return found


def _doubtful_tags(tree: Tree, tag: RewardTag | None) -> tuple[int, int]:
    """Returns the numbers of unread and of disputed tags in the user's words; see `Episode`."""
    if tag is None:
        return 0, 0
    turns = ["\n".join(user_texts(node.turn.messages)) for node in tree.nodes[1:] if node.speaker is Speaker.USER]
    return sum(map(tag.unread, turns)), sum(map(tag.disputed, turns))


def _result(strategy: Strategy, tree: Tree, worth: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
    """Returns the strategy's result. Raises ValueError, with the strategy's name, where it is not one."""
    name = f"{type(strategy).__name__}.result()"
    try:
        found = strategy.result(tree, worth)
    except JoshError:
        raise
    except Exception as error:
        raise ValueError(f"{name} failed: {one_line(error)}") from error
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], Tree):
        raise ValueError(f"{name} gives {found!r:.60}; give the tree and the leaves that count")
    after, reported = found
    strange = next((leaf for leaf in reported if leaf not in worth and leaf != after.root), None)
    if strange is not None:
        raise ValueError(f"{name} names {strange!r}, which is not the end of a conversation; give keys of `rewards`")
    return after, tuple(reported)
