"""The settings of `josh loop`, beside those of the runs that it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from josh.errors import UsageError
from josh.runs.train.settings import METHODS

BASE, LAST = "base", "last"
ALL, NEWEST = "all", "newest"


def _flag(default: Any, text: str, *, free: bool = False) -> Any:
    """A setting; a free one changes no result, so that a loop may be resumed with another value."""
    return field(default=default, metadata={"help": text, "aliases": (), "free": free})


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """What `josh loop` can be told. None stands for a default that depends on the machine, or for nothing."""

    rounds: int = _flag(3, "times that it searches, exports, trains and evaluates; with --tiny 15")
    tasks: int = _flag(96, "training tasks of every round, none of them twice; with --tiny 24")
    test_tasks: int = _flag(200, "held-out tasks on which every round is evaluated")
    test_every: int = _flag(
        1,
        "evaluate the model of every so many rounds, and the last (with --control also the first); with --tiny and "
        "more than 5 rounds, 8",
    )
    tiny: bool = _flag(False, "make a small model first (see `josh tiny`), and begin with that: needs nothing else")
    tiny_size: str = _flag("small", "with --tiny: its size; `nano` babbles, and is for tests")
    method: str = _flag("sft", f"how it trains: {', '.join(METHODS)}")
    preset: str | None = _flag(None, "named hyperparameters of `josh train` (with --tiny: tiny)")
    train_config: str | None = _flag(None, "TOML file with settings of `josh train`")
    paths: str = _flag("successful", "what is exported of every tree, see `josh export`")
    top: int | None = _flag(None, "most winning paths of a task, the best ones (default: 3, --tiny 2; of pairs all)")
    learn_from: str = _flag(NEWEST, "what a round learns from: the `newest` search, or `all` so far")
    start: str = _flag(BASE, "what a round trains: a new adapter on the `base`, or the `last` one; with --tiny last")
    other_users: str | None = _flag(
        None, "further user models, by commas, against which the base and the last round are evaluated"
    )
    control: bool = _flag(False, "train on the first search's losing paths too: that should not help")
    no_references: bool = _flag(False, "leave the reference policies out")
    no_sampling: bool = _flag(False, "do not compare the search with as many plain conversations")
    jobs: int | None = _flag(None, "stages at a time (default: 2 with --tiny and a processor for each)", free=True)

    def __post_init__(self) -> None:
        for name in ("rounds", "tasks", "test_tasks", "test_every", "top", "jobs"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise UsageError(f"{name} is {number}; give 1 or more")
        for name, known in (("method", tuple(METHODS)), ("learn_from", (NEWEST, ALL)), ("start", (BASE, LAST))):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} is {getattr(self, name)!r}; give {', '.join(known[:-1])} or {known[-1]}")

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
LOOP_FIELDS = {one.name: one for one in fields(LoopSettings)}
NOT_FOR_LOOPS = ("josh", "task_split", "end_index")
"""Settings of runs that a loop chooses by itself."""


def loop_settings(given: Mapping[str, Any]) -> LoopSettings:
    """A loop's settings, with `--tiny` its defaults. Raises UsageError, naming the value that makes no sense."""
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    defaults = dict(FOR_TINY) if given.get("tiny") else {}
    if given.get("rounds", FEW + 1) <= FEW:
        defaults.pop("test_every", None)
    return LoopSettings(**{**defaults, **given})
