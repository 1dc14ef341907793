"""JOSH's beam search over dialogue turns (Lattimer et al., 2024, arXiv:2409.04617, section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from josh.config import setting
from josh.search import Strategy, alive, next_speaker, unfinished
from josh.tree import Collapse, Expand, Hit, Speaker, Tree, order, walk

FIRST, BEST = "first", "best"


class BeamSearch(Strategy):
    """JOSH's beam search over turns: branch while there is room, collapse to the first reward.

    Every live leaf is continued twice while that leaves at most `beam_size` of them, else once: all or nothing. When
    leaves earn rewards in a phase the tree collapses to one of them: the most valuable hit, among equals the one of
    the earliest step, then the first in tree order. Goals the winner met are spent; the others' are not.

    With `stop="best"` every leaf is played to its end, and the wins are compared when all are in. Stopping at the first
    reward, with one reward to earn, puts every split into the first rounds and teaches early asks. Here a leaf leaves
    the beam when it has met all goals, one that met some goes on with the others, and the room they leave is used for
    later splits.
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

    def describe(self) -> str:
        """Says how wide the beam is, and whether it is played to the end."""
        return f"searched with a beam of {self.config.beam_size}{' to the end' if self.config.stop == BEST else ''}"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Continue every live leaf, before an agent turn twice where the beam has room."""
        if not tree.frontier:
            return ()
        speaker = next_speaker(tree)
        room = speaker is Speaker.AGENT and 2 * len(tree.frontier) <= self.config.beam_size
        return tuple(Expand(leaf, speaker, 2 if room else 1) for leaf in tree.frontier)

    def settle(self, tree: Tree) -> Tree:
        """Drop the leaves that ended; collapse to the best of those that earned a reward, if any."""
        if self.config.stop == BEST:
            return replace(tree, frontier=unfinished(tree))
        rewarded = tuple(leaf for leaf in tree.frontier if tree.nodes[leaf].turn.hits)
        if not rewarded:
            return replace(tree, frontier=alive(tree, tree.frontier))
        winner = min(rewarded, key=lambda leaf: _rank(tree.nodes[leaf].turn.hits))
        collapse = Collapse(tree.root, len(tree.nodes), winner, rewarded)
        frontier = alive(tree, (winner,)) if tree.nodes[winner].open else ()
        return replace(tree, frontier=frontier, root=winner, collapses=(*tree.collapses, collapse))

    def conclude(self, tree: Tree, worth: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """The result is the last winner, or the first leaf that its conversation went on to.

        With `stop="best"`: those that met all goals first, by reward, ties in tree order. The first is the result. The
        tree collapses once, to that; the collapse's `rewarded` are the wins, best first.
        """
        if self.config.stop == BEST:
            ranked = sorted(
                worth, key=lambda leaf: (bool(tree.nodes[leaf].open), -worth[leaf], order(tree.nodes[leaf].path))
            )
            wins = tuple(leaf for leaf in ranked if not tree.nodes[leaf].open)
            collapse = Collapse(tree.root, len(tree.nodes), ranked[0], wins)
            return replace(tree, root=ranked[0], collapses=(*tree.collapses, collapse)), (ranked[0],)
        if tree.collapses and not tree.nodes[tree.root].open:
            return tree, (tree.root,)
        going = [leaf for leaf in tree.frontier if leaf in worth]
        return tree, tuple((going or [leaf for leaf in worth if tree.root in walk(tree, leaf)])[:1])


def _rank(hits: Sequence[Hit]) -> tuple[float, int]:
    """Smallest for the best: the highest value first, then the earliest step."""
    return min((-hit.value, hit.step) for hit in hits)
