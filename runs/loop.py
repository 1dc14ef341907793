"""`josh loop`: search, export, train, evaluate, and again, each round on fresh tasks.

A loop is a folder of ordinary runs, training files and adapters. Every stage is done in a process of its own and noted
in `stages/` when it is done, so that a loop goes on where it was broken off, whatever broke it off; inside a stage the
run's journal and the training's checkpoints do the same.
"""

import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from josh.errors import FatalError, UsageError
from josh.runs.casting import env_class, rewards_class
from josh.runs.loop_figures import as_text, figures_of
from josh.runs.loop_plan import Plan, Stage, as_json, from_json, make_plan
from josh.runs.loop_settings import LoopSettings
from josh.runs.loop_stage import do
from josh.runs.parts import read_summary, write_json
from josh.runs.record import EPISODES, make_folder
from josh.runs.run import slug
from josh.runs.settings import RunSettings, again, environment
from josh.runs.summary import counted

PLAN, LOOP, PLOT, CLOCK, LOCK = "plan.json", "loop.json", "loop.png", "clock.json", "lock"
STAGES, LOGS = "stages", "logs"
NEEDED = ("torch", "transformers", "trl", "peft", "datasets", "accelerate")
Command = Callable[[Sequence[str]], int]
"""The command line: arguments in, exit code out."""
PAUSE = 0.2
"""Seconds between two looks at the stages under way."""
GRACE = 40.0
"""Seconds that stages have to end in when the loop is told to stop."""


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
    missing = next((name for name in NEEDED if find_spec(name) is None), None)
    if missing:
        raise UsageError(f"a loop needs {missing}; pip install 'josh-dialogue[train]'")
    variables = environment()
    env_defaults = env_class(given.get("env", RunSettings.env)).defaults(variables)
    log_dir = Path(given.get("log_dir", RunSettings.log_dir)).resolve()
    name = f"loop-{slug(str(given.get('env', RunSettings.env)))}-{datetime.now():%Y%m%d-%H%M%S}"
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
        again(part.settings, given, folder)
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
    """Do one stage in this process, and note it. Raises UsageError and FatalError, as `josh.runs.loop_stage.do`."""
    plan = read_plan(folder)
    stage = next((stage for stage in plan.stages if stage.name == name), None)
    if stage is None:
        raise UsageError(f"{folder} has no stage named {name!r}; it has {', '.join(one.name for one in plan.stages)}")
    _end_with_parent()
    began = time.monotonic()
    with _terminable():
        done = do(folder, plan, stage, given, unit_of(plan))
    write_json(folder / STAGES / f"{name}.json", {**done, "seconds": round(time.monotonic() - began, 1)})


def unit_of(plan: Plan) -> str:
    """What a loop's rewards are counted in."""
    settings = RunSettings(**plan.parts[0].settings)
    return rewards_class(settings, env_class(settings.env)(plan.run)).unit


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
        clock = _Clock(folder / CLOCK)
        try:
            with _terminable():
                _Stages(folder, plan, given, command, clock).play(jobs)
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


def noted(folder: Path, stage: Stage) -> dict[str, Any]:
    """What a stage noted when it was done; empty where it is not, or what it made is gone."""
    try:
        done = json.loads((folder / STAGES / f"{stage.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    there = all(read_summary(folder / name) and (folder / name / EPISODES).exists() for name in stage.plays)
    sound = isinstance(done, dict) and done.keys() >= {"told", "seconds"} and (stage.kind != "train" or "rows" in done)
    return done if sound and there else {}


def finish(folder: Path, plan: Plan, seconds: float) -> dict[str, Any]:
    """Write `loop.json` and the plot, and print the table."""
    stages = {stage.name: noted(folder, stage) for stage in plan.stages}
    figures = figures_of(folder, plan, stages, seconds)
    write_json(folder / LOOP, figures)
    print(f"\n{as_text(figures)}\n")
    drawn = LOOP
    if find_spec("matplotlib") is None:
        print("josh: no plot, for it needs matplotlib: pip install 'josh-dialogue[plot]'", file=sys.stderr)
    else:
        from josh.runs.drawing import draw_rounds

        draw_rounds(figures, folder / PLOT)
        drawn = f"{LOOP}, {PLOT}"
    print(f"written to      {folder}/ ({drawn}, and a folder for every run and adapter)")
    if not figures["base"]["calls"]:
        print("josh: the agent asked no model; nothing that is learnt here can show", file=sys.stderr)
    owed = sum(read_summary(folder / part.folder).get("owed", 0) for part in plan.parts)
    if owed:
        print(f"josh: {counted(owed, 'task')} had errors; they are counted, and in no mean", file=sys.stderr)
    return figures


class _Clock:
    """The time that a loop takes, over all its sessions; on disk, so that a kill costs a second of it at most."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = 0.0
        with suppress(OSError, ValueError, KeyError, TypeError):
            self._before = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
        self._began = self._noted = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.monotonic() - self._began

    def note(self) -> None:
        """Write the time down, once a second."""
        if time.monotonic() - self._noted >= 1:
            self.stop()

    def stop(self) -> None:
        """Write the time down."""
        self._noted = time.monotonic()
        write_json(self._path, {"seconds": round(self.seconds, 1)})


@dataclass
class _Stages:
    """The stages of a loop, as they are done."""

    folder: Path
    plan: Plan
    given: Mapping[str, Any]
    command: Command
    clock: _Clock
    running: dict[str, Any] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.done = {stage.name for stage in self.plan.stages if noted(self.folder, stage)}

    def play(self, jobs: int) -> None:
        """Do every stage that is not done, that many at a time. Raises FatalError or UsageError where one fails."""
        try:
            while (waiting := self._waiting()) or self.running:
                for stage in [stage for stage in waiting if self._ready(stage)][: max(0, jobs - len(self.running))]:
                    self.running[stage.name] = self._begin(stage)
                time.sleep(PAUSE)
                self.clock.note()
                self._show()
                for name, process in list(self.running.items()):
                    if process.exitcode is not None:
                        del self.running[name]
                        self._ended(name, process.exitcode)
        finally:
            self._show_nothing()
            self._stop()

    def _waiting(self) -> list[Stage]:
        return [stage for stage in self.plan.stages if stage.name not in self.running and stage.name not in self.done]

    def _ready(self, stage: Stage) -> bool:
        return self.done >= set(stage.needs)

    def _begin(self, stage: Stage) -> Any:
        log = self.folder / LOGS / f"{stage.name}.log"
        told = ["loop", "--resume", str(self.folder), "--stage", stage.name]
        told += [f"--{name}" if value is True else f"--{name}={value}" for name, value in self.given.items() if value]
        process = _processes().Process(target=_child, args=(self.command, told, log))
        with _calm():
            process.start()
        return process

    def _ended(self, name: str, code: int) -> None:
        log = self.folder / LOGS / f"{name}.log"
        if code == 0:
            self.done.add(name)
            told = noted(self.folder, next(stage for stage in self.plan.stages if stage.name == name)).get("told", "")
            self._show_nothing()
            print(f"{_time(self.clock.seconds):>8}  {name:<16} {told}", flush=True)
            return
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        why = next((line.removeprefix("josh: ") for line in reversed(lines) if line.startswith("josh: ")), "")
        if not why or code < 0:
            why = f"it ended with {'signal' if code < 0 else 'code'} {abs(code)}; see {log}"
        raise (UsageError if code == 2 else FatalError)(f"stage {name}: {why}")

    def _stop(self) -> None:
        """Tell the stages under way to stop, and wait until they have."""
        for process in self.running.values():
            process.terminate()
        end = time.monotonic() + GRACE
        for process in self.running.values():
            try:
                process.join(max(0.1, end - time.monotonic()))
            except KeyboardInterrupt:  # told a second time
                end = time.monotonic()
            process.kill()

    def _show(self) -> None:
        """What is under way, on a terminal."""
        if not sys.stderr.isatty() or not self.running:
            return
        parts = [f"{name}{self._progress(name)}" for name in self.running]
        sys.stderr.write(f"\r\033[K{_time(self.clock.seconds):>8}  {', '.join(parts)}"[:120])
        sys.stderr.flush()

    def _show_nothing(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _progress(self, name: str) -> str:
        """How many tasks of a stage's runs are finished."""
        stage = next(stage for stage in self.plan.stages if stage.name == name)
        if not stage.plays:
            return ""
        tasks = sum(_tasks(self.plan.part(one).settings) for one in stage.plays)
        return f" {sum(_lines(self.folder / one / EPISODES) for one in stage.plays)}/{tasks}"


def _processes() -> Any:
    """How stages are begun: forked, where the platform lets us, from a server that has loaded the heavy packages."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["josh.runs.loop_preload"])
    return context


@contextmanager
def _calm() -> Iterator[None]:
    """Have a process that begins here look for packages where this one does, and leave Ctrl-C to us."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"  # else the folder one stands in comes first
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
        if before is None:
            del os.environ["PYTHONSAFEPATH"]


def _child(command: Command, told: Sequence[str], log: Path) -> None:
    """Do a stage in the process that was begun for it. Its words go to a file, as far as nobody waits for them."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the loop alone, which then tells its stages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not log.parent.exists():
        return  # the loop was broken off before this began
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(command(told))


def _tasks(settings: Mapping[str, Any]) -> int:
    return int(settings["end_index"] - settings["start_index"])


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM end the loop as Ctrl-C does."""

    def told(_: int, __: FrameType | None) -> None:
        raise asyncio.CancelledError

    try:
        before = signal.signal(signal.SIGTERM, told)
    except ValueError:  # not in the main thread: whoever runs us there looks after signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
