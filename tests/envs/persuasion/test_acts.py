"""What the donor reads into a persuader's words."""

from collections import Counter

import pytest
from p4g_figures import annotated_turns

from josh.agents.persuasion.offline import PHRASES
from josh.envs.persuasion import acts as s

REQUESTS = s.ASKS | {s.CONFIRM}


def test_offline_persuader_is_understood():
    phrases = [(act, phrase) for act, choices in PHRASES.items() for phrase in choices]
    missed = [(act, phrase) for act, phrase in phrases if act not in s.acts(phrase)]
    assert len(missed) <= 0.02 * len(phrases), missed


def test_offline_persuader_asks_only_where_it_means_to():
    for act, choices in PHRASES.items():
        for phrase in choices:
            assert not (s.acts(phrase) & s.ASKS) - {act}, phrase


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("Would you be open to contributing a small part of your earnings to Save the Children?", s.PROPOSITION),
        ("Could I invite you to make a gift of fifty cents today?", s.PROPOSITION),
        ("I'd love for you to consider making a donation.", s.PROPOSITION),
        ("Can we count on your support today?", s.PROPOSITION),
        ("Would you join me in donating $1.00 today?", s.PROPOSITION),
        ("How about giving fifty cents?", s.PROPOSITION),
        ("Please consider a small donation.", s.PROPOSITION),
        ("I was wondering whether you'd be willing to donate part of your payment.", s.PROPOSITION),
        ("What amount feels right to you?", s.ASK_AMOUNT),
        ("So how much do you think you could give?", s.ASK_AMOUNT),
        ("How many cents would you be happy to donate?", s.ASK_AMOUNT),
        ("Might you be able to give a little more?", s.ASK_MORE),
        ("What is keeping you from donating?", s.ASK_REASON),
        ("Just to confirm, you will donate $0.50?", s.CONFIRM),
        ("You could donate as little as ten cents.", s.FOOT),
        ("Even the smallest gift matters.", s.FOOT),
        ("Any contribution will be deducted from your task payment.", s.INFORMATION),
        ("You can choose any amount from $0 to all of your payment.", s.INFORMATION),
        ("Save the Children has worked in many countries for a century.", s.CREDIBILITY),
        ("For the price of a cup of coffee, you could provide a child with warm meals.", s.LOGICAL),
        ("Picture a little girl who goes to bed hungry and scared.", s.EMOTION),
        ("I'm donating half of my own payment.", s.SELF_MODELING),
        ("When I was young, my mother could not always feed us.", s.STORY),
        ("Have you heard of Save the Children?", s.SOURCE_INQUIRY),
        ("Would you like to learn more about their programs?", s.TASK_INQUIRY),
        ("Have you ever donated to a charity before?", s.PERSONAL_INQUIRY),
        ("Hello! How are you today?", s.GREETING),
        ("Thank you for being so open with me!", s.THANK),
        ("You\u2019re such a generous person!", s.PRAISE),
        ("It was lovely chatting with you. Goodbye!", s.CLOSING),
    ],
)
def test_other_words_for_an_act_are_understood(text, act):
    assert act in s.acts(text)


@pytest.mark.parametrize(
    "text",
    [
        "Have you ever donated before?",
        "Do you usually give to charities?",
        "I will donate $1 myself.",
        "Thank you for your donation!",
        "Your donation could feed a child.",
        "They give medical care to newborn babies.",
        "Would you like to know how donations are used?",
        "Do you know how much of the money reaches the children?",
        "You can choose any amount you like.",
        "How are you today?",
        "Would you like to hear about a charity?",
        "",
        "asdf qwer 1234",
    ],
)
def test_what_is_no_request_is_not_taken_for_one(text):
    assert not s.acts(text) & REQUESTS


def test_text_without_a_cue_is_other():
    assert s.acts("") == s.acts("Zzz.") == {s.OTHER}


def test_one_text_can_hold_several_acts():
    text = "Hi there! It breaks my heart to see hungry children. Would you like to donate $0.50?"
    assert {s.GREETING, s.EMOTION, s.PROPOSITION} <= s.acts(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("Would you give $1?", 1.0),
        ("Maybe $.50, or 50 cents?", 0.5),
        ("Ten cents would do.", 0.1),
        ("Just a dollar!", 1.0),
        ("How about twenty-five cents?", 0.25),
        ("0.75$ then", 0.75),
        ("A dime, or even a nickel.", 0.05),
        ("Is half a dollar all right?", 0.5),
        ("They spent $1,000 there.", 1000.0),
        ("Could you give fifty cents? A meal costs $3.", 0.5),
        ("Any amount from $0 to $2 is fine.", None),
        ("You can give up to $2.", None),
        ("A quarter of your payment", None),
        ("They help a hundred children in 20 countries.", None),
        ("", None),
    ],
)
def test_named_amounts_are_read(text, amount):
    assert s.anchor(text) == amount


@pytest.mark.parametrize("text", ["1" * 5000, "would you " * 400, "$1 " * 1500, "how much " * 400 + "you", "\n" * 9999])
def test_absurd_texts_do_not_stall(text):
    assert s.acts(text)
    s.anchor(text)


def test_human_requests_are_mostly_recognised():
    right, found, held = Counter(), Counter(), Counter()
    for turns in annotated_turns():
        for labels, text in turns:
            pairs = ((labels, s.acts(text)), ({"ask"} & _asks(labels), {"ask"} & _asks(s.acts(text))))
            for truth, read in pairs:
                right.update(truth & read)
                found.update(read)
                held.update(truth)
    precision = {act: right[act] / found[act] for act in held if found[act]}
    recall = {act: right[act] / held[act] for act in held}
    for act, floor in ((s.PROPOSITION, 0.6), (s.ASK_AMOUNT, 0.7), (s.INFORMATION, 0.65), (s.CREDIBILITY, 0.65)):
        assert precision[act] > floor, act
        assert recall[act] > floor, act
    assert precision["ask"] > 0.75
    assert recall["ask"] > 0.75


def _asks(acts):
    return {"ask"} if set(acts) & REQUESTS else set()
