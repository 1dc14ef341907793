"""What speakers without a model answer and say in a debate; the same for both roles.

The scripted speakers (keeper, yielder, oracle, doubter) are reference policies. The offline debater is meant to learn
from: its words show whether it is likely to be right, so a learner can find out from the text when to accept. All
texts are short, and together they use about 100 words besides those of the questions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from types import MappingProxyType
from typing import Any, Final

from josh.config import setting
from josh.envs.debate.answers import normalise, same
from josh.envs.debate.quiz import PROPERTIES
from josh.roles import Task, TurnModel
from josh.seeds import derive


@dataclass(frozen=True, slots=True)
class Position:
    """What a speaker knows when it takes its turn.

    Attributes:
        task: the question.
        speaker: `agent` or `user`.
        mine: its last answer, in normal form; None before its first turn.
        theirs: the partner's last answer that it heard; None for none.
        knows: share of the questions that it answers right at first; see `Opening`.
    """

    task: Task
    speaker: str
    mine: str | None = None
    theirs: str | None = None
    knows: float | None = None

    @property
    def gold(self) -> str:
        """The right answer."""
        return str(self.task.data["gold"][0])

    @property
    def wrong(self) -> Sequence[str]:
        """Wrong answers in normal form, at least two: the other choices, else those of other questions, else others."""
        return wrong_answers(self.task.data)

    @property
    def first(self) -> str:
        """The answer that a scripted speaker begins with.

        It is the task's `first` for the speaker, where the task has one. Otherwise, with `knows`, the place of the task
        decides whether it is right: of every ten tasks in a row, `knows` = 0.4 has four right. Without, a hash of the
        question decides which of the two speakers begins with the right answer; the other one begins with a wrong one.
        """
        given = (self.task.data.get("first") or {}).get(self.speaker)
        if given is not None:
            return normalise(str(given))
        if self.knows is not None:
            share, place = Fraction(str(self.knows)), self.task.index
            return self.gold if int(share * (place + 1)) > int(share * place) else self.wrong[0]
        right = derive("first", self.task.id) % 2 == (self.speaker == "agent")
        return self.gold if right else self.wrong[0]


def wrong_answers(data: Mapping[str, Any]) -> list[str]:
    """Returns wrong answers to a question in normal form, at least two."""
    gold = frozenset(data["gold"])
    offered = [*map(normalise, data.get("choices") or ()), *map(normalise, data.get("wrong") or ())]
    made_up = [value for values in PROPERTIES.values() for value in values[:1]]
    found = list(dict.fromkeys(each for each in offered if each and each not in gold))
    return found if len(found) > 1 else [*found, *(each for each in made_up if each not in (*gold, *found))]


def keep(position: Position) -> str:
    """Returns the speaker's answer, or its first one."""
    return position.mine or position.first


def give_way(position: Position) -> str:
    """Returns the partner's last answer; before it is heard, the speaker's own."""
    return position.theirs or keep(position)


def know(position: Position) -> str:
    """Returns the right answer."""
    return position.gold


def doubt(position: Position) -> str:
    """Returns another wrong answer than before, not the partner's if there is a further one; at first the first one."""
    if position.mine is None:
        return position.first
    others = [each for each in position.wrong if each != position.mine]
    return next((each for each in others if each != position.theirs), others[0])


SCRIPTS: Final[Mapping[str, Callable[[Position], str]]] = MappingProxyType(
    {"keeper": keep, "yielder": give_way, "oracle": know, "doubter": doubt}
)
"""How the scripted speakers choose their answer, by name."""


def scripted_text(position: Position, answer: str) -> str:
    """Returns the words of a scripted speaker."""
    if position.mine is None:
        begin = "I think it is this."
    elif same(answer, position.mine, position.task.data["gold"]):
        begin = "No, I keep my answer." if position.theirs else "Yes, I keep my answer."
    elif same(answer, position.theirs, position.task.data["gold"]):
        begin = "Yes, you are right."
    else:
        begin = "I was wrong before."
    return f"{begin} Final answer: {answer}."


@dataclass(frozen=True, slots=True)
class Opening:
    """The settings of a scripted speaker."""

    knows: float | None = setting(
        None,
        "share of the questions that it answers right at first, exactly (default: those that its partner gets wrong)",
        least=0,
        most=1,
    )


@dataclass(frozen=True, slots=True)
class Traits:
    """The settings of an offline debater."""

    knows: float = setting(0.5, "share of the questions that it answers right at first", least=0, most=1)
    honest: float = setting(0.88, "share of its answers whose words fit whether they are right", least=0, most=1)
    yields: float = setting(0.5, "share of its turns without a directive that accept the partner's", least=0, most=1)


SURE: Final = (
    "I read it in the atlas.",
    "I saw it in the town museum.",
    "The old chronicle names it.",
    "A traveller showed me a picture.",
)
UNSURE: Final = (
    "I am only guessing.",
    "It is just a feeling.",
    "I do not really remember.",
    "I may mix up two towns.",
)
"""What an offline debater says of its answer: a source where it is likely to be right, a hedge where it is not."""
STYLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "logical": ("All the other answers fail for a reason.", "Step by step, nothing else can fit."),
        "emotional": ("Please believe me, this means so much to me.", "It would make me so happy."),
        "credibility": ("I have taught this for twenty years.", "People always come to me with this."),
    }
)
"""What it says for a directive to persuade; says nothing of whether it is right."""
BEGIN: Final = ("I think it is {answer}.", "My answer is {answer}.", "I say {answer}.")
KEEP: Final = ("No, I keep {answer}.", "I disagree, it is {answer}.", "I still say {answer}.")
TAKE: Final = ("Yes, you are right.", "I agree with you.", "Good, I take your answer.")


def offline_turn(position: Position, directive: str | None, traits: Traits, model: TurnModel) -> tuple[str, str]:
    """Returns the answer and the words of an offline debater's turn.

    It answers right at first with the probability `knows`, the same for all siblings of a first turn. Later it keeps
    its answer under `resist`, `logical`, `emotional` and `credibility`, takes over the partner's under `accept`, and
    under any other directive or none does the one or the other by chance, whoever is right.

    Args:
        position: what it knows.
        directive: the name of the turn's directive.
        traits: its settings.
        model: gives the seeds.
    """
    rng = Random(model.draw())
    gold = position.task.data["gold"]
    if position.mine is None:
        right = Random(model.shared_draw()).random() < traits.knows
        answer, begin = position.gold if right else rng.choice(position.wrong), rng.choice(BEGIN)
    else:
        gives_way = directive == "accept" or (directive not in _KEEPING and rng.random() < traits.yields)
        answer = position.theirs if gives_way and position.theirs is not None else position.mine
        taken = same(answer, position.theirs, gold) and not same(answer, position.mine, gold)
        begin = rng.choice(TAKE if taken else KEEP)
    said = [begin.format(answer=answer)]
    if begin not in TAKE:
        fits = Random(derive("sure", position.task.id, position.speaker, answer)).random() < traits.honest
        sure = (answer in gold) == fits
        said.append(rng.choice(SURE if sure else UNSURE))
    if styles := STYLES.get(directive or ""):
        said.append(rng.choice(styles))
    return answer, f"{' '.join(said)} Final answer: {answer}."


_KEEPING: Final = frozenset(("resist", *STYLES))
