"""The run of a command that has a folder of its own: the same command again goes on with it."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.play.run import run
from josh.runs.record.folder import CONFIG, EPISODES, EXAMPLES, read_settings, read_summary
from josh.runs.record.journal import FILE
from josh.runs.record.lock import LOCK, FolderLock
from josh.runs.report.ending import print_broken_off, print_run
from josh.runs.resolve import fixed_settings
from josh.runs.settings import RunSettings


def play_in(folder: Path, settings: RunSettings, given: Mapping[str, Any], way_out: str) -> bool:
    """Play a run in a folder of its own, go on with it, or leave it as it is where it is finished; print the result.

    Args:
        folder: the folder; it need not exist.
        settings: the run's settings; `log_dir` is the folder that `folder` is in.
        given: the settings that were given, by flag; one that nothing reads is refused.
        way_out: what to give where the folder is another run's, such as `another --out`.

    Returns:
        Whether the run worked.

    Raises:
        UsageError: the folder is not the run of these settings, or a setting is wrong.
    """
    started = (folder / CONFIG).exists()
    if started:
        _check_same(folder, settings, way_out)
        summary = read_summary(folder)
        if summary.get("complete") and not summary["owed"]:
            print(f"finished before {folder}/")
            return True
    elif folder.exists():
        _remove_started(folder, way_out)
    where, part = (folder, "") if started else (None, folder.name)
    result = asyncio.run(run(settings, where, part, given=given, broken_off=print_broken_off))
    print_run(result)
    return bool(result.worked)


def _check_same(folder: Path, settings: RunSettings, way_out: str) -> None:
    """Raises UsageError where the folder's run has other settings."""
    old, new = (fixed_settings(each) for each in (read_settings(folder), settings))
    flag = next((flag for flag in {**new, **old} if new.get(flag) != old.get(flag)), None)
    if flag is not None:
        one, other = ("not given" if each.get(flag) is None else repr(each[flag]) for each in (new, old))
        raise UsageError(f"{flag} is {one}, and {other} in {folder}; give {way_out}")


def _remove_started(folder: Path, way_out: str) -> None:
    """Remove the folder of a run that was killed before it had its settings. Raises UsageError for any other."""
    if not folder.is_dir() or any(
        not file.name.startswith((FILE, EPISODES, EXAMPLES, LOCK)) for file in folder.iterdir()
    ):
        raise UsageError(f"{folder} exists and is not a run; give {way_out}")
    FolderLock(folder).release()  # raises where another process is at work
    shutil.rmtree(folder)
