"""Do the stages of a loop: several at the same time, each in its own process.

1. `Stages.play` starts the stages whose needs are complete.
2. The process of a stage (`_child`) runs `josh loop --resume FOLDER --stage NAME`; its output goes into `logs/`.
3. The stage writes its note into `stages/` when it is complete; `noted` reads the note.
4. If a stage fails or the loop is interrupted, the other stages get SIGTERM.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from josh.errors import FatalError, UsageError
from josh.runs.loop.plan import Plan, Stage
from josh.runs.record.folder import EPISODES, from_here, read_summary, write_json
from josh.runs.settings import RunSettings

STAGES, LOGS = "stages", "logs"
Command = Callable[[Sequence[str]], int]
"""The command line: arguments in, exit code out."""
LINES_APART = 20.0
"""Seconds between two lines about the running stages, where stderr is not a terminal."""
PAUSE = 0.2
"""Seconds between two checks of the running stages."""
GRACE = 40.0
"""Seconds that stages have to end when the loop stops; then they are killed."""


def noted(folder: Path, stage: Stage) -> dict[str, Any]:
    """Returns the note of a complete stage; empty if the stage is not complete or the files of its runs are gone."""
    try:
        done = json.loads((folder / STAGES / f"{stage.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    there = all(read_summary(folder / name) and (folder / name / EPISODES).exists() for name in stage.plays)
    if isinstance(done, dict) and "told" in done:  # the key of earlier versions
        done["result"] = done.pop("told")
    sound = (
        isinstance(done, dict) and done.keys() >= {"result", "seconds"} and (stage.kind != "train" or "rows" in done)
    )
    return done if sound and there else {}


class Clock:
    """The wall-clock time of a loop over all its sessions.

    It is written to disk every second, so a killed loop loses at most about one second of it.
    """

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
        """Write the time to disk, at most once a second."""
        if time.monotonic() - self._noted >= 1:
            self.stop()

    def stop(self) -> None:
        """Write the time to disk."""
        self._noted = time.monotonic()
        write_json(self._path, {"seconds": round(self.seconds, 1)})


@dataclass
class Stages:
    """The stages of a loop while they are done.

    Attributes:
        folder: the loop's folder.
        plan: the loop.
        given: new values of resumable settings of runs.
        command: the command line.
        clock: the loop's clock.
        running: the processes of running stages, by the stage's name.
        done: the names of the complete stages.
    """

    folder: Path
    plan: Plan
    given: Mapping[str, Any]
    command: Command
    clock: Clock
    running: dict[str, Any] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._shown = self.clock.seconds
        self.done = {stage.name for stage in self.plan.stages if noted(self.folder, stage)}

    def play(self, jobs: int) -> None:
        """Do every incomplete stage, at most `jobs` at the same time. Raises FatalError or UsageError if one fails."""
        try:
            while (waiting := self._waiting()) or self.running:
                if jobs > 1:  # stages that the next round needs go first
                    waiting.sort(key=lambda stage: not stage.leads)
                for stage in [stage for stage in waiting if self._ready(stage)][: max(0, jobs - len(self.running))]:
                    self._begin(stage)
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

    def _begin(self, stage: Stage) -> None:
        """Start the process of a stage. Where an interruption comes meanwhile, the process ends by itself."""
        log = self.folder / LOGS / f"{stage.name}.log"
        arguments = ["loop", "--resume", str(self.folder), "--stage", stage.name, "--trust"]
        arguments += [
            f"--{name}" if value is True else f"--{name}={value}" for name, value in self.given.items() if value
        ]
        with _own_import_path():
            context = _processes()
            begin, ours = context.Pipe(duplex=False)
            with begin, ours:
                process = context.Process(target=_child, args=(self.command, arguments, log, begin))
                process.start()
                self.running[stage.name] = process
                ours.send(True)

    def _ended(self, name: str, code: int) -> None:
        log = self.folder / LOGS / f"{name}.log"
        if code == 0:
            self.done.add(name)
            note = noted(self.folder, next(stage for stage in self.plan.stages if stage.name == name))
            self._show_nothing()
            print(f"{_time(self.clock.seconds):>8}  {name:<16} {note.get('result', '')}", flush=True)
            return
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        why = next((line.removeprefix("josh: ") for line in reversed(lines) if line.startswith("josh: ")), "")
        if not why or code < 0:
            why = f"it ended with {'signal' if code < 0 else 'code'} {abs(code)}; see {from_here(log)}"
        raise (UsageError if code == 2 else FatalError)(f"stage {name}: {why}")

    def _stop(self) -> None:
        """Send SIGTERM to the running stages, wait until they end, and kill those that take too long."""
        for process in self.running.values():
            process.terminate()
        end = time.monotonic() + GRACE
        for process in self.running.values():
            try:
                process.join(max(0.1, end - time.monotonic()))
            except KeyboardInterrupt:  # the user pressed Ctrl-C again
                end = time.monotonic()
            process.kill()

    def _show(self) -> None:
        """Show the running stages on stderr: all the time on a terminal, else a line now and then."""
        if not self.running:
            return
        if not sys.stderr.isatty():
            if self.clock.seconds - self._shown >= LINES_APART:
                self._shown = self.clock.seconds
                parts = [f"{name}{self._progress(name)}" for name in self.running]
                print(f"josh: {_time(self.clock.seconds)} {', '.join(parts)}", file=sys.stderr, flush=True)
            return
        parts = [f"{name}{self._progress(name)}" for name in self.running]
        sys.stderr.write(f"\r\033[K{_time(self.clock.seconds):>8}  {', '.join(parts)}"[:120])
        sys.stderr.flush()

    def _show_nothing(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _progress(self, name: str) -> str:
        """Returns the numbers of finished and of all tasks of a stage's runs."""
        stage = next(stage for stage in self.plan.stages if stage.name == name)
        if not stage.plays:
            return _last_step(self.folder / LOGS / f"{name}.log")
        tasks = sum(_tasks(self.plan.part(one).settings) for one in stage.plays)
        return f" {sum(_lines(self.folder / one / EPISODES) for one in stage.plays)}/{tasks}"


def _last_step(log: Path) -> str:
    """Returns the last line about steps in a stage's log, such as `: pretraining 40 of 400 steps`; empty if none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = next((line for line in reversed(lines) if line.startswith("josh: ") and " steps" in line), "")
    return f": {found.removeprefix('josh: ')}" if found else ""


def _processes() -> Any:
    """Returns the way to start a stage: if possible, fork it from a server process that has imported the packages."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["josh.runs.loop.preload"])
    # This process waits for the server's imports, which take a while, when it starts its first stage. Ctrl-C must end
    # the loop meanwhile, but not the server: only the server's start is protected from it.
    from multiprocessing import forkserver, resource_tracker

    resource_tracker.ensure_running()  # it would unblock Ctrl-C
    with _ctrl_c_later():
        forkserver.ensure_running()
    return context


@contextmanager
def _own_import_path() -> Iterator[None]:
    """Start processes inside with the import path of this process."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"  # otherwise the current folder comes first in the import path
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Handle a Ctrl-C that comes inside at the end; processes that are started inside do not receive it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(command: Command, arguments: Sequence[str], log: Path, begin: Any) -> None:
    """Do a stage in its own process. Its output goes to the log file.

    Args:
        command: the command line.
        arguments: its arguments.
        log: the log file.
        begin: a connection to the loop, which sends something once it has noted this process. If the loop is
            interrupted before, it closes the connection, and this process ends.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches only the loop, which then stops its stages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        begin.recv()
    except EOFError:
        return
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(command(arguments))


def _tasks(settings: RunSettings) -> int:
    return settings.tasks.end_index - settings.tasks.start_index


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
