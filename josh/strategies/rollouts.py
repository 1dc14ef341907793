"""Rollouts: conversations without search."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from josh.config import setting
from josh.search import Strategy
from josh.tree import Expand, Tree


class Rollouts(Strategy):
    """Independent conversations from the same start; best-of-n, where a later step compares them."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """The number of conversations."""

        n: int = setting(1, "conversations per task, without --josh", least=1, most=100_000, flag="rollouts")

    config: Config
    searched: ClassVar[bool] = False

    @property
    def conversations(self) -> int:
        """The number of conversations of a task that count."""
        return self.config.n

    def describe(self) -> str:
        """Returns the number of conversations of a task, in words."""
        return f"{self.config.n} conversation{'' if self.config.n == 1 else 's'} each"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Start the conversations, then continue each."""
        fresh = tree.frontier == (0,)
        return tuple(
            Expand(leaf, tree.nodes[leaf].speaker.other, (None,) * (self.config.n if fresh else 1))
            for leaf in tree.frontier
        )

    def result(self, tree: Tree, rewards: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Name all conversations, in their order."""
        return tree, tuple(rewards)
