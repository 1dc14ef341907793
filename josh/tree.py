"""The conversation tree, as a value: nodes are only ever added, and every change makes a new `Tree`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from josh.messages import Message


class Speaker(StrEnum):
    """Who took a turn."""

    AGENT = "agent"
    USER = "user"


class Outcome(StrEnum):
    """How a leaf stands."""

    ALIVE = "alive"
    WON = "won"
    LOST = "lost"
    USER_LEFT = "user_left"
    TRUNCATED = "truncated"
    INFRA_ERROR = "infra_error"


@dataclass(frozen=True, slots=True)
class Usage:
    """What model calls cost."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Hit:
    """A reward event: the goals that one step of a turn met.

    Attributes:
        step: which step of the turn, counted from 0.
        goals: the goals met, as the rewards class names them.
        value: what the hit is worth against other hits of the same phase (dollars, or 1.0 when goals are all alike).
    """

    step: int
    goals: tuple[Any, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker did with the floor; the driver reports one for every expansion.

    Attributes:
        messages: the messages both sides see.
        internal: the messages as the agent is trained on them (thoughts, tool calls, tool results).
        actions: what each step of the turn did, for the rewards to read.
        hits: the reward events, in the order of the steps.
        outcome: how the conversation stands after this turn.
        usage: model calls made for it.
        model: name of the model that spoke; empty when none was asked.
        seed: seed of the turn's first request; None when none was asked.
        choice: which reply to that request it was, counted from 0; siblings may share a request.
        duplicate: whether it says and does the same as an elder sibling, even on a second try.
        error: what went wrong, when the outcome is `infra_error`, or when a second try of a duplicate failed.
    """

    messages: tuple[Message, ...] = ()
    internal: tuple[Message, ...] = ()
    actions: tuple[tuple[Any, ...], ...] = ()
    hits: tuple[Hit, ...] = ()
    outcome: Outcome = Outcome.ALIVE
    usage: Usage = NO_USAGE
    model: str = ""
    seed: int | None = None
    choice: int = 0
    duplicate: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Expand:
    """A request to continue `node` with `copies` turns of `speaker`; `directive` is an instruction to that speaker."""

    node: int
    speaker: Speaker
    copies: int = 1
    directive: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One turn in its place.

    Attributes:
        parent: index of the turn before; -1 at the root.
        speaker: who took the turn.
        path: the sibling numbers from the root down, such as `0/1`. A turn without siblings keeps its parent's path,
            so (path, depth) names a place in the tree, whatever order the replies came in.
        depth: turns since the root.
        turn: what was said and done.
        open: the goals this path has yet to meet.
        directive: the instruction the speaker was given, if any.
    """

    parent: int
    speaker: Speaker
    path: str
    depth: int
    turn: Turn
    open: tuple[Any, ...]
    directive: str | None = None


@dataclass(frozen=True, slots=True)
class Collapse:
    """One cut of the tree down to a single path.

    Attributes:
        root: the node the cut-off tree grew from.
        size: number of nodes when it happened; the cut-off tree holds none that came later.
        winner: the leaf that was kept.
        rewarded: every leaf that earned a reward in the same phase, the winner among them. Of a tree that was played to
            its end: every leaf that met all goals, best first; none where none did.
    """

    root: int
    size: int
    winner: int
    rewarded: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A search's whole state, without the agents.

    Attributes:
        nodes: all turns ever taken, parents before children, siblings in order.
        frontier: the leaves that go on, in tree order (depth first, elder sibling first).
        goals: all goals of the task, a multiset.
        root: the node the current phase grows from: 0, or the last collapse's winner.
        collapses: the cuts so far, oldest first.
    """

    nodes: tuple[Node, ...]
    frontier: tuple[int, ...]
    goals: tuple[Any, ...] = ()
    root: int = 0
    collapses: tuple[Collapse, ...] = field(default=())


def plant(
    goals: Sequence[Any],
    next_speaker: Speaker = Speaker.AGENT,
    messages: Sequence[Message] = (),
    internal: Sequence[Message] = (),
) -> Tree:
    """A tree of one node, which holds the messages there were before the search.

    Args:
        goals: what there is to earn.
        next_speaker: who has the floor first.
        messages: the conversation so far, as both sides see it.
        internal: the same as the agent is trained on it, system prompt included.
    """
    previous = Speaker.USER if next_speaker is Speaker.AGENT else Speaker.AGENT
    turn = Turn(messages=tuple(messages), internal=tuple(internal))
    goals = tuple(goals)
    return Tree(nodes=(Node(-1, previous, "", 0, turn, goals),), frontier=(0,), goals=goals)


def spend(goals: Sequence[Any], hits: Sequence[Hit]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Split a multiset of goals into those that the hits met and those left; every copy of a goal is met once."""
    met, left = [], list(goals)
    for hit in hits:
        for goal in hit.goals:
            if goal in left:
                left.remove(goal)
                met.append(goal)
    return tuple(met), tuple(left)


def walk(tree: Tree, leaf: int) -> list[int]:
    """Node indices from the root down to `leaf`."""
    path = []
    while leaf >= 0:
        path.append(leaf)
        leaf = tree.nodes[leaf].parent
    return path[::-1]


def order(path: str) -> tuple[int, ...]:
    """Sorts the paths of nodes in tree order: depth first, elder sibling first."""
    return tuple(map(int, path.split("/"))) if path else ()


def conversation(tree: Tree, leaf: int) -> list[Message]:
    """The messages both sides saw, from the root down to `leaf`."""
    return [message for index in walk(tree, leaf) for message in tree.nodes[index].turn.messages]


def internal_conversation(tree: Tree, leaf: int) -> list[Message]:
    """The messages the agent is trained on, from the root down to `leaf`."""
    return [message for index in walk(tree, leaf) for message in tree.nodes[index].turn.internal]


def hits(tree: Tree, leaf: int) -> list[Hit]:
    """The reward events on the way from the root to `leaf`."""
    return [hit for index in walk(tree, leaf) for hit in tree.nodes[index].turn.hits]


def leaves(tree: Tree) -> Iterator[int]:
    """Every node without children, in the order they were added."""
    parents = {node.parent for node in tree.nodes}
    return (index for index in range(len(tree.nodes)) if index not in parents)
