"""Search strategies, as pure functions on `Tree` (JOSH: Lattimer et al., 2024, arXiv:2409.04617, section 3).

A strategy is asked what to play next (`plan`), is told what happened (`grow`, the same for all), and draws its
conclusions (`settle`, and `conclude` at the end). No input, output, clock or randomness lives here, and replies may
arrive in any order: a tree grows in the order of its plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from josh.config import checked
from josh.tree import Expand, Node, Outcome, Speaker, Tree, Turn, spend


class Strategy:
    """What the driver needs of a search strategy.

    Attributes:
        config: its settings.
        searched: whether the result is the best of many branches; False for plain conversations.
    """

    @dataclass(frozen=True)
    class Config:
        """No settings."""

    searched: ClassVar[bool] = True

    def __init__(self, *args: Any, **settings: Any) -> None:
        """Args: args, settings: a `Config`, or what one is made of."""
        given = len(args) == 1 and not settings and isinstance(args[0], self.Config)
        self.config: Any = checked(args[0] if given else self.Config(*args, **settings))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.config == getattr(other, "config", None)

    def __hash__(self) -> int:
        return hash((type(self), self.config))

    @property
    def conversations(self) -> int:
        """How many conversations of a task count."""
        return 1

    def describe(self) -> str:
        """How it searches, in a few words that follow the number of tasks: `searched with a beam of 8`."""
        return f"searched with {type(self).__name__}"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Say which leaves go on, with how many turns each; empty when the search is over."""
        raise NotImplementedError

    def settle(self, tree: Tree) -> Tree:
        """Draw the conclusions from the turns just grown: drop what ended, collapse to a winner, or stop."""
        raise NotImplementedError

    def conclude(self, tree: Tree, worth: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Draw the conclusions from a tree that has been played to its end.

        Args:
            tree: the tree.
            worth: the reward of every leaf that came to an end without an error, in the order of the nodes; at least
                one.

        Returns:
            The tree, and the leaves whose conversations are its result.
        """
        raise NotImplementedError


def next_speaker(tree: Tree) -> Speaker:
    """Who has the floor: all leaves of the frontier wait for the same speaker."""
    return Speaker.USER if tree.nodes[tree.frontier[0]].speaker is Speaker.AGENT else Speaker.AGENT


def child_paths(parent: Node, expand: Expand) -> tuple[str, ...]:
    """The paths of the nodes that an expansion of `parent` adds, eldest first."""
    if expand.copies == 1:
        return (parent.path,)
    prefix = f"{parent.path}/" if parent.path else ""
    return tuple(f"{prefix}{copy}" for copy in range(expand.copies))


def grow(tree: Tree, plan: Sequence[Expand], turns: Sequence[Turn]) -> Tree:
    """Add the turns that a plan asked for.

    Args:
        tree: the tree the plan was made for.
        plan: the plan.
        turns: one turn for every copy of every expansion, in the plan's order.

    Returns:
        A tree whose frontier is the new nodes, dead ones included; `settle` is to follow.
    """
    assert len(turns) == sum(expand.copies for expand in plan), "one turn for every copy of every expansion"
    new: list[Node] = []
    replies = iter(turns)
    for expand in plan:
        parent = tree.nodes[expand.node]
        for path in child_paths(parent, expand):
            turn = next(replies)
            left = spend(parent.open, turn.hits)[1] if turn.hits else parent.open
            new.append(Node(expand.node, expand.speaker, path, parent.depth + 1, turn, left, expand.directive))
    size = len(tree.nodes)
    return Tree(tree.nodes + tuple(new), tuple(range(size, size + len(new))), tree.goals, tree.root, tree.collapses)


def alive(tree: Tree, leaves: Sequence[int]) -> tuple[int, ...]:
    """Returns those of some leaves whose conversation goes on."""
    return tuple(leaf for leaf in leaves if tree.nodes[leaf].turn.outcome is Outcome.ALIVE)


def unfinished(tree: Tree) -> tuple[int, ...]:
    """Returns the leaves of the frontier that are alive and have goals left."""
    return tuple(leaf for leaf in alive(tree, tree.frontier) if tree.nodes[leaf].open)
