"""The conversation tree, as a value: nodes are only added, and every change makes a new `Tree`.

Invariants:
    1. A node comes after its parent, and siblings of one plan are adjacent, eldest first.
    2. (path, depth) names a node; it does not depend on the order in which replies arrive.
    3. The frontier holds each leaf that may continue, and a node with children only where a plan kept it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from josh.dialogue import Hit, Outcome, Speaker, Turn
from josh.messages import Message
from josh.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Expand:
    """A request to continue one node.

    Attributes:
        node: index of the node, which is in the frontier; a plan names it once.
        speaker: who takes the new turns.
        directives: an instruction to the speaker for each new turn, None for none: a text, or a name that the world
            (`BaseEnv.directives`) or the strategy (`Strategy.directives`) gives a text. There are as many new turns as
            directives; each is a fork with its own path, seed and branch. Siblings share a request to the model only
            where their directives are equal.
        keep: whether the node stays in the frontier, so that a later plan can expand it again; the numbering of its
            children then continues.
        value: whether the rewards' `value()` judges each new turn (`Turn.value`).
    """

    node: int
    speaker: Speaker
    directives: tuple[str | None, ...] = (None,)
    keep: bool = False
    value: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Node:
    """One turn in its place.

    Attributes:
        parent: index of the turn before; -1 at the root.
        speaker: who took the turn.
        path: the sibling numbers from the root down, such as `0/1`. A turn without siblings has its parent's path,
            unless its parent was kept; so (path, depth) names a place in the tree.
        depth: number of turns since the root.
        turn: the turn.
        open: the goals that this path has not met yet.
        directive: the instruction that the speaker got, as the plan gave it, if any.
        phase: number of the plan that added the node, from 1; 0 at the root.
        confirmation: how the path down to here fared with fresh users, where a run confirms its wins.
    """

    parent: int
    speaker: Speaker
    path: str
    depth: int
    turn: Turn
    open: tuple[Any, ...]
    directive: str | None = None
    phase: int = 0
    confirmation: "Confirmation | None" = None


@dataclass(frozen=True, slots=True)
class Replay:
    """One conversation in which the agent's turns of a path were said again, word for word, to a fresh user.

    Attributes:
        user: the name of the user's class; empty where it is the one of the path.
        tree: the conversation, a tree of one path.
        won: whether it won.
        reward: its reward; 0 where it ended with an error.
    """

    user: str
    tree: "Tree"
    won: bool
    reward: float

    @property
    def sound(self) -> bool:
        """Whether the conversation ended without an error; only such ones count."""
        return not any(node.turn.outcome is Outcome.INFRA_ERROR for node in self.tree.nodes)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How a winning path fared when its agent's turns were said again to fresh users.

    Attributes:
        replays: the conversations, in the order of their seeds.
        needed: the smallest share for which the win counts; 0 where it counts in any case.
    """

    replays: tuple[Replay, ...]
    needed: float = 0.0

    @property
    def users(self) -> int:
        """The number of fresh users whose conversation ended without an error."""
        return sum(replay.sound for replay in self.replays)

    @property
    def share(self) -> float:
        """The share of these users with whom the path won again; 0 without users."""
        return sum(replay.won for replay in self.replays if replay.sound) / max(1, self.users)

    @property
    def reward(self) -> float:
        """The mean reward with these users; 0 without users."""
        return sum(replay.reward for replay in self.replays if replay.sound) / max(1, self.users)

    @property
    def doubtful(self) -> bool:
        """Whether the win does not count, because too few of the users confirm it."""
        return self.share < self.needed


@dataclass(frozen=True, slots=True)
class Collapse:
    """One cut of the tree down to a single path.

    Attributes:
        root: the node from which the cut-off tree grew.
        size: number of nodes at the time of the cut; later nodes are not part of the cut-off tree.
        winner: the leaf that was kept.
        rewarded: every leaf that earned a reward in the same phase, the winner among them. In a tree that was played to
            its end: every leaf that met all goals, best first; may be empty.
    """

    root: int
    size: int
    winner: int
    rewarded: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sibling turns, compared after the search (`BaseRewards.pairs`).

    Attributes:
        better: index of the preferred turn; of the elder one where neither is preferred.
        worse: index of the other one.
        label: the behaviour that the preference teaches, such as `resist`; empty where neither is preferred.
        values: the two numbers that were compared, of the better turn and of the worse.
        note: why neither is preferred; or a remark on the label.
    """

    better: int
    worse: int
    label: str
    values: tuple[float, float] = (0.0, 0.0)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """A search's whole state, without the agents.

    Attributes:
        nodes: all turns, parents before children, siblings in order.
        frontier: the leaves that may continue, and the kept nodes, in the order in which they were added. Where a
            strategy expands all leaves in each phase, that is tree order (depth first, elder sibling first).
        goals: all goals of the task, a multiset; may be empty.
        root: the node from which the current phase grows: 0, or the last collapse's winner.
        collapses: the cuts so far, oldest first.
        seed: seed of the search, which follows from the run's seed and the task; a plan that draws, draws from it.
        kept: the nodes that a plan kept. No other node is expanded twice.
    """

    nodes: tuple[Node, ...]
    frontier: tuple[int, ...]
    goals: tuple[Any, ...] = ()
    root: int = 0
    collapses: tuple[Collapse, ...] = field(default=())
    seed: int = 0
    kept: frozenset[int] = field(default=frozenset(), compare=False)

    @property
    def phase(self) -> int:
        """The number of plans that have been played."""
        return self.nodes[-1].phase

    def is_won(self, node: int) -> bool:
        """Returns whether the path to a node has won: its outcome is won, or it met all of at least one goals.

        A win that too few fresh users confirmed does not count (`Confirmation.doubtful`).
        """
        return self.met_all(node) and not self.is_doubtful(node)

    def met_all(self, node: int) -> bool:
        """Returns whether the path to a node has won, confirmed or not."""
        one = self.nodes[node]
        return one.turn.outcome is Outcome.WON or (not one.open and bool(self.goals))

    def is_doubtful(self, node: int) -> bool:
        """Returns whether the path to a node has a win that too few fresh users confirmed."""
        found = self.nodes[node].confirmation
        return found is not None and found.doubtful


def plant(
    goals: Sequence[Any],
    next_speaker: Speaker = Speaker.AGENT,
    messages: Sequence[Message] = (),
    internal: Sequence[Message] = (),
    user_internal: Sequence[Message] | None = None,
    seed: int = 0,
) -> Tree:
    """Returns a tree of one node, which holds the messages from before the search.

    Args:
        goals: the goals of the task; may be empty.
        next_speaker: who takes the first turn.
        messages: the conversation so far, as both sides see it.
        internal: the same as the agent's model is trained on it, system prompt included.
        user_internal: the same as the user's model is trained on it; None for `messages` with the two roles swapped.
        seed: see `Tree.seed`.
    """
    view = None if user_internal is None else tuple(user_internal)
    turn = Turn(messages=tuple(messages), internal=tuple(internal), user_internal=view)
    goals = tuple(goals)
    return Tree(nodes=(Node(-1, next_speaker.other, "", 0, turn, goals),), frontier=(0,), goals=goals, seed=seed)


def spend(goals: Sequence[Any], hits: Sequence[Hit]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Split a multiset of goals into the met and the open ones; a hit's goal meets one copy of it."""
    met, left = [], list(goals)
    for hit in hits:
        for goal in hit.goals:
            if goal in left:
                left.remove(goal)
                met.append(goal)
    return tuple(met), tuple(left)


def walk(tree: Tree, leaf: int) -> list[int]:
    """Returns the node indices from the root down to `leaf`."""
    path = []
    while leaf >= 0:
        path.append(leaf)
        leaf = tree.nodes[leaf].parent
    return path[::-1]


def turns_to_say(tree: Tree, leaf: int) -> tuple[Turn, ...]:
    """Returns the agent's turns from the root down to a leaf."""
    nodes = (tree.nodes[index] for index in walk(tree, leaf)[1:])
    return tuple(node.turn for node in nodes if node.speaker is Speaker.AGENT)


def order(path: str) -> tuple[int, ...]:
    """Returns the sort key of a node's path for tree order: depth first, elder sibling first."""
    return tuple(map(int, path.split("/"))) if path else ()


def conversation(tree: Tree, leaf: int) -> list[Message]:
    """Returns the messages that both speakers saw, from the root down to `leaf`."""
    return [message for index in walk(tree, leaf) for message in tree.nodes[index].turn.messages]


def internal_conversation(tree: Tree, leaf: int, learner: Speaker = Speaker.AGENT) -> list[Message]:
    """Returns the messages that the learner's model is trained on, from the root down to `leaf`."""
    return [message for index in walk(tree, leaf) for message in tree.nodes[index].turn.view(learner)]


def hits(tree: Tree, leaf: int) -> list[Hit]:
    """Returns the reward events on the path from the root to `leaf`, in order."""
    return [hit for index in walk(tree, leaf) for hit in tree.nodes[index].turn.hits]


def leaves(tree: Tree) -> Iterator[int]:
    """Yields every node without children, in the order in which they were added."""
    parents = {node.parent for node in tree.nodes}
    return (index for index in range(len(tree.nodes)) if index not in parents)
