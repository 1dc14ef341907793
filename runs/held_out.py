"""Whether tasks are held out: not played, and nobody in them met, where an agent's training data came from."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.roles import BaseEnv, Task
from josh.runs.casting import env_class, plugged
from josh.runs.record import EPISODES
from josh.runs.run import CONFIG, read_config
from josh.runs.settings import OFFLINE, RunSettings, recorded

SHOWN = 3
"""How many of the things that are in the way an error names."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What training has seen.

    Attributes:
        tasks: ids of tasks.
        people: ids of people.
        users: the user models it was played with: names of classes and of chat models.
    """

    tasks: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()

    def __or__(self, other: "Seen") -> "Seen":
        return Seen(self.tasks | other.tasks, self.people | other.people, self.users | other.users)


def seen_in(sources: Sequence[Path]) -> Seen:
    """What runs, or the runs that export manifests name, have played.

    Args:
        sources: runs' folders, manifests, or exported files with a manifest beside them (`FILE.manifest.json`). A
            manifest is a JSON object whose `runs` are names, or objects with a `run` and perhaps its `folder`, its
            `tasks_digest` and its `settings`; a run is looked for in its folder, in the manifest's, the one above, the
            `log_dir` of its settings, and here, and has to have that digest.

    Raises:
        UsageError: a source is neither, or it or a run that it names cannot be read.
    """
    seen = Seen()
    for source in sources:
        for folder in _runs_of(source):
            seen |= _seen_in_run(folder)
    return seen


def check(tasks: Sequence[Task], env: BaseEnv, seen: Seen) -> None:
    """Raises UsageError, in one line, where any task was seen, or anybody in one."""
    repeated = [task.id for task in tasks if task.id in seen.tasks]
    met = {str(person): task.id for task in tasks for person in env.people(task) if str(person) in seen.people}
    if not repeated and not met:
        return
    found = [f"{len(names)} {what} ({_some(names)})" for what, names in (("tasks", repeated), ("people", met)) if names]
    raise UsageError(
        f"not held out: the training data has {' and '.join(found)} of these tasks; give another task_split, "
        "split_rule, corpus or start_index"
    )


def _some(names: Sequence[str] | dict[str, str]) -> str:
    shown = ", ".join(list(names)[:SHOWN])
    return f"{shown}, ..." if len(names) > SHOWN else shown


def _runs_of(source: Path) -> Iterator[Path]:
    if (source / CONFIG).is_file():
        yield source
        return
    beside = source.with_name(f"{source.name}.manifest.json")
    path = beside if beside.is_file() else source
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"trained_on: {path} is neither a run's folder nor a manifest: {error}") from None
    named = manifest.get("runs") if isinstance(manifest, dict) else None
    if not isinstance(named, list) or not named:
        raise UsageError(f"trained_on: {path} names no runs")
    for place, one in enumerate(named):
        yield _run_of({"run": one} if isinstance(one, str) else one, f"{path}: runs[{place}]", path.parent)


def _run_of(entry: Any, where: str, home: Path) -> Path:
    """The folder of a run that a manifest names; `home` is the manifest's folder. Raises UsageError."""
    texts = (str, type(None))
    if not isinstance(entry, dict) or not isinstance(entry.get("run"), str):
        raise UsageError(f"trained_on: {where} is {entry!r:.80}; give a run's name, or an object with a `run`")
    name, folder, settings = entry["run"], entry.get("folder"), entry.get("settings") or {}
    log_dir = settings.get("log_dir") if isinstance(settings, dict) else settings
    if not isinstance(folder, texts) or not isinstance(log_dir, texts):
        raise UsageError(f"trained_on: {where} is damaged: its folder is {folder!r:.80}, its settings {settings!r:.80}")
    places = (home / name, home.parent / name, Path(log_dir or RunSettings.log_dir) / name, Path(name))
    there = [place for place in (*([Path(folder)] if folder else []), *places) if (place / CONFIG).is_file()]
    digest = entry.get("tasks_digest")
    fitting = [place for place in there if digest is None or read_config(place).get("tasks_digest") == digest]
    if fitting:
        return fitting[0]
    why = f"which played other tasks in {there[0]}" if there else "which is in none of its folders"
    raise UsageError(f"trained_on: {where} is {name}, {why}; name its folder")


def _seen_in_run(folder: Path) -> Seen:
    config = read_config(folder)
    settings = RunSettings(**recorded(config["settings"], folder / CONFIG))
    env = plugged(f"env {settings.env!r}", lambda: env_class(settings.env)(asdict(settings)))
    tasks = list(_played(folder / EPISODES))
    met = plugged(f"the people of {folder}", lambda: [str(person) for task in tasks for person in env.people(task)])
    return Seen(frozenset(task.id for task in tasks), frozenset(met), users_of(config))


def users_of(config: dict[str, Any]) -> frozenset[str]:
    """The user models of a run: its classes where they play offline, else its chat models."""
    settings, plays = config["settings"], config.get("plays", {})
    models = str(settings.get("user_model") or OFFLINE)
    return frozenset(name.strip() for name in (plays.get("user", "") if models == OFFLINE else models).split(","))


def _played(path: Path) -> Iterator[Task]:
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                task = row["task"]
                yield Task(row["task_id"], task["index"], task["data"], task["metadata"])
    except OSError as error:
        raise UsageError(f"trained_on: cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        # What cannot be read cannot be held out from.
        raise UsageError(f"trained_on: {path} is damaged; josh --resume {path.parent} mends it") from None
