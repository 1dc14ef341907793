"""What a persuadee does by its words."""

from collections import Counter

import pytest
from p4g_figures import corpus

from josh.dialogue import Speaker
from josh.envs.persuasion import acts as s
from josh.envs.persuasion import replies as r
from josh.envs.persuasion.donation import DONATION

ASKED = frozenset({s.PROPOSITION})


@pytest.mark.parametrize(
    ("said", "heard", "act"),
    [
        ("Yes, I would be happy to donate.", ASKED, r.AGREE),
        ("Sure", ASKED, r.AGREE),
        ("Sure", frozenset({s.SOURCE_INQUIRY}), s.POSITIVE_ANSWER),
        ("I'll donate 20 cents", ASKED, r.NAME_AMOUNT),
        ("$1", frozenset({s.ASK_AMOUNT}), r.NAME_AMOUNT),
        ("I do not want to make a donation today.", ASKED, r.REFUSE),
        ("No thank you", ASKED, r.REFUSE),
        ("No, I can't give more", frozenset({s.ASK_MORE}), r.REFUSE_MORE),
        ("No, I have not.", frozenset({s.SOURCE_INQUIRY}), s.NEGATIVE_ANSWER),
        ("What does the charity do?", frozenset(), r.ASK_CHARITY),
        ("Are you going to donate too?", frozenset(), r.ASK_PARTNER),
        ("Is it taken out of my payment?", frozenset(), r.ASK_PROCEDURE),
        ("Hello!", frozenset(), s.GREETING),
        ("Thank you so much.", frozenset(), s.THANK),
        ("That is wonderful.", frozenset(), r.POSITIVE),
        ("I do not trust big charities.", frozenset(), r.NEGATIVE),
        ("", frozenset(), s.OTHER),
    ],
)
def test_a_reply_has_its_act(said, heard, act):
    assert act in r.reply_acts(said, heard)


@pytest.mark.parametrize(
    "said",
    ["I might donate later.", "Would I have to give my card?", "I have donated to them before.", "That is great."],
)
def test_what_decides_nothing_is_no_decision(said):
    assert not r.decision_acts(said, ASKED)


def test_decisions_agree_with_the_labels_of_the_annotated_dialogues():
    right, found, labelled = Counter(), Counter(), Counter()
    for dialogue in corpus().dialogues:
        heard = frozenset()
        for each in dialogue.utterances if dialogue.annotated else ():
            if each.speaker is Speaker.AGENT:
                heard = s.acts(each.text)
                continue
            acts = r.reply_acts(each.text, heard)
            for name, group in (("gives", r.GIVING), ("asks", {r.ASK_CHARITY}), ("greets", {s.GREETING})):
                here, there = bool(acts & group), bool(group & set(each.acts))
                found[name] += here
                labelled[name] += there
                right[name] += here and there
    assert right["gives"] / found["gives"] > 0.55
    assert right["gives"] / labelled["gives"] > 0.65
    assert right["asks"] / found["asks"] > 0.6
    assert right["greets"] / found["greets"] > 0.8


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Sure! [DONATE $0.50]", "Sure!"),
        ("Sure!\n[DONATE $0.50]", "Sure!"),
        ("[GIVE $1] for them", "for them"),
        ("Sure [well]", "Sure [well]"),
    ],
)
def test_a_text_without_its_tag(text, plain):
    assert DONATION.without(text) == plain
