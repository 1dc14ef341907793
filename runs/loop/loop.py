"""`josh loop`: search, export, train and evaluate in rounds, each round on new tasks.

A loop is a folder of ordinary runs, training files and adapters.

1. `make_plan` plans all runs and stages before the first one begins; `plan.json` keeps the plan.
2. Every stage has its own process (`processes.py`, `stage.py`). It writes a note into `stages/` when it is complete, so
   an interrupted loop continues with the first incomplete stage. Inside a stage, the run's journal or the training's
   checkpoints do the same.
3. `finish` computes the figures, and writes `loop.json` and the plot.
"""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.loop.figures import figures_as_text, loop_figures
from josh.runs.loop.jobs import StageJob, noted
from josh.runs.loop.plan import Plan, make_plan, plan_from_json, plan_to_json
from josh.runs.loop.processes import LOGS, STAGES, Clock, Command, Stages
from josh.runs.loop.settings import LoopSettings
from josh.runs.loop.stage import run_stage
from josh.runs.play.destinations import trust_flag
from josh.runs.play.signals import cancelled_error_on_signals
from josh.runs.probe.probing import PROBE_FOLDER
from josh.runs.probe.report import as_text as probe_as_text
from josh.runs.record.folder import (
    LOOP,
    LOOP_KIND,
    PLAN,
    from_here,
    make_folder,
    read_summary,
    require_resumable,
    slug,
    write_json,
)
from josh.runs.record.lock import FolderLock
from josh.runs.record.summary import counted
from josh.runs.registry import rewards_class
from josh.runs.report.ending import write_page
from josh.runs.resolve import defaults_of, resume_settings
from josh.runs.settings import core, env_of
from josh.runs.train.machine import require_packages
from josh.terminal import screen_width

PLOT, CLOCK = "loop.png", "clock.json"


def loop(settings: LoopSettings, given: Mapping[str, Any], command: Command) -> None:
    """Begin a loop and play it to its end.

    Args:
        settings: the loop's settings.
        given: settings of `josh run`.
        command: the command line; a stage's process calls it with `loop --resume FOLDER --stage NAME`.

    Raises:
        UsageError: a setting is wrong; nothing was played.
        FatalError: a stage failed, or the budget is spent; the loop can be resumed.
    """
    require_packages("a loop")
    env_defaults = defaults_of(given)
    log_dir = Path(given.get("log_dir") or core()["log_dir"].default).resolve()
    name = f"loop-{slug(str(given.get('env') or core()['env'].default))}-{datetime.now():%Y%m%d-%H%M%S}"
    given = {**given, "log_dir": str(log_dir)}
    # Find all wrong settings before the folder is made.
    plan = make_plan(log_dir / name, settings, given, env_defaults)
    _jobs(settings, plan.run)
    try:
        folder = make_folder(log_dir, name)
    except OSError as error:
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    if folder != log_dir / name:  # another loop began in the same second
        plan = make_plan(folder, settings, given, env_defaults)
    write_json(folder / PLAN, plan_to_json(plan))
    try:
        _play(folder, plan, {}, command)
    except (KeyboardInterrupt, asyncio.CancelledError):
        if not any((folder / part.folder).exists() for part in plan.parts) and not any((folder / STAGES).glob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def resume_loop(folder: Path, given: Mapping[str, Any], command: Command, jobs: int | None = None) -> None:
    """Continue an interrupted loop.

    Args:
        folder: the loop's folder.
        given: new values of resumable settings of runs, which change no request.
        command: see `loop`.
        jobs: most stages at the same time; None for the loop's own setting.

    Raises:
        UsageError: the folder holds no loop, or a setting cannot be changed.
        FatalError: see `loop`.
    """
    require_resumable(folder, LOOP_KIND)
    folder = Path(os.path.realpath(folder))
    plan = read_loop_plan(folder)
    if plan.folder != str(folder):
        raise UsageError(f"{folder} was begun as {plan.folder}, and its models have that path; move it back there")
    for part in plan.parts:
        resume_settings(part.settings, given, folder)
    _play(folder, replace(plan, settings=replace(plan.settings, jobs=jobs or plan.settings.jobs)), given, command)


def read_loop_plan(folder: Path) -> Plan:
    """Returns a loop's plan. Raises UsageError if the folder holds no loop."""
    path = folder / PLAN
    try:
        return plan_from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{folder} is not a loop: cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError, UsageError):
        raise UsageError(f"{path} is not the plan of a loop of this version of josh; begin a new loop") from None


def do_stage(folder: Path, name: str, given: Mapping[str, Any]) -> None:
    """Do one stage in this process, and write its note. Raises UsageError and FatalError; see `run_stage`."""
    plan = read_loop_plan(folder)
    stage = next((stage for stage in plan.stages if stage.name == name), None)
    if stage is None:
        raise UsageError(f"{folder} has no stage named {name!r}; it has {', '.join(one.name for one in plan.stages)}")
    began = time.monotonic()
    with cancelled_error_on_signals():
        done = run_stage(folder, plan, stage, given, unit_of(plan))
    write_json(folder / STAGES / f"{name}.json", {**done, "seconds": round(time.monotonic() - began, 1)})


def unit_of(plan: Plan) -> str:
    """Returns the unit of a loop's rewards."""
    settings = plan.parts[0].settings
    return rewards_class(settings.rewards, env_of(settings)).unit


def _play(folder: Path, plan: Plan, given: Mapping[str, Any], command: Command) -> None:
    settings, flag = plan.settings, trust_flag(part.settings for part in plan.parts)
    jobs = _jobs(plan.settings, {**plan.run, **given})
    for name in (STAGES, LOGS):
        (folder / name).mkdir(exist_ok=True)
    each = f"{counted(settings.test_tasks, 'held-out task')}, {counted(plan.run['rollouts'], 'conversation')} each"
    rounds = f"{counted(settings.rounds, 'round')} of {counted(settings.tasks, 'task')}"
    shown = from_here(folder)
    print(f"{rounds}, evaluated on {each}: {shown}", flush=True)
    with locked(folder):
        clock = Clock(folder / CLOCK)
        try:
            with cancelled_error_on_signals():
                stages = [StageJob(folder, plan, stage, given, command) for stage in plan.stages]
                Stages(folder, stages, clock).play(jobs)
        except BaseException as error:
            if "go on with" not in str(error):
                print(f"josh: go on with: josh loop --resume {shown}{flag}", file=sys.stderr)
            raise
        clock.stop()
        finish(folder, plan, clock.seconds)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this process.

    Raises:
        UsageError: another process holds the lock.
    """
    lock = FolderLock(folder)
    try:
        yield
    finally:
        lock.release()


def _jobs(settings: LoopSettings, run: Mapping[str, Any]) -> int:
    """Returns the most stages at the same time. Raises UsageError if several stages would have to share a budget."""
    budget = next((name for name in ("max_calls", "max_tokens_total", "max_cost") if run.get(name)), "")
    if budget and (settings.jobs or 1) > 1:
        raise UsageError(f"jobs is {settings.jobs} with {budget}, but parallel stages cannot share a budget; give 1")
    if settings.jobs:
        return settings.jobs
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, processors) if settings.tiny and not budget else 1


def finish(folder: Path, plan: Plan, seconds: float) -> dict[str, Any]:
    """Write `loop.json` and the plot, and print the tables. Returns the content of `loop.json`."""
    stages = {stage.name: noted(folder, stage) for stage in plan.stages}
    figures = loop_figures(folder, plan, stages, seconds)
    write_json(folder / LOOP, figures)
    print(f"\n{figures_as_text(figures, screen_width(sys.stdout))}\n")
    drawn = LOOP
    if find_spec("matplotlib") is None:
        print(
            "josh: no plot, because it needs matplotlib: pip install -e '.[plot]' -c constraints.txt", file=sys.stderr
        )
    else:
        from josh.runs.report.figures import draw_rounds

        draw_rounds(figures, folder / PLOT)
        drawn = f"{LOOP}, {PLOT}"
    print(f"written to      {from_here(folder)}/ ({drawn}, and a folder for every run and adapter)")
    if figures["probe"] is not None:
        where = str(from_here(folder / PROBE_FOLDER))
        print(f"\n{probe_as_text(figures['probe'], where, screen_width(sys.stdout))}\n")
    write_page(folder)
    if not figures["base"]["calls"]:
        print("josh: the agent asked no model, so training cannot change its results", file=sys.stderr)
    owed = sum(read_summary(folder / part.folder).get("owed", 0) for part in plan.parts)
    if owed:
        print(f"josh: {counted(owed, 'task')} had errors; the means leave them out", file=sys.stderr)
    return figures
