"""The words of the corpus's persuadees, and how one of them is chosen.

1. `words_of` reads the lines that people wrote in the training split, without those of held-out people.
2. A line is known by what it answers: tf-idf of words and pairs of words (scikit-learn), the last sentence counted
   again, and a projection of these to a few dimensions, in which a ridge regression says which replies a turn gets.
3. `Words.choose` scores all lines against what was just said, and draws one of the best.

Everything is a function of the corpus's files, the split rule and the seed. Nothing is written to disk.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np

from josh.dialogue import Speaker
from josh.envs.persuasion import acts as s
from josh.envs.persuasion.amounts import dollars
from josh.envs.persuasion.corpus import Dialogue, load_corpus, split
from josh.envs.persuasion.replies import GIVING, REFUSE, REFUSING, reply_acts
from josh.errors import UsageError

BEFORE: Final = "before"
GAVE: Final = "gave"
REFUSED: Final = "refused"
"""What a person has decided in words before a line."""

SIZE: Final = 96
"""Dimensions of the projection."""
MOST: Final = 40
"""Lines among which one is drawn."""
SHARPNESS: Final = 10.0
"""How much better a line has to be to be drawn more often: log-odds per unit of score."""
_LAST: Final = 0.7
"""Weight of a turn's last sentence, which most replies answer, beside the whole turn."""
_SENSE, _REPLY, _ECHO = 0.5, 0.5, 0.8
"""Weights of a turn's sense, of what is usually replied to it, and of its words in the line, beside its words."""
_ACT, _STAGE, _TIME, _VOICE, _LENGTH, _ASKING = 0.2, 0.2, 0.06, 0.05, 0.6, 0.1
"""Weights of the act, of what is decided, of a turn more or less, of the voice, and of a length unlike the voice's."""
_SHORTER: Final = 0.08
"""How much shorter than the voice's own a line should be, in log words: long lines answer more turns a little."""
_PATTERN: Final = r"(?u)\b\w+\b|\?"
_NEVER: Final = -1e9


@dataclass(frozen=True, slots=True)
class Words:
    """The lines, and what is known of them; arrays have one entry per line.

    Attributes:
        texts: the lines.
        acts: the persuadee acts of each.
        dialogue: number of the dialogue.
        turn: number of the turn, from 0.
        stage: what the person had decided before.
        amount: dollars that the line names; 0.0 for none.
        lengths: turns of the persuadee in each dialogue of the corpus that is read.
        people: everyone in these dialogues, by id, with the numbers of their dialogues.
    """

    texts: tuple[str, ...]
    acts: tuple[frozenset[str], ...]
    dialogue: Any
    turn: Any
    amount: Any
    lengths: tuple[int, ...]
    people: dict[str, tuple[int, ...]]
    speakers: frozenset[str]
    numbers: dict[str, int]
    having: dict[str, Any]
    plain: Any
    giving: Any
    refusing: Any
    hub: Any
    size: Any
    asks: Any
    habit: tuple[tuple[tuple[float, bool], ...], ...]
    staged: dict[str, Any]
    terms: "_Terms"

    def choose(
        self,
        heard: str,
        *,
        act: str,
        stage: str,
        turn: int,
        allowed: Any,
        said: Collection[int],
        voice: int,
        rng: Random,
        firm: bool = False,
    ) -> int:
        """Returns the number of a line.

        Args:
            heard: the turn that it answers.
            act: the act that it should have.
            stage: what the person has decided.
            turn: number of the person's turn, from 0.
            allowed: which lines may be taken; at least one.
            said: numbers of the lines that the person has said.
            voice: number of the dialogue whose lines are preferred a little.
            rng: makes the choice.
            firm: whether only lines with the act may be taken, if there are any.
        """
        fits = self.having.get(act)
        if firm and fits is not None and (allowed & fits).any():
            allowed = allowed & fits
        score = self.terms.scores(heard) - self.hub
        if fits is not None:
            score = score + _ACT * fits
        score = score + _STAGE * self.staged[stage]
        score = score - _TIME * np.minimum(np.abs(self.turn - turn), 5)
        score = score + _VOICE * (self.dialogue == voice)
        size, asks = self.habit[voice][min(turn, len(self.habit[voice]) - 1)]
        score = score - _LENGTH * np.abs(self.size - size + _SHORTER) + _ASKING * (self.asks == asks)
        score = np.where(allowed, score, _NEVER)
        score[list(said)] = _NEVER
        best = np.argpartition(score, -MOST)[-MOST:] if len(score) > MOST else np.arange(len(score))
        best = best[np.lexsort((best, -score[best]))]
        top = score[best]
        weights = np.exp(SHARPNESS * (np.round(top, 6) - top[0]))
        return int(rng.choices(best.tolist(), weights.tolist())[0])

    def without(self, person: str, conversation: object) -> Any:
        """Returns which lines stand in no dialogue that a person takes part in, and not in a certain dialogue."""
        hidden = list(self.people.get(person, ()))
        if conversation in self.numbers:
            hidden.append(self.numbers[str(conversation)])
        return ~np.isin(self.dialogue, hidden)


class _Terms:
    """Turns as vectors, and how well each line answers a turn."""

    def __init__(self, heard: Sequence[str], replies: Sequence[str]) -> None:
        try:
            from sklearn.decomposition import TruncatedSVD
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.linear_model import Ridge
            from sklearn.preprocessing import normalize
        except ImportError:
            raise UsageError("user corpus_persuadee needs scikit-learn; pip install 'josh-dialogue[realism]'") from None
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_PATTERN, dtype=np.float32)
        vectors.fit([*heard, *replies])
        self._analyze, self._places, self._idf = vectors.build_analyzer(), vectors.vocabulary_, vectors.idf_
        matrix = normalize(vectors.transform(heard) + _LAST * vectors.transform([_last(text) for text in heard]))
        answers = vectors.transform(replies)
        size = min(SIZE, min(matrix.shape) - 1)
        projection, of_answers = (TruncatedSVD(size, random_state=0).fit(one) for one in (matrix, answers))
        sense, replied = _unit(projection.transform(matrix)), _unit(of_answers.transform(answers))
        self._ridge = Ridge(alpha=1.0, fit_intercept=False).fit(sense, replied).coef_.T.astype(np.float32)
        self._dense = np.hstack([_SENSE * sense, _REPLY * replied]).astype(np.float32)
        self._components = np.ascontiguousarray(projection.components_.T, dtype=np.float32)
        both = (matrix + _ECHO * answers).tocsc()
        self._starts, self._lines, self._weights = both.indptr, both.indices, both.data.astype(np.float32)

    def scores(self, text: str) -> Any:
        """Returns how well each line fits after a turn; must not be changed."""
        return _scores_of(self, text)

    def compute(self, text: str) -> Any:
        """Returns the same as `scores`, which remembers it."""
        weights = self._vector(text, 1.0)
        for place, weight in self._vector(_last(text), _LAST).items():
            weights[place] = weights.get(place, 0.0) + weight
        found = np.zeros(len(self._dense), dtype=np.float32)
        if not weights:
            return found
        size = math.sqrt(sum(weight * weight for weight in weights.values()))
        places, starts = list(weights), self._starts
        values = np.fromiter(weights.values(), np.float32, len(weights)) / np.float32(size)
        for place, value in zip(places, values, strict=True):
            part = slice(starts[place], starts[place + 1])
            found[self._lines[part]] += value * self._weights[part]
        sense = values @ self._components[places]
        sense /= max(float(np.linalg.norm(sense)), 1e-9)
        reply = sense @ self._ridge
        reply /= max(float(np.linalg.norm(reply)), 1e-9)
        return found + self._dense @ np.concatenate([sense, reply])

    def _vector(self, text: str, weight: float) -> dict[int, float]:
        """Returns the weights of a text's terms, by place; their squares sum to the square of `weight`, or to 0."""
        counts = Counter(self._places[term] for term in self._analyze(text) if term in self._places)
        raw = {place: (1.0 + math.log(count)) * float(self._idf[place]) for place, count in counts.items()}
        size = math.sqrt(sum(value * value for value in raw.values()))
        return {place: weight * value / size for place, value in raw.items()}


@lru_cache(maxsize=2048)
def _scores_of(terms: _Terms, text: str) -> Any:
    return terms.compute(text)


def _unit(rows: Any) -> Any:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _last(text: str) -> str:
    parts = [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]
    asked = [part for part in parts if part.endswith("?")]
    return (asked or parts or [""])[-1]


@lru_cache(maxsize=4)
def words_of(folder: Path, rule: str) -> Words:
    """Returns the lines of the training split of a corpus, without the dialogues of people who are also in test.

    Raises:
        UsageError: the corpus cannot be read or has no such split, scikit-learn is missing, or no line is left.
    """
    parts = split(load_corpus(folder), rule)
    held_out = {person.id for each in parts["test"] for person in (each.persuader, each.persuadee)}
    usable = [each for each in parts["train"] if each.persuadee.id not in held_out and not each.bad]
    lines = [line for number, each in enumerate(usable) for line in _lines(each, number)]
    if len(lines) < 2:
        raise UsageError(f"the train split of {folder} has no words of people who are not in its test split")
    acts = tuple(line.acts for line in lines)
    names = sorted(frozenset[str]().union(*acts))
    having = {name: np.array([name in each for each in acts]) for name in names}
    amount = np.array([line.amount for line in lines])
    giving = np.array([bool(each & GIVING) for each in acts])
    refusing = np.array([bool(each & REFUSING) for each in acts])
    people: dict[str, tuple[int, ...]] = {}
    for number, each in enumerate(usable):
        for person in (each.persuader.id, each.persuadee.id):
            people[person] = (*people.get(person, ()), number)
    size = np.log1p([len(line.text.split()) for line in lines])
    asks = np.array(["?" in line.text for line in lines])
    dialogue = np.array([line.dialogue for line in lines])
    stage = np.array([line.stage for line in lines])
    terms = _Terms([line.heard for line in lines], [line.text for line in lines])
    return Words(
        tuple(line.text for line in lines),
        acts,
        dialogue,
        np.array([line.turn for line in lines]),
        amount,
        tuple(sum(line.dialogue == number for line in lines) for number in range(len(usable))),
        people,
        frozenset(each.persuadee.id for each in usable),
        {each.id: number for number, each in enumerate(usable)},
        having,
        ~giving & ~refusing & (amount == 0),
        giving,
        refusing,
        _hubness(terms, [line.heard for line in lines]),
        size,
        asks,
        tuple(
            tuple(zip(size[dialogue == number], asks[dialogue == number], strict=True)) for number in range(len(usable))
        ),
        {name: stage == name for name in (BEFORE, GAVE, REFUSED)},
        terms,
    )


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    heard: str
    dialogue: int
    turn: int
    stage: str
    acts: frozenset[str]
    amount: float


def _lines(dialogue: Dialogue, number: int) -> list[_Line]:
    found: list[_Line] = []
    heard, stage = "", BEFORE
    own: list[str] = []

    def close() -> None:
        nonlocal stage, own
        text = " ".join(own).strip()
        own = []
        if not text or not heard:
            return
        acts = reply_acts(text, s.acts(heard))
        amount = max((dollars(each) or 0.0 for each in s.sentences(text)), default=0.0)
        found.append(_Line(text, heard, number, len(found), stage, acts, amount))
        if acts & GIVING:
            stage = GAVE
        elif REFUSE in acts and stage == BEFORE:
            stage = REFUSED

    for utterance in dialogue.utterances:
        text = utterance.text.strip()
        if utterance.speaker is Speaker.USER:
            own.append(text)
        elif own:
            close()
            heard = text
        else:
            heard = f"{heard}\n{text}".strip()
    close()
    return found


def _hubness(terms: _Terms, heard: Sequence[str], sample: int = 1500, near: int = 10) -> Any:
    """Returns how close each line is to the turns that it is closest to, so that none is chosen for all of them."""
    step = max(1, len(heard) // sample)
    table = np.array([terms.compute(text) for text in heard[::step]], dtype=np.float32)
    top = np.sort(table, axis=0)[-near - 1 : -1] if len(table) > near else table
    return 0.5 * top.mean(axis=0)
