"""A conversation that josh did not play, as a world or the reader of a file gives it to `josh import`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from josh.dialogue import Speaker, Turn


@dataclass(frozen=True, slots=True)
class ImportedDialogue:
    """One conversation with its result.

    Attributes:
        place: where it stands, for errors, such as `logs.jsonl line 3`.
        id: the id of its task; empty for none.
        turns: its turns, at least one, of the two speakers in alternation.
        opening: what was there before the first turn: system prompts in `internal`, nothing in `messages`.
        reward: the reward that the source gives; None for none.
        success: whether the source says that it succeeded; None where the reward decides.
        data: the data of its task, in the form of the world; None where the source has none.
        metadata: what else the source says of it.
        people: the ids of its people; the one who answers the agent comes first.
        tools: the schemas of the agent's tools.
        no_rows: why it is no training row, such as `marked as spoilt by its authors`; empty where it may be one.
        parts_left_out: numbers of parts of it that are left out, by reason, such as `empty messages`.
    """

    place: str
    id: str
    turns: Sequence[tuple[Speaker, Turn]]
    opening: Turn = field(default_factory=Turn)
    reward: float | None = None
    success: bool | None = None
    data: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    people: Sequence[str] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    no_rows: str = ""
    parts_left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DialogueLeftOut:
    """A conversation of a source that is not imported.

    Attributes:
        place: where it stands.
        reason: why it is left out, as counts name it, such as `without a word of the agent`.
    """

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordedDialogues:
    """The conversations of people in a world's own data; see `BaseEnv.dialogues`.

    Attributes:
        dialogues: the conversations, or why one is left out.
        files: the files that they are read from.
        played_by: who took the turns, by `agent` and `user`.
        left_out: the number of further conversations in the data that are not imported, by reason.
    """

    dialogues: Sequence[ImportedDialogue | DialogueLeftOut]
    files: Sequence[Path]
    played_by: Mapping[str, str] = field(default_factory=lambda: {"agent": "human", "user": "human"})
    left_out: Mapping[str, int] = field(default_factory=dict)
