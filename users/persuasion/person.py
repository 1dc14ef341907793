"""One person of the statistical persuadee: who they are, and how they answer a turn. All numbers are in `figures.py`.

Every act that the person makes out changes their willingness, and once per turn they decide whether to give. What they
cannot make out, have heard before or do not see the point of confuses them: they ask, and at last they leave. Nobody
gives before the charity or giving has been named, or in answer to a turn without sense.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import Final

from josh.envs.persuasion import acts as s
from josh.envs.persuasion import reading
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.reading import Reading
from josh.errors import UsageError
from josh.users.persuasion import figures as f

AGREE: Final = "agree-donation"
NAME_AMOUNT: Final = "provide-donation-amount"
REFUSE: Final = "disagree-donation"
REFUSE_MORE: Final = "disagree-donation-more"
LEAVE: Final = "leave"
LEAVE_PUZZLED: Final = "leave-puzzled"
PUZZLED: Final = {fault: f"puzzled-{fault}" for fault in reading.FAULTS}
"""What a person says to each fault of a turn: a question, or that they do not understand."""


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
        named: whether the persuader has named the charity or giving; nobody gives to what they have not heard of.
        opened: whether giving has been brought up.
        refusals: how often the person has said no.
        confusion: how little sense the talk makes; at least 0, fades by three tenths per turn.
        aside: how many turns in a row were off the topic, up to the last one.
    """

    turns: int = 0
    willingness: float = 0.0
    reactance: float = 0.0
    uses: tuple[int, ...] = ()
    named: bool = False
    opened: bool = False
    refusals: int = 0
    confusion: float = 0.0
    aside: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """The person's answer to one turn.

    Attributes:
        act: a persuadee act of the corpus, `leave`, `leave-puzzled`, or one of `PUZZLED`.
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
    for name, (mean, deviation, slope) in f.NUMERIC_TRAITS.items():
        value = traits.get(name)
        if value is None or value == "":
            continue
        try:
            number = float(value)
        except ValueError:
            raise UsageError(f"persuadee trait {name} is {value!r}; give a number or None") from None
        if math.isfinite(number):
            total += slope * (number - mean) / deviation
    for name, shifts in f.CATEGORICAL_TRAITS.items():
        total += shifts.get(str(traits.get(name)), 0.0)
    return f.TRAIT_SHARE * total


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


def respond(person: Person, state: State, heard: Reading, rng: Random) -> tuple[State, Response]:
    """Answers one persuader turn. A pure function, except for the draws from `rng`.

    Args:
        person: the person who answers.
        state: the conversation so far.
        heard: what the person makes of the turn (`josh.envs.persuasion.reading.read`); unknown acts count as `other`.
        rng: the source of the person's random choices.

    Returns:
        The state after the turn, and the response.
    """
    acts = sorted(heard.acts)
    before = state.uses or _UNUSED
    uses = list(before)
    willingness, odds, repeats = state.willingness, 0.0, False
    for act in acts:
        place = _PLACES.get(act)
        if place is None:
            continue
        used = before[place]
        uses[place] = used + 1
        willingness += f.GAIN.get(act, 0.0) * _FADING[min(used, 12)] * heard.clarity
        odds += f.HAZARD.get(act, 0.0)
        repeats = repeats or (used >= 2 and act in _TIRING)
    named = state.named or heard.named
    asks_again = not s.ASKS.isdisjoint(heard.again)
    asked = named and (asks_again or not s.ASKS.isdisjoint(acts))
    if asks_again and s.ASKS.isdisjoint(acts):
        odds += f.AGAIN_SHARE * max(f.HAZARD.get(act, 0.0) for act in heard.again)
    reactance = (
        0.9 * state.reactance
        + (f.REPEAT_COST if repeats else 0.0)
        + (f.AGAIN_COST if heard.again else 0.0)
        + (f.INSIST_COST if asked and state.refusals else 0.0)
        + (f.RUSH_COST if asked and not state.turns else 0.0)
    )
    confusion = f.SUBSIDING * state.confusion
    if heard.odd is not None:
        confusion += f.CONFUSION[heard.odd] * (1.0 - heard.clarity)
    aside = state.aside + 1 if heard.fault == reading.OFF_TOPIC else 0
    opened = state.opened or (named and (asked or not _OPENING.isdisjoint(acts)))
    logit = f.BASE_HAZARD + f.SHIFT + odds + person.propensity + willingness + f.PER_TURN * state.turns
    logit -= reactance + f.CONFUSED_COST * confusion + (0.0 if opened else f.UNOPENED_COST)
    gives = rng.random() < 1.0 / (1.0 + math.exp(-logit)) and named and (heard.fault in _HEARD or asked)
    refuses = not gives and asked and rng.random() < f.REFUSAL + f.REFUSAL_PER_REACTANCE * reactance
    after = State(
        state.turns + 1, willingness, reactance, tuple(uses), named, opened or gives, state.refusals + refuses,
        confusion, aside,
    )  # fmt: skip
    if gives:
        act = NAME_AMOUNT if s.ASK_AMOUNT in acts or s.ASK_MORE in acts else AGREE
        return after, Response(act, _amount(person, willingness - confusion, heard.anchor, rng), leaves=True)
    return after, _left_or_said(heard, after, asked, refuses, rng)


def _left_or_said(heard: Reading, now: State, asked: bool, refuses: bool, rng: Random) -> Response:
    """Returns the response of a person who does not give. `now` is the state after the turn."""
    acts = sorted(heard.acts)
    if heard.odd is not None and rng.random() < f.LEAVE_CONFUSED * (now.confusion - f.BEARABLE):
        return Response(LEAVE_PUZZLED, leaves=True)
    pressed = now.reactance - f.PATIENCE
    if (refuses and now.refusals >= 2 and rng.random() < f.LEAVE_REFUSED) or (
        pressed > 0 and rng.random() < f.LEAVE_PRESSED * pressed
    ):
        final = now.named and rng.random() < f.FINAL_WORD
        return Response(REFUSE if final else LEAVE, 0.0 if final else None, leaves=True)
    if refuses:
        return Response(REFUSE_MORE if s.ASK_MORE in acts else REFUSE)
    if heard.odd is not None and rng.random() < _asking(heard, now.aside):
        return Response(PUZZLED[heard.odd])
    if not now.named and now.turns > f.PUZZLED_AFTER and rng.random() < f.WONDERING:
        return Response(PUZZLED[reading.OFF_TOPIC])
    act = _reaction(acts, now, asked, rng)
    return Response(act, leaves=act == s.CLOSING)


def _asking(heard: Reading, aside: int) -> float:
    """Returns the chance that the person asks about what is odd in the turn."""
    if heard.odd == reading.OFF_TOPIC:
        return f.ASIDE[min(aside, len(f.ASIDE)) - 1] if aside else f.ASIDE[0] * (1.0 - heard.clarity)
    return 1.0 if heard.fault else 1.0 - heard.clarity


def _amount(person: Person, willingness: float, anchor: float | None, rng: Random) -> float:
    rank = _PHI(0.8 * person.generosity + 0.6 * rng.gauss(0.0, 1.0) + 0.35 * (willingness - f.AMOUNT_CENTRE))
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
    if state.turns > f.CURIOUS_TURNS:
        for question in _QUESTIONS:
            weights[question] *= 0.6
    if not state.named:
        for about_charity in _ABOUT_CHARITY:
            weights[about_charity] = 0.0
    return rng.choices(f.REACTION_ACTS, weights)[0]


@lru_cache(maxsize=1024)
def _mixed(heard: tuple[str, ...]) -> list[float]:
    rows = [f.REACTIONS[act] for act in heard if act in f.REACTIONS] or [f.REACTIONS[s.OTHER]]
    return [float(sum(column)) for column in zip(*rows, strict=True)]


_PLACES: Final = {act: place for place, act in enumerate(f.COUNTED)}
_UNUSED: Final = (0,) * len(f.COUNTED)
_FADING: Final = tuple(f.FADE**n for n in range(13))
_TIRING: Final = s.STRATEGIES | s.ASKS
_OPENING: Final = frozenset((s.INFORMATION, s.FOOT))
_QUESTIONS: Final = (3, 4, 5, 6, 7)
_ABOUT_CHARITY: Final = (0, 1, 2, 3, 4, 5, 6, 7)
_HEARD: Final = (None, reading.LONG)
_PHI: Final = NormalDist().cdf
_AMOUNTS: Final = tuple(f.AMOUNTS)
_AMOUNT_RANKS: Final = tuple(total / sum(f.AMOUNTS.values()) for total in accumulate(f.AMOUNTS.values()))
