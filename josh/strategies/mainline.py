"""One main line, and branches beside it: what would another action have been worth at the same place?

At a decision point, a turn of the agent on the main line, these turns follow the same node:
    1. the main turn, without a directive; it chooses its action by itself;
    2. one turn for each other action, under a directive of the action's name;
    3. the main turn's action once more, so that chance can be told from the action.
All of them are played on without directives. The main line goes through the main turns, so it is the first child at
every decision point. The turns at one decision point share everything before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from josh.config import setting
from josh.dialogue import Outcome, Speaker
from josh.search import Strategy, unfinished
from josh.tree import Expand, Tree, order

OTHERS, VARIANT = 1, 2
"""The numbers of branches: one for each other action; also the main turn's action once more."""


class Mainline(Strategy):
    """A main line with branches at its decision points; all conversations count."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """The actions, and where the tree branches."""

        actions: tuple[str, ...] = setting(
            ("Clarify", "Execute"), "the actions of an agent's turn, each a directive of the world"
        )
        branches: int = setting(
            VARIANT,
            "2: the other actions, and the main turn's action once more; 1: the others; 0: none",
            least=0,
            most=2,
        )
        decisions: int = setting(1, "decision points of the main line; 0: each of its agent turns", least=0)

    config: Config
    searched: ClassVar[bool] = False

    @property
    def conversations(self) -> int:
        """The most conversations of a task with one decision point."""
        if not self.config.branches:
            return 1
        return len(self.config.actions) + (self.config.branches == VARIANT)

    def describe(self) -> str:
        """Returns the number of branches and of decision points, in words."""
        points = self.config.decisions
        where = f"{points} decision point{'' if points == 1 else 's'}" if points else "each decision point"
        count = self.conversations - 1
        return f"along a main line with {count} branch{'' if count == 1 else 'es'} at {where}"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Continue each leaf; begin a decision point where the main line has one, and complete those that are begun."""
        line, points = main_line(tree), len(tree.kept)
        planned = []
        for leaf in tree.frontier:
            speaker = tree.nodes[leaf].speaker.other
            if leaf in tree.kept:
                planned.append(Expand(leaf, speaker, self._directives(tree, leaf)))
            else:
                begins = speaker is Speaker.AGENT and leaf == line[-1] and self._has_point(points)
                planned.append(Expand(leaf, speaker, keep=begins))
        return tuple(planned)

    def update(self, tree: Tree) -> Tree:
        """Remove the leaves that ended, and decision points whose main turn failed."""
        failed = {node.parent for node in tree.nodes[1:] if node.turn.outcome is Outcome.INFRA_ERROR} & tree.kept
        return replace(tree, frontier=tuple(leaf for leaf in unfinished(tree) if leaf not in failed))

    def result(self, tree: Tree, rewards: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Name all conversations, the main line first."""
        return tree, tuple(sorted(rewards, key=lambda leaf: order(tree.nodes[leaf].path)))

    def _has_point(self, points: int) -> bool:
        wanted = self.config.decisions
        return self.config.branches > 0 and len(self.config.actions) > 0 and (not wanted or points < wanted)

    def _directives(self, tree: Tree, point: int) -> tuple[str, ...]:
        """Returns the directives of the branches at a decision point whose main turn is in the tree."""
        main = self._action(tree, next(index for index, node in enumerate(tree.nodes) if node.parent == point))
        others = tuple(action for action in self.config.actions if action != main)
        again = (main,) if main is not None and self.config.branches == VARIANT else ()
        return (*others, *again) or (self.config.actions[0],)

    def _action(self, tree: Tree, node: int) -> str | None:
        """Returns the first of the actions that a turn took; None where it took none of them."""
        taken = (one for step in tree.nodes[node].turn.actions for one in step if isinstance(one, str))
        return next((one for one in taken if one in self.config.actions), None)


def main_line(tree: Tree) -> list[int]:
    """Returns the nodes of the main line, from the root: the first child of each node."""
    line = [0]
    for index, node in enumerate(tree.nodes):
        if index and node.parent == line[-1]:
            line.append(index)
    return line
