"""Checks logs of inspect_ai, for `josh export --check`: one JSON object per file, in version 2 of the log's JSON."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.runs.export.inspect_log import OWN_PACKAGE, results_of
from josh.runs.export.not_rows import as_manifest
from josh.texts import json_fault

_STATES: Final = ("started", "success", "cancelled", "error")
_ROLES: Final = ("system", "user", "assistant", "tool")
_NAMED: Final = ("task", "model", "created")


def logs_in(path: Path) -> list[Path]:
    """Returns the logs in a folder, or the path itself where it is a log; nothing for another file.

    A log is a file with one JSON object that has `eval`, or one that begins as a JSON object over several lines does.

    Raises:
        UsageError: the folder has no logs, or the path cannot be read.
    """
    try:
        if path.is_dir():
            if found := sorted(one for one in path.glob("*.json") if logs_in(one)):
                return found
            raise UsageError(f"{path} is a folder without logs of inspect_ai; give a file")
        with path.open("rb") as lines:
            first = lines.readline()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if first.strip() == b"{":
        return [path]
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        return []
    return [path] if isinstance(row, dict) and "eval" in row else []


def log_problems(path: Path) -> Iterator[str]:
    """Yields the problems of a log, one line for each. Raises UsageError where the file cannot be read."""
    try:
        log = json.loads(path.read_bytes(), parse_constant=no_number)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        yield f"{path}: not JSON: {json_fault(error)}"
        return
    if not isinstance(log, dict) or not isinstance(log.get("eval"), dict):
        manifest = as_manifest(path, log) if isinstance(log, dict) else ""
        other = "one JSON object that is not a log of inspect_ai; a training file has one row per line"
        yield f"{path}: it is {manifest or other}"
        return
    for text in _of_head(log):
        yield f"{path}: {text}"
    samples = log.get("samples")
    if not isinstance(samples, list) or not samples:
        yield f"{path}: it has no samples"
        return
    seen: dict[tuple[str, Any], int] = {}
    sound = True
    for at, sample in enumerate(samples):
        wrong = _wrong_sample(sample)
        if not wrong:
            key = (str(sample["id"]), sample["epoch"])
            if key in seen:
                wrong = f"it has the id and epoch of samples[{seen[key]}]"
            seen.setdefault(key, at)
        if wrong:
            sound = False
            yield f"{path}: samples[{at}]: {wrong}"
    if sound and OWN_PACKAGE in (log["eval"].get("packages") or {}):
        for text in _of_results(log):
            yield f"{path}: {text}"


def _of_head(log: Mapping[str, Any]) -> Iterator[str]:
    if log.get("version") != 2:
        yield f"its version is {log.get('version')!r}; josh writes and reads version 2"
    if log.get("status") not in _STATES:
        yield f"its status is {log.get('status')!r}; one of {', '.join(_STATES)}"
    for name in _NAMED:
        if not isinstance(log["eval"].get(name), str):
            yield f"eval has no {name}"


def _wrong_sample(sample: Any) -> str:
    """Returns the first problem of a sample; empty for none."""
    if not isinstance(sample, dict):
        return "it is not an object"
    epoch = sample.get("epoch")
    if not isinstance(sample.get("id"), str | int) or not isinstance(epoch, int) or epoch < 1:
        return "it needs `id`, and `epoch` from 1"
    if not sample.keys() >= {"input", "target"} or not isinstance(sample.get("messages"), list):
        return "it needs `input`, `target` and a list of `messages`"
    calls: set[str] = set()
    wrong = ((at, _wrong_message(message, calls)) for at, message in enumerate(sample["messages"]))
    found = next((f"messages[{at}]: {text}" for at, text in wrong if text), "")
    return found or _wrong_scores(sample)


def _wrong_scores(sample: Mapping[str, Any]) -> str:
    scores = sample.get("scores")
    if scores is None:
        return "" if sample.get("error") else "it has neither scores nor an error"
    if not isinstance(scores, dict):
        return "its scores are not an object"
    bare = next((name for name, score in scores.items() if not isinstance(score, dict) or "value" not in score), None)
    return "" if bare is None else f"its score {bare!r} has no value"


def _wrong_message(message: Any, calls: set[str]) -> str:
    """Returns the first problem of a message; empty for none. `calls` has the ids of the calls so far."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return f"its role is not one of {', '.join(_ROLES)}"
    if not isinstance(message.get("content"), str | list):
        return "its content is not a text"
    for call in message.get("tool_calls") or ():
        if not isinstance(call, dict) or not isinstance(call.get("arguments"), dict) or not call.get("id"):
            return "a tool call needs `id`, and `arguments` as an object"
        calls.add(str(call["id"]))
    answered = message.get("tool_call_id")
    if message["role"] == "tool" and answered is not None and answered not in calls:
        return f"it answers the call {answered!r}, which no message before it makes"
    return ""


def _of_results(log: Mapping[str, Any]) -> Iterator[str]:
    """Yields where the results of josh's own log differ from its samples."""
    results = log.get("results")
    if not isinstance(results, dict):
        yield "it has no results"
        return
    fresh = results_of(log["samples"], 0)
    if results.get("completed_samples") != fresh["completed_samples"]:
        counts = f"{results.get('completed_samples')} completed samples, and {fresh['completed_samples']} have scores"
        yield f"its results have {counts}"
    if results.get("scores") != fresh["scores"]:
        yield "its results are not the means of its samples' scores"


def no_number(name: str) -> Any:
    """Raises ValueError: JSON has no such number (NaN, Infinity)."""
    raise ValueError(f"{name} is not a number in JSON")
