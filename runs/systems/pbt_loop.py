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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

from josh.envs.debate.quiz import quiz_size
from josh.errors import UsageError
from josh.models.hf_loading import PREFIX
from josh.runs.loop.processes import Command
from josh.runs.record.summary import counted
from josh.runs.systems.pbt_loop_table import EVALUATIONS, MODEL, MODES, adapter_of, loop_figures, loop_text
from josh.runs.systems.seed_loop import (
    CommandJob,
    SeedLoop,
    SeedSettings,
    add_seed_loop_flags,
    begun_evaluation,
    run_seed_loop,
)
from josh.runs.train.tiny import MANIFEST

METHODS: Final = ("sft", "dpo")
TREES: Final = "trees"
"""The folder of a seed's trees."""
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
class LoopSettings(SeedSettings):
    """The settings of a loop.

    Attributes:
        questions: number of training questions of each seed; each gives one tree.
        pairs: most pairs in each of the three sets, at least 2.
        test_questions: number of held-out questions of each seed; each gives two debates.
    """

    least: ClassVar[Mapping[str, int]] = {"questions": 1, "pairs": 2, "test_questions": 1}

    questions: int = 1500
    pairs: int = 600
    test_questions: int = 200

    def __post_init__(self) -> None:
        SeedSettings.__post_init__(self)
        for name, part in _PARTS.items():
            if getattr(self, name) > (most := quiz_size(part)):
                given = getattr(self, name)
                raise UsageError(f"{name} is {given}; the quiz has {most} {part} questions, give at most {most}")


def add_loop_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh pbt loop`."""
    add_seed_loop_flags(parser, LOOP)
    default = LoopSettings()
    parser.add_argument("--questions", type=int, help=f"training questions of each seed (default: {default.questions})")
    parser.add_argument("--pairs", type=int, help=f"most pairs of each training set (default: {default.pairs})")
    parser.add_argument(
        "--test_questions",
        type=int,
        help=f"held-out questions of each seed, with two debates each (default: {default.test_questions})",
    )


def run_loop(args: argparse.Namespace) -> int:
    """Play a loop to its end, and print its table; see `run_seed_loop`."""
    return run_seed_loop(args, LOOP)


def jobs_of(folder: Path, settings: LoopSettings, seed: int, main: Command) -> Iterator[CommandJob]:
    """Yields the stages of a seed, in the order in which one at a time can be done."""
    plain = CommandJob(folder, f"seed-{seed}", (), (), main)
    home, made = folder / plain.name, ("--seed", str(seed))

    job = plain.stage
    model, trees = home / MODEL, home / TREES
    yield job(
        MODEL, (), "tiny", "--env", "debate", "--size", settings.tiny_size, *made, "--out", str(model),
        makes=model / MANIFEST, leads=True,
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
    begun = begun_evaluation(home, EVALUATIONS)
    names = [f"{PREFIX}{model}", *(f"{PREFIX}{model}+{adapter_of(home, mode, 'dpo')}" for mode in MODES)]
    anew = (
        "pbt", "eval", "flipflop", "--model", ",".join(names), *made, "--synthetic_tasks", str(settings.test_questions),
        "--no_references", "--log_dir", str(home),
    )  # fmt: skip
    again = ("evaluate", "--resume", str(begun)) if begun else ()
    yield job("flipflop", [f"{mode}-dpo" for mode in MODES], *(again or anew))


LOOP: Final = SeedLoop(
    system="pbt",
    settings=LoopSettings,
    each=lambda settings: f"{counted(settings.questions, 'training question')} each",
    jobs=jobs_of,
    figures=loop_figures,
    text=loop_text,
    steps="josh pbt generate, josh pbt prefs, josh train, josh pbt eval",
)
"""The loop."""
