"""One finished task: what came of its search, as numbers and as a line of JSON."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, TypeVar

from josh.episode import Episode
from josh.roles import Task
from josh.scoring import JUDGE
from josh.tree import (
    NO_USAGE,
    Collapse,
    Hit,
    Node,
    Outcome,
    Sample,
    Speaker,
    Tree,
    Turn,
    Usage,
    leaves,
    spend,
)

T = TypeVar("T")
D = TypeVar("D")

log = logging.getLogger("josh")


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
        "usage": {str(speaker): asdict(episode.usage(speaker)) for speaker in Speaker}
        | ({JUDGE: asdict(episode.judged)} if episode.judged.calls else {}),
        "reported": list(episode.reported),
        "goals": list(tree.goals),
        "collapses": [asdict(collapse) for collapse in tree.collapses],
        "frontier": list(tree.frontier),
        "nodes": [
            _node(
                node, episode.outcomes.get(index), episode.worth.get(index, 0.0), episode.scores.get(index, {}), redact
            )
            for index, node in enumerate(tree.nodes)
        ],
        "task": {"index": episode.task.index, "data": dict(episode.task.data), "metadata": dict(episode.task.metadata)},
    }
    optional = {
        # Of a single conversation, `reward` says it.
        "rewards": list(episode.rewards) if len(episode.rewards) > 1 else None,
        "tools": list(episode.tools),
        "user_tools": list(episode.user_tools),
        "seed": tree.seed,
        "scores": episode.mean_scores,
    }
    return row | {name: value for name, value in optional.items() if value}


def _node(
    node: Node, outcome: Outcome | None, reward: float, scores: Mapping[str, float], redact: Callable[[str], str]
) -> dict[str, Any]:
    """A node without what says nothing: no errors where there are none, no second copy of the same messages."""
    turn = node.turn
    row: dict[str, Any] = {"parent": node.parent, "speaker": node.speaker, "path": node.path, "phase": node.phase}
    row["messages"] = list(turn.messages)
    if turn.internal != turn.messages:
        row["internal"] = list(turn.internal)
    if turn.user_internal is not None:
        row["user_internal"] = list(turn.user_internal)
    if turn.observed is not None:
        row["observed"] = turn.observed
    if turn.value is not None:
        row["value"] = turn.value
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
        "scores": dict(scores),
        "samples": [asdict(sample) for sample in turn.samples],
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
    tree = Tree(tuple(nodes), _indices(row, "frontier", size), goals, root, collapses, _or(row, "seed", int, 0))
    outcomes = {index: Outcome(_get(each, "outcome", str)) for index, each in enumerate(rows) if "outcome" in each}
    strange = {leaf for leaf in leaves(tree) if leaf} ^ set(outcomes)
    if strange:
        raise ValueError(f"node {min(strange)}: leaves have an outcome, other nodes have none")
    reported = _indices(row, "reported", size)
    rewards = _list(row, "rewards", float, optional=True) or (_get(row, "reward", float),) * (len(reported) == 1)
    if len(rewards) != len(reported) or not outcomes.keys() >= set(reported):
        raise ValueError(f"reported is {list(reported)}, rewards {list(rewards)}; every leaf reported has a reward")
    sound = [leaf for leaf, outcome in outcomes.items() if outcome is not Outcome.INFRA_ERROR and reported]
    worth = dict.fromkeys(sound, 0.0)
    worth |= {index: _get(each, "reward", float) for index, each in enumerate(rows) if "reward" in each}
    task_id, task, metrics = _get(row, "task_id", str), _get(row, "task", dict), _get(row, "metrics", dict)
    return Episode(
        Task(task_id, _get(task, "index", int), _get(task, "data", dict), _get(task, "metadata", dict)),
        tree,
        reported,
        outcomes,
        worth | dict(zip(reported, rewards, strict=True)),
        metrics={name: _get(metrics, name, float) for name in metrics},
        error=_get(row, "error", str),
        scores={index: _numbers(each, "scores") for index, each in enumerate(rows) if "scores" in each},
        judged=_read_usage(row["usage"][JUDGE]) if JUDGE in _get(row, "usage", dict) else NO_USAGE,
        tools=_list(row, "tools", dict, optional=True),
        user_tools=_list(row, "user_tools", dict, optional=True),
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
        observed=row.get("observed"),
        value=_or(row, "value", float, None),
        samples=tuple(map(_read_sample, _list(row, "samples", dict, optional=True))),
        user_internal=_list(row, "user_internal", dict) if "user_internal" in row else None,
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
        # Runs recorded before phases were kept played a phase for each turn of depth.
        phase=_or(row, "phase", int, elder[parent].depth + 1 if elder else 0),
    )


def _read_hit(row: dict[str, Any]) -> Hit:
    return Hit(_get(row, "step", int), tuple(_get(row, "goals", list)), _get(row, "value", float))


def _read_sample(row: dict[str, Any]) -> Sample:
    logprobs = _list(row, "logprobs", float) if row.get("logprobs") is not None else None
    return Sample(
        _get(row, "prefix", int),
        _list(row, "prompt_ids", int),
        _list(row, "token_ids", int),
        logprobs,
        _get(row, "finish_reason", str),
        _get(row, "model", str),
    )


def _numbers(row: dict[str, Any], name: str) -> dict[str, float]:
    found = _get(row, name, dict)
    return {key: _get(found, key, float) for key in found}


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
