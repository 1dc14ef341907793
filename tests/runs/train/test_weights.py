"""Weights of learned tokens by the advantage of their turns."""

import math

import pytest

from josh.errors import UsageError
from josh.runs.train.weights import COLUMN, MOST, advantages_of, with_weights

SAID = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c"}]


def test_better_turns_have_more_weight_and_the_mean_is_one():
    rows = [{}, {}]
    with_weights(rows, [[None, 1.0, 1.0], [None, -1.0, -1.0]])
    high, low = math.e, 1 / math.e
    mean = (high + low) / 2
    assert rows[0][COLUMN] == pytest.approx([0.0, high / mean, high / mean])
    assert rows[1][COLUMN] == pytest.approx([0.0, low / mean, low / mean])


def test_equal_advantages_weigh_the_same():
    rows = [{}]
    with_weights(rows, [[None, 0.3, 0.3]])
    assert rows[0][COLUMN] == [0.0, 1.0, 1.0]


def test_a_weight_is_bounded():
    rows = [{} for _ in range(101)]
    with_weights(rows, [[100.0], *([0.0] for _ in range(100))])
    assert rows[0][COLUMN][0] / rows[1][COLUMN][0] == pytest.approx(MOST)


def test_only_messages_of_the_assistant_have_an_advantage():
    assert advantages_of({"messages": SAID, "advantages": [0.0, 0.5, -1]}, "rows line 1") == [0.5, -1.0]


@pytest.mark.parametrize("given", [None, [0.5], ["a", 1, 2], [math.nan, 0, 0]])
def test_rows_without_advantages_are_refused(given):
    with pytest.raises(UsageError, match=r"rows line 3: .*export the rows with --credit"):
        advantages_of({"messages": SAID, "advantages": given}, "rows line 3")
