"""The price of messages: the published numbers of both formulas."""

from dataclasses import fields, replace

import pytest

from josh.config import settings_in
from josh.envs.proactive.cost import Message, Weights, interrupt_cost, message_cost, message_of, reward

V1, V2 = Weights(), Weights(formula="v2")
ANSWERED = {"answered": True}
REJECTED = {"rejected": True}


@pytest.mark.parametrize(
    ("message", "v1", "v2"),
    [
        (Message(0, 120), 0, 0),
        (Message(1, 20, **ANSWERED), 0.24, -0.30),
        (Message(2, 20, **ANSWERED), 0.48, -0.60),
        (Message(1, 20, **REJECTED), 0.84, 0.70),
        (Message(2, 20, **REJECTED), 1.08, 1.40),
        (Message(0, 201), 0.18, 0),
        (Message(3, 250, **REJECTED), 1.50, 2.10),
        (Message(0, 120, off_topic=True), 0.42, 0),
        (Message(1, 20, **ANSWERED, off_topic=True), 0.66, -0.30),
    ],
)
def test_a_message_has_the_published_cost(message, v1, v2):
    assert message_cost(message, V1) == v1
    assert message_cost(message, V2) == v2


def test_a_conversation_costs_the_sum_of_its_messages():
    messages = [Message(2, 20, answered=True), Message(1, 20, rejected=True), Message(0, 210)]
    assert interrupt_cost(messages, V1) == 1.5
    assert interrupt_cost(messages, V2) == 0.1


@pytest.mark.parametrize(
    ("messages", "task", "v1", "v2"),
    [
        ([Message(0)], 1, 1.00, 1.00),
        ([Message(1, answered=True), Message(0)], 1, 0.76, 1.030),
        ([Message(1, rejected=True), Message(0)], 1, 0.16, 0.930),
        ([Message(1, answered=True)], 0, -0.24, 0.030),
        ([Message(2, answered=True)], 0, -0.48, 0.060),
        ([Message(0)], 0.5, 0.5, 0.5),
    ],
)
def test_the_reward_is_the_tasks_score_less_the_cost(messages, task, v1, v2):
    assert reward(task, interrupt_cost(messages, V1), V1) == v1
    assert reward(task, interrupt_cost(messages, V2), V2) == v2


def test_a_task_without_a_score_has_no_reward():
    assert reward(None, 0.3, V1) is None


def test_a_length_of_exactly_the_limit_is_not_long():
    assert message_cost(Message(0, 200), V1) == 0


def test_twelve_question_marks_earn_no_more_than_three():
    assert message_cost(Message(12, answered=True), V2) == -0.9
    assert message_cost(Message(12, answered=True), replace(V2, max_questions=12)) == -3.6


def test_an_ignored_question_costs_l_and_a_rejected_one_d_and_l():
    weights = replace(V2, l=0.1)
    assert message_cost(Message(2), weights) == 0.2
    assert message_cost(Message(2, rejected=True), weights) == 1.6


def test_a_given_weight_of_the_cost_holds_for_both_formulas():
    assert Weights(w_interrupt=0.5).interrupt == Weights("v2", w_interrupt=0.5).interrupt == 0.5
    assert reward(1, 1, Weights("v2", w_task=2, w_interrupt=0.5)) == 1.5


def test_a_message_is_read_from_its_text_and_the_users_reaction():
    text = "Which order\uff1f And `a?b`:\n```python\nx = 'why?'\n```\nIs it sorted?"
    meta = {"answered_clarification": True, "reject_signal": False, "off_topic_flag": 0}
    assert message_of(text, meta) == Message(2, 12, answered=True)
    assert message_of("Here it is.", {}) == Message(0, 3)


def test_every_weight_is_a_setting():
    assert [one.name for one in settings_in(Weights)] == [one.name for one in fields(Weights)]
