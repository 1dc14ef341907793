"""The rule of the offline person: what it says when it is asked, and whether it accepts.

It accepts a recommended option X with the probability `logistic(worth of X - worth of the other + ASKED)`. Worth is the
sum of the person's strengths over the facts that were disclosed and favour an option. `ASKED` counts where the
persuader asked for a core value before it disclosed anything.
"""

import math
from collections.abc import Sequence
from typing import Final

from josh.envs.ptom.hearing import asked_in, disclosed_in, spoken
from josh.envs.ptom.scenarios import CORE, HIDDEN, MODERATE, OPTIONS, PARTIAL, Scenario

ASKED: Final = 1.0
"""What it is worth to have asked for a core value first."""


def chance_to_accept(scenario: Scenario, said: Sequence[str], option: str) -> float:
    """Returns the probability that a person accepts an option.

    Args:
        scenario: the scenario.
        said: all messages of the persuader, in order.
        option: the option that it recommends.
    """
    disclosed = {fact.id: fact for text in said for fact in disclosed_in(text, scenario.facts)}
    sums = scenario.weigh(list(disclosed.values()))
    (other,) = (key for key in OPTIONS if key != option)
    worth = sums[option] - sums[other] + (ASKED if asked_first(scenario, said) else 0.0)
    return 1 / (1 + math.exp(-worth))


def asked_first(scenario: Scenario, said: Sequence[str]) -> bool:
    """Returns whether a persuader asked for a core value, openly or by its name, before it disclosed a fact."""
    for text in said:
        openly, named = asked_in(text, scenario.strengths)
        if (openly and scenario.core) or set(named) & set(scenario.core):
            return True
        if disclosed_in(text, scenario.facts):
            return False
    return False


def answer(scenario: Scenario, said: Sequence[str], heard: Sequence[str]) -> str:
    """Returns what a person says about its preferences; empty for nothing.

    `HIDDEN`: it answers questions alone: to an open one with its strongest core value that it has not named, to one
    about dimensions how much they matter. `PARTIAL`: the first time it also says what it states explicitly.
    `REVEALED`: the first time it says all its core and moderate values.

    Args:
        scenario: the scenario.
        said: all messages of the persuader, in order; the last one is answered.
        heard: the person's own messages so far.
    """
    told = " ".join(heard).lower()
    openly, named = asked_in(said[-1], scenario.strengths)
    sentences = [how_much(name, scenario.strengths[name]) for name in named]
    if not heard and scenario.condition != HIDDEN:
        known = scenario.stated if scenario.condition == PARTIAL else scenario.values(MODERATE)
        sentences += [how_much(name, scenario.strengths[name]) for name in known if name in scenario.strengths]
    if openly and not sentences:
        values = scenario.core or scenario.values(0.0)[:1]
        unnamed = [name for name in values if spoken(name) not in told]
        sentences += [how_much(name, scenario.strengths[name]) for name in (unnamed or list(values))[:1]]
    return " ".join(dict.fromkeys(sentences))


def how_much(dimension: str, strength: float) -> str:
    """Returns a sentence that says how much a dimension matters."""
    subject = spoken(dimension).capitalize()
    if strength > CORE:
        return f"{subject} matters a great deal to me."
    return f"{subject} matters somewhat to me." if strength >= MODERATE else f"{subject} hardly matters to me."
