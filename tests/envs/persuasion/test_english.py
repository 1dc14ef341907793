"""Which words stand together as in English, by the table that is fitted on the corpus."""

import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from p4g_figures import corpus

from josh.agents.persuasion.offline import PHRASES
from josh.dialogue import Speaker
from josh.envs.persuasion import acts, english

PHRASED = [phrase.lower() for choices in PHRASES.values() for phrase in choices]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def share_odd(sentence):
    found = english.odd(english.words(sentence))
    return sum(found) / len(found)


@pytest.mark.parametrize(
    "sentence",
    [
        "would you like to donate a part of your payment?",
        "they have been helping children for a hundred years",
        "i love how the rain sounds on the roof of our house",
        "yes",
        "ok, thanks",
        "no worries",
    ],
)
def test_sentences_make_sense(sentence):
    assert share_odd(sentence) < 0.3


@pytest.mark.parametrize(
    "sentence",
    [
        "donate children save please donate",
        "to the of give you would and children is a",
        "hola, te gustaría donar algo para los niños",
        "qwzx vbnm trlk ghpp",
        "xqzt",
        "apple carburetor sideways lamp purple yesterday",
    ],
)
def test_what_is_no_sentence_is_odd(sentence):
    assert share_odd(sentence) > 0.5


def test_the_offline_persuaders_phrases_make_sense_and_its_words_in_random_order_do_not():
    rng = Random(1)
    assert sum(share_odd(phrase) > 0.5 for phrase in PHRASED) == 0
    shuffled = []
    for phrase in PHRASED:
        words = list(english.words(phrase))
        if len(words) >= 6:
            rng.shuffle(words)
            shuffled.append(share_odd(" ".join(words)) > 0.5)
    assert sum(shuffled) > 0.7 * len(shuffled)


@pytest.mark.parametrize("word", ["locomotive", "donation", "whistled", "i'm", "42"])
def test_words_that_look_english(word):
    assert english.looks_english(word)


@pytest.mark.parametrize("word", ["xqzt", "hjkfd", "ддт", "vbnm"])
def test_words_that_do_not(word):
    assert not english.looks_english(word)


def test_no_sentence_is_empty_and_no_word_is_missed():
    assert english.odd([]) == []
    assert english.words("...") == ()
    assert english.words("don't give $1.50, ünal!") == ("don't", "give", "1.50", "ünal")


def test_the_table_is_that_of_the_corpus():
    stored = json.loads(Path(english.__file__).with_name("english.json").read_text(encoding="utf-8"))
    classes = {word: number for number, lines in enumerate(stored["words"]) for word in " ".join(lines).split()}
    sentences = [
        ["#" if word[0].isdigit() else word for word in english.words(part)]
        for dialogue in corpus().dialogues
        for said in dialogue.utterances
        for part in acts.sentences(said.text)
    ]
    common = {word for word, _ in Counter(word for words in sentences for word in words).most_common(1900)}
    assert len(classes) == 1800
    assert len(common & classes.keys()) > 1750
    edge, unknown = len(stored["words"]), len(stored["words"]) + 1
    pairs = Counter()
    for words in sentences:
        if words:
            pairs.update(pairwise([edge, *(classes.get(word, unknown) for word in words), edge]))
    first, second, total = Counter(), Counter(), sum(pairs.values())
    for (left, right), count in pairs.items():
        first[left] += count
        second[right] += count
    far = 0
    for left, row in enumerate(stored["pairs"]):
        for right, letter in enumerate(row):
            chance = first[left] * second[right] / total
            value = max(-3, min(3, math.log((pairs[left, right] + 0.5) / (chance + 0.5))))
            far += abs((ord(letter) - ord("m")) / 4 - value) > 0.5
    assert far < 0.03 * (edge + 1) ** 2


def test_human_turns_are_rarely_odd():
    turns = [
        said.text.lower() for one in corpus().dialogues for said in one.utterances if said.speaker is Speaker.AGENT
    ]
    odd = [share_odd(turn) > 0.5 for turn in turns if english.words(turn)]
    assert len(odd) == 10_600
    assert sum(odd) < 0.02 * len(odd)
