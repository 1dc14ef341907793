"""Do the stages of a loop: several at the same time, each in its own process.

1. `Stages.play` starts the jobs whose needs are complete.
2. The process of a job (`_child`) calls its command, such as `josh loop --resume FOLDER --stage NAME`; its output goes
   into `logs/`. The process ends when this one is gone.
3. The command writes the job's note into `stages/` when it is complete; `Job.note` reads it.
4. If a job fails or the loop is interrupted, the other jobs get SIGTERM.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from josh.errors import FatalError, UsageError
from josh.runs.record.folder import from_here, write_json

STAGES, LOGS = "stages", "logs"
Command = Callable[[Sequence[str]], int]
"""The command line: arguments in, exit code out."""
LINES_APART = 20.0
"""Seconds between two lines about the running stages, where stderr is not a terminal."""
PAUSE = 0.2
"""Seconds between two checks of the running stages."""
GRACE = 40.0
"""Seconds that stages have to end when the loop stops; then they are killed."""


class Job(Protocol):
    """A stage, as a command in its own process."""

    @property
    def name(self) -> str:
        """Its name in the loop's folder."""

    @property
    def needs(self) -> Sequence[str]:
        """The jobs that must be complete before it begins."""

    @property
    def leads(self) -> bool:
        """Whether it goes first among those that can begin."""

    @property
    def command(self) -> Command:
        """What its process calls with `arguments`; a value that pickle can copy."""

    @property
    def arguments(self) -> Sequence[str]:
        """The arguments of the command."""

    def note(self) -> Mapping[str, Any]:
        """Returns its note, with a line about its result as `result`; empty while it is not complete."""

    def progress(self, log: Path) -> str:
        """Returns how far it is, as its name continues: ` 3/20`; its output is in `log`."""


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
        jobs: the stages.
        clock: the loop's clock.
        running: the processes of running stages, by the stage's name.
        done: the names of the complete stages.
    """

    folder: Path
    jobs: Sequence[Job]
    clock: Clock
    running: dict[str, Any] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._shown = self.clock.seconds
        self._named = {job.name: job for job in self.jobs}
        self.done = {job.name for job in self.jobs if job.note()}

    def play(self, most: int) -> None:
        """Do every incomplete stage, at most `most` at the same time. Raises FatalError or UsageError if one fails."""
        try:
            while (waiting := self._waiting()) or self.running:
                if most > 1:  # stages that the next round needs go first
                    waiting.sort(key=lambda job: not job.leads)
                for job in [job for job in waiting if self._ready(job)][: max(0, most - len(self.running))]:
                    self._begin(job)
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

    def _waiting(self) -> list[Job]:
        return [job for job in self.jobs if job.name not in self.running and job.name not in self.done]

    def _ready(self, job: Job) -> bool:
        return self.done >= set(job.needs)

    def _begin(self, job: Job) -> None:
        """Start the process of a stage. Where an interruption comes meanwhile, the process ends by itself."""
        with _own_import_path():
            context = _processes()
            begin, ours = context.Pipe(duplex=False)
            with begin, ours:
                process = context.Process(target=_child, args=(job.command, job.arguments, self._log(job.name), begin))
                process.start()
                self.running[job.name] = process
                ours.send(True)

    def _log(self, name: str) -> Path:
        return self.folder / LOGS / f"{name}.log"

    def _ended(self, name: str, code: int) -> None:
        log = self._log(name)
        if code == 0:
            self.done.add(name)
            result = self._named[name].note().get("result", "")
            self._show_nothing()
            print(f"{_time(self.clock.seconds):>8}  {name:<16} {result}".rstrip(), flush=True)
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
                parts = [f"{name}{self._named[name].progress(self._log(name))}" for name in self.running]
                print(f"josh: {_time(self.clock.seconds)} {', '.join(parts)}", file=sys.stderr, flush=True)
            return
        parts = [f"{name}{self._named[name].progress(self._log(name))}" for name in self.running]
        sys.stderr.write(f"\r\033[K{_time(self.clock.seconds):>8}  {', '.join(parts)}"[:120])
        sys.stderr.flush()

    def _show_nothing(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def last_step(log: Path) -> str:
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
    _end_with_parent()
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(command(arguments))


def _end_with_parent() -> None:
    """Start a thread that sends SIGTERM to this process when its parent process is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
