"""Any search again from the start, as long as it may: what is left of a budget buys further passes.

A pass is one whole search of the inner strategy. When its plan is empty, the next pass begins at the root, with other
seeds because its turns have other places. All passes are in one tree:

1. The root stays in the frontier, and its children are numbered on.
2. The nodes of a pass follow those of the passes before it. A pass begins with the last phase that expanded the root.
3. The inner strategy sees the root and the nodes of its own pass, as if there were no others (`_seen`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from josh.errors import UsageError
from josh.search import Strategy, ranked
from josh.seeds import derive
from josh.tree import Collapse, Expand, Node, Tree, order


class Restarts(Strategy):
    """Plays a search several times on one task; the best pass counts, or all conversations where each counts."""

    def __init__(self, inner: Strategy, times: int) -> None:
        """Args: inner: the search; it must not keep the root by itself. times: how often it begins again."""
        super().__init__()
        self.inner = inner
        self.times = times
        self.searched = inner.searched  # type: ignore[misc]
        self.collapses = inner.collapses  # type: ignore[misc]
        self.directives = inner.directives  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Restarts) and (self.inner, self.times) == (other.inner, other.times)

    def __hash__(self) -> int:
        return hash((self.inner, self.times))

    def __repr__(self) -> str:
        return f"Restarts({self.inner!r}, {self.times})"

    @property
    def conversations(self) -> int:
        """The most conversations of a task that count."""
        return self.inner.conversations if self.searched else self.inner.conversations * (self.times + 1)

    @property
    def resamples(self) -> bool:
        """Whether the inner strategy wants repeated turns to be taken again."""
        return self.inner.resamples

    def describe(self) -> str:
        """Returns the inner strategy's words, with the number of passes."""
        return f"{self.inner.describe()}, again up to {self.times} time{'' if self.times == 1 else 's'}"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Continue the pass; begin the next one where the inner strategy plans nothing more."""
        starts = passes(tree)
        if starts:
            planned = self.inner.plan(_seen(tree, starts[-1], len(tree.nodes), len(starts) - 1))
            if planned:
                return tuple([replace(one, node=_outside(one.node, starts[-1])) for one in planned])
        if len(starts) > self.times or 0 not in tree.frontier:
            return ()
        planned = self.inner.plan(_seen(tree, len(tree.nodes), len(tree.nodes), len(starts), begun=False))
        if any(one.keep for one in planned if one.node == 0):
            raise UsageError(
                f"{type(self.inner).__name__} keeps the start of a task, and spends any budget by itself; leave "
                "restarts out"
            )
        return tuple([replace(one, keep=True) for one in planned])

    def update(self, tree: Tree) -> Tree:
        """Update the pass by the inner strategy; the root stays in the frontier."""
        starts = passes(tree)
        start, size = starts[-1], len(tree.nodes)
        after = self.inner.update(_seen(tree, start, size, len(starts) - 1))
        frontier = tuple([_outside(node, start) for node in after.frontier if node])
        root = () if len(starts) > self.times else (0,)
        before = [cut for cut in tree.collapses if cut.size <= start]
        cuts = (*before, *[_cut_outside(cut, start) for cut in after.collapses])
        kept = tuple([node for node in tree.frontier if node == 0 and root])
        return replace(tree, frontier=(*kept, *frontier), root=_outside(after.root, start), collapses=cuts)

    def result(self, tree: Tree, rewards: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Name the best of the passes' results; all of them where each conversation counts."""
        starts = passes(tree)
        cuts: list[Collapse] = []
        named: list[int] = []
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(tree.nodes)], strict=True)):
            own = {_inside(leaf, start): worth for leaf, worth in rewards.items() if start <= leaf < end}
            seen = _seen(tree, start, end, number)
            if own:
                seen, found = self.inner.result(seen, own)
                named += [_outside(leaf, start) for leaf in found]
            cuts += [_cut_outside(cut, start) for cut in seen.collapses]
        after = replace(tree, collapses=tuple(cuts), root=cuts[-1].winner if cuts else 0)
        if not self.searched:
            return after, tuple(sorted(named, key=lambda leaf: order(tree.nodes[leaf].path)))
        return after, ranked(tree, {leaf: rewards[leaf] for leaf in dict.fromkeys(named) if leaf in rewards})[:1]


def passes(tree: Tree) -> list[int]:
    """Returns the index of the first node of each pass: the first child of the root that each phase added."""
    found: dict[int, int] = {}
    for index, node in enumerate(tree.nodes):
        if node.parent == 0:
            found.setdefault(node.phase, index)
    return list(found.values())


def _inside(node: int, start: int) -> int:
    """Returns a node's index as a pass that begins at `start` sees it."""
    return node - start + 1 if node else 0


def _outside(node: int, start: int) -> int:
    return node + start - 1 if node else 0


def _cut_outside(cut: Collapse, start: int) -> Collapse:
    root, winner = _outside(cut.root, start), _outside(cut.winner, start)
    return Collapse(root, cut.size + start - 1, winner, tuple([_outside(leaf, start) for leaf in cut.rewarded]))


def _seen(tree: Tree, start: int, end: int, number: int, *, begun: bool = True) -> Tree:
    """Returns the tree as one pass sees it: the root, and the nodes from `start` to before `end`.

    Args:
        tree: the whole tree.
        start: the pass's first node.
        end: the node after its last.
        number: the number of passes before it.
        begun: whether the pass has begun; else the root is its frontier.
    """
    nodes: Sequence[Node] = [replace(node, parent=_inside(node.parent, start)) for node in tree.nodes[start:end]]
    frontier = tuple([_inside(leaf, start) for leaf in tree.frontier if start <= leaf < end]) if begun else (0,)
    cuts = [cut for cut in tree.collapses if start < cut.size <= end and cut.winner >= start]
    inside = [
        Collapse(
            _inside(cut.root, start),
            cut.size - start + 1,
            _inside(cut.winner, start),
            tuple([_inside(leaf, start) for leaf in cut.rewarded]),
        )
        for cut in cuts
    ]
    kept = frozenset(_inside(node, start) for node in tree.kept if start <= node < end)
    return Tree(
        (tree.nodes[0], *nodes),
        frontier,
        tree.goals,
        inside[-1].winner if inside else 0,
        tuple(inside),
        derive(tree.seed, "pass", number) if number else tree.seed,
        kept,
    )


def restarted(strategy: Any, times: int) -> Any:
    """Returns a strategy that begins again so often; the strategy itself for 0 times."""
    return Restarts(strategy, times) if times else strategy
