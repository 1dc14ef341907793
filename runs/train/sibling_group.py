"""One conversation, then more from one place of it: a group whose members share a beginning."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar

from josh.config import setting
from josh.dialogue import Speaker
from josh.search import Strategy, unfinished
from josh.tree import Expand, Tree


class SiblingGroup(Strategy):
    """Plays a first conversation to its end, draws one of its agent turns, and takes that turn several times more.

    The group compares turns with the same past, so the differences of its rewards come from these turns and from what
    follows, not from the beginning.
    """

    @dataclass(frozen=True, slots=True)
    class Config:
        """The size of a group."""

        size: int = setting(8, "conversations of the group, the first one included", least=2)

    config: Config
    searched: ClassVar[bool] = False

    @property
    def conversations(self) -> int:
        """The number of conversations of a task that count."""
        return self.config.size

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Continue what goes on; after the first conversation begin the others."""
        going = [leaf for leaf in tree.frontier if leaf not in tree.kept]
        parted = _has_parted(tree)
        if tree.kept and not going and not parted:
            return (Expand(self.place(tree), Speaker.AGENT, (None,) * (self.config.size - 1)),)
        planned = []
        for leaf in going:
            speaker = tree.nodes[leaf].speaker.other
            planned.append(Expand(leaf, speaker, keep=speaker is Speaker.AGENT and not parted))
        return tuple(planned)

    def update(self, tree: Tree) -> Tree:
        """Remove the leaves that ended."""
        return replace(tree, frontier=unfinished(tree))

    def result(self, tree: Tree, rewards: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Name all conversations, in their order."""
        return tree, tuple(rewards)

    def place(self, tree: Tree) -> int:
        """Returns the node after which the members part; it follows from the tree's seed."""
        return Random(tree.seed).choice(sorted(tree.kept))


def _has_parted(tree: Tree) -> bool:
    """Returns whether a node has two children."""
    parents = [node.parent for node in tree.nodes[1:]]
    return len(parents) > len(set(parents))
