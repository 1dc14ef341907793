"""Reads tasks from MultiWOZ in its published layout (Budzianowski et al., 2018, arXiv:1810.00278).

The folder has `data.json` (goals and dialogues by id) and, optionally, `delex.json` (the same, without names),
`testListFile`, `valListFile` and `training_fnames` (`.json` or `.txt`: ids, one per line or as a JSON list).
`layout.py` finds these files and the database.

The calls that earn are computed from the goals, as in ToolWOZ (Lattimer et al., 2024, arXiv:2409.04617, §4).
"""

import html
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.envs.toolwoz.database import KEYS, Database, Row
from josh.envs.toolwoz.server import WozWorld
from josh.envs.toolwoz.tasks import perfect_calls, task_data
from josh.envs.toolwoz.tools import PARAMETERS
from josh.envs.toolwoz.values import constraints
from josh.envs.toolwoz.wording import Wish
from josh.errors import UsageError
from josh.roles import Task, ToolError
from josh.texts import json_of, read_text

log = logging.getLogger("josh")

SPLITS = ("train", "val", "full_test", "test")
"""The splits of the published tasks."""
TEST_TASKS = 450
"""The number of tasks in `test`: the first ones of `full_test`, in the order of their ids."""

_ELSEWHERE = ("taxi", "police", "hospital", "bus")
_TAG = re.compile(r"<[^>]*>")
_NUMBERED = re.compile(r"^Task \d+:")


class _LeftOutError(Exception):
    """Raised for a dialogue that does not make a task; the text is the reason under which it is counted."""


@dataclass(frozen=True, slots=True)
class Official:
    """The tasks of a folder.

    Attributes:
        splits: tasks by split, in the order of their ids; those of `test` are in `full_test` too. `train` has the
            dialogues that `training_fnames` names or, without that list, all that are in no other split. Another split
            whose list is missing is missing, too.
        left_out: number of dialogues that do not make a task, by reason, most frequent first.
    """

    splits: Mapping[str, Sequence[Task]]
    left_out: Mapping[str, int]


def load_official(data: Path, database: Database, others: Sequence[Path] = ()) -> Official:
    """Reads the tasks of a `data.json` and the files beside it, or of ConvLab-2's files.

    Args:
        data: `data.json`, or ConvLab-2's first file.
        database: the database that the dialogues are about.
        others: ConvLab-2's other files; each is a split.

    These dialogues are left out:

    - those with a goal in a domain that ToolWOZ lacks (taxi, police, hospital, bus);
    - those in which nothing can be earned;
    - those whose goal has a value that the tools refuse, such as a malformed time;
    - those without a known booking: the last booking in the system's final state, in `delex.json` or `data.json`, is
      missing, not in the database, or not what the goal asks for.

    Raises:
        UsageError: a file cannot be read or is malformed, or holds no task.
    """
    parts = {path: _entries(path) for path in (data, *others)}
    entries = {name: entry for part in parts.values() for name, entry in part.items()}
    beside = data.with_name("delex.json")
    states = _entries(beside) if beside.is_file() else {}
    made: dict[str, dict[str, Any]] = {}
    reasons: Counter[str] = Counter()
    for name in sorted(entries):
        try:
            made[name] = _data([entry for entry in (states.get(name), entries[name]) if entry], entries[name], database)
        except _LeftOutError as reason:
            reasons[str(reason)] += 1
    left_out = dict(reasons.most_common())
    if not made:
        counts = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it is empty"
        raise UsageError(f"{data} holds no task: {counts}; give MultiWOZ's own, with the database it is of")
    if others:
        lists = {path.stem.replace("test", "full_test"): set(part) for path, part in parts.items()}
        return Official(_tasks(lists, made), left_out)
    return Official(_split(data.parent, made), left_out)


def _split(folder: Path, made: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Task]]:
    lists = {split: _ids(folder, stem) for split, stem in (("val", "valListFile"), ("full_test", "testListFile"))}
    if lists["full_test"] is None:
        log.warning("%s has no testListFile: none of its dialogues are kept apart from training", folder)
    held_out = set().union(*filter(None, lists.values()))
    trained = _ids(folder, "training_fnames")
    lists["train"] = (set(made) if trained is None else trained) - held_out
    return _tasks(lists, made)


def _tasks(lists: Mapping[str, set[str] | None], made: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Task]]:
    chosen = {split: [name for name in made if name in ids] for split, ids in lists.items() if ids is not None}
    if "full_test" in chosen:
        chosen["test"] = chosen["full_test"][:TEST_TASKS]
    return {split: [Task(name, index, made[name]) for index, name in enumerate(ids)] for split, ids in chosen.items()}


def _data(states: Sequence[Mapping[str, Any]], entry: Mapping[str, Any], database: Database) -> dict[str, Any]:
    """Returns a task's data; see `josh.envs.toolwoz.tasks`. Raises _LeftOutError where the dialogue makes no task."""
    whole = entry["goal"]
    for domain in _ELSEWHERE:
        if whole.get(domain):
            raise _LeftOutError(f"with a goal in {domain}")
    order = _in_order(entry)
    goal = {domain: _wish(domain, whole[domain]) for domain in sorted(KEYS, key=order.index) if whole.get(domain)}
    chosen = {domain: _booked(domain, wish, states, database) for domain, wish in goal.items() if wish["book"]}
    data = task_data(goal, _message(whole.get("message")), chosen, database, "multiwoz", list(_dialogue(entry)))
    if not data["targets"]:
        raise _LeftOutError("with nothing to search for or book")
    world = WozWorld(database, data["targets"], data["failures"])
    try:
        for api, arguments in perfect_calls(data):
            world.call(api, arguments)
    except ToolError:
        raise _LeftOutError("with a wish that the tools refuse") from None
    return data


def _wish(domain: str, whole: Mapping[str, Any]) -> Wish:
    """Returns a domain's goal, without values that no tool takes."""
    parts = {part: _known(f"search_{domain}", whole.get(part)) for part in ("info", "fail_info")}
    parts |= {part: _known(f"book_{domain}", whole.get(part), KEYS[domain]) for part in ("book", "fail_book")}
    asked = whole.get("reqt")
    return {**parts, "reqt": [str(name) for name in asked] if isinstance(asked, list) else []}


def _known(api: str, part: Any, but: str = "") -> dict[str, str]:
    values = part if isinstance(part, Mapping) else {}
    names = [name for name in values if name in PARAMETERS[api] and name != but]
    return {name: str(values[name]) for name in names if not isinstance(values[name], bool | list | dict)}


def _booked(domain: str, wish: Wish, states: Sequence[Mapping[str, Any]], database: Database) -> Row:
    """Returns the row that was booked. Raises _LeftOutError where no row fits."""
    key = KEYS[domain]
    names = [name for state in states if (name := _last_booked(domain, state))]
    if not names:
        raise _LeftOutError("without what was booked")
    known = [name for name in names if database.find(domain, {key: name})]
    if not known:
        raise _LeftOutError("with a booking of what is not in the database")
    # Trains may share an ID; the goal tells them apart.
    fitting = database.find(domain, {**constraints(wish["info"]), key: known[0]})
    if not fitting:
        raise _LeftOutError("with a booking of what the goal does not ask for")
    return fitting[0]


def _last_booked(domain: str, entry: Mapping[str, Any]) -> str | None:
    """Returns the name or train ID of the last booking in the system's final state; None without a booking."""
    states = [metadata for turn in entry["log"] if (metadata := turn.get("metadata"))]
    try:
        return str(states[-1][domain]["book"]["booked"][-1][KEYS[domain]])
    except (IndexError, KeyError, TypeError):
        return None


def _in_order(entry: Mapping[str, Any]) -> list[str]:
    """Returns the domains in the order in which the system's state first held them, then the others, as in the goal."""
    found = []
    for turn in entry["log"]:
        for domain, state in (turn.get("metadata") or {}).items():
            if isinstance(state, Mapping) and any(_is_filled(part) for part in state.values()):
                found.append(domain)
    return list(dict.fromkeys((*found, *entry["goal"], *KEYS)))


def _is_filled(part: Any) -> bool:
    return isinstance(part, Mapping) and any(value not in ("", "not mentioned", [], None) for value in part.values())


def _message(message: Any) -> list[str]:
    parts = [message] if isinstance(message, str) else message if isinstance(message, list) else []
    return [text for part in parts if (text := _plain_text(str(part)))]


def _plain_text(text: str) -> str:
    """Returns a sentence without mark-up, and without the task number at its beginning."""
    return " ".join(_NUMBERED.sub("", html.unescape(_TAG.sub("", text)).strip()).split())


def _dialogue(entry: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for place, turn in enumerate(entry["log"]):
        yield {"role": "assistant" if place % 2 else "user", "content": " ".join(str(turn.get("text") or "").split())}


def _entries(path: Path) -> dict[str, Mapping[str, Any]]:
    """Returns the dialogues by id; the `.json` at the end of ids is removed."""
    whole = _json(path, "give MultiWOZ's data.json")
    if not isinstance(whole, dict):
        raise UsageError(f"{path} is not a JSON object of dialogues by id; give MultiWOZ's data.json")
    for name, entry in whole.items():
        if not _is_entry(entry):
            raise UsageError(f"{path}: dialogue {name} has no `goal` with a `log` of turns; give MultiWOZ's data.json")
    return {name.removesuffix(".json"): entry for name, entry in whole.items()}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("goal"), dict) or not isinstance(entry.get("log"), list):
        return False
    goals = (entry["goal"].get(domain) or {} for domain in KEYS)
    return all(isinstance(turn, dict) for turn in entry["log"]) and all(isinstance(goal, dict) for goal in goals)


def _ids(folder: Path, stem: str) -> set[str] | None:
    """Returns the ids of a list; None where the file is missing."""
    path = next((path for end in ("json", "txt") if (path := folder / f"{stem}.{end}").is_file()), None)
    if path is None:
        return None
    text = read_text(path)
    names = _json(path, "give a list of ids, one a line") if text.lstrip().startswith("[") else text.split()
    if names and all(isinstance(name, str) for name in names) and not text.lstrip().startswith("{"):
        return {name.removesuffix(".json") for name in names}
    raise UsageError(f"{path} is not a list of ids; give one id per line, or remove the file")


def _json(path: Path, way_out: str) -> Any:
    try:
        return json_of(read_text(path), str(path))
    except UsageError as error:
        reason = str(error).removeprefix(f"cannot read {path}: ").removeprefix(f"{path} is ")
        raise UsageError(f"cannot read {path}: {reason}; {way_out}") from None
