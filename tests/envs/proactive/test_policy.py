"""How an action is chosen: the published rule, labels, structured replies, and the best action of a made-up state."""

from dataclasses import replace
from itertools import product

import pytest

from josh.agents.proactive.deciding import action_of, label_weights
from josh.envs.proactive.actions import ACTIONS, action_in, rule
from josh.envs.proactive.cost import Weights
from josh.envs.proactive.env import ProactiveEnv
from josh.envs.proactive.optimum import best_action, break_even, gain
from josh.envs.proactive.personas import BUSY, EXPERIENCED, NOVICE, Persona
from josh.envs.proactive.states import State
from josh.roles import Reply

STATE = State("q", "coding", "Sort a list.")


def by_hand(prev_reject, dialogue_turn, patience, clarity):
    """The published table, line by line."""
    if prev_reject > 0:
        return "Execute"
    if dialogue_turn >= 2:
        return "Execute"
    if patience == "low":
        return "Execute"
    if patience == "high" and clarity < 0.5:
        return "Clarify"
    return "Execute"


def test_the_rule_asks_in_exactly_two_of_54_combinations():
    asked = []
    for prev_reject, turn, patience, clarity in product((0, 1), (0, 1, 2), ("low", "mid", "high"), (0.2, 0.5, 0.8)):
        state = replace(STATE, prev_reject=prev_reject, dialogue_turn=turn, clarity=clarity)
        found = rule(state, Persona("one", "mid", patience))
        assert found == by_hand(prev_reject, turn, patience, clarity)
        asked += [(turn, patience, clarity)] if found == "Clarify" else []
    assert asked == [(0, "high", 0.2), (1, "high", 0.2)]


def test_an_action_is_a_field_and_never_read_out_of_words():
    assert action_in([["Clarify"]]) == "Clarify"
    assert action_in([[], [{"name": "x"}, "Execute"]]) == "Execute"
    assert action_in([["I would Clarify this."]]) is None
    assert action_in([["clarify"]]) is None


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ('{"action": "Clarify"}', "Clarify"),
        ('```json\n{"action": "execute"}\n```', "Execute"),
        ('Well. {"action": "Execute", "why": "it is clear"} Good.', "Execute"),
        ('{"action": "Clarify"} or {"action": "Execute"}', None),
        ('{"action": "Ask"}', None),
        ('{"action": 1}', None),
        ("Clarify", None),
        ("{broken", None),
        ("", None),
    ],
)
def test_a_structured_reply_names_one_action(text, action):
    assert action_of(text) == action


def test_labels_are_weighed_by_the_first_token_with_letters():
    likely = ({"\n": -0.1, "Execute": -1.0}, {" Cl": -0.5, "Exec": -1.0, "Execute": -2.0, " the": -3.0})
    found = label_weights(Reply("Clarify", likely=likely))
    assert max(ACTIONS, key=found.get) == "Clarify"
    assert found["Execute"] == pytest.approx(-0.686738, abs=1e-5)
    assert set(label_weights(Reply("Hm", likely=({"Hm": -0.1},))).values()) == {float("-inf")}


def test_a_question_is_worth_its_price_from_the_break_even_on():
    weights = Weights()
    assert break_even(weights) == pytest.approx(0.84 / 1.6)
    for unclear, persona in product((True, False), (NOVICE, BUSY, EXPERIENCED)):
        p = persona.answers
        by_formula = p * ((1.0 if unclear else 0.0) - 0.24) - (1 - p) * 0.84
        assert gain(unclear, persona, weights) == pytest.approx(by_formula)
        assert (by_formula > 0) == (unclear and p > break_even(weights))


def test_other_weights_have_another_break_even():
    assert break_even(Weights(formula="v2")) == pytest.approx(0.07 / 1.1)
    assert break_even(Weights(w_interrupt=0.0)) == 0.0
    assert break_even(Weights(w_task=0.0)) > 1


def test_always_asking_and_always_delivering_decide_half_of_the_made_up_states_well():
    tasks = ProactiveEnv({"synthetic_tasks": 400, "seed": 3}).tasks("test")
    best = [best_action(task, Weights()) for task in tasks]
    assert best.count("Clarify") == best.count("Execute") == 200
    by_threshold = ["Clarify" if task.data["state"]["task_uncertainty"] < 0.5 else "Execute" for task in tasks]
    share = sum(map(str.__eq__, best, by_threshold)) / len(best)
    assert 0.7 < share < 0.9, "a threshold on the uncertainty is good and not perfect"
