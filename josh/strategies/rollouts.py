"""Plain conversations, each on its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from josh.config import setting
from josh.search import Strategy
from josh.tree import Expand, Tree


class Rollouts(Strategy):
    """Plain conversations from the same start, each on its own: best-of-n when they are compared afterwards."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """How many conversations."""

        n: int = setting(1, "conversations per task, without --josh", least=1, flag="rollouts")

    config: Config
    searched: ClassVar[bool] = False

    @property
    def conversations(self) -> int:
        """How many conversations of a task count."""
        return self.config.n

    def describe(self) -> str:
        """Says how many conversations a task has."""
        return f"{self.config.n} conversation{'' if self.config.n == 1 else 's'} each"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Starts the conversations, then continues each."""
        fresh = tree.frontier == (0,)
        return tuple(
            Expand(leaf, tree.nodes[leaf].speaker.other, (None,) * (self.config.n if fresh else 1))
            for leaf in tree.frontier
        )

    def result(self, tree: Tree, rewards: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Names all conversations, in their order."""
        return tree, tuple(rewards)
