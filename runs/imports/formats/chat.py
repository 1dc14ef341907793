"""Reads rows of chat messages: {"messages": [{"role", "content"}], ...}, as training files and logs have them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.imported import DialogueLeftOut, ImportedDialogue
from josh.runs.imports.rows import Found, ReadOptions, dialogue_of, each_row, require_object

_MESSAGES: Final = ("messages", "conversation", "dialogue", "turns")
_OWN: Final = frozenset((*_MESSAGES, "prompt", "completion", "label"))


def read_messages(path: Path, options: ReadOptions) -> Iterator[Found]:
    """Yields the dialogues of a file. A row may also be the list of messages itself, or have a prompt and a completion.

    See `josh.runs.imports.rows.dialogue_from` for the other keys of a row.
    """

    def convert(value: Any, place: str) -> Iterator[ImportedDialogue | DialogueLeftOut]:
        row = {"messages": value} if isinstance(value, list) else require_object(value, place, "messages")
        yield dialogue_of(row, _messages(row, place), place, options, _OWN)

    return each_row(path, convert)


def _messages(row: dict[str, Any], place: str) -> Any:
    found = next((row[name] for name in _MESSAGES if name in row), None)
    if found is not None:
        return found
    prompt, completion = row.get("prompt"), row.get("completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        return [*prompt, *completion]
    if "conversations" in row:
        raise UsageError(f"{place} has conversations instead of messages; give --format sharegpt")
    if "role" in row:
        raise UsageError(f'{place} is a single message; give a conversation on each line, {{"messages": [...]}}')
    keys = ", ".join(map(str, list(row)[:6])) or "none"
    raise UsageError(f"{place} has no messages; its keys are {keys:.80}")
