"""MultiWOZ in the layout it is published in (Budzianowski et al., 2018, arXiv:1810.00278), as tasks.

A folder with `data.json` (goals and dialogues by id), and where they are there `delex.json` (the same, without names),
`testListFile`, `valListFile` and `training_fnames` (`.json` or `.txt`: ids, a line each or as a list). The database's
`*_db.json` stand there too, in `db`, or in a `db` beside the folder. A folder that has all this in its `data` will do.

What earns is worked out anew as ToolWOZ does it (Lattimer et al., 2024, arXiv:2409.04617, §4).
"""

import html
import json
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
from josh.envs.toolwoz.values import wanted
from josh.envs.toolwoz.wording import Wish
from josh.errors import UsageError
from josh.roles import Task, ToolError

log = logging.getLogger("josh")

SPLITS = ("train", "val", "full_test", "test")
"""Splits of the published tasks."""
TEST_TASKS = 450
"""How many tasks of `full_test`, in the order of their ids, are `test`."""

_ELSEWHERE = ("taxi", "police", "hospital", "bus")
_TAG = re.compile(r"<[^>]*>")
_NUMBERED = re.compile(r"^Task \d+:")


class _LeftOutError(Exception):
    """A dialogue is no task; the text says why, in the words that it is counted under."""


@dataclass(frozen=True, slots=True)
class Official:
    """The tasks of a folder.

    Attributes:
        splits: tasks by split, in the order of their ids; those of `test` are in `full_test` too. Train is what
            `training_fnames` names or, without it, all that is in no other split. A split whose list is not there is
            not either.
        left_out: how many dialogues are no tasks, by reason, most frequent first.
    """

    splits: Mapping[str, Sequence[Task]]
    left_out: Mapping[str, int]


def data_file(given: Path) -> Path | None:
    """Where a folder's `data.json` is, if it has one; a file is taken for it, whatever its name.

    Raises:
        UsageError: the folder has what stands beside a `data.json`, but none.
    """
    if given.is_file():
        return given
    places = (given, given / "data")
    found = next((path for place in places if (path := place / "data.json").is_file()), None)
    beside = [f"{stem}.{end}" for stem in ("delex", "testListFile", "valListFile") for end in ("json", "txt")]
    lonely = next((path for place in places for name in beside if (path := place / name).is_file()), None)
    if found is None and lonely is not None:
        raise UsageError(f"{lonely} is there, but no data.json, whose goals the tasks are; add it, or give its file")
    return found


def database_folder(given: Path) -> Path:
    """Where the database is of a folder, or of a file that `data_file` takes: the first likely place with any of it."""
    data = data_file(given)
    places = (given / "db", given) if data is None else (data.parent / "db", data.parent, data.parent.parent / "db")
    other = given if data is None else data.parent
    return next((place for place in places if any((place / f"{domain}_db.json").is_file() for domain in KEYS)), other)


def load_official(data: Path, database: Database) -> Official:
    """Read the tasks of a `data.json` and the files beside it.

    Left out are dialogues with a goal in a domain that ToolWOZ lacks (taxi, police, hospital, bus), those that nothing
    can be earned in, or not with what the goal says (a time that is none), and those whose booking cannot be told: what
    was booked last, by the system's final state in `delex.json` or `data.json`, is not there, not in the database, or
    not what the goal asks for.

    Raises:
        UsageError: a file cannot be read or is malformed, or there is no task in it.
    """
    entries = _entries(data)
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
    return Official(_split(data.parent, made), left_out)


def _split(folder: Path, made: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Task]]:
    lists = {split: _ids(folder, stem) for split, stem in (("val", "valListFile"), ("full_test", "testListFile"))}
    if lists["full_test"] is None:
        log.warning("%s has no testListFile: none of its dialogues are kept apart from training", folder)
    held_out = set().union(*filter(None, lists.values()))
    trained = _ids(folder, "training_fnames")
    lists["train"] = (set(made) if trained is None else trained) - held_out
    chosen = {split: [name for name in made if name in ids] for split, ids in lists.items() if ids is not None}
    if "full_test" in chosen:
        chosen["test"] = chosen["full_test"][:TEST_TASKS]
    return {split: [Task(name, index, made[name]) for index, name in enumerate(ids)] for split, ids in chosen.items()}


def _data(states: Sequence[Mapping[str, Any]], entry: Mapping[str, Any], database: Database) -> dict[str, Any]:
    """A task's data, see `josh.envs.toolwoz.tasks`. Raises _LeftOutError where it is no task."""
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
    """A domain's goal, less what no tool takes."""
    parts = {part: _known(f"search_{domain}", whole.get(part)) for part in ("info", "fail_info")}
    parts |= {part: _known(f"book_{domain}", whole.get(part), KEYS[domain]) for part in ("book", "fail_book")}
    asked = whole.get("reqt")
    return {**parts, "reqt": [str(name) for name in asked] if isinstance(asked, list) else []}


def _known(api: str, part: Any, but: str = "") -> dict[str, str]:
    values = part if isinstance(part, Mapping) else {}
    names = [name for name in values if name in PARAMETERS[api] and name != but]
    return {name: str(values[name]) for name in names if not isinstance(values[name], bool | list | dict)}


def _booked(domain: str, wish: Wish, states: Sequence[Mapping[str, Any]], database: Database) -> Row:
    """The row that was booked. Raises _LeftOutError where there is none that fits."""
    key = KEYS[domain]
    names = [name for state in states if (name := _last_booked(domain, state))]
    if not names:
        raise _LeftOutError("without what was booked")
    known = [name for name in names if database.find(domain, {key: name})]
    if not known:
        raise _LeftOutError("with a booking of what is not in the database")
    # Trains may share an ID; the goal says which of them it was.
    fitting = database.find(domain, {**wanted(wish["info"]), key: known[0]})
    if not fitting:
        raise _LeftOutError("with a booking of what the goal does not ask for")
    return fitting[0]


def _last_booked(domain: str, entry: Mapping[str, Any]) -> str | None:
    """The name or train ID of what was booked last in the final state that the system was in."""
    states = [metadata for turn in entry["log"] if (metadata := turn.get("metadata"))]
    try:
        return str(states[-1][domain]["book"]["booked"][-1][KEYS[domain]])
    except (IndexError, KeyError, TypeError):
        return None


def _in_order(entry: Mapping[str, Any]) -> list[str]:
    """The domains in the order in which the system learnt of them, then those that it did not, as the goal has them."""
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
    """A sentence without its mark-up, and without the number that some tasks begin with."""
    return " ".join(_NUMBERED.sub("", html.unescape(_TAG.sub("", text)).strip()).split())


def _dialogue(entry: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for place, turn in enumerate(entry["log"]):
        yield {"role": "assistant" if place % 2 else "user", "content": " ".join(str(turn.get("text") or "").split())}


def _entries(path: Path) -> dict[str, Mapping[str, Any]]:
    """Dialogues by id, without the `.json` that ids end with."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; give MultiWOZ's data.json") from error
    if not isinstance(whole, dict):
        raise UsageError(f"{path} is no JSON object of dialogues by id; give MultiWOZ's data.json")
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
    """The ids of a list, None where it is not there."""
    path = next((path for end in ("json", "txt") if (path := folder / f"{stem}.{end}").is_file()), None)
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
        names = json.loads(text) if text.lstrip().startswith("[") else text.split()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; give a list of ids, one a line") from error
    if names and all(isinstance(name, str) for name in names) and not text.lstrip().startswith("{"):
        return {name.removesuffix(".json") for name in names}
    raise UsageError(f"{path} is no list of ids; give one, an id a line, or take the file away")
