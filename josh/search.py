"""Search strategies, as pure functions on `Tree` (JOSH: Lattimer et al., 2024, arXiv:2409.04617, section 3).

A strategy is asked what to play next (`plan`), is told what happened (`grow`, the same for all), and draws its
conclusions (`settle`, and `conclude` at the end). No input, output, clock or randomness lives here, and replies may
arrive in any order: a tree grows in the order of its plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from josh.errors import UsageError
from josh.tree import Collapse, Expand, Hit, Node, Outcome, Speaker, Tree, Turn, order, spend, walk


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


@dataclass(frozen=True, slots=True)
class BeamSearch:
    """JOSH's beam search over turns: branch while there is room, collapse to the first reward.

    Every live leaf is continued twice while that leaves at most `beam_size` of them, else once: all or nothing. When
    leaves earn rewards in a phase the tree collapses to one of them: the most valuable hit, among equals the one of
    the earliest step, then the first in tree order. Goals the winner met are spent; the others' are not.

    Attributes:
        beam_size: most leaves alive at once; at least 1. With 1 the search is a plain rollout.
    """

    beam_size: int

    def __post_init__(self) -> None:
        if self.beam_size < 1:
            raise UsageError(f"beam_size is {self.beam_size}; give 1 or more")

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Continue every live leaf, before an agent turn twice where the beam has room."""
        if not tree.frontier:
            return ()
        speaker = next_speaker(tree)
        room = speaker is Speaker.AGENT and 2 * len(tree.frontier) <= self.beam_size
        return tuple(Expand(leaf, speaker, 2 if room else 1) for leaf in tree.frontier)

    def settle(self, tree: Tree) -> Tree:
        """Drop the leaves that ended; collapse to the best of those that earned a reward, if any."""
        rewarded = tuple(leaf for leaf in tree.frontier if tree.nodes[leaf].turn.hits)
        if not rewarded:
            return replace(tree, frontier=_alive(tree, tree.frontier))
        winner = min(rewarded, key=lambda leaf: _rank(tree.nodes[leaf].turn.hits))
        collapse = Collapse(tree.root, len(tree.nodes), winner, rewarded)
        frontier = _alive(tree, (winner,)) if tree.nodes[winner].open else ()
        return replace(tree, frontier=frontier, root=winner, collapses=(*tree.collapses, collapse))

    def conclude(self, tree: Tree, worth: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """The result is the last winner, or the first leaf that its conversation went on to."""
        if tree.collapses and not tree.nodes[tree.root].open:
            return tree, (tree.root,)
        going = [leaf for leaf in tree.frontier if leaf in worth]
        return tree, tuple((going or [leaf for leaf in worth if tree.root in walk(tree, leaf)])[:1])


@dataclass(frozen=True, slots=True)
class ExhaustiveBeam(BeamSearch):
    """The same beam with every leaf played to its end, and the wins compared when all are in.

    Stopping at the first reward, with one reward to earn, puts every split into the first rounds and teaches early
    asks. Here a leaf leaves the beam when it has met all goals, one that met some goes on with the others, and the room
    they leave is used for later splits.
    """

    def settle(self, tree: Tree) -> Tree:
        """Drop the leaves that ended or have earned all there is."""
        return replace(tree, frontier=_unfinished(tree))

    def conclude(self, tree: Tree, worth: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Rank the leaves: those that met all goals first, by reward, ties in tree order. The first is the result.

        The tree collapses once, to the result; the collapse's `rewarded` are the wins, best first.
        """
        ranked = sorted(
            worth, key=lambda leaf: (bool(tree.nodes[leaf].open), -worth[leaf], order(tree.nodes[leaf].path))
        )
        wins = tuple(leaf for leaf in ranked if not tree.nodes[leaf].open)
        collapse = Collapse(tree.root, len(tree.nodes), ranked[0], wins)
        return replace(tree, root=ranked[0], collapses=(*tree.collapses, collapse)), (ranked[0],)


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
        return replace(tree, frontier=_unfinished(tree))

    def conclude(self, tree: Tree, worth: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """All conversations are the result."""
        return tree, tuple(worth)


def _alive(tree: Tree, leaves: Sequence[int]) -> tuple[int, ...]:
    return tuple(leaf for leaf in leaves if tree.nodes[leaf].turn.outcome is Outcome.ALIVE)


def _unfinished(tree: Tree) -> tuple[int, ...]:
    return tuple(leaf for leaf in _alive(tree, tree.frontier) if tree.nodes[leaf].open)


def _rank(hits: Sequence[Hit]) -> tuple[float, int]:
    """Smallest for the best: the highest value first, then the earliest step."""
    return min((-hit.value, hit.step) for hit in hits)
