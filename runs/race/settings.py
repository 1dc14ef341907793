"""The settings of `josh race` beside those of its runs, and how each search spends a budget."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from josh.config import Schema, setting, settings_in
from josh.errors import UsageError
from josh.runs.registry import BEAM, ROLLOUTS, class_of
from josh.runs.settings import CONFIRMING, JOSH, SHARDS
from josh.strategies.growing import SPENT, Growing

MANY: Final = 100_000
"""A number that no budget reaches."""
SPENDS: Final[Mapping[str, Mapping[str, Any]]] = {
    BEAM: {"beam_size": 4, "restarts": MANY},
    ROLLOUTS: {"rollouts": 1, "restarts": MANY},
}
"""How a search spends a budget, where that is not its class's way (`ways_to_spend`)."""
RACE_DEFAULTS: Mapping[str, Any] = {"temperature": 1.0}
NOT_FOR_RACES = (JOSH, "strategy", "budget_per_task", "restarts", *SHARDS, *CONFIRMING)
"""Settings of runs that a race sets itself."""


@dataclass(frozen=True, slots=True)
class RaceSettings:
    """What races, and for how much."""

    strategies: str = setting("beam,rollouts,mcts", "the searches, separated by commas")
    budget: str = setting("20,40,80,160", "budgets per task, in budget_unit, separated by commas")
    variants: str = setting(
        "{}",
        "further searches, as a JSON object: for each name its settings by flag, such as "
        """'{"wide": {"strategy": "beam", "beam_size": 16}}'""",
    )


RACE = Schema(settings_in(RaceSettings))


@dataclass(frozen=True, slots=True)
class Racer:
    """One search of a race.

    Attributes:
        label: its name in the results.
        strategy: the strategy's name.
        settings: the settings that it does not share with the others, by flag.
    """

    label: str
    strategy: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def racers_of(strategies: str, variants: str) -> list[Racer]:
    """Returns the searches of a race, in their order. Raises UsageError where one is unknown or named twice."""
    names = [name.strip() for name in strategies.split(",")]
    if "" in names:
        raise UsageError(f"strategies is {strategies!r}; give names, separated by commas")
    found = [Racer(name, name) for name in names]
    for label, own in _variants(variants).items():
        found.append(Racer(label, own["strategy"], {name: value for name, value in own.items() if name != "strategy"}))
    labels = [one.label for one in found]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"strategies and variants have {twice!r} twice; give each search its own name")
    return found


def _variants(text: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"variants is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(own, dict) for own in found.values()):
        raise UsageError(f"variants is {text!r:.80}; give a JSON object with an object of settings for each name")
    for label, own in found.items():
        if not label or not isinstance(own.get("strategy"), str):
            raise UsageError(f"variants: {label!r} is {own!r:.60}; give it a name, and a strategy")
    return found


def budgets_of(text: str) -> list[int]:
    """Returns the budgets of a race, smallest first. Raises UsageError where one is not a whole number above 0."""
    found = []
    for one in text.split(","):
        if not one.strip().isdecimal() or not int(one):
            raise UsageError(f"budget is {text!r}; give whole numbers above 0, separated by commas")
        found.append(int(one))
    if len(set(found)) < len(found):
        raise UsageError(f"budget is {text!r}; give each number once")
    return sorted(found)


def ways_to_spend(strategy: str) -> Mapping[str, Any]:
    """Returns the settings with which a search spends a whole budget.

    A search that grows conversation by conversation does not stop at a win, and has no limit of its own. Any other
    begins again from the start. Raises UsageError where there is no such strategy.
    """
    if strategy in SPENDS:
        return SPENDS[strategy]
    if issubclass(class_of("strategy", strategy), Growing):
        return {"strategy.until": SPENT, "strategy.turns": MANY}
    return {"restarts": MANY}
