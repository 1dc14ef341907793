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
    """Branch while the beam has room, and collapse to a reward.

    The strategy continues each live leaf twice while that gives at most `beam_size` leaves, else once; it never splits
    only some of them. Leaves that used up their rounds take no room.

    `stop="first"`, JOSH's rule: when leaves earn rewards in a phase, the tree collapses to one of them: to the most
    valuable hit, among equals to the earliest step, then to the first leaf in tree order. The goals that the winner met
    are spent; goals that only other leaves met stay open.

    `stop="best"`: the search plays each leaf to its end, then compares the wins. It exists because with a single goal
    `stop="first"` puts every split into the first rounds, which teaches early asks. Here a leaf leaves the beam when it
    has met all goals, a leaf that met some goals continues, and later splits use the room of the leaves that left. The
    tree collapses once, to the result; the collapse's `rewarded` are the wins, best first.

    A win that too few fresh users confirmed (`Tree.is_doubtful`) earns no collapse; its leaf leaves the beam.
    """

    @dataclass(frozen=True, slots=True)
    class Config:
        """The beam's settings. With a beam of 1 the search is a plain rollout."""

        beam_size: int = setting(8, "most branches alive at once, with --josh", least=1, most=100_000, flag="beam_size")
        stop: str = setting(
            FIRST,
            "with --josh: end at the `first` win, or play every branch to its end for the `best`",
            choices=(FIRST, BEST),
            flag="stop",
        )

    config: Config
    collapses: ClassVar[bool] = True

    def describe(self) -> str:
        """Returns the width of the beam, and whether it is played to the end, in words."""
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
        """Drop the leaves that ended; with `stop="first"` collapse to the best leaf that earned a reward, if any."""
        if self.config.stop == BEST:
            return replace(tree, frontier=unfinished(tree))
        phase = tree.phase
        nodes = tree.nodes
        rewarded = tuple(
            [
                leaf
                for leaf in tree.frontier
                if nodes[leaf].turn.hits and nodes[leaf].phase == phase and not tree.is_doubtful(leaf)
            ]
        )
        if not rewarded:
            going = unfinished(tree)
            return tree if going == tree.frontier else replace(tree, frontier=going)
        winner = min(rewarded, key=lambda leaf: _rank(tree.nodes[leaf].turn.hits))
        collapse = Collapse(tree.root, len(tree.nodes), winner, rewarded)
        frontier = () if tree.is_won(winner) else alive(tree, (winner,))
        return replace(tree, frontier=frontier, root=winner, collapses=(*tree.collapses, collapse))

    def result(self, tree: Tree, rewards: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Name the last winner, or the first leaf that continues its conversation; with `stop="best"` the best leaf."""
        if self.config.stop == BEST:
            leaves = ranked(tree, rewards)
            wins = tuple(leaf for leaf in leaves if tree.is_won(leaf))
            collapse = Collapse(tree.root, len(tree.nodes), leaves[0], wins)
            return replace(tree, root=leaves[0], collapses=(*tree.collapses, collapse)), leaves[:1]
        if tree.collapses and tree.is_won(tree.root):
            return tree, (tree.root,)
        # In a recorded tree that is scored again, leaves may wait that were never played on: they come last.
        going = sorted((leaf for leaf in tree.frontier if leaf in rewards), key=lambda leaf: -tree.nodes[leaf].phase)
        below = [leaf for leaf in rewards if tree.root in walk(tree, leaf)]
        return tree, tuple((going or sorted(below, key=tree.is_doubtful))[:1])


def _rank(hits: Sequence[Hit]) -> tuple[float, int]:
    """Returns a sort key that is smallest for the best hits: the highest value first, then the earliest step."""
    return min((-hit.value, hit.step) for hit in hits)
