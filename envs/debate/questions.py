"""Questions with gold answers, from the user's file or from TriviaQA through the package `datasets`.

A file has one of these forms:
    - PBT's JSON lines: `question_id`, `question`, and `answer` with `normalized_aliases`, as TriviaQA's data set on the
      Hugging Face hub has it.
    - TriviaQA's own JSON: `Data`, a list of `QuestionId`, `Question` and `Answer` with `NormalizedAliases`.
    - Rows of your own, as JSON lines or a JSON array: `question`, and `answer` or `answers`; optionally `id` and
      `choices`.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from josh.envs.debate.answers import normalise
from josh.envs.debate.quiz import PROPERTIES
from josh.errors import UsageError
from josh.seeds import derive, id_of_text
from josh.texts import json_rows, read_text
from josh.threads import plain

DATASETS: Final = ("datasets", "hf")
"""Instead of a file: TriviaQA through the package `datasets`; `datasets:validation` names another of its splits."""
TRIVIA_QA: Final = ("mandarjoshi/trivia_qa", "rc.web.nocontext")
WRONG: Final = 3
"""How many wrong answers a question without choices borrows from other questions."""

_QUESTION = ("question", "Question")
_ID = ("question_id", "QuestionId", "id")
_ANSWER = ("answer", "Answer", "answers")
_FIRST = ("value", "Value", "normalized_value", "NormalizedValue")
_ALIASES = ("normalized_aliases", "NormalizedAliases", "aliases", "Aliases")


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        id: unique in its file and stable.
        text: the question.
        gold: the right answer's names in normal form, the usual one first; at least one.
        choices: possible answers, the right one among them; may be empty.
    """

    id: str
    text: str
    gold: tuple[str, ...]
    choices: tuple[str, ...] = ()


def load_questions(given: str) -> list[Question]:
    """Returns the questions of a file, or of TriviaQA.

    Args:
        given: a path, or `datasets` or `hf`, with `:SPLIT` behind it for another split than `train`.

    Raises:
        UsageError: the file cannot be read or is empty; a row is no question, has no gold answer, or has the id of
            another row; `datasets` is missing or cannot load the data.
    """
    name, _, split = given.partition(":")
    found: list[Question] = []
    places: dict[str, str] = {}
    for place, row in _from_datasets(split or "train") if name in DATASETS else _rows(Path(given)):
        question = read_question(row, place)
        if question.id in places:
            raise UsageError(f"{place}: the question {question.id!r} is in {places[question.id]} already; keep one")
        places[question.id] = place
        found.append(question)
    if not found:
        raise UsageError(f"{given} has no questions; give JSON lines with question and answer")
    return found


def read_question(row: Any, place: str) -> Question:
    """Returns the question in a row.

    Args:
        row: the row.
        place: where the row is, for error messages.

    Raises:
        UsageError: see `load_questions`.
    """
    if not isinstance(row, Mapping):
        raise UsageError(f"{place} is {row!r:.60}; give an object with question and answer")
    text = _first(row, _QUESTION)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{place} has no question; give a text as `question`")
    given = [row[name] for name in _ANSWER if row.get(name) is not None]
    gold = tuple(dict.fromkeys(filter(None, map(normalise, _texts(given, place)))))
    if not gold:
        raise UsageError(f"{place}: the question has no gold answer; give a text as `answer`, or several as `answers`")
    choices = row.get("choices") or ()
    if not isinstance(choices, list | tuple) or not all(isinstance(one, str) and normalise(one) for one in choices):
        raise UsageError(f"{place}: choices is {choices!r:.60}; give a list of texts")
    if choices and not any(normalise(one) in gold for one in choices):
        raise UsageError(f"{place}: the choices lack the gold answer {gold[0]!r}; add it")
    if choices and all(normalise(one) in gold for one in choices):
        raise UsageError(f"{place}: all choices are right; add a wrong one")
    number = _first(row, _ID)
    if number is not None and (isinstance(number, bool) or not isinstance(number, str | int) or number == ""):
        raise UsageError(f"{place}: the id is {number!r:.60}; give a text")
    name = id_of_text(text) if number is None else str(number)
    return Question(name, text.strip(), gold, tuple(choices))


def wrong_answers(questions: Sequence[Question], at: int) -> list[str]:
    """Returns wrong answers to one of some questions, in normal form: the gold answers of others, drawn by its id.

    Where the others give too few, made-up ones follow, so that there are always `WRONG`.
    """
    question = questions[at]
    rng = Random(derive("wrong", question.id))
    found: list[str] = []
    for _try in range(10 * WRONG):
        other = questions[int(rng.random() * len(questions))].gold[0]
        if other not in question.gold and other not in found:
            found.append(other)
        if len(found) == WRONG:
            return found
    made_up = [value for values in PROPERTIES.values() for value in values]
    return [*found, *(one for one in made_up if one not in question.gold and one not in found)][:WRONG]


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields the rows of a file, each with its place."""
    text = read_text(path)
    if text.lstrip().startswith("{"):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            whole = None  # JSON lines, or no JSON at all
        if isinstance(whole, dict) and _first(whole, _QUESTION) is None:
            data = whole.get("Data")
            if "\n" not in text.strip() and not any(isinstance(value, list) for value in whole.values()):
                yield f"{path} line 1", whole
                return
            if not isinstance(data, list):
                raise UsageError(f"{path} has no list `Data`; give TriviaQA's JSON, or JSON lines of questions")
            yield from ((f"{path} question {number}", row) for number, row in enumerate(data, start=1))
            return
        if whole is not None:
            yield f"{path} line 1", whole
            return
    yield from (one for one in json_rows(path) if one[1] != [])  # an empty array


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _texts(given: Any, place: str) -> Iterator[str]:
    """Yields the answers in a row's fields, the usual name first."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, bool):
        raise UsageError(f'{place}: the answer is {str(given).lower()}; give a text, such as "yes"')
    elif isinstance(given, int | float):
        yield f"{given:g}" if isinstance(given, float) else str(given)
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _texts(each, place)
    elif isinstance(given, Mapping):
        for name in (*_FIRST, *_ALIASES):
            if given.get(name) is not None:
                yield from _texts(given[name], place)
    elif given is not None:
        raise UsageError(f"{place}: the answer is {given!r:.60}; give a text")


def _from_datasets(split: str) -> Iterator[tuple[str, Any]]:
    """Yields the rows of TriviaQA's data set. Raises UsageError where `datasets` is missing or cannot load it."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise UsageError(
            "questions through `datasets` need the package datasets: pip install datasets; or give a file"
        ) from None
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.CRITICAL)  # it logs every attempt
    try:
        rows = load_dataset(*TRIVIA_QA, split=split)
    except Exception as error:
        why = re.sub(r" \(\w+\)$", "", plain(error))
        raise UsageError(
            f"datasets cannot load {TRIVIA_QA[0]} {TRIVIA_QA[1]}, split {split}: {why}; give a file"
        ) from None
    finally:
        hub.setLevel(level)
    yield from ((f"TriviaQA {split} row {number}", row) for number, row in enumerate(rows, start=1))
