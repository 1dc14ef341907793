"""A conversation as a rewards class reads it: nothing in it is live, so what is computed from it can be repeated."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from josh.dialogue import Outcome, Speaker
from josh.messages import Message, dumps
from josh.tree import Node, Tree, walk


@dataclass(frozen=True, slots=True)
class PastTurn:
    """One turn of a conversation, as JSON has it: lists, no tuples.

    Attributes:
        speaker: who took it.
        messages: the messages both sides saw.
        internal: the same as its speaker's model is trained on them (thoughts, tool calls, tool results).
        actions: what each step of the turn did, a list for each step.
        observed: what the world's `observe()` said when the turn ended; None where it said nothing.
        directive: the instruction the speaker was given, if any.
    """

    speaker: Speaker
    messages: Sequence[Message]
    internal: Sequence[Message]
    actions: Sequence[Sequence[Any]]
    observed: Any
    directive: str | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation from its first message to one place in the tree.

    Attributes:
        turns: the turns in order; the first holds the messages there were before the search.
        outcome: how the conversation stands.
    """

    turns: tuple[PastTurn, ...]
    outcome: Outcome

    @property
    def messages(self) -> list[Message]:
        """All messages that both sides saw."""
        return [message for turn in self.turns for message in turn.messages]

    def by(self, speaker: Speaker) -> list[PastTurn]:
        """The turns that one side took."""
        return [turn for turn in self.turns[1:] if turn.speaker is speaker]


def transcript(tree: Tree, leaf: int, outcome: Outcome, *pending: Node) -> Conversation:
    """Returns the conversation down to a node.

    Args:
        tree: the tree.
        leaf: the node.
        outcome: how the conversation stands there.
        pending: turns that follow and are not in the tree yet.
    """
    nodes = [*(tree.nodes[index] for index in walk(tree, leaf)), *pending]
    return Conversation(tuple(map(_past, nodes)), outcome)


def _past(node: Node) -> PastTurn:
    turn = node.turn
    plain = json.loads(dumps([turn.messages, turn.view(node.speaker), turn.actions, turn.observed]))
    messages, internal, actions, observed = plain
    return PastTurn(node.speaker, messages, internal, actions, observed, node.directive)
