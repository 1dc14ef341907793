"""Reads the results of the published JOSH (asappresearch/josh-llm-simulation-training), a JSON array or lines.

- After a search: {"id", "reward", "training_examples": [[{"messages", "tools"}, successful, golden], ...]}.
- Without one: {"id", "reward", "messages", "internal_messages"}.

A task that failed has an `error`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.imported import DialogueLeftOut, ImportedDialogue
from josh.runs.imports.rows import Found, ReadOptions, dialogue_of, each_row, require_object

_OWN: Final = frozenset(("training_examples", "messages", "internal_messages", "error", "info", "traj"))
_OTHER_FORMATS: Final = {"messages": "messages", "conversations": "sharegpt", "traces": "verifiers"}
_OTHERS: Final = "examples beside the best one of a task"


def read_published(path: Path, options: ReadOptions) -> Iterator[Found]:
    """Yields a dialogue for each task: the longest example on its golden path, else the longest successful one, else
    the longest. The reward is the share of its goals that the task met; 1 is a success.
    """

    def convert(value: Any, place: str) -> Iterator[ImportedDialogue | DialogueLeftOut]:
        row = require_object(value, place, "id, reward and training_examples")
        examples = row.get("training_examples")
        info = row.get("info")
        if examples is None and isinstance(info, dict):
            examples = info.get("training_examples")
        if row.get("error"):
            yield DialogueLeftOut(place, "that ended with an error")
            return
        if examples is None and "internal_messages" in row:
            yield _dialogue(row, row["internal_messages"] or row.get("messages"), (), place, options, 0, False)
            return
        if examples is None:
            raise UsageError(f"{place} has {_instead(row)}")
        if not isinstance(examples, list):
            raise UsageError(f"{place}: its training_examples are {examples!r:.40}; give a list")
        read = [_example(one, f"{place} example {number}") for number, one in enumerate(examples, 1)]
        if not read:
            yield DialogueLeftOut(place, "without examples")
            return
        best, successful, golden = max(read, key=lambda one: (one[2], one[1], len(one[0]["messages"])))
        tools = best.get("tools") or row.get("tools") or ()
        yield _dialogue(row, best["messages"], tools, place, options, len(read) - 1, successful or golden)

    return each_row(path, convert)


def _instead(row: dict[str, Any]) -> str:
    """Returns what a row of another format has, and the format to give."""
    for name, form in _OTHER_FORMATS.items():
        if name in row:
            return f"{name} instead of training_examples; give --format {form}"
    keys = ", ".join(map(str, list(row)[:6])) or "none"
    return f"no training_examples; its keys are {keys:.80}"


def _example(given: Any, place: str) -> tuple[Mapping[str, Any], bool, bool]:
    """Returns an example: its content, and whether it is successful and golden. Raises UsageError."""
    if not isinstance(given, list) or len(given) != 3 or not isinstance(given[0], dict):
        raise UsageError(f"{place} is {given!r:.60}; give a list of an object with messages, and two truth values")
    content, successful, golden = given
    if not isinstance(content.get("messages"), list):
        raise UsageError(f"{place} has no list of messages")
    return content, bool(successful), bool(golden)


def _dialogue(
    row: dict[str, Any],
    messages: Any,
    tools: Sequence[Any],
    place: str,
    options: ReadOptions,
    others: int,
    won: bool,
) -> ImportedDialogue | DialogueLeftOut:
    reward = row.get("reward")
    whole = row | ({"tools": list(tools)} if tools else {})
    success = reward >= 1 if isinstance(reward, int | float) else won
    found = dialogue_of(whole, messages, place, options, _OWN, success=success)
    if isinstance(found, DialogueLeftOut) or not others:
        return found
    return replace(found, parts_left_out={**found.parts_left_out, _OTHERS: others})
