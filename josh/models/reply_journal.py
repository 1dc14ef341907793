"""The journal of replies: its keys, its entries and its protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from josh.dialogue import NO_USAGE, Usage
from josh.models.chat import Lesson
from josh.roles import Reply


class ReplyKey(NamedTuple):
    """The key of a reply: its place in the run, and its request.

    Attributes:
        task: the task's id.
        path: see `Node.path`.
        depth: see `Node.depth`.
        speaker: whose turn it is.
        draw: index of the seed among the turn's seeds, from 0.
        request: a hash of the request: run seed, model, temperature, messages, options, the siblings that share it, and
            the fields that were left out because the endpoint refuses them.
    """

    task: str
    path: str
    depth: int
    speaker: str
    draw: int
    request: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One reply in the journal.

    Attributes:
        reply: the reply.
        model: name of the model that gave it.
        seed: seed of its request.
        choice: index of the reply among the request's replies, from 0.
        usage: the cost of the request; zero for every choice except the first, so that sums are correct.
    """

    reply: Reply
    model: str
    seed: int
    choice: int = 0
    usage: Usage = NO_USAGE


class Journal(Protocol):
    """Stores replies permanently."""

    def find(self, key: ReplyKey) -> JournalEntry | None:
        """Returns the entry of a key, or None."""
        ...

    def keep(self, entries: Mapping[ReplyKey, JournalEntry], seconds: float) -> None:
        """Store the entries of one request, all or none, before this returns.

        Args:
            entries: the entries by their keys.
            seconds: time that the endpoint took.
        """
        ...


class Notes(Protocol):
    """Stores permanently what a run learns about its endpoints, and answers that cannot be used."""

    def learn(self, lesson: Lesson) -> None:
        """Store a lesson before this returns."""
        ...

    def spoil(self, who: tuple[str, str], usage: Usage, why: str) -> None:
        """Store an answer that cannot be used, but was or may have been billed, before this returns.

        Args:
            who: the speaker and the model's name.
            usage: its call, and the tokens that it names.
            why: what is wrong with it.
        """
        ...
