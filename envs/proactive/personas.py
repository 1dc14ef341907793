"""Personas of the user: how long they answer questions, and how clear their answers are."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from josh.errors import UsageError

LEVELS: Final = MappingProxyType({"low": 0.3, "mid": 0.6, "high": 0.9})


@dataclass(frozen=True, slots=True)
class Persona:
    """One persona.

    Attributes:
        name: its name.
        expertise: how clear its answers are: `low`, `mid` or `high`.
        patience: how likely it answers a question: `low`, `mid` or `high`.
    """

    name: str
    expertise: str
    patience: str

    @property
    def answers(self) -> float:
        """The probability that it answers a question; else it rejects it."""
        return LEVELS[self.patience]

    @property
    def answer_clarity(self) -> float:
        """How clear its answers are, from 0 to 1."""
        return LEVELS[self.expertise]

    @property
    def line(self) -> str:
        """The persona in the text of a state."""
        return f"{self.name}, expertise {self.expertise}, patience {self.patience}"

    def row(self, domain: str) -> dict[str, str]:
        """Returns the persona as trajectory rows have it."""
        return {"name": self.name, "domain": domain, "expertise": self.expertise, "patience": self.patience}


NOVICE: Final = Persona("Novice-Learner", "low", "high")
BUSY: Final = Persona("Busy-Developer", "mid", "low")
EXPERIENCED: Final = Persona("Experienced-Engineer", "high", "mid")
PERSONAS: Final = (NOVICE, BUSY, EXPERIENCED)
"""The published personas, in their order."""


def persona_named(given: Any, where: str = "") -> Persona:
    """Returns a persona.

    Args:
        given: its name, its index from 0, or the table that `Persona.row` returns.
        where: the beginning of an error message, such as a place in a file.

    Raises:
        UsageError: there is no such persona.
    """
    name = given.get("name") if isinstance(given, dict) else given
    for index, persona in enumerate(PERSONAS):
        if not isinstance(name, bool) and str(name) in (persona.name, str(index)):
            return persona
    known = ", ".join(persona.name for persona in PERSONAS)
    place = f"{where}: " if where else ""
    raise UsageError(f"{place}persona is {name!r:.60}; give {known}, or an index from 0 to {len(PERSONAS) - 1}")
