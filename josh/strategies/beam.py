"""JOSH's beam search over dialogue turns (Lattimer et al., 2024, arXiv:2409.04617, section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from josh.config import setting
from josh.dialogue import Hit, Speaker
from josh.search import Strategy, alive, ranked, unfinished
from josh.tree import Collapse, Expand, Tree, walk

FIRST, BEST = "first", "best"


class BeamSearch(Strategy):
    """Branch while there is room, collapse to a reward.

    Each live leaf is continued twice while that leaves at most `beam_size` of them, else once: all or nothing. Leaves
    that used up their rounds take no room.

    `stop="first"`, JOSH's rule: when leaves earn rewards in a phase the tree collapses to one of them: the most
    valuable hit, among equals the one of the earliest step, then the first in tree order. Goals the winner met are
    spent; the others' are not.

    `stop="best"`: each leaf is played to its end, and the wins are compared when all are in. Stopping at the first
    reward, with one reward to earn, puts every split into the first rounds and teaches early asks. Here a leaf leaves
    the beam when it has met all goals, one that met some goes on with the others, and the room they leave is used for
    later splits. The tree collapses once, to the result; the collapse's `rewarded` are the wins, best first.
    """

    @dataclass(frozen=True, slots=True)
    class Config:
        """The beam's settings. With a beam of 1 the search is a plain rollout."""

        beam_size: int = setting(8, "most branches alive at once, with --josh", least=1, flag="beam_size")
        stop: str = setting(
            FIRST,
            "with --josh: end at the `first` win, or play every branch to its end for the `best`",
            choices=(FIRST, BEST),
            flag="stop",
        )

    config: Config
    collapses: ClassVar[bool] = True

    def describe(self) -> str:
        """Says how wide the beam is, and whether it is played to the end."""
        return f"searched with a beam of {self.config.beam_size}{' to the end' if self.config.stop == BEST else ''}"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Continues each live leaf, before an agent turn twice where the beam has room."""
        nodes, twice = tree.nodes, (None, None) if 2 * len(tree.frontier) <= self.config.beam_size else (None,)
        agent, user = Speaker.AGENT, Speaker.USER
        return tuple(
            [
                Expand(leaf, user) if nodes[leaf].speaker is agent else Expand(leaf, agent, twice)
                for leaf in tree.frontier
            ]
        )

    def update(self, tree: Tree) -> Tree:
        """Drops the leaves that ended; with `stop="first"` collapses to the best of those that earned, if any."""
        if self.config.stop == BEST:
            return replace(tree, frontier=unfinished(tree))
        phase = tree.phase
        nodes = tree.nodes
        rewarded = tuple([leaf for leaf in tree.frontier if nodes[leaf].turn.hits and nodes[leaf].phase == phase])
        if not rewarded:
            going = alive(tree, tree.frontier)
            return tree if going == tree.frontier else replace(tree, frontier=going)
        winner = min(rewarded, key=lambda leaf: _rank(tree.nodes[leaf].turn.hits))
        collapse = Collapse(tree.root, len(tree.nodes), winner, rewarded)
        frontier = () if tree.is_won(winner) else alive(tree, (winner,))
        return replace(tree, frontier=frontier, root=winner, collapses=(*tree.collapses, collapse))

    def result(self, tree: Tree, rewards: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Names the last winner, or the first leaf that its conversation went on to; with `stop="best"` the best."""
        if self.config.stop == BEST:
            leaves = ranked(tree, rewards)
            wins = tuple(leaf for leaf in leaves if tree.is_won(leaf))
            collapse = Collapse(tree.root, len(tree.nodes), leaves[0], wins)
            return replace(tree, root=leaves[0], collapses=(*tree.collapses, collapse)), leaves[:1]
        if tree.collapses and tree.is_won(tree.root):
            return tree, (tree.root,)
        going = [leaf for leaf in tree.frontier if leaf in rewards]
        return tree, tuple((going or [leaf for leaf in rewards if tree.root in walk(tree, leaf)])[:1])


def _rank(hits: Sequence[Hit]) -> tuple[float, int]:
    """Smallest for the best: the highest value first, then the earliest step."""
    return min((-hit.value, hit.step) for hit in hits)
