"""Whether tasks are held out: not played, and nobody in them met, where an agent's training data came from."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from josh.errors import UsageError
from josh.models.hf_loading import base_and_adapter, is_local
from josh.roles import BaseEnv, Task
from josh.runs.record.folder import CONFIG, EPISODES, read_config, read_settings, who_played
from josh.runs.registry import OFFLINE, plugged
from josh.runs.settings import RunSettings, core, env_of
from josh.runs.train.adapter_folder import CARD
from josh.runs.train.sources import fingerprint

Found: TypeAlias = Path | UsageError
"""A run's folder, or why there is none."""
SHOWN = 3
"""How many of the things that are in the way an error names."""
_BEGAN = ("base_adapter", "base")


@dataclass(frozen=True, slots=True)
class TrainingExposure:
    """What training has seen.

    Attributes:
        tasks: ids of tasks.
        people: ids of people.
        users: the user models it was played with: names of classes and of chat models.
    """

    tasks: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()

    def __or__(self, other: "TrainingExposure") -> "TrainingExposure":
        return TrainingExposure(self.tasks | other.tasks, self.people | other.people, self.users | other.users)


@dataclass(frozen=True, slots=True)
class ModelExposure:
    """What the training of local models has seen.

    Attributes:
        seen: as far as the runs behind it were found.
        known: the adapters, and merged models, of which any run was found.
        unknown: those of which any was not, with the reason.
    """

    seen: TrainingExposure
    known: tuple[str, ...]
    unknown: Mapping[str, str]


def seen_in(sources: Sequence[Path]) -> TrainingExposure:
    """What runs, or the runs that export manifests and adapters name, have played.

    Args:
        sources: runs' and loops' folders, manifests, exported files with a manifest beside them (`FILE.manifest.json`),
            adapters' folders or their `josh_adapter.json`, which hold their data's manifest and name the adapter or
            model that their training began with. A manifest is a JSON object whose `runs` are names, or objects with a
            `run` and perhaps its `folder`, its `tasks_digest` and its `settings`; a run is looked for in its folder, in
            the manifest's, the one above, the `log_dir` of its settings, and here, and has to have that digest.

    Raises:
        UsageError: a source is none of these, or it or a run that it names cannot be read.
    """
    seen = TrainingExposure()
    for source in sources:
        for found in _runs_of(source):
            try:
                seen |= _seen_in_run(found)
            except UsageError as error:
                raise UsageError(f"trained_on: {error}") from None
    return seen


def seen_by(models: Iterable[str]) -> ModelExposure:
    """What the training of some models has seen, as far as they are local and their adapters say.

    Args:
        models: names of models; see `josh.models.hf`.
    """
    seen, known, unknown = TrainingExposure(), [], {}
    for name in dict.fromkeys(models):
        base, adapter = base_and_adapter(name) if is_local(name) else ("", None)
        # A base without a card is a model as somebody else made it.
        tuned = [base] if base and (Path(base).expanduser() / CARD).is_file() else []
        for where in (*tuned, *([adapter] if adapter else [])):
            problems = []
            for found in _runs_of_card(Path(where).expanduser() / CARD):
                try:
                    seen |= _seen_in_run(found)
                    known.append(where)
                except UsageError as error:
                    problems.append(str(error))
            if problems:
                unknown[where] = problems[0] + (f" (and {len(problems) - 1} more)" if problems[1:] else "")
    return ModelExposure(seen, tuple(dict.fromkeys(known)), unknown)


def assert_held_out(tasks: Sequence[Task], env: BaseEnv, seen: TrainingExposure) -> None:
    """Raises UsageError, in one line, where any task was seen, or anybody in one."""
    repeated = [task.id for task in tasks if task.id in seen.tasks]
    met = {str(person): task.id for task in tasks for person in env.people(task) if str(person) in seen.people}
    if not repeated and not met:
        return
    found = [f"{len(names)} {what} ({_some(names)})" for what, names in (("tasks", repeated), ("people", met)) if names]
    raise UsageError(
        f"not held out: the training data has {' and '.join(found)} of these tasks; give other ones (--task_split, "
        "--start_index)"
    )


def _some(names: Sequence[str] | dict[str, str]) -> str:
    shown = ", ".join(list(names)[:SHOWN])
    return f"{shown}, ..." if len(names) > SHOWN else shown


def _runs_of(source: Path) -> Iterator[Found]:
    card = source if source.name == CARD else source / CARD
    if card.is_file():  # it goes first: a model's folder has a `config.json` as well
        yield from _runs_of_card(card)
        return
    if (source / CONFIG).is_file():
        yield source
        return
    searches = sorted(found for found in source.glob("search-*") if (found / CONFIG).is_file())
    if searches:
        yield from searches
        return
    beside = source.with_name(f"{source.name}.manifest.json")
    path = beside if beside.is_file() else source
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        yield UsageError(f"{path} is neither a run's folder nor a manifest nor an adapter: {error}")
        return
    yield from _runs_in(manifest, path, path.parent)


def _runs_of_card(card: Path, followed: frozenset[Path] = frozenset()) -> Iterator[Found]:
    """The runs behind an adapter, or a merged model, and behind what its training began with."""
    followed |= {card.resolve()}
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
        data, manifest = content["data"]["file"], content["data"]["manifest"]
        began = [(role, Path(content[role]["name"]), content[role]["sha256"]) for role in _BEGAN if content.get(role)]
        home = Path(data).parent
    except FileNotFoundError:
        yield UsageError(f"{card.parent} has no {CARD}")
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield UsageError(f"{card} is damaged: {error!r}")
        return
    if manifest is None:
        yield UsageError(f"{card}: {data} had no manifest beside it")
    else:
        yield from _runs_in(manifest, card, home)
    for role, folder, digest in began:
        places = [place / CARD for place in (folder.expanduser(), card.resolve().parent.with_name(folder.name))]
        fitting = [place for place in places if place.is_file() and fingerprint(place.parent) == digest]
        if fitting and fitting[0].resolve() not in followed:
            yield from _runs_of_card(fitting[0], followed)
        elif not fitting and role == "base_adapter":
            yield UsageError(f"{card}: its {role} {folder} is not there any more, or is another one")


def _runs_in(manifest: Any, path: Path, home: Path) -> Iterator[Found]:
    """The runs that a manifest names, which was read from a path and written into a folder."""
    named = manifest.get("runs") if isinstance(manifest, dict) else None
    if not isinstance(named, list) or not named:
        yield UsageError(f"{path} names no runs")
        return
    for place, one in enumerate(named):
        yield _run_of({"run": one} if isinstance(one, str) else one, f"{path}: runs[{place}]", home)


def _run_of(entry: Any, where: str, home: Path) -> Found:
    texts = (str, type(None))
    if not isinstance(entry, dict) or not isinstance(entry.get("run"), str):
        return UsageError(f"{where} is {entry!r:.80}; give a run's name, or an object with a `run`")
    name, folder, settings = str(entry["run"]), entry.get("folder"), entry.get("settings") or {}
    log_dir: Any = settings
    if isinstance(settings, dict):
        output = settings.get("output")
        log_dir = output.get("log_dir") if isinstance(output, dict) else settings.get("log_dir")
    if not isinstance(folder, texts) or not isinstance(log_dir, texts):
        return UsageError(f"{where} is damaged: its folder is {folder!r:.80}, its settings {settings!r:.80}")
    places = (home / name, home.parent / name, Path(log_dir or core()["log_dir"].default) / name, Path(name))
    digest, why = entry.get("tasks_digest"), "which is in none of its folders"
    for place in (*([Path(folder)] if folder else []), *places):
        if (place / CONFIG).is_file():
            try:
                if digest is None or read_config(place).get("tasks_digest") == digest:
                    return place
                why = f"which played other tasks in {place}"
            except UsageError as error:
                why = f"and {error}"
    return UsageError(f"{where} is {name}, {why}; name its folder")


def _seen_in_run(folder: Found) -> TrainingExposure:
    if isinstance(folder, UsageError):
        raise folder
    config = read_config(folder)
    settings = read_settings(folder, config)
    env = env_of(settings)
    tasks = list(_played(folder / EPISODES))
    met = plugged(f"the people of {folder}", lambda: [str(person) for task in tasks for person in env.people(task)])
    return TrainingExposure(
        frozenset(task.id for task in tasks), frozenset(met), users_of(settings, who_played(config))
    )


def users_of(settings: RunSettings, plays: Mapping[str, str]) -> frozenset[str]:
    """The user models of a run: its classes where they play offline, else its chat models."""
    models = settings.user.model
    return frozenset(name.strip() for name in (plays.get("user", "") if models == OFFLINE else models).split(","))


def _played(path: Path) -> Iterator[Task]:
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                task = row["task"]
                yield Task(row["task_id"], task["index"], task["data"], task["metadata"])
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        # What cannot be read cannot be held out from.
        raise UsageError(f"{path} is damaged; josh --resume {path.parent} mends it") from None
