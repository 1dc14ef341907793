"""What a listener makes of a turn: its acts, and what is wrong with it."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p4g_figures import corpus

from josh.agents.persuasion.offline import PHRASES
from josh.dialogue import Speaker
from josh.envs.persuasion import acts as s
from josh.envs.persuasion import reading as r
from josh.envs.persuasion.reading import read

PITCH = "Save the Children helps children in need all over the world. Would you like to donate fifty cents?"


def test_a_plain_pitch_is_clear():
    heard = read(PITCH)
    assert (heard.fault, heard.odd, heard.clarity, heard.named, heard.anchor) == (None, None, 1.0, True, 0.5)
    assert s.PROPOSITION in heard.acts


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r.SILENT),
        ("?!... :-)", r.SILENT),
        ("xqzt vbnm hjkf ppqw", r.GIBBERISH),
        ("Mi hermana trabaja con niños pobres en la ciudad.", r.FOREIGN),
        ("Подарите детям немного денег, пожалуйста.", r.FOREIGN),
        ("donate children save please donate", r.SALAD),
        ("to of the would give children and you is a", r.SALAD),
        ("banana", r.FRAGMENT),
        ("Donate.", r.FRAGMENT),
        ("My favourite locomotive is the Flying Scotsman.", r.OFF_TOPIC),
        ("The express to Leeds leaves at nine from platform four.", r.OFF_TOPIC),
    ],
)
def test_what_is_wrong_with_a_turn(text, fault):
    heard = read(text)
    assert heard.fault == heard.odd == fault
    assert heard.acts == {s.OTHER}
    assert not heard.named


@pytest.mark.parametrize(
    "text",
    [
        "Hi", "ok", "Yes", "Sure!", "Hello! How are you today?", "lol that is true", "I am from Ohio, how about you?",
        "i think its a grate charty, dont you?", "Have you ever heared of Save the Childern?", "You're welcome.",
        "No problem, have a nice day", "Wow, that is so kind of you", "Would you like to donate?", "how much?",
    ],
)  # fmt: skip
def test_what_people_type_is_in_order(text):
    assert read(text).fault is None


@pytest.mark.parametrize("phrase", [phrase for choices in PHRASES.values() for phrase in choices])
def test_the_offline_persuader_is_clear(phrase):
    heard = read(f"I see. {phrase}")
    assert heard.fault is None
    assert heard.acts == s.acts(phrase) - {s.OTHER} | {s.ACKNOWLEDGEMENT}


def test_a_question_can_take_up_what_is_odd():
    assert read("My favourite locomotive is the Flying Scotsman.").about in {"locomotive", "scotsman"}
    assert read("What a quxzt vbnmk it is, hjkfdp!").about in {"quxzt", "vbnmk", "hjkfdp"}
    assert read("Donate.").about == "donate"


def test_words_said_before_are_no_news():
    again = read(PITCH, own=["Hello!", PITCH])
    assert again.fault == r.REPEATED
    assert again.acts == {s.OTHER}
    assert s.PROPOSITION in again.again
    assert read("WOULD you like to donate fifty cents", own=[PITCH]).fault == r.REPEATED
    assert read("Thank you!", own=["Thank you!"]).fault is None
    assert read(PITCH, own=[PITCH, "Hello!", "I see."]).fault is None
    assert read(PITCH, own=[PITCH, "Hello!", PITCH, "I see.", "Fair enough."]).fault == r.REPEATED
    assert read("Please donate now. Please donate now. Please donate now.").fault == r.REPEATED


def test_the_listeners_own_words_persuade_nobody():
    theirs = ["How much are you planning to give?"]
    assert read(theirs[0], theirs=theirs).fault == r.ECHOED
    assert read(theirs[0]).fault is None
    assert read("Hi there!", theirs=["Hi there!"]).fault is None


def test_nobody_reads_a_wall_of_text():
    phrases = [phrase for choices in PHRASES.values() for phrase in choices]
    wall = " ".join(phrases)
    heard = read(wall)
    assert heard.fault == r.LONG
    assert heard.clarity < 0.25
    assert heard.acts < s.acts(wall)
    assert read(" ".join(phrases[:8])).fault is None


def test_a_pitch_within_nonsense_is_heard_in_part():
    for text in (f"xqzt vbnm hjkf. {PITCH}", f"{PITCH} lamp yesterday purple carburetor sideways."):
        heard = read(text)
        assert s.PROPOSITION in heard.acts
        assert heard.fault is None
        assert heard.odd is not None
        assert 0.5 < heard.clarity < 1.0


def test_a_short_answer_may_be_about_anything():
    assert read("Texas", asked=True).fault is None
    assert read("Texas").fault == r.FRAGMENT


@given(st.text(max_size=200), st.lists(st.text(max_size=40), max_size=3), st.booleans())
def test_any_text_can_be_read(text, earlier, asked):
    heard = read(text, own=earlier, theirs=earlier, asked=asked)
    assert 0.0 <= heard.clarity <= 1.0
    assert heard.acts
    assert (heard.fault is None) or heard.fault in r.FAULTS
    assert heard == read(text, own=earlier, theirs=earlier, asked=asked)


@pytest.mark.parametrize(
    "text", ["1" * 5000, "would you " * 400, "$1 " * 1500, "a" * 5000, "x y z. " * 900, "\n" * 9999]
)
def test_absurd_texts_do_not_stall(text):
    read(text)


def test_human_turns_are_rarely_at_fault():
    faults, turns, requests, lost = Counter(), 0, 0, 0
    for dialogue in corpus().dialogues[::2]:
        own, theirs = [], []
        for said in dialogue.utterances:
            if said.speaker is Speaker.USER:
                theirs.append(said.text)
                continue
            heard = read(said.text, own, theirs, bool(theirs) and "?" in theirs[-1])
            own.append(said.text)
            turns += 1
            faults.update([heard.fault] if heard.fault else [])
            asks = not s.ASKS.isdisjoint(s.acts(said.text))
            requests += asks
            lost += asks and s.ASKS.isdisjoint(heard.acts)
    assert turns > 5_000
    assert sum(faults.values()) < 0.02 * turns, faults
    assert lost < 0.015 * requests


def test_words_in_random_order_are_mostly_at_fault():
    rng = Random(1)
    vocabulary = sorted({word for choices in PHRASES.values() for one in choices for word in one.lower().split()})
    texts = [" ".join(rng.choices(vocabulary, k=rng.randint(4, 14))) for _ in range(500)]
    assert sum(read(text).fault is not None for text in texts) > 400


@pytest.mark.parametrize("wall", ["please donate to the children now ", "x", "qzx vbn ", "!", "1", PITCH, "hm\n", "é"])
def test_a_turn_longer_than_anybody_reads_is_long_after_its_first_characters(wall):
    text = f"{PITCH} {wall * (10_000_000 // len(wall))}"
    heard = read(text, own=[text[1:]], theirs=[text[2:]])
    assert (heard.fault, heard.odd) == (r.LONG, r.LONG)
    assert heard.clarity < 0.001
    assert s.acts(text) == s.acts(text[: s.READ_CHARACTERS])
    assert s.anchor(text) == s.anchor(text[: s.READ_CHARACTERS])
    assert read(wall * (10_000_000 // len(wall)) + ".").fault in (r.LONG, r.SILENT)


def test_empty_space_around_a_turn_is_not_read():
    space = " \n" * 1_000_000
    assert read(f"{space}{PITCH}{space}") == read(PITCH)
    assert s.acts(f"{space}{PITCH}") == s.acts(PITCH)
    assert read(PITCH, own=[f"{space}{PITCH}"]).fault == r.REPEATED
