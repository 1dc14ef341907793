"""How well a classifier tells simulated users from people: the AUC by text, form, acts and shape of the dialogue.

.5: it cannot tell them apart; 1: it always can. The classifiers learn on some people and are measured on others
(`FOLDS` folds by person: a person's own turns and those of whoever plays the person are in one fold). The text is read
by a logistic regression on tf-idf of words and of characters; form, acts and shape by boosted trees. The interval is a
bootstrap over people, with the classifiers as they are.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import numpy as np

from josh.errors import UsageError
from josh.runs.evaluate.realism.talks import Talk
from josh.runs.intervals import LEVEL, Estimate

FOLDS: Final = 5
WORD: Final = r"(?u)\b\w+\b"
RESAMPLES: Final = 400
TEXT, FORM, ACTS, SHAPE = "text", "form", "acts", "shape"
KINDS: Final = (TEXT, FORM, ACTS, SHAPE)


def need_sklearn() -> None:
    """Raises UsageError if scikit-learn is not installed."""
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise UsageError("josh realism needs scikit-learn: pip install -e '.[realism]' -c constraints.txt")


def aucs(people: Sequence[Talk], simulated: Sequence[Talk], commits: Collection[str], seed: int) -> dict[str, Estimate]:
    """Returns the AUC of each kind, by name; without `acts` where no turn has any.

    Args:
        people: conversations of people.
        simulated: conversations of simulated users.
        commits: acts by which a user agrees, for the shape.
        seed: seed of the bootstrap.

    Raises:
        UsageError: there are fewer people than folds.
    """
    talks = [*people, *simulated]
    labels = [False] * len(people) + [True] * len(simulated)
    if len({talk.person for talk in talks}) < FOLDS:
        raise UsageError(f"there are conversations with fewer than {FOLDS} people; give a run with more tasks")
    texts = [text for talk in talks for text in talk.said]
    sides = [label for talk, label in zip(talks, labels, strict=True) for _ in talk.said]
    persons = [talk.person for talk in talks for _ in talk.said]
    owners = [talk.person for talk in talks]
    found = {
        TEXT: measure(_by_text, texts, sides, persons, seed),
        FORM: measure(_by_numbers, np.array([form(text) for text in texts]), sides, persons, seed),
    }
    names = sorted(frozenset[str]().union(*(act for talk in talks for act in talk.acts)))
    if names:
        shares = np.array([_act_shares(talk, names) for talk in talks])
        found[ACTS] = measure(_by_numbers, shares, labels, owners, seed)
    found[SHAPE] = measure(_by_numbers, np.array([shape(talk, commits) for talk in talks]), labels, owners, seed)
    return found


def measure(make: Callable[[], Any], rows: Any, labels: Sequence[bool], people: Sequence[str], seed: int) -> Estimate:
    """Returns the AUC of a classifier on people that it has not seen, with a bootstrap interval over people.

    Args:
        make: makes an untrained classifier with `fit` and `decision_function`.
        rows: what it reads, one entry for each observation.
        labels: whether each observation is simulated; both values occur.
        people: the person of each.
        seed: seed of the bootstrap.
    """
    truth, folds = np.array(labels), _folds(people)
    scores = np.zeros(len(truth))
    for fold in range(FOLDS):
        test = folds == fold
        if not test.any():
            continue
        learned = make().fit(_some(rows, ~test), truth[~test])
        scores[test] = learned.decision_function(_some(rows, test))
    return auc(scores, truth, people, seed)


def auc(scores: Any, truth: Any, people: Sequence[str], seed: int) -> Estimate:
    """Returns the area under the ROC curve, ties counted half, with a bootstrap interval over people."""
    truth = np.asarray(truth, dtype=bool)
    values, places = np.unique(scores, return_inverse=True)
    numbers = {person: number for number, person in enumerate(dict.fromkeys(people))}
    of = np.array([numbers[person] for person in people])

    def area(weights: Any) -> float:
        positive = np.bincount(places, weights * truth, len(values))
        negative = np.bincount(places, weights * ~truth, len(values))
        below = np.cumsum(negative) - negative
        both = positive.sum() * negative.sum()
        return float((positive * (below + negative / 2)).sum() / both) if both else float("nan")

    value = area(np.ones(len(truth)))
    rng = np.random.default_rng(seed)
    drawn = [
        area(np.bincount(rng.integers(len(numbers), size=len(numbers)), minlength=len(numbers))[of].astype(float))
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), len(truth), len(numbers))


def form(text: str) -> list[float]:
    """Returns numbers about how a turn is written, not what it says: length, signs, case, digits."""
    words = text.split()
    signs = max(1, len(text))
    return [
        float(len(text)),
        float(len(words)),
        len(text) / max(1, len(words)),
        *(float(text.count(sign)) for sign in ".,?!'"),
        float("..." in text),
        float(text[:1].isupper()),
        float(text[-1:] in ".!?"),
        sum(sign.isupper() for sign in text) / signs,
        float(sum(sign.isdigit() for sign in text)),
        float("$" in text),
        float(" i " in f" {text} "),
        float(len(re.findall(r"[.!?]+", text))),
        float("  " in text),
        len(set(map(str.lower, words))) / max(1, len(words)),
        float(len(re.findall(r"[^\w\s.,?!'$]", text))),
        float("\n" in text),
    ]


def shape(talk: Talk, commits: Collection[str]) -> list[float]:
    """Returns numbers about the course of a conversation: turns, their lengths and questions, and when one agrees."""
    size = [len(text.split()) for text in talk.said]
    asks = [float("?" in text) for text in talk.said]
    half = max(1, len(size) // 2)
    gave = talk.reward is not None and talk.reward > 0
    when = talk.first(commits) if gave else None
    lengths = (np.mean(size), np.std(size), np.mean(size[:half]), np.mean(size[half:] or [0]))
    questions = (np.mean(asks), np.mean(asks[:half]), np.mean(asks[half:] or [0.0]))
    return [float(number) for number in (len(size), *lengths, *questions, gave, -1 if when is None else when)]


def _act_shares(talk: Talk, names: Sequence[str]) -> list[float]:
    half = max(1, len(talk.acts) // 2)
    parts = (talk.acts[:half], talk.acts[half:])
    return [sum(name in acts for acts in part) / max(1, len(part)) for part in parts for name in names]


def _folds(people: Sequence[str]) -> Any:
    """Returns the fold of each observation: the people in the order of their ids, in turn."""
    of = {person: number % FOLDS for number, person in enumerate(sorted(set(people)))}
    return np.array([of[person] for person in people])


def _some(rows: Any, chosen: Any) -> Any:
    return rows[chosen] if isinstance(rows, np.ndarray) else [rows[place] for place in np.flatnonzero(chosen)]


def _by_text() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD)
    signs = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    return make_pipeline(make_union(words, signs), LogisticRegression(C=3, max_iter=500))


def _by_numbers() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=60, max_depth=3, early_stopping=False, random_state=0)
