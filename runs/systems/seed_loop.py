"""Loops over several seeds with tiny models: their settings, flags, folder and stages.

Every stage is a josh command in a process of its own; `stages/` has the command and its time. A loop with `--resume
FOLDER` does the stages that are not complete. A published system says what its loop is (`SeedLoop`).
"""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from heapq import heappop, heappush
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, ClassVar, Final

from josh.errors import FatalError, UsageError
from josh.runs.evaluate.scores import Metrics
from josh.runs.loop.processes import LOGS, STAGES, Clock, Command, Stages, last_step
from josh.runs.play.signals import cancelled_error_on_signals
from josh.runs.record.folder import EVALUATION, PLAN, from_here, make_folder, write_json
from josh.runs.record.lock import FolderLock
from josh.runs.record.summary import counted
from josh.runs.settings import core
from josh.runs.train.machine import require_packages
from josh.runs.train.tiny import SIZES
from josh.terminal import screen_width

TABLE: Final = "table.json"
"""The file with a loop's numbers, in its folder."""
_MOST_SEEDS, _MOST_SEED = 1000, 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSettings:
    """The settings that all loops have.

    Attributes:
        seed: the first seed.
        seeds: number of seeds: `seed`, `seed` + 1, and so on.
        tiny_size: the model's size, a key of `josh.runs.train.tiny.SIZES`.
    """

    least: ClassVar[Mapping[str, int]] = {}
    """The least value of each further number."""

    seed: int = core()["seed"].default
    seeds: int = 3
    tiny_size: str = "small"

    def __post_init__(self) -> None:
        for name, least in {"seeds": 1, **self.least}.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; give {least} or more")
        if self.seeds > _MOST_SEEDS:
            raise UsageError(f"seeds is {self.seeds}; give 1 to {_MOST_SEEDS}")
        if not 0 <= self.seed <= _MOST_SEED:
            raise UsageError(f"seed is {self.seed}; give 0 to {_MOST_SEED}")
        if self.tiny_size not in SIZES:
            raise UsageError(f"no size named {self.tiny_size!r}; known: {', '.join(SIZES)}")

    @property
    def all_seeds(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)


@dataclass(frozen=True, slots=True)
class SeedLoop:
    """The loop of one published system.

    Attributes:
        system: the system's command; the loop is `josh SYSTEM loop`.
        settings: the class of its settings.
        each: the work of a seed, in words.
        jobs: yields the stages of a seed, given the loop's folder, its settings, a seed and josh's command line, in the
            order in which one at a time can be done.
        figures: returns the numbers of a finished loop, given its folder, for each seed its stages with those that each
            needs, the most stages at the same time, and the seconds of all sessions by the clock.
        text: returns these numbers as tables, given the most columns of a line.
        steps: the commands that do the same for another model.
    """

    system: str
    settings: type[Any]
    each: Callable[[Any], str]
    jobs: Callable[[Path, Any, int, Command], Iterator["CommandJob"]]
    figures: Callable[[Path, Mapping[int, Mapping[str, Sequence[str]]], int, float], Metrics]
    text: Callable[[Metrics, int | None], str]
    steps: str

    @property
    def file(self) -> str:
        """The file with a loop's settings, in its folder."""
        return f"{self.system}_loop.json"


def add_seed_loop_flags(parser: argparse.ArgumentParser, loop: SeedLoop) -> None:
    """Add the flags that all loops have."""
    parser.argument_default = argparse.SUPPRESS
    default = loop.settings()
    parser.add_argument("--tiny", action="store_true", help="make a tiny model for each seed, and train it")
    parser.add_argument("--seeds", type=int, help=f"number of seeds (default: {default.seeds})")
    parser.add_argument("--seed", type=int, help=f"the first seed (default: {default.seed})")
    parser.add_argument("--tiny_size", help="size of the model: small, or nano for tests, whose text is gibberish")
    parser.add_argument(
        "--log_dir", type=Path, help=f"folder for the loop's folder (default: {core()['log_dir'].default})"
    )
    parser.add_argument(
        "--jobs", type=int, help="most stages at the same time (default: 2, where there are two processors)"
    )
    parser.add_argument("--resume", type=Path, metavar="LOOP", help="go on with an interrupted loop, by its folder")


def run_seed_loop(args: argparse.Namespace, loop: SeedLoop) -> int:
    """Play a loop to its end, and print its table.

    Args:
        args: the parsed flags; `main` is josh's command line, as a function of its arguments.
        loop: the loop.

    Returns:
        0.

    Raises:
        UsageError: a flag is wrong, or the folder to resume holds no loop; nothing was played.
        FatalError: a stage failed; the loop can be resumed.
    """
    given = {one.name: getattr(args, one.name) for one in fields(loop.settings) if hasattr(args, one.name)}
    jobs = getattr(args, "jobs", None)
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs is {jobs}; give 1 or more")
    require_packages("a loop")
    if hasattr(args, "resume"):
        folder = Path(os.path.realpath(args.resume))
        if given or hasattr(args, "log_dir"):
            name = next(iter(given), "log_dir")
            raise UsageError(f"{name} is given, but {args.resume} records it; leave it out, or start a new loop")
        settings = _settings_in(folder, loop)
    else:
        if not hasattr(args, "tiny"):
            raise UsageError(
                "tiny is not given, and this loop makes the models that it trains; give --tiny, or play the steps for "
                f"another model: {loop.steps}"
            )
        settings = loop.settings(**given)
        folder = _begun(Path(getattr(args, "log_dir", None) or core()["log_dir"].default).resolve(), settings, loop)
    _play(folder, settings, loop, args.main, jobs or min(2, _processors()))
    return 0


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begun(log_dir: Path, settings: Any, loop: SeedLoop) -> Path:
    """Makes the folder of a new loop, and returns it. Raises UsageError where it cannot be written."""
    if "+" in str(log_dir):
        raise UsageError(f"{log_dir} has a plus sign, which separates adapters; give a log_dir without it")
    try:
        folder = make_folder(log_dir, f"{loop.system}-loop-{datetime.now():%Y%m%d-%H%M%S}")
        write_json(folder / loop.file, asdict(settings))
    except OSError as error:
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    return folder


def _settings_in(folder: Path, loop: SeedLoop) -> Any:
    """Returns the settings of a loop. Raises UsageError where the folder holds none."""
    try:
        return loop.settings(**json.loads((folder / loop.file).read_text(encoding="utf-8")))
    except OSError as error:
        shown = from_here(folder)
        raise UsageError(
            f"{shown} is not a loop of josh {loop.system}: cannot read {loop.file}: {error.strerror}"
        ) from None
    except (ValueError, TypeError):
        raise UsageError(f"{from_here(folder / loop.file)} is damaged; begin a new loop") from None


def _play(folder: Path, settings: Any, loop: SeedLoop, main: Command, most: int) -> None:
    for name in (STAGES, LOGS):
        (folder / name).mkdir(exist_ok=True)
    shown = from_here(folder)
    print(f"{counted(settings.seeds, 'seed')}, {loop.each(settings)}: {shown}/", flush=True)
    seeds = {seed: list(loop.jobs(folder, settings, seed, main)) for seed in settings.all_seeds}
    lock = FolderLock(folder)
    try:
        clock = Clock(folder / "clock.json")
        try:
            with cancelled_error_on_signals():
                Stages(folder, [job for jobs in seeds.values() for job in jobs], clock).play(most)
        except BaseException:
            print(f"josh: go on with: josh {loop.system} loop --resume {shlex.quote(str(shown))}", file=sys.stderr)
            raise
        clock.stop()
        needs = {seed: {job.name: job.needs for job in jobs} for seed, jobs in seeds.items()}
        figures = loop.figures(folder, needs, most, clock.seconds)
    finally:
        lock.release()
    write_json(folder / TABLE, figures)
    print(f"\n{loop.text(figures, screen_width(sys.stdout))}\n")
    print(f"written to      {shown}/ ({TABLE}, and a folder for every seed)")


@dataclass(frozen=True, slots=True)
class Noted:
    """A command that writes a job's note when it succeeds.

    Attributes:
        main: the command.
        note: the note's file: the command as typed, and the seconds that it took, by the clock and of the processor.
    """

    main: Command
    note: Path

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run the command, and return its exit code."""
        began, typed = time.monotonic(), shlex.join(("josh", *arguments))
        code = self.main(arguments)
        if code == 0:
            seconds, worked = round(time.monotonic() - began, 1), round(time.process_time(), 1)
            result = f"{seconds:.0f} s, {worked:.0f} s of the processor"
            write_json(self.note, {"result": result, "command": typed, "seconds": seconds, "cpu_seconds": worked})
        return code


@dataclass(frozen=True, slots=True)
class CommandJob:
    """A josh command as a stage; see `josh.runs.loop.processes.Job`.

    Attributes:
        folder: the loop's folder.
        name: its name.
        needs: the stages that must be complete before it begins.
        typed: the arguments of the command.
        main: josh's command line.
        makes: the folder or file that the command makes at its end, all at once; None for a command that can be given
            again.
        leads: whether it goes first among those that can begin.
    """

    folder: Path
    name: str
    needs: tuple[str, ...]
    typed: tuple[str, ...]
    main: Command
    makes: Path | None = None
    leads: bool = False

    def stage(
        self, name: str, needs: Sequence[str], *typed: str, makes: Path | None = None, leads: bool = False
    ) -> "CommandJob":
        """Returns a stage of this one's seed; `name` and `needs` are without the seed."""
        mine = tuple(f"{self.name}-{one}" for one in needs)
        return replace(self, name=f"{self.name}-{name}", needs=mine, typed=typed, makes=makes, leads=leads)

    @property
    def command(self) -> Command:
        """What its process calls."""
        return Noted(self.main, self._note)

    @property
    def arguments(self) -> list[str]:
        """The arguments of the command; a training that was interrupted goes on."""
        part = None if self.makes is None else self.makes.with_name(f"{self.makes.name}.part")
        return [*self.typed, "--resume"] if part is not None and part.exists() else list(self.typed)

    def note(self) -> Mapping[str, Any]:
        """Returns its note; empty while it is not complete, or where what it made is gone."""
        found = note_in(self._note)
        if self.makes is None:
            return found
        return found or {"result": ""} if self.makes.exists() else {}

    def progress(self, log: Path) -> str:
        """Returns its last step."""
        return last_step(log)

    @property
    def _note(self) -> Path:
        return self.folder / STAGES / f"{self.name}.json"


def note_in(path: Path) -> dict[str, Any]:
    """Returns a stage's note; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and "cpu_seconds" in found else {}


def by_clock(needs: Mapping[str, Sequence[str]], seconds: Mapping[str, float], most: int) -> float:
    """Returns how many seconds stages take together, if each begins as soon as it can.

    Args:
        needs: for each stage the stages that must be complete before it begins.
        seconds: the seconds that each stage takes; 0 for one that is not there.
        most: most stages at the same time.
    """
    waiting, done, now = list(needs), set[str](), 0.0
    running: list[tuple[float, str]] = []
    while waiting or running:
        ready = [name for name in waiting if done >= set(needs[name])]
        for name in ready[: most - len(running)]:
            waiting.remove(name)
            heappush(running, (now + seconds.get(name, 0.0), name))
        now, ended = heappop(running)
        done.add(ended)
    return now


def evaluation_in(home: Path, pattern: str, stage: Path) -> dict[str, Any]:
    """Returns the numbers of the latest complete evaluation of a seed.

    Args:
        home: the seed's folder.
        pattern: of the folders of its evaluations.
        stage: the note of the stage, which has to be removed where there is none.

    Raises:
        FatalError: there is none.
    """
    found = sorted(home.glob(f"{pattern}/{EVALUATION}"))
    if not found:
        raise FatalError(f"{home} has no {EVALUATION}; remove {stage}")
    figures: dict[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return figures


def begun_evaluation(home: Path, pattern: str) -> Path | None:
    """Returns the latest evaluation of a seed that is not complete; None for none."""
    begun = [plan.parent for plan in home.glob(f"{pattern}/{PLAN}") if not (plan.parent / EVALUATION).exists()]
    return max(begun, default=None)


def seconds_of(folder: Path, needs: Mapping[str, Sequence[str]], model: str, most: int) -> dict[str, float]:
    """Returns the seconds of a seed's stages; of a stage that was interrupted, those since it went on.

    Args:
        folder: the loop's folder.
        needs: for each stage those that it needs.
        model: the name of the stage that makes the model.
        most: most stages at the same time.

    Returns:
        `pretraining_seconds` and `pretraining_cpu_seconds`: those of the model, by the clock and of the processor;
        `seconds` that all other stages take by the clock, `most` at the same time (see `by_clock`); `cpu_seconds` of
        the processor for these.
    """
    notes = {name: note_in(folder / STAGES / f"{name}.json") for name in needs}
    made = notes.pop(model, {})
    seconds = {name: note.get("seconds", 0.0) for name, note in notes.items()}
    return {
        "pretraining_seconds": made.get("seconds", 0.0),
        "pretraining_cpu_seconds": made.get("cpu_seconds", 0.0),
        "seconds": round(by_clock(needs, seconds, most), 1),
        "cpu_seconds": round(sum(note.get("cpu_seconds", 0.0) for note in notes.values()), 1),
    }


def spread(values: Sequence[float]) -> Metrics:
    """Returns the mean (`value`) and standard deviation (`sd`, None for one value) of the numbers of several seeds."""
    return {"value": fmean(values), "sd": stdev(values) if len(values) > 1 else None}
