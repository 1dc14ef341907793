"""The runs of an evaluation or a loop: each has a folder in its folder, and is started or resumed on its own."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.budget import Spending
from josh.runs.play.run import run
from josh.runs.record.folder import BEFORE, CONFIG, read_settings, read_summary, slug, sound_summary
from josh.runs.record.settings_json import settings_from_json, settings_to_json
from josh.runs.resolve import resumable, resume_settings
from josh.runs.settings import RunSettings

_LIMITS = {"max_calls": "calls", "max_tokens_total": "tokens", "max_cost": "cost"}


@dataclass(frozen=True, slots=True)
class SubRun:
    """One run of an evaluation or a loop: a policy with a user model.

    Attributes:
        folder: name of its folder.
        policy: label of the policy.
        user: label of the user model.
        reference: whether the policy is a reference.
        settings: settings of the run.
    """

    folder: str
    policy: str
    user: str
    reference: bool
    settings: RunSettings


def sub_run_to_json(part: SubRun) -> dict[str, Any]:
    """Returns a sub-run as JSON."""
    names = ("folder", "policy", "user", "reference")
    return {name: getattr(part, name) for name in names} | {"settings": settings_to_json(part.settings)}


def sub_run_from(content: Any, path: Path) -> SubRun:
    """Returns a sub-run from JSON; missing settings get their defaults.

    Args:
        content: the value in the file.
        path: the file, for error messages.

    Raises:
        UsageError: the value is not a sub-run.
    """
    texts = ("folder", "policy", "user")
    whole = isinstance(content, dict) and content.keys() == {*texts, "reference", "settings"}
    if not whole or not all(isinstance(content[name], str) for name in texts):
        raise UsageError(f"{path} is damaged: a part of it is {content!r:.80}")
    folder, settings = content["folder"], content["settings"]
    if not folder or slug(folder) != folder or not isinstance(settings, dict) or type(content["reference"]) is not bool:
        raise UsageError(f"{path} is damaged: the part in {folder!r} is invalid")
    return SubRun(**{**content, "settings": settings_from_json(settings, path)})


async def play_sub_run(folder: Path, part: SubRun, parts: Sequence[SubRun], given: Mapping[str, Any]) -> str:
    """Start or resume one run; a run that is complete and has no errors is not changed.

    Args:
        folder: the folder of the evaluation or loop.
        part: the run.
        parts: all runs of it, which share one budget.
        given: new values of resumable settings, by flag.

    Returns:
        The budget limit that ended the run, such as `max_calls 100`; empty for none.

    Raises:
        UsageError: a setting is wrong or cannot be changed.
        FatalError: the run cannot continue.
    """
    where = folder / part.folder
    started = (where / CONFIG).exists()
    if started and (done := read_summary(where)) and done["complete"] and not done["owed"]:
        return ""
    if where.exists() and not started:
        shutil.rmtree(where)  # the run was killed before its first request
    before = read_settings(where) if started else part.settings
    settings = _in(folder, resume_settings(part.settings, given, folder))
    spending, stopped = budget_left(folder, [other for other in parts if other != part], settings.spending)
    if stopped:
        return stopped
    if started:
        settings = resume_settings(before, resumable(before, given), where)
    settings = _in(folder, replace(settings, spending=spending))
    await run(settings, where if started else None, part.folder)
    ended = read_summary(where)
    return whole_limit(ended["truncated"] or "", resume_settings(part.settings, given, folder).spending)


def budget_left(folder: Path, others: Sequence[SubRun], spending: Spending) -> tuple[Spending, str]:
    """Returns what is left of a budget that several runs share, and the limit that is reached; empty for none.

    Args:
        folder: the folder that the runs are in.
        others: the runs that have spent some of it.
        spending: the whole budget.
    """
    limits = {name: getattr(spending, name) for name in _LIMITS}
    spent = [_spent(folder / other.folder) for other in others]
    for name, what in _LIMITS.items():
        if limits[name] is not None:
            left = limits[name] - sum(one[what] for one in spent)
            if left <= 0:
                return spending, f"{name} {limits[name]:g}"
            limits[name] = left
    return replace(spending, **limits), ""


def whole_limit(stopped: str, spending: Spending) -> str:
    """Returns the limit of a whole budget, from the limit of one of its runs that is reached; empty for none."""
    name = stopped.partition(" ")[0]
    return f"{name} {getattr(spending, name):g}" if stopped else ""


def _in(folder: Path, settings: RunSettings) -> RunSettings:
    """Returns settings with another `log_dir`."""
    return replace(settings, output=replace(settings.output, log_dir=str(folder)))


def _spent(run_folder: Path) -> dict[str, float]:
    """Returns calls, tokens and US dollars of a run; a session that was killed does not count."""
    summary = read_summary(run_folder) or sound_summary(run_folder / BEFORE)
    sides = summary.get("usage", {}).values()
    tokens = sum(side["prompt_tokens"] + side["completion_tokens"] for side in sides)
    calls = sum(side["calls"] + side.get("unusable", 0) for side in sides)
    return {"calls": calls, "tokens": tokens, "cost": summary.get("cost") or 0.0}
