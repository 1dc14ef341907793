"""The judge's part of a probe: scores of single answers, and comparisons of both models' answers in both orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from josh.messages import Message
from josh.models.chat import ChatModel
from josh.runs.probe.answers import Answers
from josh.runs.probe.asking import Asker, Place, Said, together
from josh.runs.probe.judge import FIRST, NEITHER, SECOND, choice_in, pairwise_request, score_in, single_request
from josh.runs.probe.questions import Question
from josh.runs.probe.settings import BASELINE, BOTH, JUDGE, MODEL, PAIRWISE, SIDES, SINGLE

WIN, TIE, LOSS, UNREADABLE, MISSING = "win", "tie", "loss", "unreadable", "missing"
"""What became of a pair of answers, from the model's side. `MISSING`: an answer or a verdict could not be had."""
_SWAPPED: Final = {FIRST: SECOND, SECOND: FIRST, NEITHER: NEITHER, "": ""}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One reply of the judge.

    Attributes:
        mode: `single` or `pairwise`.
        first: the side whose answer is judged, or that stands first.
        said: the reply.
    """

    mode: str
    first: str
    said: Said


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models' answers to one turn of a question, as the judge sees them.

    Attributes:
        question: the question's id.
        category: its category.
        turn: the turn, from 1.
        outcome: `WIN`, `TIE`, `LOSS`, `UNREADABLE` or `MISSING`; None where the judge did not compare.
        consistent: whether the verdicts of both orders agree; None where no two verdicts can be read.
        scores: the scores of the baseline and of the model; None for one that cannot be read or had.
        unreadable_scores: number of scores that cannot be read.
        lengths: characters of the baseline's and of the model's answer.
        same: whether the answers up to this turn are the same, so that the judge is not asked to compare them.
        referenced: whether the judge sees a right answer.
        verdicts: the judge's replies.
    """

    question: str
    category: str
    turn: int
    outcome: str | None = None
    consistent: bool | None = None
    scores: tuple[float | None, float | None] = (None, None)
    unreadable_scores: int = 0
    lengths: tuple[int, int] = (0, 0)
    same: bool = False
    referenced: bool = False
    verdicts: tuple[Verdict, ...] = ()

    @property
    def failed(self) -> int:
        """Number of verdicts that could not be had."""
        return sum(one.said.reply is None for one in self.verdicts)


def most_verdicts(questions: Sequence[Question], mode: str) -> int:
    """Returns how many verdicts `judged` asks for, at most."""
    each = {SINGLE: 2, PAIRWISE: 2, BOTH: 4}[mode]
    return each * sum(len(one.turns) for one in questions)


async def judged(
    asker: Asker, model: ChatModel, questions: Sequence[Question], baseline: Answers, tuned: Answers, mode: str
) -> list[Pair]:
    """Returns the judged pairs of answers, one for each turn of each question.

    Args:
        asker: the models.
        model: the judge's model.
        questions: the questions.
        baseline: the baseline's answers.
        tuned: the model's answers.
        mode: `single`, `pairwise` or `both`.
    """
    work = []
    for order, question in enumerate(questions):
        answers = {BASELINE: baseline.turns[order], MODEL: tuned.turns[order]}
        for turn in range(1, len(question.turns) + 1):
            work.append(_judged(asker, model, question, turn, answers, mode, order))
    return await together(work)


async def _judged(
    asker: Asker,
    model: ChatModel,
    question: Question,
    turn: int,
    answers: dict[str, list[Said]],
    mode: str,
    order: int,
) -> Pair:
    texts = {side: [one.text for one in said[:turn] if one.reply is not None] for side, said in answers.items()}
    whole = all(len(found) == turn for found in texts.values())
    compared = mode != SINGLE
    if not whole:
        return Pair(question.id, question.category, turn, MISSING if compared else None)
    same = texts[BASELINE] == texts[MODEL]

    async def ask(kind: str, first: str, messages: list[Message]) -> Verdict:
        place = Place(f"question {question.id}", f"{kind} {first}", turn - 1, order)
        said = await asker.ask(JUDGE, model, place, messages, temperature=None, max_tokens=None)
        return Verdict(kind, first, said)

    asked = []
    if mode != PAIRWISE:
        scored = SIDES[:1] if same else SIDES
        asked += [ask(SINGLE, side, single_request(question, texts[side])) for side in scored]
    if compared and not same:
        for side, other in (SIDES, SIDES[::-1]):
            asked.append(ask(PAIRWISE, side, pairwise_request(question, texts[side], texts[other])))
    verdicts: list[Verdict] = await together(asked)
    singles = {one.first: one.said for one in verdicts if one.mode == SINGLE}
    if same and singles:
        singles[MODEL] = singles[BASELINE]
    outcome, consistent = _outcome(verdicts, same) if compared else (None, None)
    return Pair(
        question.id,
        question.category,
        turn,
        outcome,
        consistent,
        (_score(singles.get(BASELINE)), _score(singles.get(MODEL))),
        sum(one.reply is not None and score_in(one.text) is None for one in singles.values()),
        (len(texts[BASELINE][-1]), len(texts[MODEL][-1])),
        same,
        bool(question.reference(turn)),
        tuple(verdicts),
    )


def _score(said: Said | None) -> float | None:
    return None if said is None or said.reply is None else score_in(said.text)


def _outcome(verdicts: Sequence[Verdict], same: bool) -> tuple[str, bool | None]:
    """Returns what became of a pair, and whether both orders agree."""
    if same:
        return TIE, None
    found = {one.first: one.said for one in verdicts if one.mode == PAIRWISE}
    if any(one.reply is None for one in found.values()):
        return MISSING, None
    choices = {BASELINE: choice_in(found[BASELINE].text), MODEL: _SWAPPED[choice_in(found[MODEL].text)]}
    if not all(choices.values()):
        return UNREADABLE, None
    if choices[BASELINE] != choices[MODEL]:
        return TIE, False
    return {FIRST: LOSS, SECOND: WIN, NEITHER: TIE}[choices[BASELINE]], True
