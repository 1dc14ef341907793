"""Weights of learned tokens by the advantage of their turns."""

import math

import pytest
from tuning import MORE, SFT, THANKS, card, likelihood, needs_trl, says

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


def spoken(reply, advantage):
    row = {"messages": [*SFT["messages"][:2], says("assistant", reply)]}
    return row if advantage is None else row | {"advantages": [0.0, 0.0, advantage]}


def rows_of(more, thanks):
    return [spoken(MORE, more), spoken(THANKS, thanks)] * 8


@needs_trl
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_model_learns_the_better_turn_more(tune, tiny):
    code, said, (adapter,) = tune(
        "sft", "--learning_rate", 5e-3, "--epochs", 8, "--weights", "advantage", rows=rows_of(1.0, -1.0)
    )
    assert code == 0, said.err
    gains = [likelihood(tiny, adapter, one) - likelihood(tiny, None, one) for one in (MORE, THANKS)]
    assert gains[0] > gains[1]
    assert card(adapter)["settings"]["weights"] == "advantage"


@needs_trl
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_equal_weights_train_as_no_weights_do(tune, tiny):
    _, _, (plain,) = tune("sft", rows=rows_of(None, None))
    _, _, adapters = tune("sft", "--weights", "advantage", rows=rows_of(0.5, 0.5))
    (weighted,) = set(adapters) - {plain}
    losses = [card(one)["losses"] for one in (plain, weighted)]
    assert losses[0]["first"] == pytest.approx(losses[1]["first"], rel=1e-4)
    assert losses[0]["last"] == pytest.approx(losses[1]["last"], rel=1e-3)


@needs_trl
def test_a_training_with_weights_needs_rows_with_credit(tune):
    code, said, _ = tune("sft", "--weights", "advantage")
    assert code == 2
    assert "line 1: no 'advantages', which --weights needs; export the rows with --credit" in said.err
    code, said, _ = tune("dpo", "--weights", "advantage")
    assert code == 2
    assert "weights is advantage, but dpo does not read it" in said.err
