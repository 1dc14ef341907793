"""A persuadee without a model: a statistical donor, calibrated on Persuasion for Good (Wang et al., ACL 2019).

The donor reads the persuader's words as acts (`acts.py` of the world). Every act changes the person's willingness, and
once per turn the person decides whether to give. The numbers have three sources, and each constant names its source:

- corpus: estimated from the 1,017 surveys and donations (who gives, how much) or from the 300 annotated dialogues
  (which act is followed by a commitment or by which reaction);
- tuned: chosen so that human act sequences, replayed, give the corpus's donation rate and mean;
- design: our own choice of size, with the sign taken from the corpus where it has one.

So replayed human dialogues match the corpus by construction: that is calibration, not validation. This donor's
answers to a policy that no human played depend on the design constants. Never report its donation rate as an effect on
people.
"""

import copy
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import Any, ClassVar, Final

from josh.envs.persuasion import acts as s
from josh.envs.persuasion.donation import DONATION
from josh.errors import UsageError
from josh.messages import Message, flip_roles
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.seeds import derive
from josh.users.persuasion import donor_phrases

AGREE: Final = "agree-donation"
NAME_AMOUNT: Final = "provide-donation-amount"
REFUSE: Final = "disagree-donation"
REFUSE_MORE: Final = "disagree-donation-more"
LEAVE: Final = "leave"


@dataclass(frozen=True, slots=True)
class Person:
    """The person that the donor plays.

    Attributes:
        propensity: log-odds of giving relative to the average person; the sum of traits and a personal part.
        generosity: how high this person's gifts rank among donors' gifts, in standard deviations.
    """

    propensity: float = 0.0
    generosity: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """The person's state in one conversation.

    Attributes:
        turns: persuader turns heard so far.
        willingness: trust and interest won so far; starts at 0 and never falls.
        reactance: resistance to pressure; at least 0, fades by a tenth per turn.
        uses: in how many turns each act of `COUNTED` has been heard; empty before the first turn.
        opened: whether either side has mentioned giving.
        refusals: how often the person has said no.
    """

    turns: int = 0
    willingness: float = 0.0
    reactance: float = 0.0
    uses: tuple[int, ...] = ()
    opened: bool = False
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """The person's answer to one turn.

    Attributes:
        act: a persuadee act of the corpus, or `leave`.
        amount: dollars committed, in [0.01, 2]; 0.0 for a final refusal; None without a decision.
        leaves: whether the conversation is over.
    """

    act: str
    amount: float | None = None
    leaves: bool = False


def propensity(traits: Mapping[str, float | int | str | None]) -> float:
    """Returns the part of a person's log-odds of giving that the survey explains; 0 for the average persuadee (corpus).

    It is a ridge logit of donating on the 32 survey attributes. It separates donors from others only weakly (AUC .63
    across people), so that its standard deviation is about .5.

    Args:
        traits: attribute name to value. A missing value, None and an unknown category count as average.

    Raises:
        UsageError: a numeric attribute is not a number.
    """
    total = 0.0
    for name, (mean, deviation, slope) in NUMERIC_TRAITS.items():
        value = traits.get(name)
        if value is None or value == "":
            continue
        try:
            number = float(value)
        except ValueError:
            raise UsageError(f"persuadee trait {name} is {value!r}; give a number or None") from None
        if math.isfinite(number):
            total += slope * (number - mean) / deviation
    for name, shifts in CATEGORICAL_TRAITS.items():
        total += shifts.get(str(traits.get(name)), 0.0)
    return TRAIT_SHARE * total


def draw_person(traits: Mapping[str, float | int | str | None], spread: float, seed: int) -> Person:
    """Draws a person with these traits and a personal part.

    Args:
        traits: as for `propensity`.
        spread: standard deviation of the personal part of the log-odds; at least 0.
        seed: the person's own seed; the same seed gives the same person in every conversation.
    """
    rng = Random(seed)
    u = rng.gauss(0.0, 1.0)
    return Person(propensity(traits) + spread * u, 0.3 * u + 0.95 * rng.gauss(0.0, 1.0))


def respond(
    person: Person, state: State, acts: Iterable[str], anchor: float | None, rng: Random
) -> tuple[State, Response]:
    """Answers one persuader turn. A pure function, except for the draws from `rng`.

    Args:
        person: the person who answers.
        state: the conversation so far.
        acts: the persuader acts in the turn (`josh.envs.persuasion.acts.acts`); unknown names count as `other`.
        anchor: the amount in dollars that the turn names; None where it names none.
        rng: the source of the person's random choices.

    Returns:
        The state after the turn, and the response.
    """
    heard = sorted(set(acts))
    before = state.uses or _UNUSED
    uses = list(before)
    willingness, odds, repeats = state.willingness, 0.0, False
    for act in heard:
        place = _PLACES.get(act)
        if place is None:
            continue
        used = before[place]
        uses[place] = used + 1
        willingness += GAIN.get(act, 0.0) * _FADING[min(used, 12)]
        odds += HAZARD.get(act, 0.0)
        repeats = repeats or (used >= 2 and act in _TIRING)
    asked = not s.ASKS.isdisjoint(heard)
    reactance = (
        0.9 * state.reactance
        + (REPEAT_COST if repeats else 0.0)
        + (INSIST_COST if asked and state.refusals else 0.0)
        + (RUSH_COST if asked and not state.turns else 0.0)
    )
    opened = state.opened or asked or not _OPENING.isdisjoint(heard)
    logit = BASE_HAZARD + SHIFT + odds + person.propensity + willingness - reactance + PER_TURN * state.turns
    gives = rng.random() < 1.0 / (1.0 + math.exp(UNOPENED_COST - logit if not opened else -logit))
    refuses = not gives and asked and rng.random() < REFUSAL + REFUSAL_PER_REACTANCE * reactance
    after = State(state.turns + 1, willingness, reactance, tuple(uses), opened or gives, state.refusals + refuses)
    if gives:
        act = NAME_AMOUNT if s.ASK_AMOUNT in heard or s.ASK_MORE in heard else AGREE
        return after, Response(act, _amount(person, willingness, anchor, rng), leaves=True)
    leaves = (refuses and after.refusals >= 2 and rng.random() < LEAVE_REFUSED) or (
        reactance > PATIENCE and rng.random() < LEAVE_PRESSED * (reactance - PATIENCE)
    )
    if leaves:
        final = rng.random() < FINAL_WORD
        return after, Response(REFUSE if final else LEAVE, 0.0 if final else None, leaves=True)
    if refuses:
        return after, Response(REFUSE_MORE if s.ASK_MORE in heard else REFUSE)
    act = _reaction(heard, after, asked, rng)
    return after, Response(act, leaves=act == s.CLOSING)


def _amount(person: Person, willingness: float, anchor: float | None, rng: Random) -> float:
    rank = _PHI(0.8 * person.generosity + 0.6 * rng.gauss(0.0, 1.0) + 0.35 * (willingness - AMOUNT_CENTRE))
    if anchor is not None and 0 < anchor <= DONATION.high:
        place = bisect_left(_AMOUNTS, anchor)
        below = _AMOUNT_RANKS[place - 1] if place else 0.0
        rank = (rank + (below + _AMOUNT_RANKS[place]) / 2) / 2
    return _AMOUNTS[min(bisect_left(_AMOUNT_RANKS, rank), len(_AMOUNTS) - 1)]


def _reaction(heard: list[str], state: State, asked: bool, rng: Random) -> str:
    weights = _mixed(tuple(heard)).copy()
    weights[0] *= math.exp(0.3 * (state.willingness - 0.5))
    upset = math.exp(0.4 * state.reactance)
    weights[1] *= upset
    weights[2] *= 3 * upset if asked else upset
    if state.turns > CURIOUS_TURNS:
        for question in _QUESTIONS:
            weights[question] *= 0.6
    return rng.choices(REACTION_ACTS, weights)[0]


@lru_cache(maxsize=1024)
def _mixed(heard: tuple[str, ...]) -> list[float]:
    rows = [REACTIONS[act] for act in heard if act in REACTIONS] or [REACTIONS[s.OTHER]]
    return [float(sum(column)) for column in zip(*rows, strict=True)]


class Donor(BaseJOSHUser):
    """The statistical persuadee: gives, refuses, asks, stalls or walks away, in fixed sentences.

    It takes the person from `task.data["persuadee"]`: `id` and `traits` (the 32 survey attributes by name, such as
    `agreeable`, `age`, `religion`). The same persuadee is the same person in the whole run. A task without a
    persuadee gets a person with average traits, drawn by the task's id.

    It states a commitment with a donation tag, after which the conversation is over.

    Attributes:
        spread: how much people differ beyond their traits: the standard deviation of the log-odds of giving. The
            corpus's repeat participants suggest 3 (`DonorFirm`: the person matters most); at 0.8 (`DonorMild`) the
            persuader's words matter most. Human act sequences give the same donation rate with all three values.
    """

    spread: ClassVar[float] = 1.5

    def __init__(self, person: Person | None = None) -> None:
        self.person = person or Person()
        self.state = State()
        self.said: frozenset[str] = frozenset()

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the persuadee of this task in this run (`options["seed"]`, 0 by default)."""
        super().start(task, env, options)
        persuadee = task.data.get("persuadee") or {}
        place = persuadee.get("id") or task.id
        seed = derive(options.get("seed", 0), "donor", place)
        self.person = draw_person(persuadee.get("traits") or {}, self.spread, seed)
        self.state = State()
        self.said = frozenset()

    def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Answers the persuader's words since this user's last turn.

        Returns:
            The agent, and whether the conversation is over.
        """
        rng = Random(model.draw())
        text = _latest_words(agent.messages)
        if text is None and not self.state.turns:
            self._say(agent, s.GREETING, (), None, rng)
            return agent, False
        acts = s.acts(text or "")
        self.state, response = respond(self.person, self.state, acts, s.anchor(text or ""), rng)
        self._say(agent, response.act, acts, response.amount, rng)
        return agent, response.leaves

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and the tags in the persuader's words defused."""
        return flip_roles(messages, DONATION.defuse)

    def fork(self) -> "Donor":
        """Returns a copy for a sibling branch. Attributes are replaced and never changed, so that copies share them."""
        return copy.copy(self)

    def _say(self, agent: Any, act: str, acts: Iterable[str], amount: float | None, rng: Random) -> None:
        sentence = donor_phrases.choose(act, acts, amount, self.said, rng)
        self.said |= {sentence}
        agent.add_message({"role": "user", "content": donor_phrases.fill(sentence, amount)})


class DonorMild(Donor):
    """A donor who differs little from others: the persuader's words matter most."""

    spread = 0.8


class DonorFirm(Donor):
    """A donor who has mostly decided before the conversation, as the corpus's repeat participants had."""

    spread = 3.0


def _latest_words(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Returns the persuader's words since the last user message; None where there is no message of the persuader."""
    words: list[str] = []
    spoken = False
    for message in reversed(messages):
        if message.get("role") == "user":
            break
        if message.get("role") == "assistant":
            spoken = True
            words.append(str(message.get("content") or ""))
    return "\n".join(reversed(words)) if spoken else None


COUNTED: Final = (
    s.CREDIBILITY, s.LOGICAL, s.EMOTION, s.SELF_MODELING, s.FOOT, s.STORY, s.INFORMATION, s.SOURCE_INQUIRY,
    s.TASK_INQUIRY, s.PERSONAL_INQUIRY, s.PROPOSITION, s.ASK_AMOUNT, s.ASK_MORE, s.GREETING, s.ACKNOWLEDGEMENT,
    s.PRAISE, s.OFF_TASK,
)  # fmt: skip
"""The acts whose uses are counted, in the order of `State.uses`."""

GAIN: Final = {
    s.INFORMATION: 0.35, s.STORY: 0.35, s.EMOTION: 0.25, s.SELF_MODELING: 0.20, s.PRAISE: 0.20, s.LOGICAL: 0.15,
    s.FOOT: 0.15, s.SOURCE_INQUIRY: 0.15, s.GREETING: 0.10, s.OFF_TASK: 0.10, s.CREDIBILITY: 0.05,
    s.TASK_INQUIRY: 0.05, s.PERSONAL_INQUIRY: 0.05, s.ACKNOWLEDGEMENT: 0.05,
}  # fmt: skip
"""Willingness won by the first use of an act (design; ranked like the corpus's effects of earlier uses)."""
FADE: Final = 0.6
"""Factor on an act's gain at every further use (design)."""

HAZARD: Final = {
    s.PROPOSITION: 2.09, s.ASK_AMOUNT: 2.05, s.INFORMATION: 1.07, s.ASK_MORE: 1.0, s.FOOT: 0.89, s.STORY: 0.50,
    s.SELF_MODELING: 0.49, s.PRAISE: 0.42, s.LOGICAL: 0.26, s.CREDIBILITY: -0.35, s.EMOTION: -0.80,
    s.PERSONAL_INQUIRY: -1.97, s.SOURCE_INQUIRY: -3.0,
}  # fmt: skip
"""Log-odds of committing right after an act (corpus: discrete-time logit, 2,144 turns, 236 first commitments)."""
BASE_HAZARD: Final = -3.49
"""Log-odds of committing in the first turn without any of these acts (corpus)."""
PER_TURN: Final = 0.14
"""Rise of the log-odds per turn (corpus)."""
SHIFT: Final = -1.42
"""Tuned: makes replayed human sequences give at the corpus's rate of .519."""
UNOPENED_COST: Final = 1.5
"""Log-odds lost while giving has not been mentioned (design: people do not give to someone who never asks)."""

REPEAT_COST: Final = 0.20
"""Reactance from the third and every later use of a strategy or request (sign: corpus; size: design)."""
INSIST_COST: Final = 0.45
"""Reactance from a request after a refusal (sign: corpus; size: design)."""
RUSH_COST: Final = 0.50
"""Reactance from a request in the first turn (sign: corpus; size: design)."""
REFUSAL: Final = 0.10
"""Chance of an outright no to a request (corpus)."""
REFUSAL_PER_REACTANCE: Final = 0.10
"""Rise of that chance per unit of reactance (design)."""
LEAVE_REFUSED: Final = 0.35
"""Chance that a second or later refusal ends the conversation (design; the corpus paid people to stay)."""
PATIENCE: Final = 2.0
"""Reactance above which a person may walk away (design)."""
LEAVE_PRESSED: Final = 0.15
"""Chance of walking away per unit of reactance above `PATIENCE` (design)."""
FINAL_WORD: Final = 0.6
"""Share of the people leaving who say so with a donation of $0; the others leave without a decision (design)."""
CURIOUS_TURNS: Final = 6
"""Turns during which people ask at the corpus's average rate; later they ask less (corpus: .3 a turn, then .15)."""

AMOUNT_CENTRE: Final = 1.23
"""Willingness at which gifts are spread like the corpus's (tuned to the donors' mean of $.678)."""
AMOUNTS: Final = {
    0.01: 24, 0.02: 6, 0.03: 8, 0.05: 51, 0.10: 96, 0.15: 49, 0.20: 86, 0.25: 49, 0.30: 76, 0.40: 4, 0.50: 130,
    0.60: 2, 0.70: 4, 0.75: 24, 0.80: 4, 0.85: 2, 1.00: 257, 1.25: 4, 1.50: 16, 1.70: 4, 2.00: 112,
}  # fmt: skip
"""Donors' gifts up to $2 in dollars, per thousand gifts (corpus, odd cents rounded)."""

TRAIT_SHARE: Final = 0.8
"""Factor on the traits' log-odds (design: below 1, because they were fitted on the same people)."""
NUMERIC_TRAITS: Final = {
    "extrovert": (3.20, 0.92, -0.034), "agreeable": (3.93, 0.85, 0.208), "conscientious": (3.90, 0.74, -0.030),
    "neurotic": (2.57, 0.98, 0.061), "open": (3.66, 0.69, 0.046), "care": (4.57, 0.92, 0.160),
    "fairness": (4.80, 0.89, 0.035), "loyalty": (3.45, 1.14, 0.082), "authority": (3.86, 1.15, 0.053),
    "purity": (3.58, 1.44, 0.054), "freedom": (4.46, 1.09, -0.034), "conform": (3.83, 1.51, 0.039),
    "tradition": (3.54, 1.55, -0.005), "benevolence": (4.47, 1.42, 0.059), "universalism": (4.53, 1.46, 0.035),
    "self_direction": (4.49, 1.38, -0.034), "stimulation": (3.79, 1.43, -0.173), "hedonism": (3.54, 1.38, -0.032),
    "achievement": (3.66, 1.45, -0.037), "power": (3.58, 1.40, -0.082), "security": (4.23, 1.44, 0.086),
    "rational": (4.08, 0.76, 0.097), "intuitive": (3.10, 1.01, 0.004), "age": (36.88, 11.55, 0.088),
    "income": (5.82, 3.18, 0.012),
}  # fmt: skip
"""Mean, standard deviation and standardised log-odds slope of the numeric attributes (corpus, ridge logit)."""
CATEGORICAL_TRAITS: Final[Mapping[str, Mapping[str, float]]] = {
    "sex": {"Female": -0.044, "Male": 0.044},
    "race": {"White": 0.072, "Other": -0.217},
    "edu": {"Less than four-year college": 0.161, "Four-year college": -0.113, "Postgraduate": -0.355},
    "marital": {"Married": 0.122, "Unmarried": -0.120},
    "employment": {"Employed for wages": -0.085, "Other": 0.152},
    "religion": {"Atheist": -0.077, "Catholic": 0.079, "Protestant": -0.104, "Other religion": 0.057},
    "ideology": {"Conservative": -0.020, "Liberal": -0.033, "Moderate": 0.068},
}
"""Log-odds of giving of the survey's categories, relative to the average (corpus, same fit)."""

REACTION_ACTS: Final = (
    "positive-reaction-to-donation", "negative-reaction-to-donation", "neutral-reaction-to-donation",
    "ask-org-info", "ask-donation-procedure", "ask-persuader-donation-intention", "task-related-inquiry",
    "personal-related-inquiry", "positive-to-inquiry", "negative-to-inquiry", "neutral-to-inquiry",
    "acknowledgement", "greeting", "thank", "you-are-welcome", "closing", "off-task", "other",
)  # fmt: skip
"""The persuadee acts besides decisions, in the order of the columns of `REACTIONS`."""
REACTIONS: Final[Mapping[str, tuple[int, ...]]] = {
    s.CREDIBILITY: (323, 61, 49, 317, 74, 30, 78, 28, 0, 0, 0, 127, 0, 25, 0, 0, 12, 75),
    s.LOGICAL: (401, 105, 22, 89, 67, 41, 83, 10, 0, 0, 0, 96, 0, 22, 0, 0, 13, 86),
    s.EMOTION: (440, 98, 34, 111, 38, 34, 103, 34, 0, 0, 0, 132, 0, 0, 0, 0, 9, 64),
    s.SELF_MODELING: (392, 34, 14, 101, 61, 27, 68, 81, 0, 0, 0, 149, 0, 61, 0, 0, 14, 155),
    s.FOOT: (285, 100, 54, 92, 54, 15, 38, 23, 0, 0, 0, 146, 0, 31, 0, 0, 8, 146),
    s.STORY: (539, 67, 11, 101, 45, 22, 56, 90, 0, 0, 0, 202, 0, 11, 0, 0, 45, 101),
    s.INFORMATION: (182, 40, 23, 108, 122, 34, 57, 17, 0, 0, 0, 139, 0, 77, 0, 0, 6, 119),
    s.SOURCE_INQUIRY: (72, 24, 0, 331, 18, 12, 36, 30, 428, 367, 30, 12, 0, 0, 0, 0, 6, 36),
    s.TASK_INQUIRY: (188, 23, 34, 85, 23, 6, 34, 6, 403, 193, 108, 17, 0, 17, 0, 0, 6, 51),
    s.PERSONAL_INQUIRY: (166, 46, 33, 26, 7, 0, 26, 119, 503, 179, 106, 7, 0, 0, 0, 0, 26, 40),
    s.PROPOSITION: (173, 70, 42, 201, 85, 32, 39, 14, 0, 0, 0, 21, 0, 7, 0, 0, 4, 53),
    s.ASK_AMOUNT: (66, 66, 25, 74, 90, 25, 41, 0, 0, 0, 0, 8, 0, 16, 0, 0, 8, 90),
    s.ASK_MORE: (161, 97, 50, 32, 0, 0, 0, 0, 0, 0, 0, 161, 0, 0, 0, 0, 0, 97),
    s.ASK_REASON: (0, 833, 0, 0, 0, 167, 0, 0, 0, 0, 0, 167, 0, 0, 0, 0, 0, 0),
    s.CONFIRM: (49, 0, 50, 0, 0, 73, 0, 0, 0, 0, 0, 122, 0, 49, 0, 0, 0, 98),
    s.GREETING: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 18, 725, 7, 0, 0, 39, 70),
    s.ACKNOWLEDGEMENT: (327, 29, 40, 112, 79, 29, 72, 18, 0, 0, 0, 151, 0, 68, 0, 0, 25, 90),
    s.PRAISE: (315, 20, 34, 67, 47, 27, 40, 34, 0, 0, 0, 94, 0, 128, 0, 0, 34, 141),
    s.THANK: (231, 14, 14, 46, 19, 9, 42, 9, 0, 0, 0, 93, 0, 0, 412, 0, 9, 157),
    s.CLOSING: (20, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 39, 0, 157, 0, 725, 0, 0),
    s.OFF_TASK: (103, 13, 13, 77, 26, 13, 0, 13, 0, 0, 0, 77, 0, 38, 0, 0, 628, 90),
    s.OTHER: (198, 56, 13, 80, 35, 13, 61, 19, 0, 0, 0, 56, 0, 51, 0, 0, 29, 350),
}
"""Of a thousand replies to a persuader act, how many hold each reaction (corpus, 3,027 replies), without decisions.

Answers, thanks, greetings and talk of charity are kept only where they fit the act that they answer.
"""

_PLACES: Final = {act: place for place, act in enumerate(COUNTED)}
_UNUSED: Final = (0,) * len(COUNTED)
_FADING: Final = tuple(FADE**n for n in range(13))
_TIRING: Final = s.STRATEGIES | s.ASKS
_OPENING: Final = frozenset((s.INFORMATION, s.FOOT))
_QUESTIONS: Final = (3, 4, 5, 6, 7)
_PHI: Final = NormalDist().cdf
_AMOUNTS: Final = tuple(AMOUNTS)
_AMOUNT_RANKS: Final = tuple(total / sum(AMOUNTS.values()) for total in accumulate(AMOUNTS.values()))
