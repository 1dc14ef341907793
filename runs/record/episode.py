"""One finished task: what came of its search, as numbers and as a line of JSON."""

import asyncio
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from josh.driver import Search, explain, final_outcome
from josh.errors import JoshError
from josh.examples import Example, example_at, examples_of
from josh.messages import dumps
from josh.roles import BaseEnv, BaseRewards, Task
from josh.search import Strategy, next_speaker
from josh.tree import (
    NO_USAGE,
    Collapse,
    Hit,
    Node,
    Outcome,
    Speaker,
    Tree,
    Turn,
    Usage,
    conversation,
    hits,
    leaves,
    spend,
    walk,
)

T = TypeVar("T")
D = TypeVar("D")

log = logging.getLogger("josh")

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


def examples(episode: Episode, searched: bool) -> Iterator[Example]:
    """An episode's training examples, every text once: where branches that say the same fared differently, the best.

    Of a search: what its collapses yield, also where it was given up later; where it was played to the end, that is
    every branch. Of plain rollouts: every reported
    conversation, successful where it met all goals, golden where it is the first of those worth most.
    """
    tree = episode.tree
    if searched:
        yield from _best_of_each(example for collapse in tree.collapses for example in examples_of(tree, collapse))
        return
    won = [leaf for leaf in episode.reported if not tree.nodes[leaf].open]
    golden = max(won, key=lambda leaf: episode.worth[leaf], default=-1)
    yield from _best_of_each(
        example for leaf in episode.reported for example in example_at(tree, leaf, leaf in won, leaf == golden)
    )


def _best_of_each(examples: Iterable[Example]) -> Iterable[Example]:
    """One example for each text, golden over successful over neither, where the text first came."""
    best: dict[str, Example] = {}
    for example in examples:
        text = dumps(example.messages, sort_keys=True)
        if text not in best or _label(example) > _label(best[text]):
            best[text] = example
    return best.values()


def _label(example: Example) -> tuple[bool, bool]:
    return example.is_golden_path, example.is_successful


def to_json(episode: Episode, redact: Callable[[str], str] = str) -> dict[str, Any]:
    """An episode as one JSON object: every message once, nothing that depends on time or on the order of replies.

    Args:
        episode: the episode.
        redact: takes secrets out of an error's text.
    """
    tree = episode.tree
    row = {
        "task_id": episode.task.id,
        "ending": episode.ending,
        "reward": episode.reward,
        "success": episode.success,
        "rounds": episode.rounds,
        "metrics": dict(episode.metrics),
        "error": redact(episode.error),
        "usage": {str(speaker): asdict(episode.usage(speaker)) for speaker in Speaker},
        "reported": list(episode.reported),
        "goals": list(tree.goals),
        "collapses": [asdict(collapse) for collapse in tree.collapses],
        "frontier": list(tree.frontier),
        "nodes": [
            _node(node, episode.outcomes.get(index), episode.worth.get(index, 0.0), redact)
            for index, node in enumerate(tree.nodes)
        ],
        "task": {"index": episode.task.index, "data": dict(episode.task.data), "metadata": dict(episode.task.metadata)},
    }
    optional = {
        # Of a single conversation, `reward` says it.
        "rewards": list(episode.rewards) if len(episode.rewards) > 1 else None,
        "tools": list(episode.tools),
    }
    return row | {name: value for name, value in optional.items() if value}


def _node(node: Node, outcome: Outcome | None, reward: float, redact: Callable[[str], str]) -> dict[str, Any]:
    """A node without what says nothing: no errors where there are none, no second copy of the same messages."""
    turn = node.turn
    row: dict[str, Any] = {"parent": node.parent, "speaker": node.speaker, "path": node.path}
    row["messages"] = list(turn.messages)
    if turn.internal != turn.messages:
        row["internal"] = list(turn.internal)
    optional = {
        "directive": node.directive,
        "actions": [list(step) for step in turn.actions],
        "hits": [asdict(hit) for hit in turn.hits],
        "model": turn.model,
        "seed": turn.seed,
        "choice": turn.choice,
        "duplicate": turn.duplicate,
        "usage": asdict(turn.usage) if turn.usage.calls else None,
        # How the turn itself ended, and how the leaf stands now that the search is over.
        "ended": turn.outcome if turn.outcome is not Outcome.ALIVE else None,
        "outcome": outcome,
        # What the path down to a leaf or a winner earned.
        "reward": reward,
        "error": redact(turn.error),
    }
    return row | {name: value for name, value in optional.items() if value}


def from_json(row: Any) -> Episode:
    """The episode that `to_json` wrote down; values of plug-ins as far as JSON has a form for them.

    Args:
        row: what `json.loads` makes of a line of `episodes.jsonl`.

    Raises:
        ValueError: it is no whole episode; the text says what is wrong with it.
    """
    goals = tuple(_get(row, "goals", list))
    rows = _list(row, "nodes", dict)
    if not rows:
        raise ValueError("nodes is empty; a tree has a root")
    nodes: list[Node] = []
    for each in rows:
        with _naming(f"node {len(nodes)}"):
            nodes.append(_read_node(each, nodes, goals))
    size = len(nodes)
    with _naming("collapses"):
        collapses = tuple(_read_collapse(each, size) for each in _list(row, "collapses", dict))
    root = collapses[-1].winner if collapses else 0
    tree = Tree(tuple(nodes), _indices(row, "frontier", size), goals, root, collapses)
    outcomes = {index: Outcome(_get(each, "outcome", str)) for index, each in enumerate(rows) if "outcome" in each}
    strange = {leaf for leaf in leaves(tree) if leaf} ^ set(outcomes)
    if strange:
        raise ValueError(f"node {min(strange)}: leaves have an outcome, other nodes have none")
    reported = _indices(row, "reported", size)
    rewards = _list(row, "rewards", float, optional=True) or (_get(row, "reward", float),) * (len(reported) == 1)
    if len(rewards) != len(reported) or not outcomes.keys() >= set(reported):
        raise ValueError(f"reported is {list(reported)}, rewards {list(rewards)}; every leaf reported has a reward")
    worth = {index: _get(each, "reward", float) for index, each in enumerate(rows) if "reward" in each}
    task_id, task, metrics = _get(row, "task_id", str), _get(row, "task", dict), _get(row, "metrics", dict)
    return Episode(
        Task(task_id, _get(task, "index", int), _get(task, "data", dict), _get(task, "metadata", dict)),
        tree,
        reported,
        outcomes,
        worth | dict(zip(reported, rewards, strict=True)),
        metrics={name: _get(metrics, name, float) for name in metrics},
        error=_get(row, "error", str),
        tools=_list(row, "tools", dict, optional=True),
    )


def _read_node(row: dict[str, Any], elder: Sequence[Node], goals: tuple[Any, ...]) -> Node:
    """A node, from its JSON object and the nodes before it."""
    messages = _list(row, "messages", dict)
    turn = Turn(
        messages=messages,
        internal=_list(row, "internal", dict) if "internal" in row else messages,
        actions=tuple(map(tuple, _list(row, "actions", list, optional=True))),
        hits=tuple(map(_read_hit, _list(row, "hits", dict, optional=True))),
        outcome=Outcome(_or(row, "ended", str, Outcome.ALIVE)),
        usage=_read_usage(_get(row, "usage", dict)) if "usage" in row else NO_USAGE,
        model=_or(row, "model", str, ""),
        seed=_or(row, "seed", int, None),
        choice=_or(row, "choice", int, 0),
        duplicate=_or(row, "duplicate", bool, False),
        error=_or(row, "error", str, ""),
    )
    parent = _get(row, "parent", int)
    if parent not in (range(len(elder)) if elder else (-1,)):
        raise ValueError(f"parent is {parent}; parents come before their children, and the root has none")
    path = _get(row, "path", str)
    if not re.fullmatch(r"(\d+(/\d+)*)?", path):
        raise ValueError(f"path is {path!r}; give sibling numbers, such as 0/1")
    return Node(
        parent,
        Speaker(_get(row, "speaker", str)),
        path,
        depth=elder[parent].depth + 1 if elder else 0,
        turn=turn,
        open=spend(elder[parent].open, turn.hits)[1] if elder else goals,
        directive=_or(row, "directive", str, None),
    )


def _read_hit(row: dict[str, Any]) -> Hit:
    return Hit(_get(row, "step", int), tuple(_get(row, "goals", list)), _get(row, "value", float))


def _read_usage(row: dict[str, Any]) -> Usage:
    return Usage(*(_get(row, one.name, int) for one in fields(Usage)))


def _read_collapse(row: dict[str, Any], nodes: int) -> Collapse:
    size = _index(_get(row, "size", int), nodes + 1)
    root, winner = (_index(_get(row, name, int), size) for name in ("root", "winner"))
    return Collapse(root, size, winner, _indices(row, "rewarded", size))


def _get(row: Any, name: str, kind: type[T]) -> T:
    """A field of a JSON object. Raises ValueError where it is missing or of another type."""
    if not isinstance(row, dict):
        raise ValueError(f"{row!r:.40} is no JSON object")
    if name not in row:
        raise ValueError(f"{name} is missing")
    _check(row[name], name, kind)
    value: T = row[name]
    return value


def _or(row: dict[str, Any], name: str, kind: type[T], default: D) -> T | D:
    """A field that is left out where it says nothing."""
    return _get(row, name, kind) if name in row else default


def _list(row: Any, name: str, kind: type[T], *, optional: bool = False) -> tuple[T, ...]:
    """A list of one type, which may be left out where it is empty and `optional`."""
    values = [] if optional and name not in row else _get(row, name, list)
    for value in values:
        _check(value, name, kind)
    return tuple(values)


def _check(value: Any, name: str, kind: type) -> None:
    # Exact types, as JSON gives them: True is no number here.
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{name} is or holds {value!r:.40}, which is no {kind.__name__}")


def _indices(row: Any, name: str, below: int) -> tuple[int, ...]:
    """A list of the indices of nodes."""
    values = _list(row, name, int)
    with _naming(name):
        return tuple(_index(value, below) for value in values)


def _index(value: int, below: int) -> int:
    if not 0 <= value < below:
        raise ValueError(f"there is no node {value} among {below}")
    return value


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Say where in a row something is wrong."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
