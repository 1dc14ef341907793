"""Plain conversations, each on its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from josh.errors import UsageError
from josh.search import next_speaker, unfinished
from josh.tree import Expand, Tree


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Plain conversations from the same start, each on its own: best-of-n when they are compared afterwards.

    Attributes:
        n: how many; at least 1.
    """

    n: int = 1

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"the number of rollouts is {self.n}; give 1 or more")

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Start `n` conversations, then continue each."""
        if not tree.frontier:
            return ()
        speaker = next_speaker(tree)
        fresh = self.n > 1 and tree.frontier == (0,)
        return tuple(Expand(leaf, speaker, self.n if fresh else 1) for leaf in tree.frontier)

    def settle(self, tree: Tree) -> Tree:
        """Drop the conversations that ended or have earned all there is."""
        return replace(tree, frontier=unfinished(tree))

    def conclude(self, tree: Tree, worth: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """All conversations are the result."""
        return tree, tuple(worth)
