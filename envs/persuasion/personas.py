"""People of Persuasion for Good: the 32 survey attributes, their text in a prompt, and made-up people.

The survey is that of Wang et al., 2019 (arXiv:1906.06725): Big Five and decision style have answers from 1 to 5, moral
foundations and Schwartz values from 1 to 6. The marginals are those of the 1017 persuadees in the released data.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from josh.seeds import derive

Traits: TypeAlias = Mapping[str, float | str | None]
"""Attribute name to answer; None or a missing entry where the person gave no answer."""


@dataclass(frozen=True, slots=True)
class Persona:
    """One person.

    Attributes:
        id: stable and anonymous.
        traits: answers to all of `ATTRIBUTES`, in that order; numbers rounded to two decimals.
    """

    id: str
    traits: Traits


@dataclass(frozen=True, slots=True)
class Attribute:
    """One survey attribute.

    Attributes:
        name: its name in the data.
        label: its name in a prompt.
        group: one of `GROUPS`.
        low: least possible answer. This and the next four are for numeric attributes only.
        high: greatest possible answer.
        step: distance between neighbouring answers (a mean of n whole-number items has step 1/n).
        mean: mean of the persuadees' answers.
        sd: standard deviation of the persuadees' answers.
        shares: share of each answer among the persuadees, for attributes whose answers are categories or codes.
    """

    name: str
    label: str
    group: str
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    mean: float = 0.0
    sd: float = 0.0
    shares: Mapping[Any, float] = field(default_factory=dict)

    @property
    def numeric(self) -> bool:
        """Returns whether answers are numbers."""
        return self.high > self.low


DEMOGRAPHICS = "demographics"
BIG_FIVE = "Big Five personality"
SCHWARTZ = "Schwartz values"
MORAL = "moral foundations"
DECISION = "decision style"
GROUPS = (DEMOGRAPHICS, BIG_FIVE, SCHWARTZ, MORAL, DECISION)
"""The groups of attributes, in the order of a description."""

_INCOME = (0.0704, 0.0922, 0.115, 0.1199, 0.1239, 0.1189, 0.0595, 0.0555, 0.0624, 0.0525, 0.0971, 0.0327)
_EDUCATION = {"Less than four-year college": 0.5154, "Four-year college": 0.3677, "Postgraduate": 0.1169}
_RELIGION = {"Other religion": 0.3915, "Protestant": 0.2666, "Catholic": 0.2042, "Atheist": 0.1378}
_IDEOLOGY = {"Liberal": 0.4034, "Conservative": 0.3102, "Moderate": 0.2864}

ATTRIBUTES = (
    Attribute("extrovert", "extraversion", BIG_FIVE, 1, 5, 1 / 5, 3.199, 0.925),
    Attribute("agreeable", "agreeableness", BIG_FIVE, 1, 5, 1 / 5, 3.926, 0.851),
    Attribute("conscientious", "conscientiousness", BIG_FIVE, 1, 5, 1 / 5, 3.898, 0.740),
    Attribute("neurotic", "neuroticism", BIG_FIVE, 1, 5, 1 / 5, 2.575, 0.983),
    Attribute("open", "openness", BIG_FIVE, 1, 5, 1 / 5, 3.660, 0.693),
    Attribute("care", "care", MORAL, 1, 6, 1 / 5, 4.562, 0.924),
    Attribute("fairness", "fairness", MORAL, 1, 6, 1 / 4, 4.798, 0.892),
    Attribute("loyalty", "loyalty", MORAL, 1, 6, 1 / 3, 3.450, 1.145),
    Attribute("authority", "authority", MORAL, 1, 6, 1 / 5, 3.853, 1.145),
    Attribute("purity", "purity", MORAL, 1, 6, 1 / 3, 3.576, 1.435),
    Attribute("freedom", "freedom", MORAL, 1, 6, 1 / 2, 4.460, 1.094),
    Attribute("conform", "conformity", SCHWARTZ, 1, 6, 1, 3.828, 1.509),
    Attribute("tradition", "tradition", SCHWARTZ, 1, 6, 1, 3.534, 1.550),
    Attribute("benevolence", "benevolence", SCHWARTZ, 1, 6, 1, 4.466, 1.423),
    Attribute("universalism", "universalism", SCHWARTZ, 1, 6, 1, 4.531, 1.464),
    Attribute("self_direction", "self-direction", SCHWARTZ, 1, 6, 1, 4.487, 1.376),
    Attribute("stimulation", "stimulation", SCHWARTZ, 1, 6, 1, 3.788, 1.433),
    Attribute("hedonism", "hedonism", SCHWARTZ, 1, 6, 1, 3.541, 1.380),
    Attribute("achievement", "achievement", SCHWARTZ, 1, 6, 1, 3.659, 1.451),
    Attribute("power", "power", SCHWARTZ, 1, 6, 1, 3.583, 1.396),
    Attribute("security", "security", SCHWARTZ, 1, 6, 1, 4.231, 1.436),
    Attribute("rational", "rational", DECISION, 1, 5, 1 / 2, 4.080, 0.766),
    Attribute("intuitive", "intuitive", DECISION, 1, 5, 1 / 2, 3.101, 1.013),
    Attribute("age", "age", DEMOGRAPHICS, 18, 100, 1, 36.907, 11.593),
    Attribute("sex", "sex", DEMOGRAPHICS, shares={"Male": 0.5005, "Female": 0.4975, "Other": 0.002}),
    Attribute("race", "race", DEMOGRAPHICS, shares={"White": 0.7502, "Other": 0.2498}),
    Attribute("edu", "education", DEMOGRAPHICS, shares=_EDUCATION),
    Attribute("marital", "marital status", DEMOGRAPHICS, shares={"Unmarried": 0.5035, "Married": 0.4965}),
    Attribute("employment", "employment", DEMOGRAPHICS, shares={"Employed for wages": 0.6412, "Other": 0.3588}),
    Attribute(
        *("income", "yearly income", DEMOGRAPHICS, 1, 12, 1, 5.821, 3.184),
        shares={float(code): share for code, share in enumerate(_INCOME, start=1)},
    ),
    Attribute("religion", "religion", DEMOGRAPHICS, shares=_RELIGION),
    Attribute("ideology", "political views", DEMOGRAPHICS, shares=_IDEOLOGY),
)
"""All 32, in the order of the data's columns."""

# An assumption: the data gives income as codes 1 to 12 without their meaning. The usual survey item with twelve options
# has these bands. Its one wide band is the eleventh, where the counts are higher than around it.
INCOME_BANDS = (
    "less than $10,000",
    *(f"${tens}0,000 to ${tens}9,999" for tens in range(1, 10)),
    "$100,000 to $149,999",
    "$150,000 or more",
)


GROUPED = frozenset(
    ("extrovert", "agreeable", "conscientious", "neurotic", "open", "age", "sex", "edu", "religion", "ideology")
)
"""The attributes that `grouped` uses."""
AGE_BANDS = ((45.0, "45 and over"), (30.0, "30 to 44"), (0.0, "under 30"))
"""The age in years at which each band begins, oldest band first."""


def describe(traits: Traits) -> str:
    """Returns a person's answers as text for a chat model: one line per group, without missing answers.

    Numbers are followed by the top of their scale (`care: 4.6 of 6`; all scales begin at 1). Income is a band in
    dollars, by our reading of its code (see `INCOME_BANDS`).

    Args:
        traits: the answers, by attribute name; unknown names are ignored.

    Returns:
        The lines; empty when there is no answer.
    """
    lines = []
    for group in GROUPS:
        answers = [
            f"{attribute.label}: {_show(attribute, value)}"
            for attribute in ATTRIBUTES
            if attribute.group == group and (value := traits.get(attribute.name)) is not None
        ]
        if answers:
            lines.append(f"{group[0].upper()}{group[1:]}: {', '.join(answers)}")
    return "\n".join(lines)


def grouped(traits: Traits) -> Mapping[str, str]:
    """Returns the groups of a person, by the label of the attribute.

    The group of a Big Five number is `above average` or `below average`, compared with the mean of the corpus's
    persuadees. Ages fall into three bands. Any other answer is its own group. The group of a missing answer is
    `unknown`.
    """
    return {each.label: _group(each, traits.get(each.name)) for each in ATTRIBUTES if each.name in GROUPED}


def _group(attribute: Attribute, value: float | str | None) -> str:
    if value is None or value == "":
        return "unknown"
    if not attribute.numeric:
        return str(value)
    number = float(value)
    if attribute.name == "age":
        return next((band for above, band in AGE_BANDS if number >= above), "unknown")
    return "above average" if number > attribute.mean else "below average"


def synthetic_persona(seed: int, number: int) -> Persona:
    """Draws a person whose attributes follow the persuadees' marginals, independently of each other.

    Numbers are drawn from a normal distribution, clipped to the scale and rounded to the nearest possible answer.
    Therefore the mean is up to 0.15 off on scales with much of their mass at an end. Every attribute has an answer.

    Args:
        seed: the run's seed.
        number: number of the person; the same seed and number always give the same person.
    """
    rng = random.Random(derive(seed, "synthetic persona", number))
    return Persona(f"synthetic-{seed}-{number}", {attribute.name: _draw(attribute, rng) for attribute in ATTRIBUTES})


def _show(attribute: Attribute, value: float | str) -> str:
    if isinstance(value, str):
        return value
    if attribute.name == "income":
        return INCOME_BANDS[min(len(INCOME_BANDS), max(1, round(value))) - 1]
    return f"{value:g}" if attribute.group == DEMOGRAPHICS else f"{value:g} of {attribute.high:g}"


def _draw(attribute: Attribute, rng: random.Random) -> float | str:
    if attribute.shares:
        answer: float | str = rng.choices(list(attribute.shares), list(attribute.shares.values()))[0]
        return answer
    drawn = min(attribute.high, max(attribute.low, rng.gauss(attribute.mean, attribute.sd)))
    steps = round((drawn - attribute.low) / attribute.step)
    return round(attribute.low + steps * attribute.step, 2)
