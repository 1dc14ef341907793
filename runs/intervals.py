"""Intervals, tests and counts for what an evaluation measures, as pure functions.

Conversations with the same person are no independent observations, so whole people are drawn anew, never single
conversations (the cluster bootstrap: Davison and Hinkley, 1997, section 3.8; Miller, 2024, arXiv:2411.00640).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4_000
"""Bootstrap resamples behind every interval, unless told otherwise."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the number; None where there was nothing to measure.
        low: lower end of the interval; None where fewer than two people were observed.
        high: upper end.
        n: observations it was made of.
        people: clusters they came from.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    people: int


def mean(values: Sequence[float], people: Sequence[Hashable], *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The mean of some values, with a 95 % percentile bootstrap interval clustered by person.

    Args:
        values: the observations.
        people: whom each is about; as many.
        resamples: at least 1.
        seed: of the resampling.
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
    """sum(tops) / sum(bottoms), with a 95 % percentile bootstrap interval clustered by person.

    In every resample as many people are drawn as there are, with replacement; each brings all of their observations.
    Resamples whose bottoms add up to nothing are left out. An interval has no width where all observations agree:
    that nobody of 20 gave does not show that nobody would.

    Args:
        tops: what is added up.
        bottoms: how much each observation weighs; at least 0. Those of weight 0 are not counted.
        people: whom each observation is about.
        resamples: at least 1.
        seed: of the resampling; the same seed draws the same people, given as many.
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
    drawn = _times_drawn(len(table), resamples, seed).astype(np.float64) @ table
    drawn = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), len(kept), len(table))


@lru_cache(maxsize=32)
def _times_drawn(people: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """How often every person is drawn, a row per resample; in small numbers, for many of these are kept."""
    picked = np.random.default_rng(seed).integers(people, size=(resamples, people))
    rows = np.arange(resamples)[:, None] * people
    counts: NDArray[Any] = np.bincount((picked + rows).ravel(), minlength=resamples * people)
    return counts.reshape(resamples, people).astype(np.uint16)


def mcnemar(first_only: int, second_only: int) -> float:
    """Exact two-sided p-value that two policies succeed equally often (McNemar, 1947, with the binomial distribution).

    min(1, 2 P(X <= min(b, c))), X ~ Binomial(b + c, 1/2). It takes independent pairs: at most one for every person.

    Args:
        first_only: b, pairs in which only the first succeeded.
        second_only: c, pairs in which only the second did.
    """
    n = first_only + second_only
    tail = sum(comb(n, i) for i in range(min(first_only, second_only) + 1))
    return min(1.0, 2 * tail / (1 << n))


def pass_hat(successes: int, trials: int, k: int) -> float:
    """pass^k of one task: the chance that k conversations all succeed, C(c, k) / C(n, k).

    Unbiased (Yao et al., 2024, arXiv:2406.12045, section 4): the share of all choices of k among the n conversations
    there are.

    Args:
        successes: c, how many of them succeeded.
        trials: n, how many there are; at least k.
        k: at least 1.
    """
    return comb(successes, k) / comb(trials, k)


def pass_at(successes: int, trials: int, k: int) -> float:
    """pass@k of one task: the chance that any of k succeeds, 1 - C(n - c, k) / C(n, k) (Chen et al., 2021).

    The arguments are those of `pass_hat`.
    """
    return 1 - comb(trials - successes, k) / comb(trials, k)
