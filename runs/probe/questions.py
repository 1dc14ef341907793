"""The questions of a judge: files in MT-Bench's form, which the user brings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.texts import json_rows

TEMPERATURES: Final[Mapping[str, float]] = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
"""The sampling temperature of answers by category, as MT-Bench has it."""
OTHER_TEMPERATURE: Final = 0.7
"""That of any other category."""
REFERENCED: Final = ("math", "reasoning", "coding")
"""The categories in which the judge sees the right answer."""
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Question:
    """One question of one or more turns.

    Attributes:
        id: its id as a text; unique.
        category: its category.
        turns: the user's messages, in order.
        references: the right answer of each turn, as far as it is known; empty where none is.
    """

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()

    @property
    def temperature(self) -> float:
        """The sampling temperature of its answers."""
        return TEMPERATURES.get(self.category, OTHER_TEMPERATURE)

    def reference(self, turns: int) -> tuple[str, ...]:
        """Returns the right answers that the judge of the first `turns` turns sees; empty for none."""
        shown = self.references[:turns]
        return shown if self.category in REFERENCED and len(shown) == turns and all(shown) else ()


def questions_to_json(questions: tuple[Question, ...]) -> list[dict[str, Any]]:
    """Returns questions as JSON values."""
    return [asdict(one) for one in questions]


def questions_from_json(rows: Any) -> tuple[Question, ...]:
    """Returns questions from their JSON values. Raises KeyError or TypeError where they are none."""
    return tuple(Question(row["id"], row["category"], tuple(row["turns"]), tuple(row["references"])) for row in rows)


def read_questions(path: Path, references: Path | None = None) -> tuple[Question, ...]:
    """Returns the questions of a file, with the right answers of another.

    Args:
        path: rows with `question_id`, `category`, `turns`, and perhaps `reference`, a text for each turn.
        references: rows with `question_id` and `choices`, whose first one has a right answer for each turn in `turns`.
            They count more than `reference`. None for no such file.

    Raises:
        UsageError: a file cannot be read, or a row is not of this form; the error has the number of the line.
    """
    found: dict[str, Question] = {}
    for place, row in json_rows(path):
        one = _question(place, row)
        if one.id in found:
            raise UsageError(f"{place}: question_id {one.id!r} is there twice; give each question its own")
        found[one.id] = one
    if not found:
        raise UsageError(f"{path} has no questions; give lines of JSON with question_id, category and turns")
    answers = {} if references is None else _answers(references)
    if answers and not answers.keys() & found.keys():
        raise UsageError(
            f"{references} answers none of the questions in {path}; give the references of these questions"
        )
    return tuple(
        Question(one.id, one.category, one.turns, answers.get(one.id, one.references)) for one in found.values()
    )


def _question(place: str, row: Any) -> Question:
    name = _id(place, row)
    category = row.get("category")
    if not isinstance(category, str) or not category.strip():
        raise UsageError(f"{place}: category is {category!r:.{_SHOWN}}; give a text, such as 'math'")
    turns = row.get("turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(one, str) and one.strip() for one in turns):
        raise UsageError(f"{place}: turns is {turns!r:.{_SHOWN}}; give a list of texts that are not empty")
    own = row.get("reference")
    known = own if isinstance(own, list) and all(isinstance(one, str) for one in own) else []
    return Question(name, category.strip(), tuple(turns), tuple(known))


def _answers(path: Path) -> dict[str, tuple[str, ...]]:
    """Returns the right answers of a file, by question."""
    found: dict[str, tuple[str, ...]] = {}
    for place, row in json_rows(path):
        name = _id(place, row)
        if name in found:
            raise UsageError(f"{place}: question_id {name!r} is there twice; give each question one right answer")
        choices = row.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        turns = first.get("turns") if isinstance(first, Mapping) else None
        if not isinstance(turns, list) or not turns or not all(isinstance(one, str) for one in turns):
            way = "give a list whose first entry has `turns`, a list of texts"
            raise UsageError(f"{place}: choices is {choices!r:.{_SHOWN}}; {way}")
        found[name] = tuple(turns)
    if not found:
        raise UsageError(f"{path} has no right answers; give lines of JSON with question_id and choices")
    return found


def _id(place: str, row: Any) -> str:
    if not isinstance(row, Mapping):
        raise UsageError(f"{place} is {row!r:.{_SHOWN}}; give a JSON object")
    name = row.get("question_id")
    if isinstance(name, bool) or not isinstance(name, int | str) or not str(name).strip():
        raise UsageError(f"{place}: question_id is {name!r:.{_SHOWN}}; give a number or a text")
    return str(name)
