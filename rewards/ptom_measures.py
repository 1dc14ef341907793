"""How well a persuader understands a person: beliefs against preferences, expectations against success.

- `preference_alignment_accuracy`: whether the dimension with the largest desire of the last belief is the one with the
  largest strength; 0.5 where several are the largest, and one of them is right.
- `preference_rank_correlation`: Spearman's, over the dimensions that both have; at least two.
- `belief_calibration_brier`: (confidence - alignment)^2 of the last belief that states a confidence, which is .25 for
  low, .5 for mid and .9 for high.
- `counterfactual_quality`: the share of turns in which the chosen action has the largest p_success of its own analysis.
- `counterfactual_brier`: the mean of (p_success of the chosen action - success)^2.
- `unreadable_sections`, `missing_sections`: how many sections could not be read, or were not there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation, fmean
from typing import Any, Final

from josh.envs.ptom.sections import ACTIONS, LEVELS

_EVEN: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Thought:
    """The sections of one turn, as `Planned.thought` has them, and the action that was chosen (None for none)."""

    action: str | None
    sections: Mapping[str, Any]


def measured(thoughts: Sequence[Thought], strengths: Mapping[str, float], success: float) -> dict[str, float]:
    """Returns the measures of a conversation, by name; one that it says nothing about is missing.

    Args:
        thoughts: the turns of the persuader.
        strengths: how much the person cares about each dimension.
        success: 1 where the conversation succeeded, else 0.
    """
    if not any(one.sections for one in thoughts):
        return {}
    beliefs = [one.sections["belief"] for one in thoughts if one.sections.get("belief", {}).get("desires")]
    found: dict[str, float | None] = {}
    if beliefs and strengths:
        desires = beliefs[-1]["desires"]
        found["preference_alignment_accuracy"] = alignment(desires, strengths)
        found["preference_rank_correlation"] = rank_correlation(desires, strengths)
        stated = next((one for one in reversed(beliefs) if one.get("confidence") in LEVELS), None)
        if stated is not None:
            found["belief_calibration_brier"] = calibration(stated, strengths)
    chosen = [pair for one in thoughts if (pair := chosen_chance(one)) is not None]
    if chosen:
        found["counterfactual_quality"] = fmean(float(p >= most - _EVEN) for p, most in chosen)
        found["counterfactual_brier"] = fmean((p - success) ** 2 for p, _ in chosen)
    for name in ("unreadable", "missing"):
        found[f"{name}_sections"] = float(sum(len(one.sections.get(name, ())) for one in thoughts))
    return {name: value for name, value in found.items() if value is not None}


def alignment(desires: Mapping[str, float], strengths: Mapping[str, float]) -> float:
    """Returns whether the strongest preference was found: 1, 0, or 0.5 where several are the strongest."""
    believed, true = _strongest(desires), _strongest(strengths)
    if not believed & true:
        return 0.0
    return 1.0 if len(believed) == len(true) == 1 else 0.5


def rank_correlation(desires: Mapping[str, float], strengths: Mapping[str, float]) -> float | None:
    """Returns Spearman's rank correlation over the dimensions that both have; None where it is undefined."""
    one, other = ({_plain(name): value for name, value in each.items()} for each in (desires, strengths))
    both = [name for name in other if name in one]
    try:
        return correlation(_ranks([one[name] for name in both]), _ranks([other[name] for name in both]))
    except StatisticsError:
        return None


def calibration(belief: Mapping[str, Any], strengths: Mapping[str, float]) -> float:
    """Returns the squared difference of a belief's confidence from whether it found the strongest preference."""
    return (LEVELS[belief["confidence"]] - alignment(belief["desires"], strengths)) ** 2


def chosen_chance(thought: Thought) -> tuple[float, float] | None:
    """Returns what a turn expects of the action that it chose, and the largest expectation; None without either."""
    chances = thought.sections.get("counterfactuals") or {}
    if thought.action is None or not chances:
        return None
    chosen = [p for name, p in chances.items() if kind_of(name) == thought.action]
    return (max(chosen), max(chances.values())) if chosen else None


def kind_of(name: str) -> str | None:
    """Returns the kind of an action by its name in an analysis, such as `ASK` of `ask_about_cost`; None for none."""
    words = re.findall(r"[A-Z]+", name.upper())
    return next((word for word in words if word in ACTIONS), None)


def _strongest(values: Mapping[str, float]) -> set[str]:
    most = max(values.values())
    return {_plain(name) for name, value in values.items() if value >= most - _EVEN}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _ranks(values: Sequence[float]) -> list[float]:
    """Returns the ranks of values; equal ones have the mean of their ranks."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]
