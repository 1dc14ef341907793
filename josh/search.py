"""The search strategy, and how a tree grows by its plans; pure functions on `Tree`.

The life of a search:
    1. `plan` names the nodes to expand next, and the turns of each.
    2. The driver takes the turns, in any order.
    3. `grow`, the same for all strategies, adds them to the tree in the order of the plan.
    4. `update` removes nodes from the frontier, and may collapse the tree. The next plan follows, until one is empty.
    5. After the last phase, `result` names the leaves that count.

This module has no input, output, clock or global randomness: a strategy that needs random numbers seeds its generator
with `Tree.seed`.

A plan and an update keep four rules; `grow` and the driver raise `UsageError` where one is broken:
    1. A plan names each node at most once, and only nodes of the frontier.
    2. Each `Expand` has at least one directive (None for no instruction).
    3. Nodes that the plan does not name, or keeps, stay in the frontier.
    4. `update` may remove nodes from the frontier, but adds none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from josh.config import checked
from josh.dialogue import Outcome, Speaker, Turn
from josh.errors import UsageError
from josh.tree import Expand, Node, Tree, order, spend


class Strategy:
    """Base of all search strategies.

    A subclass defines `plan`, and `update` and `result` where the defaults do not fit.

    Its settings are the fields of a dataclass `Config` inside the class: `MyStrategy(simulations=60)` makes one,
    `self.config` holds it, and the command line sets it by `--strategy.simulations 60`. A strategy has no other state:
    it computes all it needs from the tree.

    Attributes:
        config: the settings.
        searched: whether the result is the best of many branches; False for plain conversations, which all count.
        directives: the texts of the instructions that its plans name, by name; a world may have other texts for them
            (`BaseEnv.directives`).
        collapses: whether training examples come from collapses alone, so that a tree without a collapse has none.
            Otherwise each leaf is an example.
    """

    @dataclass(frozen=True)
    class Config:
        """No settings."""

    searched: ClassVar[bool] = True
    collapses: ClassVar[bool] = False
    directives: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **settings: Any) -> None:
        """Args: args, settings: a `Config`, or the arguments of one."""
        given = len(args) == 1 and not settings and isinstance(args[0], self.Config)
        self.config: Any = checked(args[0] if given else self.Config(*args, **settings))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.config == getattr(other, "config", None)

    def __hash__(self) -> int:
        return hash((type(self), self.config))

    @property
    def conversations(self) -> int:
        """The number of conversations of a task that count."""
        return 1

    @property
    def resamples(self) -> bool:
        """Whether a turn that repeats an elder sibling's is taken a second time. By default searches do this.

        Plain conversations are a random sample, in which equal turns are allowed.
        """
        return self.searched

    def describe(self) -> str:
        """Returns a few words that follow the number of tasks in a report: `searched with a beam of 8`."""
        return f"searched with {type(self).__name__}"

    def plan(self, tree: Tree) -> tuple[Expand, ...]:
        """Plan the next phase: name nodes of the frontier to expand, and the turns of each.

        Args:
            tree: the tree. Its frontier has no leaves that used up their rounds.

        Returns:
            The expansions; an empty plan ends the search.
        """
        raise NotImplementedError(f"{type(self).__name__} has no plan()")

    def update(self, tree: Tree) -> Tree:
        """Update the tree after a phase. By default removes from the frontier the leaves that ended or have won."""
        return replace(tree, frontier=unfinished(tree))

    def result(self, tree: Tree, rewards: Mapping[int, float]) -> tuple[Tree, tuple[int, ...]]:
        """Name the leaves that count in a finished tree. By default the best one.

        Args:
            tree: the tree.
            rewards: the reward of each leaf that ended without an error, in the order of the nodes; at least one.

        Returns:
            The tree (with a last collapse, where the strategy adds one), and the leaves, best first.
        """
        return tree, ranked(tree, rewards)[:1]


def child_paths(tree: Tree, plan: Sequence[Expand]) -> list[tuple[str, ...]]:
    """Returns the paths of the nodes that each expansion of a plan adds, eldest first.

    A single turn continues its parent's path. Siblings, and the children of a kept node, get a number each; the
    numbering continues after the children that the node already has.
    """
    nodes = tree.nodes
    elders: Mapping[int, int] = {}
    if tree.kept and not tree.kept.isdisjoint(expand.node for expand in plan):
        elders = Counter(node.parent for node in nodes)
    found: list[tuple[str, ...]] = []
    for expand in plan:
        path, count, elder = nodes[expand.node].path, len(expand.directives), elders.get(expand.node, 0)
        if count == 1 and not expand.keep and not elder:
            found.append((path,))
        else:
            prefix = f"{path}/" if path else ""
            found.append(tuple([f"{prefix}{number}" for number in range(elder, elder + count)]))
    return found


def grow(
    tree: Tree, plan: Sequence[Expand], turns: Sequence[Turn], paths: Sequence[tuple[str, ...]] | None = None
) -> Tree:
    """Adds the turns that a plan asked for.

    Args:
        tree: the tree the plan was made for.
        plan: the plan.
        turns: one turn for each directive of each expansion, in the plan's order.
        paths: what `child_paths` gives for a plan that was checked; by default both are done here.

    Returns:
        A tree whose frontier holds the nodes that the plan did not name or kept, then all new nodes, also those that
        ended; `update` removes them.

    Raises:
        UsageError: the plan breaks a rule.
    """
    if paths is None:
        check_plan(tree, plan)
        paths = child_paths(tree, plan)
    nodes, size, phase = tree.nodes, len(tree.nodes), tree.phase + 1
    assert len(turns) == sum([len(places) for places in paths]), "one turn for each directive"
    new: list[Node] = []
    for expand, places in zip(plan, paths, strict=True):
        index = expand.node
        parent = nodes[index]
        for path, directive in zip(places, expand.directives, strict=True):
            turn = turns[len(new)]
            left = spend(parent.open, turn.hits)[1] if turn.hits else parent.open
            new.append(Node(index, expand.speaker, path, parent.depth + 1, turn, left, directive, phase))
    gone = {expand.node for expand in plan if not expand.keep}
    stay = [] if len(gone) == len(tree.frontier) else [leaf for leaf in tree.frontier if leaf not in gone]
    kept = tree.kept if len(gone) == len(plan) else tree.kept | {expand.node for expand in plan if expand.keep}
    frontier = (*stay, *range(size, size + len(new)))
    return Tree(nodes + tuple(new), frontier, tree.goals, tree.root, tree.collapses, tree.seed, kept)


def check_plan(tree: Tree, plan: Sequence[Expand]) -> None:
    """Raises UsageError where a plan names a node twice, one outside the frontier, or an expansion without a turn."""
    if type(plan) not in (tuple, list) or {type(expand) for expand in plan} - {Expand}:
        raise UsageError(f"plan() gives {plan!r:.60}; give a tuple of Expand")
    odd = [expand for expand in plan if type(expand.speaker) is not Speaker or expand.directives not in _USUAL]
    for expand in odd:
        _check_expand(expand)
    nodes = {expand.node for expand in plan}
    if len(nodes) == len(plan) and nodes.issubset(tree.frontier):
        return
    frontier, named = set(tree.frontier), set()
    for expand in plan:
        if expand.node in named:
            raise UsageError(f"a plan names node {expand.node} twice; give one Expand with several directives")
        if expand.node not in frontier:
            raise UsageError(f"a plan names node {expand.node}, which is not in the frontier; expand it with keep=True")
        named.add(expand.node)


_USUAL = ((None,), (None, None))
"""Directives that need no look."""


def _check_expand(expand: Expand) -> None:
    """Raises UsageError where an expansion has a field of another type, or no turn."""
    if type(expand.speaker) is not Speaker:
        raise UsageError(f"a plan gives {expand.speaker!r} as the speaker of node {expand.node}; give a josh.Speaker")
    given = expand.directives
    if type(given) not in (tuple, list) or not all(one is None or isinstance(one, str) for one in given):
        raise UsageError(
            f"a plan gives {given!r:.60} as the directives of node {expand.node}; give a tuple of texts, None for none"
        )
    if not given:
        raise UsageError(f"a plan expands node {expand.node} by 0 turns; give a directive, None for no instruction")


def alive(tree: Tree, leaves: Sequence[int]) -> tuple[int, ...]:
    """Returns those of some nodes whose conversation goes on."""
    nodes, going = tree.nodes, Outcome.ALIVE
    return tuple([leaf for leaf in leaves if nodes[leaf].turn.outcome is going])


def unfinished(tree: Tree) -> tuple[int, ...]:
    """Returns the nodes of the frontier that are alive and have not met all goals."""
    return tuple(leaf for leaf in alive(tree, tree.frontier) if not tree.met_all(leaf))


def ranked(tree: Tree, rewards: Mapping[int, float]) -> tuple[int, ...]:
    """Returns leaves best first: those that won, then the higher reward, then tree order; doubtful wins come last."""

    def rank(leaf: int) -> tuple[bool, bool, float, tuple[int, ...]]:
        return tree.is_doubtful(leaf), not tree.is_won(leaf), -rewards[leaf], order(tree.nodes[leaf].path)

    return tuple(sorted(rewards, key=rank))
