"""A training that collapses is stopped, and one that learns is not."""

import pytest
from tuning import ASK, LINES, card, needs_trl, says

from josh.runs.train.monitor import Look, fallen, spread

# PEFT's own affair, whenever a model is wrapped outside `josh train`.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@needs_trl
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_collapse_ends_the_training_and_leaves_nothing(tune, method):
    code, said, made = tune(method, "--learning_rate", 1, "--epochs", 20, "--monitor_every", 5)
    assert code == 1
    assert made == []
    assert len(said.err.splitlines()) == 1
    assert "fell apart by step" in said.err
    assert "no adapter was written" in said.err


@needs_trl
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_low_learning_rate_does_not_set_the_monitor_off(tune, method):
    code, said, (adapter,) = tune(method, "--learning_rate", 1e-3, "--epochs", 10, "--monitor_every", 5)
    assert code == 0, said.err
    looks = card(adapter)["monitor"]
    assert len(looks) >= 4
    assert all(abs(look["likelihood"] - looks[0]["likelihood"]) < 1 for look in looks)


@needs_trl
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_an_adapter_that_speaks_unlike_the_base_is_measured_against_itself(tune, method):
    odd = {"messages": [says("user", ASK), says("assistant", LINES[3])]}
    _, _, (adapter,) = tune("sft", "--learning_rate", 1e-2, "--epochs", 40, rows=[odd] * 16, out="odd")
    code, said, (tuned,) = tune(method, "--base_adapter", adapter, "--learning_rate", 1e-12, "--monitor_every", 2)
    assert code == 0, said.err
    looks = card(tuned)["monitor"]
    assert all(abs(look["likelihood"] - looks[0]["likelihood"]) < 0.1 for look in looks)


def test_gibberish_loops_and_nans_are_a_collapse_and_a_new_taste_is_none():
    base = Look(-1.0, 0.9, "")
    assert fallen(base, Look(-1.8, 0.8, ""), 2.0) is None
    assert "2.5 nats" in fallen(base, Look(-3.5, 0.9, ""), 2.0)
    assert "repeat" in fallen(base, Look(-0.1, 0.3, ""), 2.0)
    assert fallen(base, Look(float("nan"), 0.9, ""), 2.0)


def test_short_and_long_prompts_are_sampled_alike():
    prompts = [[0] * length for length in range(100, 0, -1)]
    assert list(map(len, spread(prompts, 4))) == [13, 38, 63, 88]
    assert list(map(len, spread(prompts[:3], 8))) == [98, 99, 100]
