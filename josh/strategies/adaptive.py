"""Splits where it matters: where siblings came out differently, and not where the model's replies agree.

Each conversation after the first begins in the middle of the others, at the node with the highest promise:
    1. What the path has earned so far counts first (`keep` is its weight), because it need not be earned again.
    2. A node with one turn of the agent after it is not tried yet: its promise is 1.
    3. A node with several turns promises the spread of what the conversations through them earned. Where all came out
       alike, or all turns say and do the same, the turn decides nothing, and its promise is 0.
    4. Each further turn divides the promise, so that other nodes get their chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from josh.config import setting
from josh.dialogue import Speaker, Turn
from josh.messages import dumps
from josh.strategies.growing import Growing, Statistics, growing, statistics
from josh.tree import Tree


class Adaptive(Growing):
    """Goes back to the turns that decide; the best leaf counts."""

    @dataclass(frozen=True, slots=True)
    class Config(Growing.Config):
        """The settings."""

        keep: float = setting(0.5, "weight of what a path has earned, against its promise", least=0, most=100)
        skip: bool = setting(True, "skip turns after which all siblings came out alike")

    config: Config

    def describe(self) -> str:
        """Returns the search's name, its value and its limit, in words."""
        return f"searched by splits where turns decide (value {self.config.value}, {self.config.turns} turns)"

    def places(self, tree: Tree, room: int) -> Sequence[int]:
        """Returns the nodes with the highest promise; among equals the shallowest, then the first."""
        stats = statistics(tree, self.config.value)
        waiting = frozenset(growing(tree, self.config.value))
        best = _best(tree, stats)
        found = {
            node: self._promise(tree, stats, best, node)
            for node in tree.frontier
            if node not in waiting and _agent_speaks(tree, stats, node)
        }
        return sorted(found, key=lambda node: (-found[node], tree.nodes[node].depth, node))[:room]

    def _promise(self, tree: Tree, stats: Statistics, best: Sequence[float], node: int) -> float:
        turns = stats.children.get(node, ())
        promise = 1.0
        if len(turns) > 1:
            ends = [best[turn] for turn in turns]
            promise = max(ends) - min(ends)
            if len({_said(tree.nodes[turn].turn) for turn in turns}) == 1:
                promise = 0.0
            if not self.config.skip:
                promise = max(promise, 0.5)
        return self.config.keep * stats.worth[node] + promise / (1 + len(turns))


def _best(tree: Tree, stats: Statistics) -> list[float]:
    """Returns the highest worth at or below each node."""
    best = list(stats.worth)
    for index in range(len(best) - 1, 0, -1):
        parent = tree.nodes[index].parent
        best[parent] = max(best[parent], best[index])
    return best


def _agent_speaks(tree: Tree, stats: Statistics, node: int) -> bool:
    following = stats.children.get(node)
    if following:
        return tree.nodes[following[0]].speaker is Speaker.AGENT
    return tree.nodes[node].speaker is Speaker.USER or node == 0


def _said(turn: Turn) -> str:
    """Returns what a turn says and does, as a text to compare."""
    return dumps([list(turn.messages), [list(step) for step in turn.actions]])
