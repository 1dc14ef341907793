"""Judges whether words stand together as they do in English, with a small table instead of a model.

`english.json` is fitted on the 20,932 turns of Persuasion for Good, and holds no text of it: the 1,800 most frequent
words in 40 classes, the association of each class with the next one, and the association of each letter with the next
one. The classes are those that make the next word's class most predictable (exchange clustering, Kneser and Ney, 1993);
their numbers mean nothing. Both associations are the logarithm of how much more frequent a pair is than by chance, from
-3 to 3 in steps of .25, written as the letters `a` to `y`.

Of the corpus's persuader turns 1.3 % seem mostly odd (mostly typos, or one or two words); of the same turns with their
words in random order 83 %; of four to twelve random words of the offline persuader 84 to 89 %; of random dictionary
words 97 %.
"""

import json
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

UNKNOWN_COST: Final = 0.75
"""What an unknown word costs on each of its two sides (tuned: random words against the corpus's turns)."""
REACH: Final = 3
"""How many words on each side decide whether a word is odd (tuned)."""
ODD_BELOW: Final = -0.25
"""Mean association below which a word is odd (tuned: at most 2 % of human turns are mostly odd)."""

_WORDS: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:[.,]\d+)*")
_LETTERS: Final = re.compile("[a-z]+")
_NUMBER: Final = "#"


def words(text: str) -> tuple[str, ...]:
    """Returns the words and numbers of a text in lower case, without punctuation."""
    return tuple(_WORDS.findall(text))


def known(word: str) -> bool:
    """Returns whether a word is frequent in the corpus; numbers are."""
    return word[0].isdigit() or word in _table().classes


@lru_cache(maxsize=4096)
def looks_english(word: str) -> bool:
    """Returns whether the letters of a word in lower case follow each other as in English."""
    letters = word.replace("'", "")
    if not _LETTERS.fullmatch(letters):
        return word[0].isdigit()
    places = [_END, *(ord(letter) - ord("a") for letter in letters), _END]
    return _sum(_table().letters, places) > 0


def odd(sentence: Sequence[str], unknown_cost: float = UNKNOWN_COST) -> list[bool]:
    """Returns, for each word of a sentence, whether it is odd where it stands.

    Args:
        sentence: the words in lower case. In a sentence of one or two words, only unknown words that do not look
            English are odd.
        unknown_cost: see `UNKNOWN_COST`; with 0, unknown words are never odd by themselves.
    """
    count = len(sentence)
    if count <= 2:
        return [not known(word) and not looks_english(word) for word in sentence]
    table = _table()
    places = [
        table.edge,
        *(table.classes.get(_NUMBER if word[0].isdigit() else word) for word in sentence),
        table.edge,
    ]
    sums = [0.0]
    for left, right in pairwise(places):
        if left is None or right is None:
            step = -unknown_cost * ((left is None) + (right is None))
        else:
            step = table.pairs[left][right]
        sums.append(sums[-1] + step)
    result = []
    for place in range(count):
        first, last = max(0, place - REACH), min(count + 1, place + REACH + 2)
        result.append(sums[last] - sums[first] < ODD_BELOW * (last - first))
    return result


class _Table(NamedTuple):
    classes: dict[str, int]
    edge: int
    pairs: list[list[float]]
    letters: list[list[float]]


@cache
def _table() -> _Table:
    stored = json.loads(Path(__file__).with_name("english.json").read_text(encoding="utf-8"))
    classes = {word: number for number, lines in enumerate(stored["words"]) for line in lines for word in line.split()}
    return _Table(classes, len(stored["words"]), _numbers(stored["pairs"]), _numbers(stored["letters"]))


def _numbers(rows: Sequence[str]) -> list[list[float]]:
    return [[(ord(letter) - ord("m")) / 4 for letter in row] for row in rows]


def _sum(table: list[list[float]], places: Sequence[int]) -> float:
    return sum(table[left][right] for left, right in pairwise(places))


_END: Final = 26
