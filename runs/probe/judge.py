"""What the judge of a probe is asked, and how its verdicts are read.

The judge sees a question with all turns up to the judged one. It gives one answer a score (`[[1]]` to `[[10]]`), or
says which of two answers is better (`[[A]]`, `[[B]]`, or `[[C]]` for neither). A verdict that is not in this form is
unreadable: it is counted, and never guessed.
"""

import re
from collections.abc import Sequence
from typing import Final

from josh.messages import Message
from josh.runs.probe.questions import Question

FIRST, SECOND, NEITHER = "A", "B", "C"
_SCORE = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")
_CHOICE = re.compile(r"\[\[\s*([ABC])\s*\]\]")
LOWEST, HIGHEST = 1.0, 10.0

_SINGLE: Final = (
    "You grade the work of an assistant. You will see what a user asked and what the assistant replied. Judge the "
    "assistant's last reply only: does it do what the user asks, is it correct, complete enough, clear, and as long as "
    "the request needs? A long reply is not better for its length.{reference} First give your reasons in a few "
    "sentences. Then end with a whole number from 1 (useless) to 10 (could not be better) in double brackets on a line "
    "of its own, such as: [[5]]"
)
_PAIRWISE: Final = (
    "You compare the work of two assistants, A and B, who got the same requests of a user. Compare their last replies "
    "only: which one does better what the user asks, and is more correct, complete and clear? The order in which you "
    "see them means nothing, and a long reply is not better for its length.{reference} First give your reasons in a "
    "few sentences. Then end with your verdict in double brackets on a line of its own: [[A]] if the reply of A is "
    "better, [[B]] if that of B is better, [[C]] if neither is."
)
_REFERENCE: Final = (
    " You also see a right answer. Work out the differences from it before you judge; another way to the same result "
    "is as good."
)


def single_request(question: Question, answers: Sequence[str]) -> list[Message]:
    """Returns the request for a score of the last of some answers.

    Args:
        question: the question.
        answers: the assistant's answers to its first turns; at least one.
    """
    body = [*_reference(question, len(answers)), "## Conversation", *_conversation(question, answers, "Assistant")]
    return _request(_SINGLE, question, len(answers), body)


def pairwise_request(question: Question, first: Sequence[str], second: Sequence[str]) -> list[Message]:
    """Returns the request for a comparison of the last ones of two assistants' answers.

    Args:
        question: the question.
        first: the answers of assistant A to its first turns; at least one.
        second: those of assistant B; equally many.
    """
    body = [
        *_reference(question, len(first)),
        "## Conversation with assistant A",
        *_conversation(question, first, "Assistant A"),
        "## Conversation with assistant B",
        *_conversation(question, second, "Assistant B"),
    ]
    return _request(_PAIRWISE, question, len(first), body)


def score_in(text: str) -> float | None:
    """Returns the score of a verdict; None where the text has none from 1 to 10, or several different ones."""
    found = {float(one) for one in _SCORE.findall(text)}
    score = found.pop() if len(found) == 1 else None
    return score if score is not None and LOWEST <= score <= HIGHEST else None


def choice_in(text: str) -> str:
    """Returns `A`, `B` or `C`, the choice of a verdict; empty where the text has none, or several different ones."""
    found = set(_CHOICE.findall(text))
    return str(found.pop()) if len(found) == 1 else ""


def _request(system: str, question: Question, turns: int, body: Sequence[str]) -> list[Message]:
    shown = _REFERENCE if question.reference(turns) else ""
    return [
        {"role": "system", "content": system.format(reference=shown)},
        {"role": "user", "content": "\n\n".join(body)},
    ]


def _reference(question: Question, turns: int) -> list[str]:
    known = question.reference(turns)
    if not known:
        return []
    pairs = [
        f"### User\n{asked}\n\n### Right answer\n{answer}" for asked, answer in zip(question.turns, known, strict=False)
    ]
    return ["## A right answer", *pairs]


def _conversation(question: Question, answers: Sequence[str], who: str) -> list[str]:
    return [f"### User\n{asked}\n\n### {who}\n{answer}" for asked, answer in zip(question.turns, answers, strict=False)]
