"""A made-up quiz: questions about towns that do not exist, in about 150 words, for debates without a data set.

A fact is one property of one town. Its value follows from a hash, so that it can be known but not be concluded. There
are 28,000 facts; each belongs to one part (`josh.seeds.part_of`), whichever seed draws the questions.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from random import Random
from types import MappingProxyType
from typing import Any, Final

from josh.errors import UsageError
from josh.seeds import derive, part_of


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


AGES: Final = ("old", "new", "little", "upper", "lower")
TOWNS: Final = _words(
    "belan corvo dunmar elsin farrow galten hestal irvane jolem kestrin lorba mandel nerith ostal pellar quorin ravel"
    " sondra tamsel ulver vastin wendor yarrow zelma arlin brenta cadmor delva"
)
LANDS: Final = _words(
    "aldora bristan cathen dorvia estmar fenland gorsia halvor iskand jurena kalmor lestria morvan norvia ostra pelland"
    " rostia silmar tovia umbria"
)
PROPERTIES: Final = MappingProxyType(
    {
        "flag": ("red", "blue", "green", "white", "black", "yellow"),
        "animal": ("lion", "eagle", "horse", "wolf", "bear", "fox"),
        "fruit": ("apple", "cherry", "plum", "pear", "grape", "fig"),
        "crown": ("gold", "silver", "copper", "iron", "bronze", "steel"),
        "tree": ("oak", "pine", "birch", "maple", "willow", "cedar"),
        "dish": ("soup", "bread", "rice", "stew", "cake", "cheese"),
        "instrument": ("harp", "drum", "flute", "violin", "trumpet", "organ"),
        "drink": ("tea", "milk", "cider", "wine", "juice", "coffee"),
        "ring": ("ruby", "pearl", "opal", "jade", "amber", "topaz"),
        "craft": ("pottery", "weaving", "carving", "printing", "baking", "sailing"),
    }
)
"""The properties of a town, each with its possible values."""
CHOICES: Final = 4
"""How many values a question offers, the right one among them."""
SIZE: Final = len(AGES) * len(TOWNS) * len(LANDS) * len(PROPERTIES)


def quiz_questions(seed: int, part: str | None, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Returns questions, each as an id and the data of a task (see `env.py`).

    Args:
        seed: gives the order in which questions are drawn; an id always means the same question.
        part: `train`, `valid` or `test`; None for all.
        count: how many.

    Raises:
        UsageError: the quiz has fewer questions.
    """
    drawn = list(islice(_facts_of(part, _order(seed)), count))
    if len(drawn) < count:
        where = f"{part} questions" if part else "questions"
        raise UsageError(f"synthetic_tasks is {count}; the quiz has {len(drawn)} {where}, give at most {len(drawn)}")
    return [(fact_id(fact), quiz_data(fact)) for fact in drawn]


def quiz_size(part: str | None) -> int:
    """Returns the number of questions of a part; None for all."""
    return sum(1 for _ in _facts_of(part, range(SIZE)))


def fact_id(fact: int) -> str:
    """Returns the id of a fact, such as `quiz-old-belan-aldora-flag`."""
    return "-".join(("quiz", *_named(fact)))


def quiz_data(fact: int) -> dict[str, Any]:
    """Returns the data of the question for a fact, by its number in [0, SIZE)."""
    age, town, land, name = _named(fact)
    values = PROPERTIES[name]
    rng = Random(derive("quiz", fact_id(fact)))
    gold = rng.choice(values)
    choices = [gold, *rng.sample([value for value in values if value != gold], CHOICES - 1)]
    rng.shuffle(choices)
    question = f"What is the {name} of {age} {town.capitalize()} in {land.capitalize()}?"
    return {"question": question, "gold": [gold], "choices": choices, "source": "quiz"}


def _facts_of(part: str | None, facts: Iterable[int]) -> Iterator[int]:
    return (fact for fact in facts if part is None or part_of(fact_id(fact)) == part)


def _named(fact: int) -> tuple[str, str, str, str]:
    rest, name = divmod(fact, len(PROPERTIES))
    rest, land = divmod(rest, len(LANDS))
    age, town = divmod(rest, len(TOWNS))
    return AGES[age], TOWNS[town], LANDS[land], tuple(PROPERTIES)[name]


@lru_cache(maxsize=4)
def _order(seed: int) -> tuple[int, ...]:
    return tuple(Random(derive("quiz", seed)).sample(range(SIZE), SIZE))
