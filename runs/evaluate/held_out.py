"""Check that tasks are held out: neither the tasks nor their people occur in the runs that an agent was trained on.

1. `seen_in` reads the sources that the user names; `seen_by` reads the cards of local adapters and models.
2. A card or a manifest names runs; each run is looked up on disk.
3. A run gives the ids of its tasks, of their people, and of its user models (`TrainingExposure`).
4. `assert_held_out` compares them with the tasks of an evaluation.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from josh.errors import UsageError
from josh.models.hf_loading import base_and_adapter, is_local
from josh.roles import BaseEnv, Task
from josh.runs.record.folder import CONFIG, EPISODES, read_config, read_settings, who_played
from josh.runs.registry import OFFLINE, guarded
from josh.runs.settings import RunSettings, core, env_of
from josh.runs.train.adapter_folder import CARD
from josh.runs.train.sources import fingerprint
from josh.seeds import id_of_text

Only: TypeAlias = frozenset[str] | None
"""The ids of the tasks that a file has rows of; None for all tasks of its runs."""
Found: TypeAlias = "tuple[Path, Only] | TrainingExposure | UsageError"
"""A run's folder and its tasks that count; the exposure that a manifest says; or the reason why there is neither."""
SHOWN = 3
"""Most tasks or people that an error names."""
_ALL = "all"
_BEGAN = ("base_adapter", "base")


@dataclass(frozen=True, slots=True)
class TrainingExposure:
    """The tasks, people and user models that training used.

    Attributes:
        tasks: ids of tasks.
        people: ids of people.
        users: user models: import paths of classes, and names of chat models.
        questions: ids of the questions that the tasks are about, and those that rows without an id have instead.
    """

    tasks: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    questions: frozenset[str] = frozenset()

    def __or__(self, other: "TrainingExposure") -> "TrainingExposure":
        each = {one.name: getattr(self, one.name) | getattr(other, one.name) for one in fields(self)}
        return TrainingExposure(**each)


@dataclass(frozen=True, slots=True)
class ModelExposure:
    """The exposure of local models.

    Attributes:
        seen: the exposure of all training runs that were found.
        known: the adapters and merged models with at least one training run that was found.
        unknown: the adapters and merged models with at least one training run that was not found, with the reason.
    """

    seen: TrainingExposure
    known: tuple[str, ...]
    unknown: Mapping[str, str]


def seen_in(sources: Sequence[Path]) -> TrainingExposure:
    """Returns the exposure of some runs, or of the runs that export manifests and adapters name.

    Args:
        sources: each is the folder of a run or a loop; a manifest; an exported file with a manifest beside it
            (`FILE.manifest.json`); or the folder of an adapter or its `josh_adapter.json`. An adapter's card holds the
            manifest of its data, and names the adapter or model that its training started from.

            A manifest is a JSON object. Its `runs` are names, or objects with a `run` and optionally its `folder`,
            `tasks_digest` and `settings`. A run is searched in this order: in its `folder`, in the manifest's folder,
            in the folder above, in the `log_dir` of its settings, and in the current folder. If a `tasks_digest` is
            given, the run must have it. Where the file has one part of the questions only (`part` in its settings), the
            manifest's `tasks` count, and the run's other tasks do not. Entries with `trees` are files of trees that no
            run played: the manifest's `tasks` and `questions` count.

    Raises:
        UsageError: a source is none of these, or a source or one of its runs cannot be read.
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
    """Returns the exposure of the local ones among some models, from the cards of their adapters.

    Args:
        models: names of models; see `josh.models.hf`. Names of hosted models are ignored.
    """
    seen, known, unknown = TrainingExposure(), [], {}
    for name in dict.fromkeys(models):
        base, adapter = base_and_adapter(name) if is_local(name) else ("", None)
        # A base model without a card was not trained by josh.
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
    """Raises UsageError if training used one of the tasks, or a person of one of them.

    Tasks may also have a task or a question of the training as their person: rows about one question, in another
    world.
    """
    trained = seen.tasks | seen.questions
    people = dict.fromkeys(str(person) for task in tasks for person in env.people(task))
    repeated = {
        "tasks": [task.id for task in tasks if task.id in trained],
        "people": [person for person in people if person in seen.people],
        "questions": [person for person in people if person in trained - seen.people],
    }
    found = [f"{len(names)} {what} ({_some(names)})" for what, names in repeated.items() if names]
    if not found:
        return
    raise UsageError(
        f"not held out: the training data has {' and '.join(found)} of these tasks; give other tasks (--task_split, "
        "--start_index)"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown}, ..." if len(names) > SHOWN else shown


def _runs_of(source: Path) -> Iterator[Found]:
    card = source if source.name == CARD else source / CARD
    if card.is_file():  # check it first: a model's folder has a `config.json` too
        yield from _runs_of_card(card)
        return
    if (source / CONFIG).is_file():
        yield source, None
        return
    searches = sorted(found for found in source.glob("search-*") if (found / CONFIG).is_file())
    if searches:
        yield from ((found, None) for found in searches)
        return
    runs = sorted(found.parent for found in source.glob(f"*/{CONFIG}"))
    if runs:
        yield UsageError(f"{source} is a folder of runs; name them, such as {runs[0]}")
        return
    beside = source.with_name(f"{source.name}.manifest.json")
    path = beside if beside.is_file() else source
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        yield UsageError(f"{path} is neither a run's folder nor a manifest nor an adapter: {why}")
        return
    yield from _runs_in(manifest, path, path.parent)


def _runs_of_card(card: Path, followed: frozenset[Path] = frozenset()) -> Iterator[Found]:
    """Yields the training runs of an adapter or a merged model, and those of the model that its training started from.

    Args:
        card: the `josh_adapter.json`.
        followed: the cards that were read already; each is followed once.
    """
    followed |= {card.resolve()}
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
        data, manifest = content["data"]["file"], content["data"]["manifest"]
        began = [(role, Path(content[role]["name"]), content[role]["sha256"]) for role in _BEGAN if content.get(role)]
        home = Path(data).parent
    except FileNotFoundError:
        yield UsageError(f"{card.parent} has no {CARD}")
        return
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        yield UsageError(f"{card} is damaged: {error!r}")
        return
    if manifest is None:
        yield UsageError(f"{card}: {data} had no manifest, so its runs are unknown")
    else:
        yield from _runs_in(manifest, card, home)
    for role, folder, digest in began:
        places = [place / CARD for place in (folder.expanduser(), card.resolve().parent.with_name(folder.name))]
        fitting = [place for place in places if place.is_file() and fingerprint(place.parent) == digest]
        if fitting and fitting[0].resolve() not in followed:
            yield from _runs_of_card(fitting[0], followed)
        elif not fitting and role == "base_adapter":
            yield UsageError(f"{card}: its {role} {folder} is gone or has changed")


def _runs_in(manifest: Any, path: Path, home: Path) -> Iterator[Found]:
    """Yields the runs that a manifest names.

    Args:
        manifest: the parsed manifest.
        path: the file that it was read from, for errors.
        home: the folder that it was written into; the runs are searched from there.
    """
    named = manifest.get("runs") if isinstance(manifest, dict) else None
    if not isinstance(named, list) or not named:
        yield UsageError(f"{path} names no runs")
        return
    settings, tasks, questions = (manifest.get(name) for name in ("settings", "tasks", "questions"))
    one_part = isinstance(settings, dict) and settings.get("part", _ALL) != _ALL and isinstance(tasks, list)
    only = frozenset(map(str, tasks)) if one_part else None
    for place, one in enumerate(named):
        if isinstance(one, dict) and "trees" in one and isinstance(tasks, list) and isinstance(questions, list):
            people = manifest.get("people") or ()
            yield TrainingExposure(
                frozenset(map(str, tasks)), frozenset(map(str, people)), questions=frozenset(map(str, questions))
            )
            continue
        yield _run_of({"run": one} if isinstance(one, str) else one, f"{path}: runs[{place}]", home, only)


def _run_of(entry: Any, where: str, home: Path, only: Only) -> Found:
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
    digest, why = entry.get("tasks_digest"), "which was not found"
    for place in (*([home / folder] if folder else []), *places):
        if (place / CONFIG).is_file():
            try:
                if digest is None or read_config(place).get("tasks_digest") == digest:
                    return place, only
                why = f"but the run in {place} played other tasks"
            except UsageError as error:
                why = f"and {error}"
    return UsageError(f"{where} is {name}, {why}; name the run's folder instead")


def _seen_in_run(found: Found) -> TrainingExposure:
    if isinstance(found, UsageError):
        raise found
    if isinstance(found, TrainingExposure):
        return found
    folder, only = found
    config = read_config(folder)
    settings = read_settings(folder, config)
    env = env_of(settings)
    tasks = [task for task in _played(folder / EPISODES) if only is None or task.id in only]
    met = guarded(f"the people of {folder}", lambda: [str(person) for task in tasks for person in env.people(task)])
    return TrainingExposure(
        frozenset(task.id for task in tasks),
        frozenset(met),
        users_of(settings, who_played(config)),
        frozenset(name for task in tasks for name in _questions(task)),
    )


def users_of(settings: RunSettings, plays: Mapping[str, str]) -> frozenset[str]:
    """Returns the user models of a run: the class of an offline user, otherwise the names of the chat models."""
    models = settings.user.model
    return frozenset(name.strip() for name in (plays.get("user", "") if models == OFFLINE else models).split(","))


def _questions(task: Task) -> Iterator[str]:
    """Yields the ids of the question that a task is about: the one of several tasks, and the one by its text."""
    if not isinstance(task.data, dict):
        return
    if task.data.get("question_id"):
        yield str(task.data["question_id"])
    if isinstance(text := task.data.get("question"), str):
        yield id_of_text(text)


def _played(path: Path) -> Iterator[Task]:
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                task = row["task"]
                yield Task(row["task_id"], task["index"], task["data"], task["metadata"])
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        # If a task of the training data is unreadable, nobody can check that it is held out.
        raise UsageError(f"{path} is damaged; josh --resume {path.parent} repairs it") from None
