"""Reads logs of inspect_ai (https://inspect.aisi.org.uk/eval-logs.html) in JSON, josh's own among them.

A sample is a dialogue. Its reward is the score `reward`, and its success the score `success`, as josh writes them; in
other logs the first score is the reward, with C, P, I and N as 1, 0.5, 0 and 0.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.imported import DialogueLeftOut, ImportedDialogue
from josh.runs.imports.rows import Found, ReadOptions, dialogue_of, object_in
from josh.runs.imports.turns import PartlyUnreadableError
from josh.texts import json_of, read_text

REWARD, SUCCESS = "reward", "success"
_GRADES: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_BRANCHES: Final = "branches beside the best path, which the log does not have"
_OWN: Final = "josh-dialogue"
_ZIP: Final = ".eval"


def read_inspect(path: Path, options: ReadOptions) -> Iterator[Found]:
    """Yields the samples of a log. Raises UsageError where the file is not a log in JSON."""
    if path.suffix == _ZIP:
        raise UsageError(f"{path} is a packed log; convert it: inspect log convert --to json --output-dir DIR {path}")
    log = json_of(read_text(path), str(path))
    samples = log.get("samples") if isinstance(log, dict) else None
    if not isinstance(samples, list):
        raise UsageError(f"{path} is not a log of inspect_ai: it has no list `samples`; give a log with its samples")
    own = _OWN in object_in(object_in(log, "eval"), "packages")
    for number, sample in enumerate(samples, 1):
        place = f"{path} sample {number}"
        try:
            yield _dialogue(sample, place, options, own=own)
        except PartlyUnreadableError as reason:
            yield DialogueLeftOut(place, str(reason))
        except UsageError as error:
            yield error


def _dialogue(sample: Any, place: str, options: ReadOptions, *, own: bool) -> ImportedDialogue | DialogueLeftOut:
    if not isinstance(sample, dict) or not isinstance(sample.get("messages"), list):
        raise UsageError(f"{place} has no list of messages")
    if sample.get("error"):
        return DialogueLeftOut(place, "that ended with an error")
    metadata = object_in(sample, "metadata")
    reward, success = _result(sample.get("scores"), place)
    data = metadata.get("data") if own and isinstance(metadata.get("data"), dict) else None
    fields: dict[str, Any] = {"reward": reward, "success": success, "metadata": {} if own else metadata, "data": data}
    messages = [_plain(message) for message in sample["messages"]]
    found = dialogue_of({"id": sample.get("id")}, messages, place, options, frozenset(), **fields)
    branches = metadata.get("branches")
    if isinstance(found, DialogueLeftOut) or not own or not isinstance(branches, int) or branches < 2:
        return found
    return replace(found, parts_left_out={**found.parts_left_out, _BRANCHES: branches - 1})


def _plain(message: Any) -> Any:
    """Returns a message without reasoning parts, which are not words of the conversation."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return message
    said = [part for part in content if not (isinstance(part, dict) and part.get("type") == "reasoning")]
    return {**message, "content": said}


def _result(scores: Any, place: str) -> tuple[float | None, bool | None]:
    """Returns the reward and the success of a sample. Raises UsageError."""
    if not isinstance(scores, Mapping) or not scores:
        return None, None
    values = {name: score.get("value") if isinstance(score, Mapping) else None for name, score in scores.items()}
    first = REWARD if REWARD in values else next(iter(values))
    success = values.get(SUCCESS)
    return _number(values[first], first, place), success >= 1 if isinstance(success, int | float) else None


def _number(value: Any, name: str, place: str) -> float | None:
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str) and value in _GRADES:
        return _GRADES[value]
    if value is None:
        return None
    raise UsageError(f"{place}: its score {name!r} is {json.dumps(value):.60}; give a number, or C, P, I or N")
