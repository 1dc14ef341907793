"""The numbers of a conversation, from the facts of the agent's turns and the user's reactions; and pairs of actions.

Two turns after one node are a pair where their actions differ. Of all such pairs at a node the one with the largest
difference of rewards counts: the best against the worst.

| the turns at one node | label | note |
|---|---|---|
| their rewards differ | the better action | |
| the rewards are equal | none | tie |
| a conversation has no score for its task | none | no task score |
| one of only two actions failed | none | failed |
| all have the same action | no pair | |
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from josh.dialogue import Outcome, Speaker
from josh.envs.proactive.cost import Message, Weights, interrupt_cost, reward
from josh.tree import Node, Pair, Tree, walk

TIE: Final = "tie"
UNSCORED: Final = "no task score"
FAILED: Final = "failed"

Told = tuple[Mapping[str, Any], Mapping[str, Any]]
"""The facts of a turn of the agent, and the meta of the user's reaction; empty where there is none."""


def scores_of(told: Sequence[Told], weights: Weights) -> dict[str, float]:
    """Returns `task` (R_task), `interrupt` (C_interrupt) and `reward` of a conversation; without R_task not `task` and
    `reward`.

    R_task is that of the last message that delivers, and 0 where none does.

    Args:
        told: the agent's turns.
        weights: the weights.
    """
    messages = [
        Message(
            facts["questions"],
            facts["words"],
            bool(meta.get("answered_clarification")),
            bool(meta.get("reject_signal")),
            bool(meta.get("off_topic_flag")),
        )
        for facts, meta in told
    ]
    cost = interrupt_cost(messages, weights)
    delivered = [facts["task"] for facts, _ in told if facts["delivers"]]
    task = delivered[-1] if delivered else 0.0
    total = reward(task, cost, weights)
    return {"interrupt": cost} if task is None or total is None else {"task": task, "interrupt": cost, "reward": total}


def told_in(turns: Sequence[tuple[Speaker, Mapping[str, Any] | None, Any]]) -> list[Told]:
    """Returns the agent's turns with facts, each with the reaction of the user's turn behind it.

    Args:
        turns: the turns of a conversation, each as speaker, facts and the world's report.
    """
    found: list[Told] = []
    for speaker, facts, observed in turns:
        if speaker is Speaker.AGENT:
            if facts is not None:
                found.append((facts, {}))
        elif found:
            found[-1] = found[-1][0], meta_in(observed)
    return found


def meta_in(observed: Any) -> Mapping[str, Any]:
    """Returns the meta of a reaction in the world's report after the user's turn; empty where there is none."""
    reaction = observed.get("reaction") if isinstance(observed, Mapping) else None
    return dict(reaction["meta"]) if reaction else {}


def action_pairs(tree: Tree, weights: Weights) -> Iterator[Pair]:
    """Yields at most one pair for each node that turns of the agent with different actions follow, in tree order.

    A turn is worth the reward of the conversation that goes on with the first child of each node.

    Args:
        tree: a finished tree with the facts of `josh.rewards.proactive`.
        weights: the weights.
    """
    families: dict[int, list[int]] = {}
    for index, node in enumerate(tree.nodes):
        if index and node.speaker is Speaker.AGENT:
            families.setdefault(node.parent, []).append(index)
    first: dict[int, int] = {}
    for index, node in enumerate(tree.nodes):
        first.setdefault(node.parent, index)
    for siblings in families.values():
        acting = {one: action for one in siblings if (action := _action(tree.nodes[one])) is not None}
        if len(set(acting.values())) > 1:
            yield best_pair(acting, {one: _worth(tree, one, first, weights) for one in acting})


def best_pair(acting: Mapping[int, str], worth: Mapping[int, float | str]) -> Pair:
    """Returns the pair of different actions with the largest difference.

    Args:
        acting: the action of each sibling.
        worth: the reward of each, or why it has none.
    """
    rival = [(one, other) for one, other in combinations(acting, 2) if acting[one] != acting[other]]
    best: tuple[float, float, int, int] | None = None
    for one, other in rival:
        left, right = worth[one], worth[other]
        if isinstance(left, str) or isinstance(right, str):
            continue
        found = (left - right, left, one, other) if left >= right else (right - left, right, other, one)
        if best is None or found[:2] > best[:2]:
            best = found
    if best is None:
        one, other = rival[0]
        return Pair(one, other, "", note=FAILED if FAILED in (worth[one], worth[other]) else UNSCORED)
    difference, high, better, worse = best
    return Pair(
        better,
        worse,
        acting[better] if difference else "",
        (high, float(worth[worse])),
        "" if difference else TIE,
    )


def _action(node: Node) -> str | None:
    return (node.turn.facts or {}).get("action")


def _worth(tree: Tree, index: int, first: Mapping[int, int], weights: Weights) -> float | str:
    leaf = index
    while leaf in first:
        leaf = first[leaf]
    nodes = [tree.nodes[place] for place in walk(tree, leaf)]
    if any(node.turn.outcome is Outcome.INFRA_ERROR for node in nodes):
        return FAILED
    told = told_in([(node.speaker, node.turn.facts, node.turn.observed) for node in nodes[1:]])
    return scores_of(told, weights).get("reward", UNSCORED)
