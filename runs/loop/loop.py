"""`josh loop`: search, export, train, evaluate, and again, each round on fresh tasks.

A loop is a folder of ordinary runs, training files and adapters. Every stage is done in a process of its own and noted
in `stages/` when it is done, so that a loop goes on where it was broken off, whatever broke it off; inside a stage the
run's journal and the training's checkpoints do the same.
"""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.runs.loop.figures import as_text, figures_of
from josh.runs.loop.plan import Plan, as_json, from_json, make_plan
from josh.runs.loop.processes import LOGS, STAGES, Clock, Command, Stages, noted
from josh.runs.loop.settings import LoopSettings
from josh.runs.loop.stage import do
from josh.runs.play.signals import cancelled_error_on_sigterm
from josh.runs.record.folder import LOOP, PLAN, make_folder, read_summary, slug, write_json
from josh.runs.record.summary import counted
from josh.runs.registry import rewards_class
from josh.runs.resolve import defaults_of, resume_settings
from josh.runs.settings import core, env_of
from josh.runs.train.machine import require_packages
from josh.terminal import screen_width

PLOT, CLOCK, LOCK = "loop.png", "clock.json", "lock"


def loop(settings: LoopSettings, given: Mapping[str, Any], command: Command) -> None:
    """Begin a loop and do all of it.

    Args:
        settings: the loop's settings.
        given: settings of `josh run`.
        command: the command line; a stage's process calls it with `loop --resume FOLDER --stage NAME`.

    Raises:
        UsageError: a setting is wrong. Nothing was played then.
        FatalError: a stage failed, or the budget is spent; the loop can be resumed.
    """
    require_packages("a loop")
    env_defaults = defaults_of(given)
    log_dir = Path(given.get("log_dir") or core()["log_dir"].default).resolve()
    name = f"loop-{slug(str(given.get('env') or core()['env'].default))}-{datetime.now():%Y%m%d-%H%M%S}"
    given = {**given, "log_dir": str(log_dir)}
    # Whatever is wrong shows before there is a folder.
    plan = make_plan(log_dir / name, settings, given, env_defaults)
    _jobs(settings, plan.run)
    try:
        folder = make_folder(log_dir, name)
    except OSError as error:
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    if folder != log_dir / name:  # another loop began in the same second
        plan = make_plan(folder, settings, given, env_defaults)
    write_json(folder / PLAN, as_json(plan))
    try:
        _play(folder, plan, {}, command)
    except (KeyboardInterrupt, asyncio.CancelledError):
        if not any((folder / part.folder).exists() for part in plan.parts) and not any((folder / STAGES).glob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def resume(folder: Path, given: Mapping[str, Any], command: Command, jobs: int | None = None) -> None:
    """Go on with a loop that was broken off.

    Args:
        folder: its folder.
        given: settings of runs given anew, of those that change no request.
        command: as for `loop`.
        jobs: stages at a time.

    Raises:
        UsageError: there is no such loop, or a setting cannot be changed.
        FatalError: as `loop`.
    """
    folder = folder.resolve()
    plan = read_plan(folder)
    if plan.folder != str(folder):
        raise UsageError(f"{folder} was begun as {plan.folder}, and its models are named by that; move it back there")
    for part in plan.parts:
        resume_settings(part.settings, given, folder)
    _play(folder, replace(plan, settings=replace(plan.settings, jobs=jobs or plan.settings.jobs)), given, command)


def read_plan(folder: Path) -> Plan:
    """What a loop is made of. Raises UsageError where the folder holds none."""
    path = folder / PLAN
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{folder} is no loop: cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, UsageError):
        raise UsageError(f"{path} holds no plan of a loop, or one of another version of josh") from None


def do_stage(folder: Path, name: str, given: Mapping[str, Any]) -> None:
    """Do one stage in this process, and note it. Raises UsageError and FatalError, as `josh.runs.loop.stage.do`."""
    plan = read_plan(folder)
    stage = next((stage for stage in plan.stages if stage.name == name), None)
    if stage is None:
        raise UsageError(f"{folder} has no stage named {name!r}; it has {', '.join(one.name for one in plan.stages)}")
    _end_with_parent()
    began = time.monotonic()
    with cancelled_error_on_sigterm():
        done = do(folder, plan, stage, given, unit_of(plan))
    write_json(folder / STAGES / f"{name}.json", {**done, "seconds": round(time.monotonic() - began, 1)})


def unit_of(plan: Plan) -> str:
    """What a loop's rewards are counted in."""
    settings = plan.parts[0].settings
    return rewards_class(settings.rewards, env_of(settings)).unit


def _end_with_parent() -> None:
    """Have this process end, as if it were told to, when the one that began it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _play(folder: Path, plan: Plan, given: Mapping[str, Any], command: Command) -> None:
    settings = plan.settings
    jobs = _jobs(plan.settings, {**plan.run, **given})
    for name in (STAGES, LOGS):
        (folder / name).mkdir(exist_ok=True)
    each = f"{counted(settings.test_tasks, 'held-out task')}, {counted(plan.run['rollouts'], 'conversation')} each"
    rounds = f"{counted(settings.rounds, 'round')} of {counted(settings.tasks, 'task')}"
    print(f"{rounds}, evaluated on {each}: {folder}", flush=True)
    with locked(folder):
        clock = Clock(folder / CLOCK)
        try:
            with cancelled_error_on_sigterm():
                Stages(folder, plan, given, command, clock).play(jobs)
        except BaseException as error:
            if "go on with" not in str(error):
                print(f"josh: go on with: josh loop --resume {folder}", file=sys.stderr)
            raise
        clock.stop()
        finish(folder, plan, clock.seconds)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have the folder for this process alone; the lock goes with it, however it ends. Raises UsageError."""
    lock = sqlite3.connect(folder / LOCK, timeout=0.1, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        lock.close()
        raise UsageError(f"{folder} is being played by another process; wait for that, or stop it") from None
    try:
        yield
    finally:
        lock.close()


def _jobs(settings: LoopSettings, run: Mapping[str, Any]) -> int:
    """How many stages to do at a time. Raises UsageError where they would have to share a budget."""
    budget = next((name for name in ("max_calls", "max_tokens_total", "max_cost") if run.get(name)), "")
    if budget and (settings.jobs or 1) > 1:
        raise UsageError(f"jobs is {settings.jobs} with {budget}, which stages at the same time cannot share; give 1")
    if settings.jobs:
        return settings.jobs
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, processors) if settings.tiny and not budget else 1


def finish(folder: Path, plan: Plan, seconds: float) -> dict[str, Any]:
    """Write `loop.json` and the plot, and print the table."""
    stages = {stage.name: noted(folder, stage) for stage in plan.stages}
    figures = figures_of(folder, plan, stages, seconds)
    write_json(folder / LOOP, figures)
    print(f"\n{as_text(figures, screen_width(sys.stdout))}\n")
    drawn = LOOP
    if find_spec("matplotlib") is None:
        print("josh: no plot, for it needs matplotlib: pip install 'josh-dialogue[plot]'", file=sys.stderr)
    else:
        from josh.runs.report.figures import draw_rounds

        draw_rounds(figures, folder / PLOT)
        drawn = f"{LOOP}, {PLOT}"
    print(f"written to      {folder}/ ({drawn}, and a folder for every run and adapter)")
    if not figures["base"]["calls"]:
        print("josh: the agent asked no model; nothing that is learnt here can show", file=sys.stderr)
    owed = sum(read_summary(folder / part.folder).get("owed", 0) for part in plan.parts)
    if owed:
        print(f"josh: {counted(owed, 'task')} had errors; they are counted, and in no mean", file=sys.stderr)
    return figures
