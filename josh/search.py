"""Search strategies, as pure functions on `Tree` (JOSH: Lattimer et al., 2024, arXiv:2409.04617, section 3).

A strategy is asked what to play next (`plan`), is told what happened (`grow`, the same for all), and draws its
conclusions (`settle`, and `conclude` at the end). No input, output, clock or randomness lives here, and replies may
arrive in any order: a tree grows in the order of its plan.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from josh.tree import Expand, Node, Outcome, Speaker, Tree, Turn, spend


class Strategy(Protocol):
    """What the driver needs of a search strategy."""

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Say which leaves go on, with how many turns each; empty when the search is over."""
        ...

    def settle(self, tree: Tree) -> Tree:
        """Draw the conclusions from the turns just grown: drop what ended, collapse to a winner, or stop."""
        ...

    def conclude(self, tree: Tree, worth: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Draw the conclusions from a tree that has been played to its end.

        Args:
            tree: the tree.
            worth: the reward of every leaf that came to an end without an error, in the order of the nodes; at least
                one.

        Returns:
            The tree, and the leaves whose conversations are its result.
        """
        ...


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
