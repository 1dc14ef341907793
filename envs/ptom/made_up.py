"""Made-up scenarios: choices of everyday life between two options, with facts on both sides and a drawn person.

Every scenario is drawn with its own seed. About half of the people would choose A if they knew all facts. Conditions
are as frequent as in the published scenarios: 60 % HIDDEN, 25 % PARTIAL, 15 % REVEALED.
"""

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Final

from josh.envs.ptom.scenarios import CONDITIONS, CORE, OPTIONS, A, B, Fact, Scenario
from josh.seeds import derive

SETTINGS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "which place to go to in the holidays": (("Lake Cabin", "City Hotel"), ("Island Camp", "Mountain Lodge")),
        "which laptop to buy for work": (("Orbit 13", "Fennel Pro"), ("Tern Air", "Basalt 15")),
        "which flat to rent": (("Mill Street", "Garden Court"), ("Harbour Loft", "Station House")),
        "which gym to join": (("Ironworks", "Bluewater Club"), ("Corner Gym", "Northside Fitness")),
        "which evening course to take": (("Pottery Circle", "Data School"), ("Night Kitchen", "Language Lab")),
        "which car to share": (("Pico Electric", "Wander Van"), ("Mint Compact", "Ridge Estate")),
    }
)
"""The pairs of options, by what is chosen."""
FACTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "cost": ("{name} costs {number} dollars less in a year.", "{name} gives members back {number} dollars."),
        "time": ("{name} saves {number} minutes on every day.", "{name} is ready {number} days earlier."),
        "safety": ("{name} had {number} fewer accidents last year.", "{name} passed all {number} safety checks."),
        "comfort": ("{name} was rated quieter by {number} guests.", "{name} has {number} percent more room."),
        "quality": (
            "{name} won {number} prizes for its quality.",
            "{name} keeps its value for {number} months longer.",
        ),
        "friends": ("{number} of your friends already chose {name}.", "{name} holds {number} meetings a month."),
        "nature": ("{name} uses {number} percent less energy.", "{name} plants {number} trees each spring."),
        "freedom": ("{name} lets you cancel within {number} days.", "{name} is open {number} hours longer."),
    }
)
"""What is said about an option, by dimension."""
PEOPLE: Final = (
    "careful with decisions, and friendly",
    "busy, and short in words",
    "curious, and open to arguments",
    "sceptical of advice, and polite",
    "warm, and talkative",
)
_WEIGHTS: Final = (60, 25, 15)
_DIMENSIONS: Final = 5
_NEUTRAL: Final = 0.1


def made_up(seed: int, split: str, index: int) -> Scenario:
    """Returns a made-up scenario; the same for the same arguments.

    Args:
        seed: the run's seed.
        split: the split of its tasks.
        index: its number in the split.
    """
    name = f"made-{split}-{index:04d}"
    rng = Random(derive(seed, "ptom", name))
    context = rng.choice(list(SETTINGS))
    names = dict(zip(OPTIONS, rng.choice(SETTINGS[context]), strict=True))
    dimensions = rng.sample(list(FACTS), _DIMENSIONS)
    strengths = {one: round(rng.uniform(*_range(number)), 2) for number, one in enumerate(dimensions)}
    facts = []
    for one in dimensions:
        sides = [A, B] if rng.random() < 0.6 else [rng.choice(OPTIONS)]
        for side, text in zip(sides, rng.sample(FACTS[one], len(sides)), strict=True):
            favors = "neutral" if rng.random() < _NEUTRAL else side
            words = text.format(name=names[side], number=rng.randint(2, 90))
            facts.append(Fact("", words, favors, one))
    rng.shuffle(facts)
    ordered = tuple(
        Fact(f"fact_{number}", one.content, one.favors, one.dimension) for number, one in enumerate(facts, 1)
    )
    preferences = tuple(one for one in dimensions if strengths[one] > CORE)
    condition = rng.choices(CONDITIONS, _WEIGHTS)[0]
    stated = tuple(one for one in dimensions if 0.3 <= strengths[one] <= CORE)[:1]
    return Scenario(
        name,
        ordered,
        MappingProxyType(strengths),
        condition,
        MappingProxyType(names),
        MappingProxyType(dict.fromkeys(OPTIONS, "")),
        A,
        context,
        rng.choice(PEOPLE),
        preferences,
        stated if condition == CONDITIONS[1] else (),
    )


def _range(number: int) -> tuple[float, float]:
    """Returns the least and the largest strength of the dimension with this number: two core values, one moderate."""
    return (0.75, 0.95) if number < 2 else (0.35, 0.65) if number == 2 else (0.05, 0.25)
