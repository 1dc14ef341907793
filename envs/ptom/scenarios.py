"""Scenarios: two options, facts about them, and a person with preferences that the persuader may not know.

A file has one scenario on each line, with the published keys:
    scenario_id: unique in the file; by default `game_id`, else the file's name and the row's number. A file of games
        (`games.py`) is a file of scenarios, too.
    available_facts: a list of {id, content, favors: A, B or neutral, dimension}; the only key that a row must have.
    target_preferences: {preference_strength: {dimension: 0 to 1}, true_preferences, stated_explicitly}. A strength
        above .7 is a core value, one of at least .3 is moderate, others are weak.
    condition: HIDDEN, PARTIAL or REVEALED; by default HIDDEN.
    option_a, option_b: {name, description}, or a name.
    persuader_goal: A or B; by default A.
    context, scenario, target_personality: what it is about, and who the person is.
Other keys are ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from josh.errors import UsageError
from josh.texts import json_rows

A, B = OPTIONS = ("A", "B")
TIE: Final = "tie"
"""Instead of an option: the person has no natural option."""
HIDDEN, PARTIAL, REVEALED = CONDITIONS = ("HIDDEN", "PARTIAL", "REVEALED")
CORE: Final = 0.7
"""A strength above this is that of a core value."""
MODERATE: Final = 0.3
"""A strength from this to `CORE` is moderate; a smaller one is weak."""
_EVEN: Final = 1e-9
"""Sums that differ by less are equal: they are sums of decimal fractions."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact about the options.

    Attributes:
        id: its id.
        content: its text.
        favors: `A` or `B`; another text, such as `neutral` or `A/B tension`, for neither.
        dimension: what it is about, such as `cost`; empty for unknown.
    """

    id: str
    content: str
    favors: str = "neutral"
    dimension: str = ""

    @property
    def row(self) -> dict[str, str]:
        """The fact as a row has it."""
        return {"id": self.id, "content": self.content, "favors": self.favors, "dimension": self.dimension}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario.

    Attributes:
        id: its id.
        facts: the facts that the persuader knows.
        strengths: how much the person cares about each dimension, from 0 to 1.
        condition: `HIDDEN`, `PARTIAL` or `REVEALED`.
        names: the names of the options, by `A` and `B`.
        descriptions: what they are, by `A` and `B`; may be empty.
        goal: the option for which the persuader wins the person.
        context: what the choice is about.
        personality: who the person is; may be empty.
        preferences: the dimensions that the person prefers.
        stated: the preferences that the person states by itself under `PARTIAL`.
    """

    id: str
    facts: tuple[Fact, ...]
    strengths: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    condition: str = HIDDEN
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({A: "Option A", B: "Option B"}))
    descriptions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({A: "", B: ""}))
    goal: str = A
    context: str = ""
    personality: str = ""
    preferences: tuple[str, ...] = ()
    stated: tuple[str, ...] = ()

    @property
    def row(self) -> dict[str, Any]:
        """The scenario as a row of a file."""
        options = {
            f"option_{key.lower()}": {"name": self.names[key], "description": self.descriptions[key]} for key in OPTIONS
        }
        personality = {"target_personality": self.personality} if self.personality else {}
        return {
            "scenario_id": self.id,
            "context": self.context,
            **options,
            "condition": self.condition,
            "persuader_goal": self.goal,
            **personality,
            "target_preferences": {
                "stated_explicitly": list(self.stated),
                "true_preferences": list(self.preferences),
                "preference_strength": dict(self.strengths),
            },
            "available_facts": [fact.row for fact in self.facts],
        }

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the facts, in their order; the persuader knows them."""
        return tuple(dict.fromkeys(fact.dimension for fact in self.facts if fact.dimension))

    def values(self, least: float, below: float = 2.0) -> tuple[str, ...]:
        """Returns the dimensions with a strength in [least, below), the strongest first."""
        found = [name for name, strength in self.strengths.items() if least <= strength < below]
        return tuple(sorted(found, key=lambda name: -self.strengths[name]))

    @property
    def core(self) -> tuple[str, ...]:
        """The core values, the strongest first."""
        return tuple(name for name in self.values(CORE) if self.strengths[name] > CORE)

    def weigh(self, facts: Sequence[Fact] | None = None) -> dict[str, float]:
        """Returns the sum of the strengths of the facts that favour each option.

        Args:
            facts: the facts; None for all of the scenario. A fact of a dimension without a strength counts 0.
        """
        found = dict.fromkeys(OPTIONS, 0.0)
        for fact in self.facts if facts is None else facts:
            if fact.favors in found:
                found[fact.favors] += self.strengths.get(fact.dimension, 0.0)
        return found

    @property
    def natural(self) -> str:
        """The option that the person would choose if it knew all facts: `A`, `B`, or `tie`."""
        sums = self.weigh()
        if abs(sums[A] - sums[B]) < _EVEN:
            return TIE
        return A if sums[A] > sums[B] else B

    @property
    def pull(self) -> float:
        """How strongly the facts pull to the natural option: |A - B| / (A + B), from 0 to 1; 0 without strengths."""
        sums = self.weigh()
        whole = sums[A] + sums[B]
        return abs(sums[A] - sums[B]) / whole if whole else 0.0


def load_scenarios(path: Path) -> list[Scenario]:
    """Returns the scenarios of a file of JSON lines or of one JSON array, each once, though games share them.

    Raises:
        UsageError: the file cannot be read, has no rows, or a row is wrong; the error names the line.
    """
    found: dict[str, Scenario] = {}
    for number, (place, row) in enumerate(json_rows(path)):
        scenario = scenario_from(row, place, f"{path.name.partition('.')[0]}-{number}")
        known = found.setdefault(scenario.id, scenario)
        if known != scenario:
            raise UsageError(f"{place}: the id {scenario.id!r} occurs twice, with other content; change one")
    if not found:
        raise UsageError(f"{path} has no scenarios; give one JSON object with available_facts on each line")
    return list(found.values())


def scenario_from(row: Any, where: str, name: str = "scenario") -> Scenario:
    """Returns the scenario of a row.

    Args:
        row: the row; see the head of this file.
        where: its place, for error messages.
        name: the id of a row without one.

    Raises:
        UsageError: a key is missing or has a wrong value.
    """
    if not isinstance(row, Mapping):
        raise UsageError(f"{where} is {row!r:.60}; give a JSON object with available_facts")
    wanted = row.get("target_preferences") or {}
    if not isinstance(wanted, Mapping):
        raise UsageError(f"{where}: target_preferences is {wanted!r:.60}; give an object with preference_strength")
    options = {key: _option(row, key, where) for key in OPTIONS}
    return Scenario(
        _id(row, where, name),
        _facts(row, where),
        MappingProxyType(_strengths(wanted, where)),
        _one_of(row, "condition", CONDITIONS, where),
        MappingProxyType({key: found[0] for key, found in options.items()}),
        MappingProxyType({key: found[1] for key, found in options.items()}),
        _one_of(row, "persuader_goal", OPTIONS, where),
        _words(row.get("context") or row.get("scenario")),
        _words(row.get("target_personality") or row.get("personality")),
        _names(wanted, "true_preferences", where),
        _names(wanted, "stated_explicitly", where),
    )


def _id(row: Mapping[str, Any], where: str, name: str) -> str:
    given = next((row[key] for key in ("scenario_id", "game_id") if row.get(key) is not None), name)
    if isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
        raise UsageError(f"{where}: scenario_id is {given!r:.60}; give a text")
    return str(given)


def _facts(row: Mapping[str, Any], where: str) -> tuple[Fact, ...]:
    given = row.get("available_facts")
    if not isinstance(given, list) or not given:
        raise UsageError(f"{where}: available_facts is {given!r:.60}; give a list of objects with a content")
    found = []
    for number, one in enumerate(given, start=1):
        if not isinstance(one, Mapping) or not isinstance(one.get("content"), str) or not one["content"].strip():
            raise UsageError(f"{where}: fact {number} is {one!r:.60}; give an object with a content")
        favors, dimension = one.get("favors") or "neutral", one.get("dimension") or ""
        if not isinstance(favors, str) or not isinstance(dimension, str):
            raise UsageError(f"{where}: fact {number} has {favors!r:.30} and {dimension!r:.30}; give texts")
        short = favors.strip().upper().removeprefix("OPTION").strip(" _")
        side = short if short in OPTIONS else favors.strip()
        found.append(Fact(str(one.get("id") or f"fact_{number}"), one["content"].strip(), side, dimension.strip()))
    return tuple(found)


def _strengths(wanted: Mapping[str, Any], where: str) -> dict[str, float]:
    given = wanted.get("preference_strength") or {}
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: preference_strength is {given!r:.60}; give numbers from 0 to 1 by dimension")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UsageError(
                f"{where}: preference_strength of {name!r:.40} is {value!r:.40}; give a number from 0 to 1"
            )
    return {str(name): float(value) for name, value in given.items()}


def _names(wanted: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    given = wanted.get(key) or ()
    if isinstance(given, Mapping):
        given = [name for name, value in given.items() if value]
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        if given is True or given is False:  # some files only say whether the preferences are stated
            return ()
        raise UsageError(f"{where}: {key} is {given!r:.60}; give a list of texts")
    return tuple(given)


def _one_of(row: Mapping[str, Any], key: str, known: Sequence[str], where: str) -> str:
    given = row.get(key)
    if given is None:
        return known[0]
    found = str(given).strip().upper().removeprefix("OPTION").strip(" _") if isinstance(given, str) else given
    if found not in known:
        raise UsageError(f"{where}: {key} is {given!r:.60}; give {', '.join(known)}")
    return str(found)


def _option(row: Mapping[str, Any], key: str, where: str) -> tuple[str, str]:
    given = row.get(f"option_{key.lower()}")
    if given is None:
        return f"Option {key}", ""
    if isinstance(given, str) and given.strip():
        return given.strip(), ""
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: option_{key.lower()} is {given!r:.60}; give a name, or an object with a name")
    return _words(given.get("name")) or f"Option {key}", _words(given.get("description"))


def _words(given: Any) -> str:
    """Returns a text as it is, and the entries of an object as a text."""
    if isinstance(given, Mapping):
        return "; ".join(f"{name}: {_words(value)}" for name, value in given.items())
    if isinstance(given, list | tuple):
        return ", ".join(map(_words, given))
    return "" if given is None else str(given).strip()
