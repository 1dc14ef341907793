"""`josh race`: several searches on the same tasks, with the same seeds and the same budgets.

A race is a folder of ordinary runs, one for each search and budget:

1. `parts_of` gives each search the settings with which it spends a whole budget (`settings.py`).
2. All runs are checked before the first is played. `plan.json` records them, so that a race can be resumed.
3. The runs are played one after the other; `times.json` adds up how long each took.
4. `figures.py` measures the trees; `race.json`, `race.csv` and `race.png` hold the result.
"""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.play.destinations import trust_flag
from josh.runs.play.fit import check_fit
from josh.runs.play.runtime import Runtime
from josh.runs.play.sub_runs import SubRun, play_sub_run, sub_run_from, sub_run_to_json
from josh.runs.play.unread import refuse_unread, unread_first
from josh.runs.race.figures import race_figures
from josh.runs.race.output import draw, printed, write_csv
from josh.runs.race.settings import (
    NOT_FOR_RACES,
    RACE_DEFAULTS,
    RaceSettings,
    budgets_of,
    racers_of,
    ways_to_spend,
)
from josh.runs.record.folder import PLAN, RACE_KIND, make_folder, read_summary, require_resumable, slug, write_json
from josh.runs.record.headline import short_name
from josh.runs.record.summary import counted
from josh.runs.resolve import defaults_of, resolve, resume_settings
from josh.runs.settings import schema_of
from josh.terminal import screen_width
from josh.texts import json_fault

FIGURES, TABLE, PICTURE, TIMES = "race.json", "race.csv", "race.png", "times.json"


def parts_of(given: Mapping[str, Any], settings: RaceSettings) -> list[SubRun]:
    """Returns the runs of a race: for each budget one of each search.

    Args:
        given: settings of `josh run`, by flag; those of a strategy apply to each search that has them.
        settings: what races.

    Raises:
        UsageError: a setting is wrong, or no search has it.
    """
    strange = next((name for name in NOT_FOR_RACES if given.get(name)), None)
    if strange:
        raise UsageError(f"{strange} is given, and a race sets it for each search; leave it out")
    racers, budgets = racers_of(settings.strategies, settings.variants), budgets_of(settings.budget)
    whole = {**RACE_DEFAULTS, **defaults_of(given), **given}
    every = schema_of(whole, strategies=[one.strategy for one in racers])
    of_searches = set(every.of("strategy"))
    found, met = [], set[str]()
    for racer in racers:
        own = set(schema_of({**whole, "strategy": racer.strategy}).of("strategy"))
        shared = {flag: value for flag, value in whole.items() if flag not in of_searches or flag in own}
        met |= own & whole.keys()
        for budget in budgets:
            chosen = {**ways_to_spend(racer.strategy), **shared, **racer.settings}
            chosen |= {"strategy": racer.strategy, "budget_per_task": budget}
            found.append(SubRun(slug(f"{racer.label}-{budget}"), racer.label, str(budget), False, resolve(chosen)))
    unread = next((flag for flag in whole if flag in of_searches and flag not in met), None)
    if unread is not None:
        raise UsageError(f"{unread} is given, but none of the searches has it; leave it out")
    names = [part.folder for part in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two runs have the name {twice!r}; rename a variant")
    return sorted(found, key=lambda part: int(part.user))


async def race(given: Mapping[str, Any], settings: RaceSettings, *, as_json: bool = False) -> bool:
    """Begin a race and run it until it is complete or its spending limit is reached.

    Args:
        given: see `parts_of`.
        settings: what races.
        as_json: print the figures as one JSON object, and nothing else.

    Returns:
        Whether the race is complete, and each search scored a task.

    Raises:
        UsageError: a setting is wrong; nothing was played.
        FatalError: an error made it useless to go on.
    """
    parts = parts_of(given, settings)
    firsts = [part for part in parts if part.user == parts[0].user]
    with unread_first(given, lambda: [Runtime(one.settings, recorded=True) for one in firsts]):
        rehearsed = [Runtime(part.settings, rehearsed=True) for part in firsts]
    for runtime in rehearsed:
        check_fit(runtime)
        await runtime.aclose()
    refuse_unread(rehearsed, {**given, "budget_per_task": parts[0].user})
    log_dir = Path(parts[0].settings.output.log_dir)
    name = f"race-{slug(short_name(str(parts[0].settings.env.name)))}-{datetime.now():%Y%m%d-%H%M%S}"
    try:
        folder = make_folder(log_dir, name)
    except OSError as error:
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    write_json(folder / PLAN, {"race": {"called": rehearsed[0].env.called}, "parts": list(map(sub_run_to_json, parts))})
    return await _run(folder, parts, {}, as_json)


async def resume_race(folder: Path, given: Mapping[str, Any], *, as_json: bool = False) -> bool:
    """Go on with a race that was interrupted or had errors; see `race`.

    Args:
        folder: the race's folder.
        given: new values of resumable settings, which change no request.
        as_json: see `race`.

    Raises:
        UsageError: the folder holds no race, or a setting cannot be changed.
    """
    require_resumable(folder, RACE_KIND)
    parts = read_race_plan(folder)
    for part in parts:
        resume_settings(part.settings, given, folder)
    return await _run(folder, parts, given, as_json)


def read_race_plan(folder: Path) -> list[SubRun]:
    """Returns the runs of a race. Raises UsageError where the folder holds no race."""
    path = folder / PLAN
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{folder} is not a race: cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {json_fault(error)}") from None
    if not isinstance(plan, dict) or "race" not in plan or not isinstance(plan.get("parts"), list) or not plan["parts"]:
        raise UsageError(f"{path} is not the plan of a race; give the folder of a race")
    parts = [sub_run_from(part, path) for part in plan["parts"]]
    if not all(part.user.isdecimal() for part in parts):
        raise UsageError(f"{path} is damaged: a run has no budget")
    return parts


async def _run(folder: Path, parts: Sequence[SubRun], given: Mapping[str, Any], as_json: bool) -> bool:
    again = f"go on with: josh race --resume {folder}{trust_flag(part.settings for part in parts)}"
    times = _times(folder)
    try:
        stopped = ""
        for part in parts:
            stopped = await _timed(folder, part, parts, given, times)
            if stopped:
                break
    except BaseException:
        if any((folder / part.folder).exists() for part in parts):
            print(f"josh: {again}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if stopped:
        print(f"josh: {stopped} is reached: {again} --{stopped.split(maxsplit=1)[0]} MORE", file=sys.stderr)
        return False
    figures = race_figures(folder, parts, times)
    write_json(folder / FIGURES, figures)
    write_csv(figures, folder / TABLE)
    drawn = draw(figures, folder / PICTURE)
    if as_json:
        print(json.dumps({"folder": str(folder), **figures}, indent=1))
    else:
        print(printed(figures, screen_width(sys.stdout)))
        files = ", ".join([FIGURES, TABLE, *([PICTURE] if drawn else [])])
        print(f"\nwritten to      {folder}/ ({files}, and a run's folder for every line)")
        if not drawn:
            print("no picture      it needs matplotlib: pip install -e '.[plot]' -c constraints.txt")
    owed = sum(read_summary(folder / part.folder)["owed"] for part in parts)
    if owed:
        print(f"josh: {counted(owed, 'task')} had errors; {again}", file=sys.stderr)
    return all(cell["scored"] for cell in figures["results"])


async def _timed(
    folder: Path, part: SubRun, parts: Sequence[SubRun], given: Mapping[str, Any], times: dict[str, float]
) -> str:
    """Play one run, and add how long it took; see `play_sub_run`."""
    began = time.monotonic()
    summary = read_summary(folder / part.folder)
    if summary and summary["complete"] and not summary["owed"]:
        return ""
    try:
        return await play_sub_run(folder, part, parts, given)
    finally:
        times[part.folder] = round(times.get(part.folder, 0.0) + time.monotonic() - began, 1)
        with suppress(OSError):
            write_json(folder / TIMES, times)


def _times(folder: Path) -> dict[str, float]:
    """Returns the seconds that each run took so far, by its folder."""
    try:
        found = json.loads((folder / TIMES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): float(seconds) for name, seconds in found.items()} if isinstance(found, dict) else {}
