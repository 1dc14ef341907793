"""What both models of a probe are asked: items, open prompts for the drift, and the turns of the questions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from josh.messages import Message
from josh.models.chat import ChatModel
from josh.models.hf import LOGPROBS_OF
from josh.runs.probe.asking import Asker, Place, Said, together
from josh.runs.probe.items import ITEMS, OPEN_PROMPTS
from josh.runs.probe.questions import Question

ITEM_TOKENS: Final = 160
"""Most tokens of a reply to an item, unless a setting says so."""
OPEN_TOKENS: Final = 64
"""Most tokens of a reply to an open prompt."""
QUESTION_TOKENS: Final = 1024
"""Most tokens of an answer to a question, unless a setting says so; MT-Bench has the same limit."""


@dataclass(slots=True)
class Answers:
    """The replies of one side.

    Attributes:
        items: the replies to the items, in their order.
        open: the replies to the open prompts, in their order, sampled at temperature 1; empty without a drift.
        weighed: for each open prompt, the log-probabilities of the baseline's reply under this side; None where there
            are none.
        turns: the answers to each question, turn by turn; those after a failed one are missing.
    """

    items: list[Said] = field(default_factory=list)
    open: list[Said] = field(default_factory=list)
    weighed: list[tuple[float, ...] | None] = field(default_factory=list)
    turns: list[list[Said]] = field(default_factory=list)

    @property
    def graded(self) -> list[Said]:
        """The replies to items and questions, whose length is not limited on purpose."""
        return [*self.items, *(one for answers in self.turns for one in answers)]

    @property
    def all(self) -> list[Said]:
        """All replies of the side to items, prompts and questions."""
        return [*self.items, *self.open, *(one for answers in self.turns for one in answers)]


def requests(questions: Sequence[Question], *, drift: bool) -> int:
    """Returns how many requests `answer` sends for one side."""
    return len(ITEMS) + sum(len(one.turns) for one in questions) + 2 * len(OPEN_PROMPTS) * drift


async def answer(
    asker: Asker,
    side: str,
    model: ChatModel,
    questions: Sequence[Question],
    *,
    drift: bool,
    baseline: Answers | None = None,
) -> Answers:
    """Ask one side everything.

    Args:
        asker: the models.
        side: `MODEL` or `BASELINE`.
        model: the side's model.
        questions: the questions for a judge; none where there is no judge.
        drift: whether to measure the drift.
        baseline: the replies of the baseline; None where the side is the baseline itself.
    """

    async def item(number: int) -> Said:
        place = Place(f"item {ITEMS[number].id}", order=number)
        messages = [_user(ITEMS[number].prompt)]
        return await asker.ask(side, model, place, messages, temperature=0.0, max_tokens=ITEM_TOKENS)

    async def open_reply(number: int) -> Said:
        place = Place(f"open {number}", order=len(ITEMS) + number)
        messages = [_user(OPEN_PROMPTS[number])]
        return await asker.ask(side, model, place, messages, temperature=1.0, max_tokens=OPEN_TOKENS, as_the_model=True)

    async def turns(number: int) -> list[Said]:
        return await _turns(asker, side, model, questions[number], len(ITEMS) + len(OPEN_PROMPTS) + number)

    found = Answers()
    work = [item(number) for number in range(len(ITEMS))]
    work += [open_reply(number) for number in range(len(OPEN_PROMPTS) * drift)]
    done = await together([*work, *(turns(number) for number in range(len(questions)))])
    found.items, rest = done[: len(ITEMS)], done[len(ITEMS) :]
    found.open, found.turns = rest[: len(rest) - len(questions)], rest[len(rest) - len(questions) :]
    if drift:
        own = found if baseline is None else baseline
        weighed = [_weighed(asker, side, model, number, own, found) for number in range(len(OPEN_PROMPTS))]
        found.weighed = await together(weighed)
    return found


async def _turns(asker: Asker, side: str, model: ChatModel, question: Question, order: int) -> list[Said]:
    """Returns a model's answers to the turns of a question, up to the first that failed."""
    messages: list[Message] = []
    found: list[Said] = []
    for depth, asked in enumerate(question.turns):
        messages.append(_user(asked))
        place = Place(f"question {question.id}", depth=depth, order=order)
        said = await asker.ask(
            side, model, place, list(messages), temperature=question.temperature, max_tokens=QUESTION_TOKENS
        )
        found.append(said)
        if said.reply is None:
            break
        messages.append({"role": "assistant", "content": said.text})
    return found


async def _weighed(
    asker: Asker, side: str, model: ChatModel, number: int, baseline: Answers, own: Answers
) -> tuple[float, ...] | None:
    """Returns the log-probability of each token of the baseline's reply under a model; None where it cannot be had.

    The tokens must mean the same to both models: their prompts must consist of the same tokens.
    """
    theirs, mine = baseline.open[number].reply, own.open[number].reply
    if theirs is None or mine is None or not theirs.token_ids or theirs.prompt_ids != mine.prompt_ids:
        asker.asked += 1
        return None
    place = Place(f"drift {number}", order=number)
    options: dict[str, Any] = {LOGPROBS_OF: {"tokens": list(theirs.token_ids)}}
    said = await asker.ask(
        side,
        model,
        place,
        [_user(OPEN_PROMPTS[number])],
        temperature=1.0,
        max_tokens=None,
        as_the_model=True,
        **options,
    )
    return None if said.reply is None else said.reply.logprobs


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def passed(answers: Answers) -> list[bool | None]:
    """Returns for each item whether a side's reply is right; None where there is no reply."""
    return [
        None if said.reply is None else item.grader(said.text) for item, said in zip(ITEMS, answers.items, strict=True)
    ]
