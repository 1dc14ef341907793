"""The settings of `josh loop`, beside those of its runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from josh.config import Schema, setting, settings_in
from josh.errors import UsageError
from josh.runs.registry import BEAM
from josh.runs.settings import CONFIRMING, JOSH, SHARDS
from josh.runs.train.settings import METHODS
from josh.strategies.beam import BEST

BASE, LAST = "base", "last"
ALL, NEWEST = "all", "newest"


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """The settings of `josh loop`. None stands for a default that depends on other settings, or for no value."""

    rounds: int = setting(3, "rounds of search, export, training and evaluation; with --tiny 15", least=1, most=1000)
    tasks: int = setting(
        96, "training tasks of every round, each used in one round only; with --tiny 24", least=1, most=100_000
    )
    test_tasks: int = setting(200, "held-out tasks on which every round is evaluated", least=1, most=100_000)
    test_every: int = setting(
        1,
        "evaluate the model after every N rounds, and after the last (with --control also after the first); with "
        "--tiny and more than 5 rounds, 8",
        least=1,
    )
    tiny: bool = setting(
        False, "make a small model first (see `josh tiny`) and start from it; no other model is needed"
    )
    tiny_size: str = setting("small", "with --tiny: the model's size; `nano` is for tests, and its text is gibberish")
    method: str = setting("sft", f"training method: {', '.join(METHODS)}", choices=tuple(METHODS))
    preset: str | None = setting(None, "named hyperparameters of `josh train` (default with --tiny: tiny)")
    train_config: str | None = setting(None, "TOML file with settings of `josh train`")
    paths: str = setting("successful", "the paths of every tree that are exported, see `josh export`")
    top: int | None = setting(
        None, "most winning paths of a task, the best first (default: 3, with --tiny 2; for pairs all)", least=1
    )
    learn_from: str = setting(
        NEWEST, "searches that a round learns from: the `newest`, or `all` so far", choices=(NEWEST, ALL)
    )
    start: str = setting(
        BASE,
        "adapter that a round trains: a new one on the `base`, or the `last` round's; with --tiny last",
        choices=(BASE, LAST),
    )
    other_users: str | None = setting(
        None, "more user models for the evaluation of the base and the last round, separated by commas"
    )
    control: bool = setting(False, "also train on the first search's losing paths, as a control: that should not help")
    no_references: bool = setting(False, "leave out the reference policies")
    no_sampling: bool = setting(False, "do not compare the search with plain conversations of the same cost")
    probe: bool = setting(
        False, "also check the general ability of the base and the last round's model, see `josh probe`"
    )
    jobs: int | None = setting(
        None,
        "most stages at the same time (default: 2 with --tiny and two processors, otherwise 1)",
        least=1,
        resumable=True,
    )

    @property
    def tested(self) -> tuple[int, ...]:
        """The rounds whose models are evaluated, always with the last. A control is compared with the first round."""
        rounds = range(1, self.rounds + 1)
        return tuple(
            one for one in rounds if one % self.test_every == 0 or one == self.rounds or (one == 1 and self.control)
        )


FOR_TINY: Mapping[str, Any] = {"rounds": 15, "tasks": 24, "test_every": 8, "start": LAST}
"""Defaults with --tiny: many short rounds, each of which continues the last adapter. A model of this size learns little
from the paths of another policy, and it loses its language in a long round of training."""
FEW = 5
"""With --tiny, a loop of at most so many rounds evaluates each of them."""
LOOP = Schema(settings_in(LoopSettings))
NOT_FOR_LOOPS = (JOSH, "task_split", "end_index", *SHARDS, *CONFIRMING)
"""Settings of runs that a loop sets itself."""
IN_FLIGHT = 64
"""Default number of tasks in flight: enough to fill a local model's batches."""
LOOP_DEFAULTS: Mapping[str, Any] = {
    "strategy": BEAM,
    "stop": BEST,
    "rollouts": 3,
    "temperature": 1.0,
    "max_concurrency": IN_FLIGHT,
}
"""Defaults of a loop's runs that differ from those of other runs; the first two are for its searches."""


def loop_settings(given: Mapping[str, Any]) -> LoopSettings:
    """Returns a loop's settings; `tiny` changes the defaults. Raises UsageError with the name of a wrong value."""
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    if given.get("tiny_size") and not given.get("tiny"):
        raise UsageError(f"tiny_size is {given['tiny_size']!r}, but no model is made; leave it out, or give --tiny")
    defaults = dict(FOR_TINY) if given.get("tiny") else {}
    if given.get("rounds", FEW + 1) <= FEW:
        defaults.pop("test_every", None)
    return LoopSettings(**LOOP.read({**defaults, **given}))
