"""Distributions of people and of simulated users side by side, and how well a persona's wins are foreseen.

All intervals are bootstraps over people (`josh.runs.intervals`).
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from josh.runs.evaluate.realism.apart import FOLDS
from josh.runs.evaluate.realism.talks import Talk
from josh.runs.intervals import Estimate, mean, ratio

DECILES: Final = 10
_LEAST: Final = 30
"""Fewest conversations of people from which wins are foreseen."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often people and those who play them are won, by what the persona alone lets expect.

    Attributes:
        expected: mean chance of each decile, from the personas of other people, lowest first.
        people: share of people who were won, by decile.
        simulated: share of simulated conversations that were won, by decile.
        ece: mean distance of the two shares, weighted by people.
        brier: mean squared distance of a decile's simulated share from what its people did.
    """

    expected: tuple[float, ...]
    people: tuple[float, ...]
    simulated: tuple[float, ...]
    ece: float
    brier: float


def figures(
    talks: Sequence[Talk], commits: Collection[str], refuses: Collection[str], seed: int
) -> dict[str, Estimate]:
    """Returns the figures of some conversations, by name; those about acts only where turns have acts.

    Args:
        talks: the conversations.
        commits: acts by which a user agrees.
        refuses: acts by which a user says no.
        seed: seed of the bootstrap.
    """

    def over(measure: Callable[[Talk], float | None], *, among: Sequence[Talk] = talks) -> Estimate:
        pairs = [(value, talk.person) for talk in among if (value := measure(talk)) is not None]
        return mean([value for value, _ in pairs], [person for _, person in pairs], seed=seed)

    def by_turn(measure: Callable[[str], float]) -> Estimate:
        people = [talk.person for talk in talks]
        sums = [sum(map(measure, talk.said)) for talk in talks]
        return ratio(sums, [float(len(talk.said)) for talk in talks], people, seed=seed)

    found = {
        "turns of the user": over(lambda talk: float(len(talk.said))),
        "words in a turn": by_turn(lambda text: float(len(text.split()))),
        "turns with a question": by_turn(lambda text: float("?" in text)),
        "distinct turns": _distinct(talks),
        "left without deciding": over(lambda talk: None if talk.left is None else float(talk.left)),
    }
    if any(talk.reward is not None for talk in talks):
        won = [talk for talk in talks if talk.reward]
        found["won"] = over(lambda talk: None if talk.reward is None else float(talk.reward > 0))
        found["reward"] = over(lambda talk: talk.reward)
        found["reward where won"] = over(lambda talk: talk.reward, among=won)
        if commits:
            found["round of agreeing, where won"] = over(lambda talk: _round(talk, commits), among=won)
    if refuses:
        found["refusals"] = over(lambda talk: float(sum(not acts.isdisjoint(refuses) for acts in talk.acts)))
    return found


def _round(talk: Talk, commits: Collection[str]) -> float | None:
    first = talk.first(commits)
    return None if first is None else first + 1.0


def _distinct(talks: Sequence[Talk]) -> Estimate:
    texts = [text for talk in talks for text in talk.said]
    share = len(set(texts)) / len(texts) if texts else None
    return Estimate(share, None, None, len(texts), len({talk.person for talk in talks}))


def hazard(talks: Sequence[Talk], commits: Collection[str], rounds: int, seed: int) -> list[Estimate]:
    """Returns, for each round from the first, the share of those who had not agreed before that agree in it."""
    found = []
    for number in range(rounds):
        waiting = [
            talk
            for talk in talks
            if len(talk.said) > number and ((one := talk.first(commits)) is None or one >= number)
        ]
        hits = [float(talk.first(commits) == number) for talk in waiting]
        found.append(mean(hits, [talk.person for talk in waiting], seed=seed))
    return found


def act_shares(talks: Sequence[Talk]) -> dict[str, float]:
    """Returns the share of turns with each act, most frequent first."""
    counts = Counter(act for talk in talks for acts in talk.acts for act in acts)
    turns = sum(len(talk.said) for talk in talks)
    return {act: count / turns for act, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))}


def calibration(people: Sequence[Talk], simulated: Sequence[Talk]) -> Calibration | None:
    """Returns how far simulated people are won as often as those whom they play; None where that cannot be said.

    The groups of a task (`BaseEnv.groups`) stand for its persona. A logistic regression on them, learnt from other
    people, orders the people into deciles.
    """
    known = [talk for talk in people if talk.reward is not None and talk.groups]
    played: dict[str, list[float]] = {}
    for talk in simulated:
        if talk.reward is not None:
            played.setdefault(talk.task, []).append(float(talk.reward > 0))
    both = [talk for talk in known if talk.task in played]
    won = np.array([float((talk.reward or 0) > 0) for talk in both])
    if len(both) < _LEAST or len(set(won.tolist())) < 2:
        return None
    chances = _foreseen(both, won)
    order = np.argsort(chances, kind="stable")
    expected, real, shown, weights, squares = [], [], [], [], []
    for part in np.array_split(order, DECILES):
        sims = float(np.mean([np.mean(played[both[place].task]) for place in part]))
        expected.append(float(chances[part].mean()))
        real.append(float(won[part].mean()))
        shown.append(sims)
        weights.append(len(part))
        squares += [(sims - one) ** 2 for one in won[part]]
    gaps = [abs(one - other) for one, other in zip(real, shown, strict=True)]
    ece = float(np.average(gaps, weights=weights))
    return Calibration(tuple(expected), tuple(real), tuple(shown), ece, float(np.mean(squares)))


def _foreseen(talks: Sequence[Talk], won: Any) -> Any:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = DictVectorizer(sparse=False).fit_transform([dict(talk.groups) for talk in talks])
    names = sorted({talk.person for talk in talks})
    fold = np.array([names.index(talk.person) % FOLDS for talk in talks])
    chances = np.full(len(talks), float(won.mean()))
    for number in range(FOLDS):
        test = fold == number
        if test.any() and len(set(won[~test].tolist())) == 2:
            chances[test] = (
                LogisticRegression(C=0.1, max_iter=500).fit(rows[~test], won[~test]).predict_proba(rows[test])[:, 1]
            )
    return chances
