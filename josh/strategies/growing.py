"""What searches share that grow a tree conversation by conversation: `mcts`, `adaptive` and `treequest`.

The life of a conversation in such a search:
    1. The search chooses a place: a node after which the agent speaks (`places`). All nodes stay in the frontier, so
       that any of them can be a place again.
    2. A new turn of the agent follows the place, and the user answers.
    3. With the value `rollout` both go on to the end; with `reward` and `judge` the round is valued as it stands.
    4. The value of the conversation counts for all nodes on its path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from josh.config import setting
from josh.dialogue import Outcome, Speaker
from josh.search import Strategy, unfinished
from josh.tree import Expand, Tree

REWARD, ROLLOUT, JUDGE = "reward", "rollout", "judge"
VALUES: Final = (REWARD, ROLLOUT, JUDGE)
"""What a conversation is worth: its reward so far, its reward at its end, or the `value()` of the rewards class."""
WIN, SPENT = "win", "spent"


def value_setting(default: str) -> Any:
    """Declares the setting of the value of a conversation, with one of `VALUES` as its default."""
    return setting(
        default,
        "what a conversation is worth: its `reward` so far, a `rollout` to its end, or the rewards' value (`judge`)",
        choices=VALUES,
    )


class Growing(Strategy):
    """Base of the searches that add one conversation after the other; a subclass defines `places`."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """The settings of every such search."""

        value: str = value_setting(ROLLOUT)
        turns: int = setting(60, "turns of the agent after which no conversation is begun", least=1, most=1_000_000)
        at_once: int = setting(1, "conversations that grow at the same time", least=1, most=1_000)
        until: str = setting(
            WIN,
            "end at the first `win`, a path that meets all goals, or when all turns are `spent`",
            choices=(WIN, SPENT),
        )

    config: Config

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Continue the conversations that grow, and begin others in their places while there is room."""
        found = [self._next(tree, leaf) for leaf in growing(tree, self.config.value)]
        room = self.config.at_once - len(found)
        if room > 0 and sum([node.speaker is Speaker.AGENT for node in tree.nodes[1:]]) < self.config.turns:
            found += [self._next(tree, place) for place in self.places(tree, room)]
        return tuple(sorted(found, key=lambda one: one.node))

    def places(self, tree: Tree, room: int) -> Sequence[int]:
        """Returns the nodes after which a new turn begins a conversation; each once.

        Args:
            tree: the tree. Only nodes of its frontier can be places.
            room: the most places.
        """
        raise NotImplementedError(f"{type(self).__name__} has no places()")

    def update(self, tree: Tree) -> Tree:
        """Drop what ended; everything at the first win, where the search stops there."""
        if self.config.until == WIN and any(tree.is_won(leaf) for leaf in tree.frontier):
            return replace(tree, frontier=())
        return replace(tree, frontier=unfinished(tree))

    def _next(self, tree: Tree, node: int) -> Expand:
        speaker = tree.nodes[node].speaker.other
        return Expand(node, speaker, keep=True, value=self.config.value == JUDGE)


def growing(tree: Tree, value: str) -> list[int]:
    """Returns the leaves that go on at once: those that wait for the user, and in a rollout all that have not ended."""
    parents = {node.parent for node in tree.nodes}
    nodes = tree.nodes
    return [
        leaf
        for leaf in tree.frontier
        if leaf and leaf not in parents and (value == ROLLOUT or nodes[leaf].speaker is Speaker.AGENT)
    ]


def worths(tree: Tree, value: str) -> list[float]:
    """Returns what the conversation is worth at each node, by node index.

    It is the sum of the reward events on the path, and 1 for a win without such events. With the value `judge` it is
    the rewards' value where they give one.
    """
    found: list[float] = []
    for node in tree.nodes:
        earned = (found[node.parent] if node.parent >= 0 else 0.0) + sum([hit.value for hit in node.turn.hits])
        if node.turn.outcome is Outcome.WON and not earned:
            earned = 1.0
        found.append(earned)
    if value == JUDGE:
        return [
            earned if node.turn.value is None else node.turn.value
            for earned, node in zip(found, tree.nodes, strict=True)
        ]
    return found


def children_of(tree: Tree) -> Mapping[int, list[int]]:
    """Returns the children of each node that has some, eldest first."""
    found: dict[int, list[int]] = {}
    for index, node in enumerate(tree.nodes):
        if index:
            found.setdefault(node.parent, []).append(index)
    return found


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the conversations of a tree say about its nodes, by node index.

    Attributes:
        worth: what the conversation is worth so far, scaled so that the highest worth in the tree is 1, or all goals.
        children: the children of each node that has some.
        visits: number of valued conversations through the node.
        sums: the sum of their values, scaled like `worth`.
    """

    worth: Sequence[float]
    children: Mapping[int, Sequence[int]]
    visits: Sequence[int]
    sums: Sequence[float]


def statistics(tree: Tree, value: str) -> Statistics:
    """Returns the statistics of a tree: a fold over its nodes.

    With the value `rollout` each leaf is one conversation; else each round is one, which ends with the user's turn or
    with the conversation.
    """
    raw, children = worths(tree, value), children_of(tree)
    scale = max(1.0, len(tree.goals) if value != JUDGE else 0.0)
    scale = max([abs(one) for one in raw] + [1.0]) if max(map(abs, raw)) > scale else scale
    worth = [one / scale for one in raw]
    visits, sums = [0] * len(raw), [0.0] * len(raw)
    for index in range(len(raw) - 1, 0, -1):
        node = tree.nodes[index]
        if index not in children or (value != ROLLOUT and node.speaker is Speaker.USER):
            visits[index] += 1
            sums[index] += worth[index]
        visits[node.parent] += visits[index]
        sums[node.parent] += sums[index]
    return Statistics(worth, children, visits, sums)
