"""Intervals, tests and counts, against closed forms, brute force and simulation."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from josh.runs.intervals import Estimate, mcnemar, mean, pass_at, pass_hat, ratio

numbers = st.floats(-5, 5)
observations = st.lists(st.tuples(numbers, st.integers(0, 4)), min_size=1, max_size=30)


def split(pairs):
    return [value for value, _ in pairs], [person for _, person in pairs]


@given(observations)
@settings(max_examples=50)
def test_the_mean_lies_in_its_interval_and_the_interval_in_the_data(pairs):
    values, people = split(pairs)
    found = mean(values, people, resamples=200)
    assert found.value == pytest.approx(np.mean(values))
    assert (found.n, found.people) == (len(values), len(set(people)))
    if found.people > 1:
        assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    else:
        assert found.low is found.high is None


def test_values_that_agree_have_an_interval_without_width():
    assert mean([0.0] * 9, list("aabbccdde")) == Estimate(0.0, 0.0, 0.0, 9, 5)


def test_nothing_observed_is_nothing_estimated():
    assert mean([], []) == ratio([1.0], [0.0], ["a"]) == Estimate(None, None, None, 0, 0)


def test_the_order_of_observations_does_not_matter_beyond_who_comes_first():
    values, people = [1.0, 2.0, 3.0, 5.0], ["a", "b", "a", "c"]
    again = mean([1.0, 3.0, 2.0, 5.0], ["a", "a", "b", "c"])
    assert mean(values, people) == again


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    values, people = list(np.random.default_rng(1).normal(size=40)), list(range(40))
    assert mean(values, people, seed=3) == mean(values, people, seed=3)
    assert mean(values, people, seed=3) != mean(values, people, seed=4)


def test_a_small_bootstrap_agrees_with_all_the_resamples_there_are():
    tops = {"a": (2.0, 2), "b": (0.0, 1), "c": (5.0, 3)}
    every = sorted(
        sum(tops[one][0] for one in drawn) / sum(tops[one][1] for one in drawn) for drawn in product(tops, repeat=3)
    )
    found = ratio([2.0, 0.0, 5.0], [2, 1, 3], list(tops), resamples=40_000)
    assert found.value == pytest.approx(7 / 6)
    assert (found.low, found.high) == (pytest.approx(every[0]), pytest.approx(every[-1]))


def test_for_many_independent_people_it_is_the_normal_interval():
    values = np.random.default_rng(2).normal(1.0, 2.0, size=2000)
    found = mean(list(values), list(range(2000)))
    half = 1.96 * values.std() / 2000**0.5
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_repeating_everybody_does_not_narrow_it():
    values = list(np.random.default_rng(3).normal(size=50))
    once, often = mean(values, list(range(50))), mean(values * 4, [*range(50)] * 4)
    assert (often.low, often.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_it_covers_the_truth_about_as_often_as_it_says():
    """People differ (sd 1), conversations with one differ (sd 1); 40 people, 3 conversations each."""
    rng, hits, naive = np.random.default_rng(4), 0, 0
    for _ in range(400):
        values = (rng.normal(size=(40, 1)) + rng.normal(size=(40, 3))).ravel()
        found = mean(list(values), list(np.repeat(np.arange(40), 3)), resamples=300)
        hits += found.low <= 0 <= found.high
        alone = mean(list(values), list(range(120)), resamples=300)
        naive += alone.low <= 0 <= alone.high
    assert 0.90 <= hits / 400 <= 0.97
    assert naive / 400 < 0.88, "conversations taken for independent ones promise too much"


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (10, 2, 158 / 4096), (7, 7, 1.0)],
)
def test_mcnemar_is_the_exact_binomial_test(b, c, p):
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(p)


@given(st.integers(0, 12), st.integers(0, 12))
def test_mcnemar_adds_up_everything_as_extreme(b, c):
    n = b + c
    extreme = sum(comb(n, i) for i in range(n + 1) if abs(2 * i - n) >= abs(b - c))
    assert mcnemar(b, c) == pytest.approx(extreme / 2**n)


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 7))
def test_pass_hat_and_pass_at_are_shares_of_all_choices(outcomes, k):
    if k > len(outcomes):
        return
    choices = list(combinations(outcomes, k))
    n, c = len(outcomes), sum(outcomes)
    assert pass_hat(c, n, k) == pytest.approx(sum(map(all, choices)) / len(choices))
    assert pass_at(c, n, k) == pytest.approx(sum(map(any, choices)) / len(choices))
    assert pass_hat(c, n, 1) == pytest.approx(pass_at(c, n, 1))


def test_pass_hat_is_unbiased():
    rng, share = np.random.default_rng(5), 0.6
    counts = rng.binomial(5, share, size=20_000)
    assert np.mean([pass_hat(int(c), 5, 3) for c in counts]) == pytest.approx(share**3, abs=0.01)
