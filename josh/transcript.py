"""A conversation as a rewards class reads it: plain data, so that every result computed from it can be repeated."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from josh.dialogue import Outcome, Speaker
from josh.messages import Message, dumps
from josh.tree import Node, Tree, walk


@dataclass(frozen=True, slots=True)
class PastTurn:
    """One turn of a conversation as JSON values: lists instead of tuples.

    Attributes:
        speaker: who took it.
        messages: the messages that both speakers saw.
        internal: the same as its speaker's model is trained on them (thoughts, tool calls, tool results).
        actions: the actions of the turn, a list for each step.
        observed: the result of the world's `observe()` at the end of the turn; None for none.
        directive: the instruction that the speaker got, if any.
        facts: the rewards' `facts()` after the turn; None for none, and in the turn that they are asked about.
    """

    speaker: Speaker
    messages: Sequence[Message]
    internal: Sequence[Message]
    actions: Sequence[Sequence[Any]]
    observed: Any
    directive: str | None
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation from its first message to one place in the tree.

    Attributes:
        turns: the turns in order; the first holds the messages from before the search.
        outcome: the state of the conversation.
    """

    turns: tuple[PastTurn, ...]
    outcome: Outcome

    @property
    def messages(self) -> list[Message]:
        """All messages that both speakers saw."""
        return [message for turn in self.turns for message in turn.messages]

    def by(self, speaker: Speaker) -> list[PastTurn]:
        """Returns the turns of one speaker, without the messages from before the search."""
        return [turn for turn in self.turns[1:] if turn.speaker is speaker]


Conversation = Transcript
"""The former name of `Transcript`."""


def transcript(tree: Tree, leaf: int, outcome: Outcome, *pending: Node) -> Transcript:
    """Returns the conversation down to a node.

    Args:
        tree: the tree.
        leaf: the node.
        outcome: the state of the conversation there.
        pending: further turns, which are not in the tree yet.
    """
    nodes = [*(tree.nodes[index] for index in walk(tree, leaf)), *pending]
    return Transcript(tuple(map(_past, nodes)), outcome)


def _past(node: Node) -> PastTurn:
    turn = node.turn
    plain = json.loads(dumps([turn.messages, turn.view(node.speaker), turn.actions, turn.observed, turn.facts]))
    messages, internal, actions, observed, facts = plain
    return PastTurn(node.speaker, messages, internal, actions, observed, node.directive, facts)
