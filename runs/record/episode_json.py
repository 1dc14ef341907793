"""Converts one finished task to a line of JSON and back; `schema.py` describes each key."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from josh.dialogue import NO_USAGE, Hit, Outcome, Sample, Speaker, Turn, Usage
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.record.lines import FORMAT_VERSION
from josh.scoring import JUDGE
from josh.tree import Collapse, Confirmation, Node, Pair, Replay, Tree, leaves, spend, turns_to_say

if TYPE_CHECKING:  # the import loads pydantic, which takes 0.1 s and is not needed for writing
    from josh.runs.record.schema import CollapseRow, ConfirmationRow, EpisodeRow, NodeRow, PairRow, SampleRow, UsageRow


def to_json(episode: Episode, redact: Callable[[str], str] = str) -> dict[str, Any]:
    """Returns an episode as one JSON object.

    Each message is written once, and no value depends on time or on the order of replies, so that equal episodes give
    equal lines.

    Args:
        episode: the episode.
        redact: removes secrets from an error's text.
    """
    nodes = [node_to_json(episode, index, redact) for index in range(len(episode.tree.nodes))]
    return head_to_json(episode, redact) | {"nodes": nodes} | tail_to_json(episode)


def head_to_json(episode: Episode, redact: Callable[[str], str] = str) -> dict[str, Any]:
    """Returns the keys of an episode before `nodes`; see `to_json`."""
    tree = episode.tree
    return {
        "version": FORMAT_VERSION,
        "task_id": episode.task.id,
        "ending": episode.ending,
        "reward": episode.reward,
        "success": episode.success,
        "rounds": episode.rounds,
        "metrics": dict(episode.metrics),
        "error": redact(episode.error),
        "usage": {str(speaker): _usage(episode.usage(speaker)) for speaker in Speaker}
        | ({JUDGE: _usage(episode.judged)} if episode.judged.calls else {}),
        "reported": list(episode.reported),
        "goals": list(tree.goals),
        "collapses": [
            {"root": cut.root, "size": cut.size, "winner": cut.winner, "rewarded": list(cut.rewarded)}
            for cut in tree.collapses
        ],
        "frontier": list(tree.frontier),
    }


def tail_to_json(episode: Episode) -> dict[str, Any]:
    """Returns the keys of an episode after `nodes`; see `to_json`."""
    task = episode.task
    optional = {
        # For a single conversation, `reward` is enough.
        "rewards": list(episode.rewards) if len(episode.rewards) > 1 else None,
        "tools": list(episode.tools),
        "user_tools": list(episode.user_tools),
        "seed": episode.tree.seed,
        "scores": episode.mean_scores,
        "unread_tags": episode.unread_tags,
        "disputed_tags": episode.disputed_tags,
        "pairs": list(map(_pair, episode.pairs)),
        "no_rows": episode.no_rows,
        "budget": episode.budget,
    }
    row = {"task": {"index": task.index, "data": dict(task.data), "metadata": dict(task.metadata)}}
    return row | {name: value for name, value in optional.items() if value}


def node_to_json(episode: Episode, index: int, redact: Callable[[str], str] = str) -> dict[str, Any]:
    """Returns a node of an episode, without empty values and without a second copy of the same messages."""
    node = episode.tree.nodes[index]
    row = _node(node, episode.outcomes.get(index), episode.worth.get(index, 0.0), episode.scores.get(index), redact)
    if node.confirmation is not None:
        row["confirmed"] = _confirmation(node.confirmation, turns_to_say(episode.tree, index), redact)
    return row


def _confirmation(found: Confirmation, said: Sequence[Turn], redact: Callable[[str], str]) -> dict[str, Any]:
    """Returns a confirmation; the agent's turns that equal those of the path (`said`) are not written again."""
    return {
        "users": found.users,
        "share": found.share,
        "reward": found.reward,
        **({"needed": found.needed} if found.needed else {}),
        "replays": [_replay(replay, said, redact) for replay in found.replays],
    }


def _replay(replay: Replay, said: Sequence[Turn], redact: Callable[[str], str]) -> dict[str, Any]:
    words, nodes = iter(said), []
    for node in replay.tree.nodes[1:]:
        if node.speaker is Speaker.AGENT and node.turn == _spoken_again(next(words)):
            row: dict[str, Any] = {"parent": node.parent, "speaker": node.speaker, "path": node.path}
            nodes.append(row | {"phase": node.phase, "messages": [], "again": True})
        else:
            nodes.append(_node(node, None, 0.0, None, redact))
    return ({"user": replay.user} if replay.user else {}) | {"won": replay.won, "reward": replay.reward, "nodes": nodes}


def _spoken_again(turn: Turn) -> Turn:
    """Returns a turn of the agent's as it is when it is said again: nobody asks for it, and it costs nothing."""
    return replace(
        turn,
        samples=(),
        usage=NO_USAGE,
        model="",
        seed=None,
        choice=0,
        duplicate=False,
        error="",
        cut="",
        failure="",
        value=None,
    )


def _node(
    node: Node,
    outcome: Outcome | None,
    reward: float,
    scores: Mapping[str, float] | None,
    redact: Callable[[str], str],
) -> dict[str, Any]:
    """Returns a node as JSON, without empty values and without a second copy of the same messages."""
    turn = node.turn
    row: dict[str, Any] = {"parent": node.parent, "speaker": node.speaker, "path": node.path, "phase": node.phase}
    row["messages"] = list(turn.messages)
    if turn.internal is not turn.messages and turn.internal != turn.messages:
        row["internal"] = list(turn.internal)
    # For these keys an empty value has a meaning; only None is left out.
    given = {
        "user_internal": turn.user_internal,
        "observed": turn.observed,
        "value": turn.value,
        "directive": node.directive,
        "facts": turn.facts,
    }
    row |= {name: value for name, value in given.items() if value is not None}
    filled = {
        "actions": [list(step) for step in turn.actions],
        "hits": hits_to_json(turn),
        "model": turn.model,
        "seed": turn.seed,
        "choice": turn.choice,
        "duplicate": turn.duplicate,
        "usage": _usage(turn.usage) if turn.usage.calls else None,
        # `ended`: how the turn itself ended. `outcome`: the leaf's outcome at the end of the search.
        "ended": turn.outcome if turn.outcome is not Outcome.ALIVE else None,
        "outcome": outcome,
        # The reward of the path down to a leaf or to the winner of a collapse.
        "reward": reward,
        "samples": list(map(_sample, turn.samples)),
        "error": redact(turn.error),
        "cut": turn.cut,
        "failure": redact(turn.failure),
    }
    row |= {name: value for name, value in filled.items() if value}
    if scores is not None:
        row["scores"] = dict(scores)
    return row


def hits_to_json(turn: Turn) -> list[dict[str, Any]]:
    """Returns the reward events of a turn."""
    return [{"step": hit.step, "goals": list(hit.goals), "value": hit.value} for hit in turn.hits]


def _pair(pair: Pair) -> dict[str, Any]:
    row = {"better": pair.better, "worse": pair.worse, "label": pair.label, "values": list(pair.values)}
    return row | ({"note": pair.note} if pair.note else {})


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "prefix": sample.prefix,
        "prompt_ids": sample.prompt_ids,
        "token_ids": sample.token_ids,
        "logprobs": sample.logprobs,
        "finish_reason": sample.finish_reason,
        "model": sample.model,
        **({} if sample.model_logprobs is None else {"model_logprobs": sample.model_logprobs}),
    }


def from_json(row: "EpisodeRow") -> Episode:
    """Returns the episode that `to_json` wrote. Values of plug-ins have the types of JSON: tuples are lists now.

    Args:
        row: a line of `episodes.jsonl`, as returned by `schema.read_row`.

    Raises:
        ValueError: the tree is inconsistent; the text gives the place and the reason in one line.
    """
    goals = tuple(row["goals"])
    nodes: list[Node] = []
    for index, each in enumerate(row["nodes"]):
        if each["parent"] not in (range(index) if index else (-1,)):
            raise ValueError(
                f"node {index}: parent is {each['parent']}; a parent comes before its children, and the root's is -1"
            )
        if "phase" not in each and "version" in row:
            raise ValueError(f"node {index}: phase is missing")
        node = _read_node(each, nodes[each["parent"]] if index else None, goals)
        if "confirmed" in each:
            node = replace(node, confirmation=_read_confirmation(index, each["confirmed"], [*nodes, node], goals))
        nodes.append(node)
    collapses = tuple(_read_collapse(each, len(nodes)) for each in row["collapses"])
    tree = Tree(
        tuple(nodes),
        _indices("frontier", row["frontier"], len(nodes)),
        goals,
        collapses[-1].winner if collapses else 0,
        collapses,
        row.get("seed", 0),
    )
    outcomes = {index: Outcome(each["outcome"]) for index, each in enumerate(row["nodes"]) if "outcome" in each}
    strange = {leaf for leaf in leaves(tree) if leaf} ^ set(outcomes)
    if strange:
        raise ValueError(f"node {min(strange)}: a leaf must have an outcome, and any other node must have none")
    reported = _indices("reported", row["reported"], len(nodes))
    rewards = row.get("rewards") or [row["reward"]] * (len(reported) == 1)
    if len(rewards) != len(reported) or not outcomes.keys() >= set(reported):
        raise ValueError(f"reported is {list(reported)}, rewards {rewards}; give one reward for each reported leaf")
    # A reward of 0 is not written.
    sound = [leaf for leaf, outcome in outcomes.items() if outcome is not Outcome.INFRA_ERROR]
    worth = dict.fromkeys([*sound, *(cut.winner for cut in collapses)], 0.0) if reported else {}
    worth |= {index: each["reward"] for index, each in enumerate(row["nodes"]) if "reward" in each}
    task = row["task"]
    return Episode(
        Task(row["task_id"], task["index"], task["data"], task["metadata"]),
        tree,
        reported,
        outcomes,
        worth | dict(zip(reported, rewards, strict=True)),
        metrics=row["metrics"],
        error=row["error"],
        scores={index: each["scores"] for index, each in enumerate(row["nodes"]) if "scores" in each},
        judged=_read_usage(row["usage"].get(JUDGE)),
        tools=tuple(row.get("tools", ())),
        user_tools=tuple(row.get("user_tools", ())),
        unread_tags=row.get("unread_tags", 0),
        disputed_tags=row.get("disputed_tags", 0),
        pairs=tuple(_read_pair(each, len(nodes)) for each in row.get("pairs", ())),
        no_rows=row.get("no_rows", ""),
        budget=row.get("budget", ""),
    )


def _read_node(row: "NodeRow", parent: Node | None, goals: tuple[Any, ...]) -> Node:
    """Returns a node from its row and its parent; None for the root's parent."""
    messages = tuple(row["messages"])
    turn = Turn(
        messages=messages,
        internal=tuple(row["internal"]) if "internal" in row else messages,
        actions=tuple(map(tuple, row.get("actions", ()))),
        hits=tuple(Hit(hit["step"], tuple(hit["goals"]), hit["value"]) for hit in row.get("hits", ())),
        outcome=Outcome(row["ended"]) if "ended" in row else Outcome.ALIVE,
        observed=row.get("observed"),
        value=row.get("value"),
        samples=tuple(map(_read_sample, row.get("samples", ()))),
        user_internal=tuple(row["user_internal"]) if "user_internal" in row else None,
        usage=_read_usage(row.get("usage")),
        model=row.get("model", ""),
        seed=row.get("seed"),
        choice=row.get("choice", 0),
        duplicate=row.get("duplicate", False),
        error=row.get("error", ""),
        cut=row.get("cut", ""),
        failure=row.get("failure", ""),
        facts=row.get("facts"),
    )
    depth = parent.depth + 1 if parent else 0
    return Node(
        row["parent"],
        Speaker(row["speaker"]),
        row["path"],
        depth,
        turn,
        open=spend(parent.open, turn.hits)[1] if parent else goals,
        directive=row.get("directive"),
        # Version 1 has no phases: its searches played one phase for each level of depth.
        phase=row.get("phase", depth),
    )


def _read_confirmation(
    index: int, row: "ConfirmationRow", nodes: Sequence[Node], goals: tuple[Any, ...]
) -> Confirmation:
    """Returns the confirmation of a node; `nodes` are those up to it. Raises ValueError where it is inconsistent."""
    said = turns_to_say(Tree(tuple(nodes), ()), index)
    replays = []
    for each in row["replays"]:
        found, words = [nodes[0]], iter(said)
        for place, one in enumerate(each["nodes"]):
            if one["parent"] != place:
                raise ValueError(f"node {index}: a conversation with a fresh user has a parent {one['parent']}")
            node = _read_node(one, found[-1], goals)
            if node.speaker is Speaker.AGENT:
                turn = next(words, None)
                if turn is None:
                    raise ValueError(f"node {index}: a conversation with a fresh user has more turns than the path")
                if one.get("again"):
                    again = _spoken_again(turn)
                    node = replace(node, turn=again, open=spend(found[-1].open, again.hits)[1])
            found.append(node)
        replays.append(Replay(each.get("user", ""), Tree(tuple(found), (), goals), each["won"], each["reward"]))
    return Confirmation(tuple(replays), row.get("needed", 0.0))


def _read_sample(row: "SampleRow") -> Sample:
    logprobs = row["logprobs"]
    return Sample(
        row["prefix"],
        tuple(row["prompt_ids"]),
        tuple(row["token_ids"]),
        None if logprobs is None else tuple(logprobs),
        row["finish_reason"],
        row["model"],
        tuple(row["model_logprobs"]) if "model_logprobs" in row else None,
    )


def _read_pair(row: "PairRow", nodes: int) -> Pair:
    better, worse = _indices("pairs", [row["better"], row["worse"]], nodes)
    first, second = row["values"]
    return Pair(better, worse, row["label"], (first, second), row.get("note", ""))


def _read_usage(row: "UsageRow | None") -> Usage:
    return Usage(row["calls"], row["prompt_tokens"], row["completion_tokens"]) if row else NO_USAGE


def _read_collapse(row: "CollapseRow", nodes: int) -> Collapse:
    (size,) = _indices("collapses", [row["size"]], nodes + 1)
    root, winner, *rewarded = _indices("collapses", [row["root"], row["winner"], *row["rewarded"]], size)
    return Collapse(root, size, winner, tuple(rewarded))


def _indices(name: str, values: Sequence[int], below: int) -> tuple[int, ...]:
    """Returns indices of nodes. Raises ValueError where one of them is out of range."""
    for value in values:
        if not 0 <= value < below:
            raise ValueError(f"{name}: node {value} does not exist among {below} nodes")
    return tuple(values)
