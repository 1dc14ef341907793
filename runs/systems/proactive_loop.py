"""`josh proactive loop --tiny`: from states to a policy that asks where it has to, with a tiny model, on this machine.

For each seed:
1. Make a tiny model that reads states and decides by chance (`tiny_helper.py`).
2. Write training states, and play each along a main line that asks first, with branches at its first two turns.
3. Compute the rewards, and write preferences between the actions.
4. Train an adapter on them: SFT on the better actions.
5. Let it decide in held-out states, by the probabilities of the two labels; the words are an offline helper's. The
   baselines play the same states with the same users.
6. Draw cost against success, of the training states' branches and of the policies.

Every stage is a josh command in a process of its own; `stages/` has the command and its time. `josh proactive loop
--resume FOLDER` does the stages that are not complete. `proactive_loop_table.py` computes the numbers.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from josh.runs.loop.processes import Command
from josh.runs.record.summary import counted
from josh.runs.systems.proactive_loop_table import (
    ADAPTER,
    EVALUATIONS,
    MODEL,
    PREFERENCES,
    TRAJECTORIES,
    loop_figures,
    loop_text,
)
from josh.runs.systems.seed_loop import (
    CommandJob,
    SeedLoop,
    SeedSettings,
    add_seed_loop_flags,
    begun_evaluation,
    run_seed_loop,
)
from josh.runs.train.tiny import MANIFEST

STATES: Final = "states.jsonl"
_TRAINING: Final = ("--preset", "tiny", "--epochs", "3")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings(SeedSettings):
    """The settings of a loop.

    Attributes:
        states: number of training states of each seed.
        test_states: number of held-out states of each seed.
    """

    least: ClassVar[Mapping[str, int]] = {"states": 2, "test_states": 2}

    states: int = 400
    test_states: int = 200


def add_loop_flags(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Add the flags of `josh proactive loop`."""
    add_seed_loop_flags(parser, LOOP)
    default = LoopSettings()
    parser.add_argument("--states", type=int, help=f"training states of each seed (default: {default.states})")
    parser.add_argument(
        "--test_states", type=int, help=f"held-out states of each seed (default: {default.test_states})"
    )


def run_loop(args: argparse.Namespace) -> int:
    """Play a loop to its end, and print its table; see `run_seed_loop`."""
    return run_seed_loop(args, LOOP)


def jobs_of(folder: Path, settings: LoopSettings, seed: int, main: Command) -> Iterator[CommandJob]:
    """Yields the stages of a seed, in the order in which one at a time can be done."""
    plain = CommandJob(folder, f"seed-{seed}", (), (), main)
    home, made = folder / plain.name, ("--seed", str(seed))

    job = plain.stage
    model, adapter = home / MODEL, home / ADAPTER
    states, trajectories, preferences = (str(home / name) for name in (STATES, TRAJECTORIES, PREFERENCES))
    yield job(
        MODEL, (), "tiny", "--env", "proactive", "--size", settings.tiny_size, *made, "--out", str(model),
        makes=model / MANIFEST, leads=True,
    )  # fmt: skip
    yield job("states", (), "proactive", "states", "--n_states", str(settings.states), *made, "--out", states)
    yield job(
        "generate", ("states",), "proactive", "generate", "--dataset_path", states, "--mainline_action", "Clarify",
        "--decisions", "2", *made, "--out", trajectories,
    )  # fmt: skip
    yield job("rewards", ("generate",), "proactive", "rewards", "--trajectories", trajectories, "--out", preferences)
    yield job(
        "train", (MODEL, "rewards"), "train", "sft", *_TRAINING, *made, "--data", preferences, "--model", str(model),
        "--out", str(home), "--name", adapter.name, makes=adapter,
    )  # fmt: skip
    begun = begun_evaluation(home, EVALUATIONS)
    anew = (
        "proactive", "eval", "--model_dir", str(adapter), "--base_model", str(model), "--agent", "offline_helper",
        *made, "--max_samples", str(settings.test_states), "--trained_on", preferences,
        "--log_dir", str(home),
    )  # fmt: skip
    again = ("evaluate", "--resume", str(begun)) if begun else ()
    yield job("eval", ("train",), *(again or anew))
    yield job(
        "pareto", ("eval",), "proactive", "pareto", str(home), "--out", str(home / "pareto.png"),
    )  # fmt: skip


LOOP: Final = SeedLoop(
    system="proactive",
    settings=LoopSettings,
    each=lambda settings: f"{counted(settings.states, 'training state')} each",
    jobs=jobs_of,
    figures=loop_figures,
    text=loop_text,
    steps="josh proactive generate, josh proactive rewards, josh train, josh proactive eval",
)
"""The loop."""
