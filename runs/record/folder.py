"""A run's folder: the names of its files, and functions that read and write them."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.runs.record.settings_json import settings_from_json, upgraded
from josh.runs.registry import guarded
from josh.runs.settings import RunSettings, search_of
from josh.search import Strategy
from josh.texts import json_fault

CONFIG, EPISODES, EXAMPLES, SUMMARY = "config.json", "episodes.jsonl", "training_examples.jsonl", "summary.json"
"""The files of a run; its journal is `journal.FILE`."""
BEFORE = "summary.before.json"
"""The summary of the previous session, renamed while a resumed run is playing, because it is out of date by then."""
PLAN, EVALUATION, LOOP = "plan.json", "evaluation.json", "loop.json"
"""The files of an evaluation or a loop; its folder holds the folders of its runs. A race has a plan too."""
PROBE_FILE = "probe.json"
"""The numbers of a probe, which has a `plan.json` too."""
RUN, EVALUATION_KIND, LOOP_KIND, PROBE_KIND, RACE_KIND = "run", "evaluation", "loop", "probe", "race"
MODEL, ADAPTER, FOLDER_OF_RUNS = "model", "adapter", "folder of runs"
"""What a folder may be."""
_RESUME = {RUN: "", EVALUATION_KIND: "evaluate ", LOOP_KIND: "loop ", PROBE_KIND: "probe ", RACE_KIND: "race "}
"""The command that resumes a kind of folder."""
_OF_MODELS = (
    "tokenizer_config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json",
)  # fmt: skip
"""Files of a transformers model, which has a `config.json`, too."""
_SHOWN = 8
"""Most names of runs in a message."""


def read_config(folder: Path) -> dict[str, Any]:
    """Returns a run's `config.json`, with the settings in the format of this version.

    Raises:
        UsageError: the file is missing, damaged, or has no settings.
    """
    path = folder / CONFIG
    if folder.is_file():
        raise UsageError(f"{folder} is a file; give the folder of a run (records of the published JOSH are not read)")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        require_run(folder)
        raise UsageError(f"{folder} is not a run: cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {json_fault(error)}") from None
    if not isinstance(config, dict) or not isinstance(config.get("settings"), dict):
        require_run(folder)
        raise UsageError(f"{path} holds no settings")
    return config | {"settings": upgraded(config["settings"])}


def kind_of(folder: Path) -> str:
    """Returns `run`, `evaluation`, `loop`, `probe`, `race`, `model`, `adapter`, `folder of runs`, or nothing."""
    if (folder / "adapter_config.json").is_file():
        return ADAPTER
    if any((folder / name).is_file() for name in _OF_MODELS):
        return MODEL
    if (folder / CONFIG).is_file():
        return RUN
    if (folder / PLAN).is_file():
        plan = _plan(folder)
        kinds = {"race": RACE_KIND, "stages": LOOP_KIND, "items": PROBE_KIND}
        return next((kind for key, kind in kinds.items() if key in plan), EVALUATION_KIND)
    return FOLDER_OF_RUNS if names_of_runs(folder) else ""


def names_of_runs(folder: Path) -> list[str]:
    """Returns the runs, evaluations and loops in a folder and in its folders, by their path below it."""
    found: list[Path] = []
    for each in _subfolders(folder):
        found += [each] if _played(each) else filter(_played, _subfolders(each))
    return [each.relative_to(folder).as_posix() for each in found]


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if not each.name.startswith(".") and each.is_dir())
    except OSError:
        return []


def _played(folder: Path) -> bool:
    """Returns whether a folder is a run, an evaluation or a loop."""
    return any((folder / name).is_file() for name in (CONFIG, PLAN)) and kind_of(folder) in (
        RUN,
        EVALUATION_KIND,
        LOOP_KIND,
        RACE_KIND,
    )


def require_run(folder: Path) -> None:
    """Raises UsageError where a folder is something else than a run that josh knows; the error says what to give."""
    kind = kind_of(folder)
    if kind == ADAPTER:
        raise UsageError(f"{folder} is an adapter, not a run; use it with --model hf:BASE+{folder}")
    if kind == MODEL:
        raise UsageError(f"{folder} is a model, not a run; use it with --model hf:{folder}")
    if kind == FOLDER_OF_RUNS:
        raise UsageError(f"{folder} is a folder of runs; give one of them: {_some(names_of_runs(folder))}")
    if kind == PROBE_KIND:
        raise UsageError(f"{folder} is a probe, not a run; print it with: josh probe --resume {folder}")
    if kind in (EVALUATION_KIND, LOOP_KIND, RACE_KIND):
        names = runs_in(folder)
        way = f"give one of them: {_some(names)}" if names else "none of them has started"
        raise UsageError(f"{folder} is made of several runs; {way}")


def now() -> str:
    """Returns the time in the form of `started` in `config.json`."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def beside(folder: Path) -> Path:
    """Returns the folder that holds a folder: a relative path where it was given as one."""
    parent = folder.resolve().parent
    return parent if folder.is_absolute() else Path(os.path.relpath(parent))


def from_here(path: Path) -> Path:
    """Returns a path for messages: relative where it is below the current folder, else as it is."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def require_distinct(folders: Sequence[Path]) -> None:
    """Raises UsageError where a folder is given twice, under one name or two."""
    whole = [folder.resolve() for folder in folders]
    for place, path in enumerate(whole):
        if path in whole[:place]:
            raise UsageError(f"{folders[place]} is given twice; give it once")


def require_resumable(folder: Path, wanted: str) -> None:
    """Raises UsageError where a folder is not what a command resumes, but another thing that josh knows.

    Args:
        folder: the folder.
        wanted: the kind of folder that the command resumes, as `kind_of` has it.
    """
    kind = kind_of(folder)
    if kind in _RESUME and kind != wanted:
        article = "an" if kind == EVALUATION_KIND else "a"
        raise UsageError(f"{folder} is {article} {kind}; resume it with: josh {_RESUME[kind]}--resume {folder}")
    if kind not in _RESUME:
        require_run(folder)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _plan(folder: Path) -> dict[str, Any]:
    """Returns a folder's plan; empty where it has none that can be read."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return plan if isinstance(plan, dict) else {}


def read_settings(folder: Path, config: Mapping[str, Any] | None = None) -> RunSettings:
    """Returns a run's settings.

    Args:
        folder: the run's folder.
        config: its `config.json`, where that was read already.

    Raises:
        UsageError: as `read_config` does, or a setting is unknown or has a wrong type.
    """
    return settings_from_json((config or read_config(folder))["settings"], folder / CONFIG)


@cache
def commit() -> str:
    """Returns the git commit of josh where it runs from a checkout; else an empty text."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def version(package: str) -> str:
    """Returns the installed version of a package, or `not installed`."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


_LONGEST: Final = 240
"""Most bytes of a folder's name; file systems take 255, and a number may follow."""
_END: Final = 200


def slug(name: str) -> str:
    """Returns a text as a name for a folder: every character except letters, digits, `-`, `.` and `_` becomes `-`.

    Of a name that file systems would refuse as too long, it returns the end, after eight digits of the name's hash.
    """
    plain = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in name).strip("-.")
    if len(plain.encode()) <= _LONGEST:
        return plain
    end = plain.encode()[-_END:].decode(errors="ignore").strip("-.")
    return f"{hashlib.sha256(plain.encode()).hexdigest()[:8]}-{end}"


def remove_folder(folder: Path, and_parent: bool) -> None:
    """Delete a run's folder, and with `and_parent` also the folder above it if that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    if and_parent:
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def make_folder(log_dir: Path, stem: str) -> Path:
    """Create a folder and return its path. Where the name is taken, a number is added to it. Raises OSError."""
    for number in range(1, 1000):
        folder = log_dir / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not log_dir.is_dir():
                raise
        else:
            return folder
    raise AssertionError("a thousand runs in one second")


def read_summary(run_folder: Path) -> dict[str, Any]:
    """Returns a run's `summary.json`; empty where it is missing, because the run was killed, or invalid."""
    return sound_summary(run_folder / SUMMARY)


def sound_summary(path: Path) -> dict[str, Any]:
    """Returns the summary in a file; empty where the file is missing or invalid."""
    from josh.runs.record.schema import SummaryFile, read_row  # the import loads pydantic

    try:
        text = path.read_text(encoding="utf-8")
        read_row(SummaryFile, text)
    except (OSError, ValueError, RecursionError):
        return {}
    summary: dict[str, Any] = json.loads(text)
    return summary


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically: on failure the old file stays. Raises UsageError where it cannot be written."""
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def runs_in(folder: Path) -> list[str]:
    """Returns the folders of those runs of an evaluation or a loop that have started; none for a run's folder."""
    try:
        names = [str(part["folder"]) for part in _plan(folder)["parts"]]
    except (KeyError, TypeError):
        return []
    return [name for name in names if (folder / name / CONFIG).exists()]


def who_played(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the plug-ins that played a run, by role, from its `config.json`; roles without an entry are left out."""
    plays = config.get("plays")
    named = plays.items() if isinstance(plays, dict) else ()
    return {role: name for role, name in named if isinstance(name, str)}


def is_imported(config: Mapping[str, Any]) -> bool:
    """Returns whether a run's conversations were imported, so that josh did not play them, from its `config.json`."""
    return "imported_from" in config


def require_played(folder: Path, what: str) -> None:
    """Raises UsageError where a run was imported, so that it cannot be resumed or replayed, as `what` says."""
    if is_imported(read_config(folder)):
        raise UsageError(f"{folder} holds imported conversations, which josh did not play; there is nothing to {what}")


@dataclass(frozen=True, slots=True)
class HowPlayed:
    """How a run's trees grew; the record keeps it, so that it can be read without the strategy's code.

    Attributes:
        words: a description, such as `searched with a beam of 8`, or the number of conversations of each task.
        searched: whether the result of a task is the best of many branches.
        conversations: number of conversations of a task that count.
    """

    words: str
    searched: bool
    conversations: int

    @classmethod
    def of(cls, strategy: Strategy) -> "HowPlayed":
        """Returns the description of a strategy."""
        words = guarded(f"{type(strategy).__name__}.describe()", strategy.describe)
        return cls(str(words), strategy.searched, strategy.conversations)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that identify the conversations of a task; empty for the best one of a search."""
        several = self.conversations > 1 and not self.searched
        return tuple(map(str, range(self.conversations))) if several else ("",)


IMPORTED = HowPlayed("imported", False, 1)
"""How the trees of an imported run grew: elsewhere."""


def how_played(config: Mapping[str, Any], settings: RunSettings) -> HowPlayed:
    """Returns how a run's trees grew, from its `config.json`; from its strategy where an earlier version wrote that."""
    found = config.get("search")
    if isinstance(found, dict) and found.keys() == {"words", "searched", "conversations"}:
        return HowPlayed(str(found["words"]), bool(found["searched"]), int(found["conversations"]))
    return HowPlayed.of(search_of(settings))


_DATE_AND_TIME = re.compile(r"(?<!\d)(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(?!\d)")


def started(folder: Path, config: Mapping[str, Any]) -> str:
    """Returns when a run, evaluation or loop was begun, such as `2026-11-30 12:38:05`; empty where nothing says so.

    Args:
        folder: its folder. The last date and time in the name count: a model's name before it may hold a date, and so
            does the name of a run that was replayed or scored again.
        config: its `config.json`, if it has one; `started` there counts more than the name.
    """
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return datetime.fromisoformat(config["started"]).strftime("%Y-%m-%d %H:%M:%S")
    found = _DATE_AND_TIME.findall(folder.resolve().name)
    return "{}-{}-{} {}:{}:{}".format(*found[-1]) if found else ""


def ids_of_tasks(config: Mapping[str, Any]) -> list[str]:
    """Returns the ids of a run's tasks, in order; empty where its `config.json` does not have them."""
    ids = config.get("task_ids")
    return [one for one in ids if isinstance(one, str)] if isinstance(ids, list) else []
