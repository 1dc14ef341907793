"""Reads the traces of verifiers (https://docs.primeintellect.ai/verifiers), and the results of its earlier versions.

- `traces.jsonl` of version 1: a line is an episode, with `traces`; a trace has `nodes`, which are messages with the
  index of their `parent`. The path to its last node is the dialogue; other branches are left out, and counted. The
  reward is the sum of `rewards` by their weights.
- `results.jsonl` of earlier versions: a line has `prompt`, `completion`, `reward` and `task`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.imported import DialogueLeftOut, ImportedDialogue
from josh.runs.imports.rows import Found, ReadOptions, dialogue_of, each_row, object_in, require_object

_BRANCHES: Final = "branches of a trace beside its last one"
_FAILED: Final = "that ended with an error"
_RESULTS: Final = frozenset(("prompt", "completion"))


def read_verifiers(path: Path, options: ReadOptions) -> Iterator[Found]:
    """Yields the dialogues of a file of traces or results."""

    def convert(value: Any, place: str) -> Iterator[ImportedDialogue | DialogueLeftOut]:
        row = require_object(value, place, "traces, or prompt and completion")
        if "nodes" in row:
            yield _trace(row, place, options)
        elif isinstance(row.get("traces"), list):
            several = len(row["traces"]) > 1
            for number, trace in enumerate(row["traces"], 1):
                where = f"{place} trace {number}" if several else place
                yield _trace(require_object(trace, where, "nodes"), where, options)
        elif isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
            yield _result(row, place, options)
        else:
            raise UsageError(f"{place} has neither traces nor a prompt and a completion; give traces.jsonl")

    return each_row(path, convert)


def _trace(trace: dict[str, Any], place: str, options: ReadOptions) -> ImportedDialogue | DialogueLeftOut:
    if trace.get("errors"):
        return DialogueLeftOut(place, _FAILED)
    nodes = trace["nodes"]
    if not isinstance(nodes, list) or not all(isinstance(node, dict) and "message" in node for node in nodes):
        raise UsageError(f"{place}: its nodes are {nodes!r:.40}; give a list of objects with a message and a parent")
    if not nodes:
        return DialogueLeftOut(place, "without messages")
    path = _path(nodes, place)
    parents = {node.get("parent") for node in nodes}
    leaves = sum(index not in parents for index in range(len(nodes)))
    task = object_in(trace, "task")
    row = object_in(task, "data")
    names = (row.get("josh_id"), row.get("id"), task.get("key"), row.get("idx"))
    name = next((one for one in names if one is not None), None)
    own = object_in(row, "data") if "josh_id" in row else {}
    tools = trace.get("tools") or nodes[path[0]].get("tools")
    found = dialogue_of(
        {"id": name, "tools": [_tool(one) for one in tools] if isinstance(tools, list) else None},
        [nodes[index]["message"] for index in path],
        place,
        options,
        frozenset(),
        reward=_reward(trace.get("rewards"), place),
        data=own or None,
        metadata={} if own else {key: value for key, value in row.items() if key not in ("prompt", "system_prompt")},
    )
    if isinstance(found, DialogueLeftOut) or leaves < 2:
        return found
    return replace(found, parts_left_out={**found.parts_left_out, _BRANCHES: leaves - 1})


def _path(nodes: Sequence[Mapping[str, Any]], place: str) -> list[int]:
    """Returns the indices from a root to the last node. Raises UsageError where a parent does not come before it."""
    path, index = [], len(nodes) - 1
    while True:
        path.append(index)
        parent = nodes[index].get("parent")
        if parent is None:
            return path[::-1]
        if type(parent) is not int or not 0 <= parent < index:
            raise UsageError(f"{place}: node {index} has the parent {parent!r:.20}; a parent comes before its node")
        index = parent


def _reward(rewards: Any, place: str) -> float | None:
    """Returns the weighted sum of the rewards; None for none, or where scoring did not run."""
    if not isinstance(rewards, Mapping) or not rewards or any(one is None for one in rewards.values()):
        return None
    total = 0.0
    for name, one in rewards.items():
        score, weight = (one.get("score"), one.get("weight", 1.0)) if isinstance(one, Mapping) else (one, 1.0)
        if not isinstance(score, int | float) or not isinstance(weight, int | float):
            raise UsageError(f"{place}: its reward {name!r} is {one!r:.60}; give a score and a weight")
        total += score * weight
    return total


def _tool(given: Any) -> Any:
    """Returns a tool's schema in the chat-completions format."""
    if not isinstance(given, dict) or "function" in given or "name" not in given:
        return given
    known = {key: given[key] for key in ("name", "description", "parameters") if given.get(key) is not None}
    return {"type": "function", "function": known}


def _result(row: dict[str, Any], place: str, options: ReadOptions) -> ImportedDialogue | DialogueLeftOut:
    if row.get("error"):
        return DialogueLeftOut(place, _FAILED)
    plain = {key: value for key, value in row.items() if key != "task" or isinstance(value, dict)}
    return dialogue_of(plain, [*row["prompt"], *row["completion"]], place, options, _RESULTS)
