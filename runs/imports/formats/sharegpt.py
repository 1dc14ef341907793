"""Reads rows in the form of ShareGPT: {"conversations": [{"from": "human", "value": "Hi."}], "system", "tools"}."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.imported import DialogueLeftOut, ImportedDialogue
from josh.runs.imports.rows import Found, ReadOptions, dialogue_of, each_row, require_object

_OWN: Final = frozenset(("conversations", "items", "system", "tools", "chosen", "rejected", "kto_tag"))
_CALL: Final = "function_call"


def read_sharegpt(path: Path, options: ReadOptions) -> Iterator[Found]:
    """Yields the dialogues of a file. `function_call` is a call of the agent, with its result in `observation`."""

    def convert(value: Any, place: str) -> Iterator[ImportedDialogue | DialogueLeftOut]:
        row = require_object(value, place, "conversations")
        given = row.get("conversations", row.get("items"))
        if given is None and "messages" in row:
            raise UsageError(f"{place} has messages instead of conversations; give --format messages")
        if not isinstance(given, list):
            raise UsageError(f"{place}: its conversations are {given!r:.40}; give objects with from and value")
        system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
        messages = [*system, *(_message(one, f"{place} message {at}") for at, one in enumerate(given, 1))]
        tools = row.get("tools")
        if isinstance(tools, str) and tools.strip():
            try:
                row = row | {"tools": json.loads(tools)}
            except (ValueError, RecursionError):
                raise UsageError(f"{place}: its tools are {tools!r:.40}, which is not JSON") from None
        yield dialogue_of(row, messages, place, options, _OWN)

    return each_row(path, convert)


def _message(given: Any, place: str) -> Any:
    """Returns a message with role and content. Raises UsageError."""
    if not isinstance(given, dict) or "from" not in given or "value" not in given:
        if isinstance(given, dict) and "role" in given:
            return given
        raise UsageError(f"{place} is {given!r:.60}; give an object with from and value")
    if given["from"] != _CALL:
        return {"role": given["from"], "content": given["value"]}
    try:
        calls = json.loads(given["value"]) if isinstance(given["value"], str) else given["value"]
    except (ValueError, RecursionError):
        raise UsageError(f"{place}: its function_call is {given['value']!r:.60}, which is not JSON") from None
    calls = calls if isinstance(calls, list) else [calls]
    return {"role": "assistant", "content": "", "tool_calls": [{"function": call} for call in calls]}
