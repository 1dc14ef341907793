"""The settings of `josh loop`, beside those of the runs that it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from josh.config import Schema, setting, settings_in
from josh.errors import UsageError
from josh.runs.registry import BEAM
from josh.runs.settings import JOSH
from josh.runs.train.settings import METHODS
from josh.strategies.beam import BEST

BASE, LAST = "base", "last"
ALL, NEWEST = "all", "newest"


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """What `josh loop` can be told. None stands for a default that depends on the machine, or for nothing."""

    rounds: int = setting(3, "times that it searches, exports, trains and evaluates; with --tiny 15", least=1)
    tasks: int = setting(96, "training tasks of every round, none of them twice; with --tiny 24", least=1)
    test_tasks: int = setting(200, "held-out tasks on which every round is evaluated", least=1)
    test_every: int = setting(
        1,
        "evaluate the model of every so many rounds, and the last (with --control also the first); with --tiny and "
        "more than 5 rounds, 8",
        least=1,
    )
    tiny: bool = setting(False, "make a small model first (see `josh tiny`), and begin with that: needs nothing else")
    tiny_size: str = setting("small", "with --tiny: its size; `nano` babbles, and is for tests")
    method: str = setting("sft", f"how it trains: {', '.join(METHODS)}", choices=tuple(METHODS))
    preset: str | None = setting(None, "named hyperparameters of `josh train` (with --tiny: tiny)")
    train_config: str | None = setting(None, "TOML file with settings of `josh train`")
    paths: str = setting("successful", "what is exported of every tree, see `josh export`")
    top: int | None = setting(
        None, "most winning paths of a task, the best ones (default: 3, --tiny 2; of pairs all)", least=1
    )
    learn_from: str = setting(
        NEWEST, "what a round learns from: the `newest` search, or `all` so far", choices=(NEWEST, ALL)
    )
    start: str = setting(
        BASE,
        "what a round trains: a new adapter on the `base`, or the `last` one; with --tiny last",
        choices=(BASE, LAST),
    )
    other_users: str | None = setting(
        None, "further user models, by commas, against which the base and the last round are evaluated"
    )
    control: bool = setting(False, "train on the first search's losing paths too: that should not help")
    no_references: bool = setting(False, "leave the reference policies out")
    no_sampling: bool = setting(False, "do not compare the search with as many plain conversations")
    jobs: int | None = setting(
        None, "stages at a time (default: 2 with --tiny and a processor for each)", least=1, resumable=True
    )

    @property
    def tested(self) -> tuple[int, ...]:
        """The rounds whose models are evaluated, the last among them. A control has the first to be held against."""
        rounds = range(1, self.rounds + 1)
        return tuple(
            one for one in rounds if one % self.test_every == 0 or one == self.rounds or (one == 1 and self.control)
        )


FOR_TINY: Mapping[str, Any] = {"rounds": 15, "tasks": 24, "test_every": 8, "start": LAST}
"""Defaults with --tiny: many short steps, each from where the last one ended. So small a model learns little from the
paths that another policy won, and unlearns its language where a step is long."""
FEW = 5
"""Rounds up to which each is evaluated: whoever asks for so few wants to see them."""
LOOP = Schema(settings_in(LoopSettings))
NOT_FOR_LOOPS = (JOSH, "task_split", "end_index")
"""Settings of runs that a loop chooses by itself."""
IN_FLIGHT = 64
"""Tasks at a time unless the loop says otherwise: they fill a local model's batches."""
LOOP_DEFAULTS: Mapping[str, Any] = {
    "strategy": BEAM,
    "stop": BEST,
    "rollouts": 3,
    "temperature": 1.0,
    "max_concurrency": IN_FLIGHT,
}
"""What a loop's runs have by default that other runs have not; the first two are for its searches."""


def loop_settings(given: Mapping[str, Any]) -> LoopSettings:
    """A loop's settings, with `--tiny` its defaults. Raises UsageError, naming the value that makes no sense."""
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    defaults = dict(FOR_TINY) if given.get("tiny") else {}
    if given.get("rounds", FEW + 1) <= FEW:
        defaults.pop("test_every", None)
    return LoopSettings(**LOOP.read({**defaults, **given}))
