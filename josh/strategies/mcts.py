"""Monte Carlo tree search over dialogue turns: UCT with progressive widening (Kocsis and Szepesvári, 2006).

A walk from the root chooses the place of the next conversation:
    1. Where the agent speaks, its arms are the turns that it has taken there, and one more turn, which it may take
       while the node has fewer than `widen * visits ** power` turns. The walk takes the arm with the highest upper
       confidence bound. The value of a new turn is the mean of the conversations through the node and of what its path
       has earned so far, so that the search goes on from earned rewards and does not earn them again.
    2. Where the user speaks, chance decides. It is asked for another answer while the turn has fewer than
       `replies * visits ** power` answers, so that a turn of the agent is met with several answers (open loop, as in
       GDP-Zero: Yu et al., 2023, arXiv:2305.13660). Else the walk takes the answer with the fewest visits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Final

from josh.config import setting
from josh.dialogue import Speaker
from josh.strategies.growing import ROLLOUT, Growing, growing, statistics
from josh.tree import Tree

MAX, MEAN = "max", "mean"
LOST: Final = 0.0
"""The value of a conversation that is under way, while others are chosen; so they are begun elsewhere."""


class MCTS(Growing):
    """UCT over turns; the best leaf counts."""

    @dataclass(frozen=True, slots=True)
    class Config(Growing.Config):
        """The settings."""

        backup: str = setting(
            MAX,
            "value of a turn: the `max` of the conversations below it, to find one good one, or their `mean`",
            choices=(MAX, MEAN),
        )
        explore: float = setting(0.3, "weight of the confidence bound, for values from 0 to 1", least=0, most=100)
        widen: float = setting(2.0, "turns of the agent in one place for one visit", least=1, most=1_000)
        power: float = setting(0.5, "how their number grows with the visits: visits ** power", least=0, most=1)
        replies: float = setting(
            0.5, "answers of the user to one turn for one visit; at least one", least=0, most=1_000
        )

    config: Config

    def describe(self) -> str:
        """Returns the search's name, its value and its limit, in words."""
        return f"searched by MCTS (value {self.config.value}, {self.config.turns} turns)"

    def places(self, tree: Tree, room: int) -> Sequence[int]:
        """Returns the places that walks from the root choose, one after the other."""
        walker = _Walker(tree, self.config)
        return [place for place in (walker.next_place() for _ in range(room)) if place is not None]


class _Walker:
    """Chooses places by walks from the root; each walk counts as a visit in the next one."""

    def __init__(self, tree: Tree, config: MCTS.Config) -> None:
        self.tree, self.config = tree, config
        self.stats = statistics(tree, config.value)
        self.visits, self.sums = list(self.stats.visits), list(self.stats.sums)
        self._frontier, self._growing = frozenset(tree.frontier), frozenset(growing(tree, config.value))
        self.open = [self._is_place(index) for index in range(len(tree.nodes))]

    def next_place(self) -> int | None:
        """Returns the next place; None where nothing is left to grow."""
        values = self._values()
        if values[0] == -inf:
            return None
        path = [0]
        while (child := self._arm(path[-1], values)) is not None:
            path.append(child)
        for node in path:
            self.visits[node] += 1
            self.sums[node] += LOST
        self.open[path[-1]] = False
        return path[-1]

    def _is_place(self, node: int) -> bool:
        """Returns whether a new turn may follow a node: it waits for the agent, or may have another answer."""
        if node not in self._frontier:
            return False
        if node not in self.stats.children:
            return node not in self._growing
        return self._agent_speaks(node) or self._may_widen(node)

    def _agent_speaks(self, node: int) -> bool:
        following = self.stats.children.get(node)
        if following:
            return self.tree.nodes[following[0]].speaker is Speaker.AGENT
        return self.tree.nodes[node].speaker is Speaker.USER

    def _may_widen(self, node: int) -> bool:
        most = self.config.widen if self._agent_speaks(node) else self.config.replies
        limit = max(1, int(most * max(1, self.visits[node]) ** self.config.power))
        return len(self.stats.children.get(node, ())) < limit

    def _values(self) -> list[float]:
        """Returns the value of each node in its subtree; minus infinity where nothing can grow in it."""
        rollout, mean = self.config.value == ROLLOUT, self.config.backup == MEAN
        worth, count = self.stats.worth, len(self.tree.nodes)
        best, grows = list(worth) if rollout else [-inf] * count, list(self.open)
        for index in range(count - 1, -1, -1):
            if self.open[index]:
                best[index] = max(best[index], worth[index])
            parent = self.tree.nodes[index].parent
            if parent >= 0:
                best[parent] = max(best[parent], best[index])
                grows[parent] = grows[parent] or grows[index]
        if mean:
            best = [self._mean(index) for index in range(count)]
        return [value if can else -inf for value, can in zip(best, grows, strict=True)]

    def _mean(self, node: int) -> float:
        return (self.sums[node] + self.stats.worth[node]) / (self.visits[node] + 1)

    def _arm(self, node: int, values: Sequence[float]) -> int | None:
        """Returns the child that a walk takes from a node; None for a new turn after the node."""
        arms = [child for child in self.stats.children.get(node, ()) if values[child] > -inf]
        if not arms or not self._agent_speaks(node):
            if self.open[node] or not arms:
                return None
            return min(arms, key=lambda child: (self.visits[child], child))
        bounds = {child: values[child] + self._width(node, self.visits[child]) for child in arms}
        best = max(arms, key=lambda child: (bounds[child], -child))
        if self.open[node] and self._may_widen(node):
            children = len(self.stats.children[node])
            own = self._mean(node) if self.config.value == ROLLOUT else self.stats.worth[node]
            if own + self._width(node, children) >= bounds[best]:
                return None
        return best

    def _width(self, node: int, tries: int) -> float:
        return self.config.explore * sqrt(log(1 + self.visits[node]) / (1 + tries))
