"""What a journal of replies is: where a reply belongs, and what is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from josh.dialogue import NO_USAGE, Usage
from josh.roles import Reply


class ReplyKey(NamedTuple):
    """Where in a run a reply belongs, and to what.

    Attributes:
        task: the task's id.
        path: see `Node.path`.
        depth: see `Node.depth`.
        speaker: whose turn it is.
        draw: which of the turn's draws, from 0.
        request: a hash of what is asked: run seed, model, temperature, messages, options, and for which siblings.
    """

    task: str
    path: str
    depth: int
    speaker: str
    draw: int
    request: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One reply as the journal keeps it.

    Attributes:
        reply: the reply.
        model: name of the model that gave it.
        seed: seed of the request that it came with.
        choice: which of that request's replies it is, from 0.
        usage: what that request cost; nothing for any choice but the first, so that sums are right.
    """

    reply: Reply
    model: str
    seed: int
    choice: int = 0
    usage: Usage = NO_USAGE


class Journal(Protocol):
    """Where answers are kept, for good."""

    def find(self, key: ReplyKey) -> JournalEntry | None:
        """The answer kept under a key, if any."""
        ...

    def keep(self, entries: Mapping[ReplyKey, JournalEntry], seconds: float) -> None:
        """Keep the answers to one request, all or none, before this returns.

        Args:
            entries: the entries by their keys.
            seconds: how long the endpoint took.
        """
        ...
