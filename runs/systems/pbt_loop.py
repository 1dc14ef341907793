"""`josh pbt loop --tiny`: Persuasion-Balanced Training as a whole, with a tiny model, on this machine alone.

For each seed:
1. Make a tiny model of the quiz (`tiny_debater.py`). It accepts its partner's answer about half of the time, whoever is
   right. It is the listener.
2. Grow trees of debates over training questions, and write three sets of pairs of the same size: accept pairs, resist
   pairs, and half of each.
3. Train one adapter on each set: SFT on the preferred turns, then DPO on the pairs.
4. Let the base and the three adapters continue debates over held-out questions (the suite `flipflop`).

Every stage is a josh command in a process of its own; `stages/` has the command and its time. `josh pbt loop --resume
FOLDER` does the stages that are not complete. `pbt_loop_table.py` computes the numbers.
"""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from josh.envs.debate.quiz import quiz_size
from josh.errors import UsageError
from josh.models.hf_loading import PREFIX
from josh.runs.loop.processes import LOGS, STAGES, Clock, Command, Stages, last_step
from josh.runs.play.signals import cancelled_error_on_signals
from josh.runs.record.folder import EVALUATION, PLAN, from_here, make_folder, write_json
from josh.runs.record.lock import FolderLock
from josh.runs.record.summary import counted
from josh.runs.settings import core
from josh.runs.systems.pbt_loop_table import (
    EVALUATIONS,
    MODEL,
    MODES,
    adapter_of,
    loop_figures,
    loop_text,
    note_in,
)
from josh.runs.train.machine import require_packages
from josh.runs.train.tiny import MANIFEST, SIZES
from josh.terminal import screen_width

SETTINGS, TABLE = "pbt_loop.json", "table.json"
"""The files with a loop's settings and with its numbers, in its folder."""
METHODS: Final = ("sft", "dpo")
TREES: Final = "trees"
"""The folder of a seed's trees."""
_LEAST: Final = MappingProxyType({"seeds": 1, "questions": 1, "pairs": 2, "test_questions": 1})
_MOST_SEEDS, _MOST_SEED = 1000, 2**31 - 1
_PARTS: Final = MappingProxyType({"questions": "train", "test_questions": "test"})
"""The splits of the quiz that the questions are in."""
_OWN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sft": ("--epochs", "5"),
        "dpo": ("--epochs", "1", "--learning_rate", "1e-4", "--monitor_every", "25"),
    }
)
"""The settings of a training beside those of the preset `tiny`. They were chosen on validation questions: SFT teaches
most, and with the preset's learning rate DPO learns the training pairs by heart, and the text degenerates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """The settings of a loop.

    Attributes:
        seed: the first seed.
        seeds: number of seeds: `seed`, `seed` + 1, and so on.
        questions: number of training questions of each seed; each gives one tree.
        pairs: most pairs in each of the three sets, at least 2.
        test_questions: number of held-out questions of each seed; each gives two debates.
        tiny_size: the model's size, a key of `josh.runs.train.tiny.SIZES`.
    """

    seed: int = core()["seed"].default
    seeds: int = 3
    questions: int = 1500
    pairs: int = 600
    test_questions: int = 200
    tiny_size: str = "small"

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; give {least} or more")
        if self.seeds > _MOST_SEEDS:
            raise UsageError(f"seeds is {self.seeds}; give 1 to {_MOST_SEEDS}")
        if not 0 <= self.seed <= _MOST_SEED:
            raise UsageError(f"seed is {self.seed}; give 0 to {_MOST_SEED}")
        for name, part in _PARTS.items():
            if getattr(self, name) > (most := quiz_size(part)):
                given = getattr(self, name)
                raise UsageError(f"{name} is {given}; the quiz has {most} {part} questions, give at most {most}")
        if self.tiny_size not in SIZES:
            raise UsageError(f"no size named {self.tiny_size!r}; known: {', '.join(SIZES)}")

    @property
    def all_seeds(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)


def add_loop_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh pbt loop`."""
    parser.argument_default = argparse.SUPPRESS
    default = LoopSettings()
    parser.add_argument("--tiny", action="store_true", help="make a tiny model for each seed, and train it")
    parser.add_argument("--seeds", type=int, help=f"number of seeds (default: {default.seeds})")
    parser.add_argument("--seed", type=int, help=f"the first seed (default: {default.seed})")
    parser.add_argument("--questions", type=int, help=f"training questions of each seed (default: {default.questions})")
    parser.add_argument("--pairs", type=int, help=f"most pairs of each training set (default: {default.pairs})")
    parser.add_argument(
        "--test_questions",
        type=int,
        help=f"held-out questions of each seed, with two debates each (default: {default.test_questions})",
    )
    parser.add_argument("--tiny_size", help="size of the model: small, or nano for tests, whose text is gibberish")
    parser.add_argument(
        "--log_dir", type=Path, help=f"folder for the loop's folder (default: {core()['log_dir'].default})"
    )
    parser.add_argument(
        "--jobs", type=int, help="most stages at the same time (default: 2, where there are two processors)"
    )
    parser.add_argument("--resume", type=Path, metavar="LOOP", help="go on with an interrupted loop, by its folder")


def run_loop(args: argparse.Namespace) -> int:
    """Play a loop to its end, and print its table.

    Args:
        args: the parsed flags; `main` is josh's command line, as a function of its arguments.

    Returns:
        0.

    Raises:
        UsageError: a flag is wrong, or the folder to resume holds no loop; nothing was played.
        FatalError: a stage failed; the loop can be resumed.
    """
    given = {one.name: getattr(args, one.name) for one in fields(LoopSettings) if hasattr(args, one.name)}
    jobs = getattr(args, "jobs", None)
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs is {jobs}; give 1 or more")
    require_packages("a loop")
    if hasattr(args, "resume"):
        folder = Path(os.path.realpath(args.resume))
        if given or hasattr(args, "log_dir"):
            name = next(iter(given), "log_dir")
            raise UsageError(f"{name} is given, but {args.resume} records it; leave it out, or start a new loop")
        settings = _settings_in(folder)
    else:
        if not hasattr(args, "tiny"):
            raise UsageError(
                "tiny is not given, and this loop makes the models that it trains; give --tiny, or play the steps for "
                "another model: josh pbt generate, josh pbt prefs, josh train, josh pbt eval"
            )
        settings = LoopSettings(**given)
        folder = _begun(Path(getattr(args, "log_dir", None) or core()["log_dir"].default).resolve(), settings)
    _play(folder, settings, args.main, jobs or min(2, _processors()))
    return 0


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begun(log_dir: Path, settings: LoopSettings) -> Path:
    """Makes the folder of a new loop, and returns it. Raises UsageError where it cannot be written."""
    if "+" in str(log_dir):
        raise UsageError(f"{log_dir} has a plus sign, which separates adapters; give a log_dir without it")
    try:
        folder = make_folder(log_dir, f"pbt-loop-{datetime.now():%Y%m%d-%H%M%S}")
        write_json(folder / SETTINGS, asdict(settings))
    except OSError as error:
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    return folder


def _settings_in(folder: Path) -> LoopSettings:
    """Returns the settings of a loop. Raises UsageError where the folder holds none."""
    try:
        return LoopSettings(**json.loads((folder / SETTINGS).read_text(encoding="utf-8")))
    except OSError as error:
        shown = from_here(folder)
        raise UsageError(f"{shown} is not a loop of josh pbt: cannot read {SETTINGS}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise UsageError(f"{from_here(folder / SETTINGS)} is damaged; begin a new loop") from None


def _play(folder: Path, settings: LoopSettings, main: Command, most: int) -> None:
    for name in (STAGES, LOGS):
        (folder / name).mkdir(exist_ok=True)
    shown, each = from_here(folder), f"{counted(settings.questions, 'training question')} each"
    print(f"{counted(settings.seeds, 'seed')}, {each}: {shown}/", flush=True)
    seeds = {seed: list(jobs_of(folder, settings, seed, main)) for seed in settings.all_seeds}
    lock = FolderLock(folder)
    try:
        clock = Clock(folder / "clock.json")
        try:
            with cancelled_error_on_signals():
                Stages(folder, [job for jobs in seeds.values() for job in jobs], clock).play(most)
        except BaseException:
            print(f"josh: go on with: josh pbt loop --resume {shlex.quote(str(shown))}", file=sys.stderr)
            raise
        clock.stop()
        needs = {seed: {job.name: job.needs for job in jobs} for seed, jobs in seeds.items()}
        figures = loop_figures(folder, needs, most, clock.seconds)
    finally:
        lock.release()
    write_json(folder / TABLE, figures)
    print(f"\n{loop_text(figures, screen_width(sys.stdout))}\n")
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


def jobs_of(folder: Path, settings: LoopSettings, seed: int, main: Command) -> Iterator[CommandJob]:
    """Yields the stages of a seed, in the order in which one at a time can be done."""
    plain = CommandJob(folder, f"seed-{seed}", (), (), main)
    home, made = folder / plain.name, ("--seed", str(seed))

    def job(name: str, needs: Sequence[str], *typed: str, makes: Path | None = None) -> CommandJob:
        mine = tuple(f"{plain.name}-{one}" for one in needs)
        return replace(plain, name=f"{plain.name}-{name}", needs=mine, typed=typed, makes=makes, leads=name == MODEL)

    model, trees = home / MODEL, home / TREES
    yield job(
        MODEL, (), "tiny", "--env", "debate", "--size", settings.tiny_size, *made, "--out", str(model),
        makes=model / MANIFEST,
    )  # fmt: skip
    yield job(
        TREES, (), "pbt", "generate", "--split", "train", "--limit", str(settings.questions), *made,
        "--out_dir", str(home),
    )  # fmt: skip
    for mode in MODES:
        for method in METHODS:
            yield job(
                f"rows-{mode}-{method}", (TREES,), "pbt", "prefs", str(trees), "--mode", mode, "--split", "train",
                "--format", method, "--match", "total", "--train_limit", str(settings.pairs), *made,
                "--out", str(home / f"{mode}-{method}.jsonl"),
            )  # fmt: skip
    for method in METHODS:  # the longest stages first, so that no processor waits at the end
        for mode in MODES:
            before = () if method == "sft" else (f"{mode}-sft",)
            on = ("--base_adapter", str(adapter_of(home, mode, "sft"))) if before else ()
            rows, target = str(home / f"{mode}-{method}.jsonl"), adapter_of(home, mode, method)
            needs = (MODEL, f"rows-{mode}-{method}", *before)
            yield job(
                f"{mode}-{method}", needs, "train", method, "--preset", "tiny", *_OWN[method], *made, "--data", rows,
                "--model", str(model), *on, "--out", str(target.parent), "--name", target.name, makes=target,
            )  # fmt: skip
    begun = [plan.parent for plan in home.glob(f"{EVALUATIONS}/{PLAN}") if not (plan.parent / EVALUATION).exists()]
    names = [f"{PREFIX}{model}", *(f"{PREFIX}{model}+{adapter_of(home, mode, 'dpo')}" for mode in MODES)]
    anew = (
        "pbt", "eval", "flipflop", "--model", ",".join(names), *made, "--synthetic_tasks", str(settings.test_questions),
        "--no_references", "--log_dir", str(home),
    )  # fmt: skip
    again = ("evaluate", "--resume", str(max(begun))) if begun else ()
    yield job("flipflop", [f"{mode}-dpo" for mode in MODES], *(again or anew))
