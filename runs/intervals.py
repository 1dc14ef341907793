"""Confidence intervals, tests and success rates for the measurements of an evaluation, as pure functions.

Conversations with the same person are not independent observations, so the bootstrap resamples whole people and not
single conversations (the cluster bootstrap: Davison and Hinkley, 1997, section 3.8; Miller, 2024, arXiv:2411.00640).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4_000
"""Default number of bootstrap resamples for an interval."""
LEVEL = 0.95
"""Confidence level of every interval."""
MANY = 5_000
"""Most people whose interval is a bootstrap; for more, the normal approximation has the same interval."""
_NORMAL = 1.959964
_CELLS = 4_000_000
"""Most numbers that are drawn at once."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the number; None where there is nothing to measure.
        low: lower end of the interval; None for fewer than two people.
        high: upper end of the interval; None for fewer than two people.
        n: number of observations.
        people: number of people (clusters) that the observations are about.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    people: int


def mean(values: Sequence[float], people: Sequence[Hashable], *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Returns the mean of some values, with a 95 % percentile bootstrap interval clustered by person.

    Args:
        values: the observations.
        people: the person that each observation is about; one for each.
        resamples: at least 1.
        seed: seed of the resampling.
    """
    return ratio(values, [1.0] * len(values), people, resamples=resamples, seed=seed)


def ratio(
    tops: Sequence[float],
    bottoms: Sequence[float],
    people: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Returns sum(tops) / sum(bottoms), with a 95 % percentile bootstrap interval clustered by person.

    For more than `MANY` people the interval is the normal approximation of the same bootstrap (the delta method:
    Davison and Hinkley, 1997, section 2.7.2), because the resamples would take gigabytes.

    Every resample draws people with replacement, as many as there are, and each person brings all of their
    observations. Resamples whose bottoms sum to 0 are left out. The interval has zero width where all observations
    agree, which does not mean certainty: 0 successes with 20 people do not show that success is impossible.

    Args:
        tops: the numerators.
        bottoms: the weight of each observation; at least 0. Observations of weight 0 are not counted.
        people: the person that each observation is about.
        resamples: at least 1.
        seed: seed of the resampling; the same seed and the same number of people give the same draws.
    """
    assert len(tops) == len(bottoms) == len(people), "one top, one bottom and one person for every observation"
    kept = [place for place, bottom in enumerate(bottoms) if bottom]
    if not kept:
        return Estimate(None, None, None, 0, 0)
    sums: dict[Hashable, list[float]] = {}
    for place in kept:
        both = sums.setdefault(people[place], [0.0, 0.0])
        both[0] += tops[place]
        both[1] += bottoms[place]
    table = np.array(list(sums.values()), dtype=np.float64)
    total, weight = table.sum(axis=0)
    value = float(total / weight)
    if len(table) < 2:
        return Estimate(value, None, None, len(kept), len(table))
    if len(table) > MANY:
        half = _NORMAL * float(np.sqrt(((table[:, 0] - value * table[:, 1]) ** 2).sum())) / float(weight)
        return Estimate(value, value - half, value + half, len(kept), len(table))
    drawn = _times_drawn(len(table), resamples, seed).astype(np.float64) @ table
    drawn = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), len(kept), len(table))


@lru_cache(maxsize=32)
def _times_drawn(people: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """Returns how often each person is drawn, shape (resamples, people); in uint16, because the cache keeps many."""
    chance, counts = np.random.default_rng(seed), np.empty((resamples, people), dtype=np.uint16)
    size = max(1, _CELLS // people)
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        picked = chance.integers(people, size=(rows, people)) + np.arange(rows)[:, None] * people
        counts[start : start + rows] = np.bincount(picked.ravel(), minlength=rows * people).reshape(rows, people)
    return counts


def mcnemar(first_only: int, second_only: int) -> float:
    """Returns the exact two-sided p-value of the hypothesis that two policies succeed equally often (McNemar, 1947).

    The value is min(1, 2 P(X <= min(b, c))) with X ~ Binomial(b + c, 1/2). The pairs must be independent: at most one
    pair for each person.

    Args:
        first_only: b, pairs in which only the first policy succeeded.
        second_only: c, pairs in which only the second policy succeeded.
    """
    n = first_only + second_only
    tail = sum(comb(n, i) for i in range(min(first_only, second_only) + 1))
    return min(1.0, 2 * tail / (1 << n))


def pass_hat(successes: int, trials: int, k: int) -> float:
    """Returns pass^k of one task: the probability that k conversations all succeed, C(c, k) / C(n, k).

    The estimate is unbiased (Yao et al., 2024, arXiv:2406.12045, section 4): the share of successful choices among all
    choices of k from the n conversations.

    Args:
        successes: c, number of conversations that succeeded.
        trials: n, number of conversations; at least k.
        k: at least 1.
    """
    return comb(successes, k) / comb(trials, k)


def pass_at(successes: int, trials: int, k: int) -> float:
    """Returns pass@k of one task: the probability that at least one of k conversations succeeds.

    The value is 1 - C(n - c, k) / C(n, k) (Chen et al., 2021). The arguments are those of `pass_hat`.
    """
    return 1 - comb(trials - successes, k) / comb(trials, k)


def combination(
    terms: Sequence[tuple[float, Sequence[float], Sequence[Hashable]]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Returns a weighted sum of means, with a 95 % percentile bootstrap interval clustered by person.

    Every resample draws people for all means together, so that means over the same people are paired. Resamples in
    which a mean has no observation are left out.

    Args:
        terms: for each mean its weight, its observations, and the person that each observation is about.
        resamples: at least 1.
        seed: seed of the resampling; see `ratio`.

    Returns:
        The estimate; `n` is the number of observations of the smallest mean. Without a value where a mean has no
        observations.
    """
    count = min((len(values) for _, values, _ in terms), default=0)
    places = {
        person: place for place, person in enumerate(dict.fromkeys(who for *_, people in terms for who in people))
    }
    if not count:
        return Estimate(None, None, None, 0, len(places))
    tables = np.zeros((len(terms), len(places), 2))
    for table, (_, values, people) in zip(tables, terms, strict=True):
        for value, person in zip(values, people, strict=True):
            table[places[person]] += (value, 1.0)
    weights = np.array([weight for weight, *_ in terms])
    whole = tables.sum(axis=1)
    value = float(weights @ (whole[:, 0] / whole[:, 1]))
    if len(places) < 2:
        return Estimate(value, None, None, count, len(places))
    drawn = _times_drawn(len(places), resamples, seed).astype(np.float64) @ tables
    drawn = drawn[:, (drawn[:, :, 1] > 0).all(axis=0)]
    if not drawn.shape[1]:
        return Estimate(value, None, None, count, len(places))
    sums = weights @ (drawn[:, :, 0] / drawn[:, :, 1])
    low, high = np.quantile(sums, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), count, len(places))


FLIPS = 50_000
"""Number of sampled sign flips."""
_EXACT = 15
"""Most clusters whose sign flips are all counted."""


def sign_flips(comparisons: Sequence[Mapping[int, float]], *, flips: int = FLIPS, seed: int = 0) -> list[float]:
    """Returns the two-sided p-value of each comparison's hypothesis that the sign of each cluster's sum is chance.

    The statistic is the sum over all clusters (Fisher, 1935). With at most 15 clusters all flips are counted; with more
    they are sampled, and the flip that was observed counts as one of them, so that the p-value is above 0.

    Args:
        comparisons: for each one the sum of each of its clusters, by the cluster's number, from 0.
        flips: number of sampled flips, which all comparisons share.
        seed: seed of the sampling.
    """
    size = 1 + max((cluster for one in comparisons for cluster in one), default=-1)
    table = np.zeros((size, len(comparisons)), dtype=np.float64)
    for place, one in enumerate(comparisons):
        for cluster, total in one.items():
            table[cluster, place] = total
    observed = np.abs(table.sum(axis=0)) - 1e-9
    reached = np.zeros(len(comparisons))
    chance, rows = np.random.default_rng(seed), max(1, _CELLS // max(1, size))
    for start in range(0, flips, rows):
        signs = 1.0 - 2.0 * chance.integers(0, 2, size=(min(rows, flips - start), size))
        reached += (np.abs(signs @ table) >= observed).sum(axis=0)
    found = [float(one) for one in (1 + reached) / (1 + flips)]
    return [
        _all_flips(list(one.values())) if len(one) <= _EXACT else sampled
        for one, sampled in zip(comparisons, found, strict=True)
    ]


def _all_flips(sums: Sequence[float]) -> float:
    totals = np.zeros(1)
    for one in sums:
        totals = np.concatenate([totals + one, totals - one])
    return float((np.abs(totals) >= abs(sum(sums)) - 1e-9).mean())


def holm(chances: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number (Holm, 1979): the chance of any false finding stays at the level."""
    found, largest = [0.0] * len(chances), 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda place: chances[place])):
        largest = max(largest, min(1.0, chances[place] * (len(chances) - rank)))
        found[place] = largest
    return found
