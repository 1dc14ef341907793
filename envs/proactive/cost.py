"""The price of an agent's messages, and what remains of a task's reward: reward = w_task * task - w_interrupt * cost.

Formula v1 prices one message with `alpha * (w1 * questions + w2 * rejected + w3 * long + w4 * off_topic)`; the last
three are 0 or 1. Formula v2 prices every question of a message with `-g` where the user answers, `d + l` where the user
rejects, and `l` where the user does neither. A conversation costs the sum of its messages. Both formulas are those of
ProactiveLLM, at its README and at its later code.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from josh.config import setting
from josh.envs.proactive.questions import question_acts
from josh.errors import UsageError

FORMULAS: Final = ("v1", "v2")
W_INTERRUPT: Final = {"v1": 1.0, "v2": 0.1}
"""The weight of the cost where none is given, by formula."""
_DIGITS: Final = 10
"""Decimal places of results, so that .6 * .4 * 2 is .48."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a reward. The defaults are the published ones."""

    formula: str = setting("v1", "how a message is priced", choices=FORMULAS)
    w_task: float = setting(1.0, "weight of the task's score")
    w_interrupt: float | None = setting(None, "weight of the cost; by default 1 with v1 and 0.1 with v2")
    alpha: float = setting(0.6, "v1: factor of a message's cost", least=0)
    w1: float = setting(0.4, "v1: cost of a question", least=0)
    w2: float = setting(1.0, "v1: cost of a rejection", least=0)
    w3: float = setting(0.3, "v1: cost of a message of more than 200 words", least=0)
    w4: float = setting(0.7, "v1: cost of a message off topic", least=0)
    g: float = setting(0.3, "v2: gain of an answered question", least=0)
    d: float = setting(0.7, "v2: cost of a rejected question", least=0)
    l: float = setting(0.0, "v2: cost of an ignored or rejected question", least=0)  # noqa: E741 - the published name
    max_questions: int = setting(3, "questions of one message that count at most", least=0)
    long_words: int = setting(200, "v1: words beyond which a message is long", least=0)

    @property
    def interrupt(self) -> float:
        """The weight of the cost."""
        return W_INTERRUPT[self.formula] if self.w_interrupt is None else self.w_interrupt


_OF_FORMULA: Final[Mapping[str, str]] = MappingProxyType(
    {**dict.fromkeys(("alpha", "w1", "w2", "w3", "w4", "long_words"), "v1"), **dict.fromkeys(("g", "d", "l"), "v2")}
)
"""The weights that one formula alone has."""


def unpriced(given: Mapping[str, Any]) -> dict[str, str]:
    """Returns the weights that the chosen formula lacks, each with the reason and the way out.

    One that is given as its default is harmless, and is left out.

    Args:
        given: settings of the rewards that are given, by name.
    """
    formula, defaults = given.get("formula", FORMULAS[0]), asdict(Weights())
    reasons = {home: f"formula {formula} has none; leave it out, or give formula {home}" for home in FORMULAS}
    return {
        name: reasons[home]
        for name, value in given.items()
        if (home := _OF_FORMULA.get(name, formula)) != formula and value != defaults[name]
    }


def require_priced(given: Mapping[str, Any]) -> None:
    """Raises UsageError for a weight that the chosen formula lacks; see `unpriced`."""
    if given.get("formula", FORMULAS[0]) in FORMULAS:
        for name, reason in unpriced(given).items():
            raise UsageError(f"{name} is {given[name]}, but {reason}")


@dataclass(frozen=True, slots=True)
class Message:
    """What the price of one of the agent's messages depends on.

    Attributes:
        questions: question marks outside code.
        words: words, by white space.
        answered: whether the user answers.
        rejected: whether the user rejects it.
        off_topic: whether it is off topic.
    """

    questions: int
    words: int = 0
    answered: bool = False
    rejected: bool = False
    off_topic: bool = False


def message_of(text: str, meta: Mapping[str, Any]) -> Message:
    """Returns what counts of a message.

    Args:
        text: the message.
        meta: how the user reacts: `answered_clarification`, `reject_signal` and `off_topic_flag`, each absent, true or
            false, 1 or 0.
    """
    return Message(
        question_acts(text),
        len(text.split()),
        bool(meta.get("answered_clarification")),
        bool(meta.get("reject_signal")),
        bool(meta.get("off_topic_flag")),
    )


def message_cost(message: Message, weights: Weights) -> float:
    """Returns the cost of one message; negative where v2 rewards an answered question."""
    questions = min(message.questions, weights.max_questions)
    if weights.formula == "v1":
        long = message.words > weights.long_words
        cost = weights.alpha * (
            weights.w1 * questions + weights.w2 * message.rejected + weights.w3 * long + weights.w4 * message.off_topic
        )
    elif message.answered:
        cost = -weights.g * questions
    else:
        cost = questions * (weights.d * message.rejected + weights.l)
    return _tidy(cost)


def interrupt_cost(messages: Iterable[Message], weights: Weights) -> float:
    """Returns the cost of a conversation: the sum over the agent's messages."""
    return _tidy(sum(message_cost(message, weights) for message in messages))


def reward(task: float | None, cost: float, weights: Weights) -> float | None:
    """Returns the reward of a conversation; None where its task has no score.

    Args:
        task: the task's score, from 0 to 1; None where nothing scores it.
        cost: the cost of the conversation.
        weights: the weights.
    """
    return None if task is None else _tidy(weights.w_task * task - weights.interrupt * cost)


def _tidy(number: float) -> float:
    return round(number, _DIGITS) + 0.0  # -0.0 becomes 0.0
