"""A run's folder: the names of its files, and how they are read."""

import contextlib
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.record.settings_json import settings_from_json, upgraded
from josh.runs.registry import strategy_of
from josh.runs.settings import RunSettings
from josh.search import Strategy

CONFIG, EPISODES, EXAMPLES, SUMMARY = "config.json", "episodes.jsonl", "training_examples.jsonl", "summary.json"
"""The files of a run; its journal is `journal.FILE`."""
BEFORE = "summary.before.json"
"""The summary of the session before, while a resumed run goes on: it says nothing of the present state."""
PLAN, EVALUATION, LOOP = "plan.json", "evaluation.json", "loop.json"
"""The files of an evaluation or a loop, whose folder holds those of its runs."""


def read_config(folder: Path) -> dict[str, Any]:
    """A run's `config.json`, its settings as this version writes them. Raises UsageError where there is none."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{folder} is no run: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("settings"), dict):
        raise UsageError(f"{path} holds no settings")
    return config | {"settings": upgraded(config["settings"])}


def read_settings(folder: Path, config: Mapping[str, Any] | None = None) -> RunSettings:
    """A run's settings, from its folder, or from its `config.json` if that was read. Raises UsageError."""
    return settings_from_json((config or read_config(folder))["settings"], folder / CONFIG)


def version(package: str) -> str:
    """The installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def slug(name: str) -> str:
    """A text as the name of a folder."""
    return "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in name).strip("-.")


def remove_folder(folder: Path, and_parent: bool) -> None:
    """Delete a run's folder, and the folder that it stands in where `and_parent` says so and it is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    if and_parent:
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def make_folder(log_dir: Path, stem: str) -> Path:
    """Make a folder of a name, with a number behind it where there is one already. Raises OSError."""
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
    """A run's `summary.json`; empty where it has none, because it was killed, or one that makes no sense."""
    return sound_summary(run_folder / SUMMARY)


def sound_summary(path: Path) -> dict[str, Any]:
    """Returns the summary in a file; empty where there is none that makes sense."""
    from josh.runs.record.schema import SummaryFile, read_row  # with pydantic

    try:
        text = path.read_text(encoding="utf-8")
        read_row(SummaryFile, text)
    except (OSError, ValueError):
        return {}
    summary: dict[str, Any] = json.loads(text)
    return summary


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file as a whole, or leave the one that is there. Raises UsageError where it cannot be written."""
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def runs_in(folder: Path) -> list[str]:
    """The folders of the runs that an evaluation or a loop is made of, as far as they are begun; none for a run."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        names = [str(part["folder"]) for part in plan["parts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if (folder / name / CONFIG).exists()]


def who_played(config: Mapping[str, Any]) -> dict[str, str]:
    """Who played a run, by role, as far as its `config.json` says so."""
    plays = config.get("plays")
    named = plays.items() if isinstance(plays, dict) else ()
    return {role: name for role, name in named if isinstance(name, str)}


@dataclass(frozen=True, slots=True)
class HowPlayed:
    """How a run's trees grew, which its record says even where the strategy is gone.

    Attributes:
        words: `searched with a beam of 8`, or how many conversations each task had.
        searched: whether the result of a task is the best of many branches.
        conversations: how many conversations of a task count.
    """

    words: str
    searched: bool
    conversations: int

    @classmethod
    def of(cls, strategy: Strategy) -> "HowPlayed":
        """What there is to say of a strategy."""
        return cls(strategy.describe(), strategy.searched, strategy.conversations)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths under which the conversations of a task are known; the best one of a search has the empty one."""
        several = self.conversations > 1 and not self.searched
        return tuple(map(str, range(self.conversations))) if several else ("",)


def how_played(config: Mapping[str, Any], settings: RunSettings) -> HowPlayed:
    """How a run's trees grew, by its `config.json`; by its strategy where that was written by an earlier version."""
    found = config.get("search")
    if isinstance(found, dict) and found.keys() == {"words", "searched", "conversations"}:
        return HowPlayed(str(found["words"]), bool(found["searched"]), int(found["conversations"]))
    return HowPlayed.of(strategy_of(settings.strategy))


def ids_of_tasks(config: Mapping[str, Any]) -> list[str]:
    """The ids of a run's tasks, in order, as far as its `config.json` has them."""
    ids = config.get("task_ids")
    return [one for one in ids if isinstance(one, str)] if isinstance(ids, list) else []
