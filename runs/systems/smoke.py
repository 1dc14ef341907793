"""The smoke test of Persuasion for Good: plays a few tasks all the way, and checks that the outputs are sound.

1. Write 20 training and 5 test tasks.
2. Play 10 training tasks, with 2 plain conversations each.
3. Search the same 10 tasks with a beam of 4.
4. Export what won as `sft` rows, and check the file.
5. Evaluate the agent on the 5 test tasks, which are held out from the search.

Without a model the offline speakers play, so it needs no key and no network, and takes some seconds. Everything is in
one folder, `records/smoke-<date>-<time>/`.
"""

import argparse
import asyncio
import contextlib
import io
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from josh.errors import JoshError, UsageError
from josh.runs.record.folder import EPISODES, EXAMPLES, SUMMARY, make_folder, read_summary
from josh.runs.record.stored import stored_episodes
from josh.runs.registry import SystemCommand
from josh.runs.resolve import defaults_of, resolve
from josh.runs.settings import RunSettings, core

TRAIN, TEST, PLAYED, ROLLOUTS, BEAM = 20, 5, 10, 2, 4
"""Tasks of each split; tasks that are played; conversations of each; leaves of the search's beam."""
RULE: Final = "user_disjoint"
"""The rule that splits the corpus: nobody is in both splits, so the test tasks are held out."""
_FLAGS: Final = (
    "model", "base_url", "api_key_var", "agent", "user_model", "user_base_url", "user_api_key_var", "user", "price",
    "seed", "max_concurrency", "max_attempts", "max_cost", "max_calls", "max_convo_turns", "log_dir",
)  # fmt: skip
"""The settings of `josh run` that the smoke test takes."""
ATTEMPTS: Final = 6
"""Default of `max_attempts`: pauses of at most 15.5 seconds together, before an endpoint that is down ends the test."""


class CheckError(Exception):
    """An output is not sound; the text says which."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """A smoke test.

    Attributes:
        folder: where everything goes.
        corpus: the real corpus or a task file; None for made-up people.
        given: settings of `josh run`, by flag.
    """

    folder: Path
    corpus: Path | None
    given: Mapping[str, Any]

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yields the name of every step, and the function that does it and returns a line about its result."""
        yield "tasks", self.prepare
        yield "play", self.play
        yield "search", self.search
        yield "export", self.export
        yield "evaluate", self.evaluate

    @property
    def _tasks(self) -> Path:
        return self.folder / "tasks"

    def settings(self, own: Mapping[str, Any]) -> RunSettings:
        """Returns the settings of a run; `own` are those that only this run has. Raises UsageError."""
        given = {"max_attempts": ATTEMPTS, **self.given, "corpus": self._tasks, "log_dir": str(self.folder), **own}
        return resolve(given, defaults_of(given))

    def prepare(self) -> str:
        """Write the task files."""
        from josh.envs.persuasion.prepare import prepare

        counts = prepare(self.corpus, self._tasks, split_rule=RULE, train_limit=TRAIN, test_limit=TEST)
        for split, count in counts.items():
            lines = (self._tasks / f"{split}_tasks.jsonl").read_text(encoding="utf-8").splitlines()
            expect(len(lines) == count > 0, f"{split}_tasks.jsonl has {len(lines)} lines for {count} tasks")
            expect(len({json.loads(line)["id"] for line in lines}) == count, f"{split}_tasks.jsonl repeats an id")
        return f"{counts['train']} for training, {counts['test']} for testing"

    def play(self) -> str:
        """Play plain conversations."""
        temperature = {"temperature": 1.0}
        return self._played("play", {"rollouts": ROLLOUTS, "end_index": PLAYED, **temperature})

    def search(self) -> str:
        """Search the same tasks."""
        return self._played("search", {"josh": True, "beam_size": BEAM, "end_index": PLAYED})

    def _played(self, name: str, own: Mapping[str, Any]) -> str:
        from josh.runs.play.run import run

        result = asyncio.run(run(self.settings(own), part=name))
        unit = result.unit
        summary = check_run(result.folder)
        return (
            f"{summary['finished']} tasks, {summary['turns']} turns, success {summary['success_rate']:.2f}, "
            f"reward {unit}{summary['average_reward']:.2f}"
        )

    def export(self) -> str:
        """Export the golden paths, or lost ones if nothing was won, and check the file."""
        from josh.runs.export.check import problems_in
        from josh.runs.export.export import NoRowsError, choose, export

        out, search = self.folder / "sft.jsonl", self.folder / "search"
        won = True
        try:
            manifest = export([search], out, "sft", choose("sft", None, None, None), core()["seed"].default)
        except NoRowsError:
            won = False
            manifest = export([search], out, "sft", choose("sft", "lost", None, None), core()["seed"].default)
        problems = list(problems_in(out))
        expect(not problems, problems[0] if problems else "")
        return f"{manifest['rows']} sft rows, sound{'' if won else '; of lost paths, because no search won'}"

    def evaluate(self) -> str:
        """Evaluate the agent on the test tasks."""
        from josh.runs.evaluate.evaluate import Printing, evaluate
        from josh.runs.evaluate.parts import EvaluationSpec
        from josh.runs.report.report import report_at_end

        made: list[Path] = []
        given = {**self.given, "corpus": self._tasks, "log_dir": str(self.folder), "rollouts": ROLLOUTS}
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            spec = EvaluationSpec({}, references=False, trained_on=(self.folder / "search",))
            whole = asyncio.run(evaluate(given, spec, Printing(ended=made.append)))
        expect(bool(made) and whole, said.getvalue().strip() or "no conversation was scored")
        figures = json.loads((made[0] / "evaluation.json").read_text(encoding="utf-8"))
        expect(report_at_end(made[0]) is not None, "the page could not be written")
        (cell,) = figures["results"]
        rate, mean = (cell[name]["value"] for name in ("success_rate", "average_reward"))
        return f"{figures['tasks']} held-out tasks, success {rate:.2f}, reward {figures['unit']}{mean:.2f}"


def expect(holds: bool, why: str) -> None:
    """Raises CheckError, with the reason, if a condition does not hold."""
    if not holds:
        raise CheckError(why)


def check_run(folder: Path) -> Mapping[str, Any]:
    """Returns the summary of a run whose files are sound, and write its page. Raises CheckError."""
    from josh.runs.report.report import report_at_end

    summary = read_summary(folder)
    expect(bool(summary), f"{folder / SUMMARY} is missing or damaged")
    expect(bool(summary["complete"]), f"only {summary['finished']} of {summary['tasks']} tasks were finished")
    expect(bool(summary["scored"]), f"no task was scored; the first error: {summary['first_error']}")
    expect(not summary["owed"], f"{summary['owed']} tasks had errors; the first: {summary['first_error']}")
    damaged: list[int] = []
    count = sum(1 for _ in stored_episodes(folder / EPISODES, damaged))
    expect(not damaged and count == summary["tasks"], f"{folder / EPISODES} has {count} sound lines")
    lines = (folder / EXAMPLES).read_text(encoding="utf-8").splitlines()
    examples = summary["training_examples"]
    expect(len(lines) == examples, f"{folder / EXAMPLES} has {len(lines)} lines for {examples} examples")
    expect(all(json.loads(line)["messages"] for line in lines), f"{folder / EXAMPLES} has an empty example")
    expect(report_at_end(folder) is not None, "the page could not be written")
    return summary


def add_smoke_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `smoke`."""
    parser.add_argument("--corpus", type=Path, help="folder of the real corpus (default: people are made up)")
    for flag in _FLAGS:
        one = core()[flag]
        kind = one.kind if one.kind in (int, float) else str
        names = [f"--{flag}", *(f"--{alias}" for alias in one.rule.aliases)]
        parser.add_argument(*names, dest=flag, type=kind, default=None, help=one.rule.help.replace("%", "%%"))


def run_smoke(args: argparse.Namespace) -> int:
    """Do the smoke test, with a line for every step. Returns 0 if all outputs are sound, else 1. Raises UsageError."""
    given = {flag: value for flag in _FLAGS if (value := getattr(args, flag)) is not None}
    log_dir = Path(given.get("log_dir") or str(core()["log_dir"].default))
    try:
        folder = make_folder(log_dir, f"smoke-{datetime.now():%Y%m%d-%H%M%S}")
    except OSError as error:
        raise UsageError(f"cannot write to log_dir {str(log_dir)!r}: {error.strerror}") from None
    began = time.monotonic()
    for name, do in Smoke(folder, args.corpus, given).steps():
        try:
            said = do()
        except (KeyboardInterrupt, asyncio.CancelledError):
            print(f"josh: see what there is in {folder}/", file=sys.stderr)
            raise
        except (CheckError, JoshError) as error:
            if isinstance(error, UsageError) and name in {"tasks", "play"}:  # nothing was played yet
                shutil.rmtree(folder, ignore_errors=True)
                raise
            print(f"FAILED  {name:9} {error}\nsee what there is in {folder}/")
            return 1
        print(f"ok      {name:9} {said}", flush=True)
    print(f"the smoke test passed in {time.monotonic() - began:.0f} s: {folder}/ (josh show {folder / 'search'} 1)")
    return 0


SMOKE = SystemCommand(
    "check the whole way on a few tasks in seconds: play, search, export, evaluate", add_smoke_flags, run_smoke
)
