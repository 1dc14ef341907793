"""Best-of-n by sequential halving (Karnin, Koren and Somekh, 2013): the better half of the conversations goes on.

`width` conversations begin side by side. After every `rounds` rounds they are valued, and the best go on: half of them,
then a quarter, and so on, until one is left, which is played to its end. With the value `rollout` each is first played
to its end once, from where it stands; these conversations count for the result too. Conversations that end by
themselves take no part in the next comparison.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from josh.config import setting
from josh.dialogue import Speaker
from josh.search import Strategy, unfinished
from josh.strategies.growing import JUDGE, REWARD, ROLLOUT, children_of, value_setting, worths
from josh.tree import Expand, Tree, order


class Halving(Strategy):
    """Best-of-n that stops spending on the worse half; the best leaf counts."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """The settings."""

        width: int = setting(4, "conversations at the beginning", least=1, most=100_000)
        rounds: int = setting(1, "rounds before each halving", least=1, most=10_000)
        value: str = value_setting(REWARD)

    config: Config

    def describe(self) -> str:
        """Returns the number of conversations, the rounds and the value, in words."""
        each = f"{self.config.rounds} round{'' if self.config.rounds == 1 else 's'}"
        return f"searched by halving {self.config.width} conversations every {each} (value {self.config.value})"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Begin the conversations; continue those that are left, after their rollouts where the value needs them."""
        judged = self.config.value == JUDGE
        if len(tree.nodes) == 1:
            return (Expand(0, tree.nodes[0].speaker.other, (None,) * self.config.width, value=judged),)
        children = children_of(tree)
        rollouts = self._rollouts(tree, children)
        several = sum([leaf not in rollouts for leaf in tree.frontier]) > 1
        planned = []
        for leaf in tree.frontier:
            speaker = tree.nodes[leaf].speaker.other
            first = several and self._is_compared(tree, leaf) and leaf not in rollouts and leaf not in children
            planned.append(Expand(leaf, speaker, keep=first and self.config.value == ROLLOUT, value=judged))
        waiting = {one.node for one in planned if one.node in children}
        under_way = [one for one in planned if one.node not in waiting]
        return tuple(under_way or planned)

    def update(self, tree: Tree) -> Tree:
        """Drop what ended, and the worse half where all conversations that go on have come to a comparison."""
        going = unfinished(tree)
        children = children_of(tree)
        rollouts = self._rollouts(tree, children)
        main = [leaf for leaf in going if leaf not in rollouts]
        depths = {tree.nodes[leaf].depth for leaf in main}
        ready = len(depths) == 1 and self._is_compared(tree, main[0])
        if self.config.value == ROLLOUT:
            ready = ready and len(going) == len(main) and all(leaf in children for leaf in main)
        if ready:
            main = self._best(tree, main)
            going = tuple([leaf for leaf in going if leaf in main])
        return replace(tree, frontier=going)

    def _best(self, tree: Tree, leaves: list[int]) -> list[int]:
        """Returns the conversations that are left after a comparison; among equals the first in tree order."""
        worth = worths(tree, self.config.value)
        if self.config.value == ROLLOUT:
            for index in range(len(worth) - 1, 0, -1):
                parent = tree.nodes[index].parent
                worth[parent] = max(worth[parent], worth[index])
        ranking = sorted(leaves, key=lambda leaf: (-worth[leaf], order(tree.nodes[leaf].path)))
        comparisons = self._depth(tree, leaves[0]) // (2 * self.config.rounds)
        return ranking[: ceil(self.config.width / 2.0 ** min(comparisons, 64))]

    def _is_compared(self, tree: Tree, node: int) -> bool:
        """Returns whether a conversation is compared after a node: the user has answered the last of the rounds."""
        depth = self._depth(tree, node)
        return depth > 0 and depth % (2 * self.config.rounds) == 0

    def _depth(self, tree: Tree, node: int) -> int:
        """Returns the turns up to a node, without the user's opening turn."""
        return tree.nodes[node].depth - int(tree.nodes[0].speaker is Speaker.AGENT)

    def _rollouts(self, tree: Tree, children: Mapping[int, list[int]]) -> set[int]:
        """Returns the nodes of rollouts: those at and below the first turn after a comparison."""
        found: set[int] = set()
        if self.config.value != ROLLOUT:
            return found
        for index, node in enumerate(tree.nodes):
            if index and (
                node.parent in found or (self._is_compared(tree, node.parent) and children[node.parent][0] == index)
            ):
                found.add(index)
        return found
