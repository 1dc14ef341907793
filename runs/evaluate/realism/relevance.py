"""How well replies fit the turns that they answer: how often a matcher finds the right turn among ten.

The matcher learns on conversations of people which words answer which: a ridge regression from a turn to its reply,
both as tf-idf in a few dimensions, and the words that both share. It learns on some people and is measured on others. A
reply is matched if its own turn scores higher than nine turns of other conversations. By chance that is .1.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from josh.runs.evaluate.realism.apart import FOLDS
from josh.runs.evaluate.realism.talks import Talk
from josh.runs.intervals import Estimate, mean

AMONG: Final = 10
DRAWS: Final = 5
"""How often the other turns of a reply are drawn."""
SIZE: Final = 150
_PATTERN: Final = r"(?u)\b\w+\b|\?"
_LEAST: Final = 20
"""Fewest replies that a matcher learns from."""


def relevance(people: Sequence[Talk], others: Sequence[Talk], seed: int) -> tuple[Estimate, Estimate]:
    """Returns the share of replies that are matched, of people and of others; without a value where there are too few.

    Args:
        people: conversations of people, from which the matcher learns.
        others: the conversations to compare them with.
        seed: seed of the draws.
    """
    persons = sorted({talk.person for talk in (*people, *others)})
    fold = {person: number % FOLDS for number, person in enumerate(persons)}
    found: tuple[list[float], list[float]] = [], []
    owners: tuple[list[str], list[str]] = [], []
    rng = np.random.default_rng(seed)
    for number in range(FOLDS):
        matcher = _matcher([pair for talk in people if fold[talk.person] != number for pair in _pairs(talk)])
        if matcher is None:
            continue
        for side, talks in enumerate((people, others)):
            tested = [talk for talk in talks if fold[talk.person] == number]
            pairs = [(heard, said, place) for place, talk in enumerate(tested) for heard, said in _pairs(talk)]
            if len({place for *_, place in pairs}) < 2:
                continue
            scores = matcher([heard for heard, *_ in pairs], [said for _, said, _ in pairs])
            places = np.array([place for *_, place in pairs])
            for reply in range(len(pairs)):
                candidates = np.flatnonzero(places != places[reply])
                hits = [
                    scores[reply, reply] > scores[rng.choice(candidates, AMONG - 1), reply].max() for _ in range(DRAWS)
                ]
                found[side].append(float(np.mean(hits)))
                owners[side].append(tested[places[reply]].person)
    first, second = (mean(values, names, seed=seed) for values, names in zip(found, owners, strict=True))
    return first, second


def _pairs(talk: Talk) -> list[tuple[str, str]]:
    return [(heard, said) for heard, said in zip(talk.heard, talk.said, strict=True) if heard]


def _matcher(pairs: Sequence[tuple[str, str]]) -> Any:
    """Returns a function of turns and replies that scores each turn (row) for each reply (column); None for too few."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import normalize

    if len(pairs) < _LEAST:
        return None
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_PATTERN)
    vectors.fit([text for pair in pairs for text in pair])
    turns, replies = (vectors.transform([pair[side] for pair in pairs]) for side in (0, 1))
    size = min(SIZE, turns.shape[0] - 1, turns.shape[1] - 1)
    of_turns, of_replies = (TruncatedSVD(size, random_state=0).fit(matrix) for matrix in (turns, replies))
    ridge = Ridge(alpha=1.0).fit(of_turns.transform(turns), normalize(of_replies.transform(replies)))

    def scores(heard: Sequence[str], said: Sequence[str]) -> Any:
        before, after = vectors.transform(heard), vectors.transform(said)
        expected = normalize(ridge.predict(of_turns.transform(before)))
        return expected @ normalize(of_replies.transform(after)).T + (before @ after.T).toarray()

    return scores
