"""How a listener takes in one turn of the persuader: what is clear and new in it, and what is not.

Nothing here decides anything about giving; `josh.users.persuasion.donor` does. Where people speak in such ways, the
limits are chosen on the corpus, and each names its figure; people hardly ever speak nonsense, echo their partner (8 of
10,600 persuader turns) or repeat a sentence (19), so that the rest is design.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from josh.envs.persuasion import acts as s
from josh.envs.persuasion import english
from josh.envs.persuasion.amounts import dollars

SILENT: Final = "silent"
GIBBERISH: Final = "gibberish"
FOREIGN: Final = "foreign"
SALAD: Final = "salad"
FRAGMENT: Final = "fragment"
OFF_TOPIC: Final = "off-topic"
REPEATED: Final = "repeated"
ECHOED: Final = "echoed"
LONG: Final = "long"
FAULTS: Final = (SILENT, GIBBERISH, FOREIGN, SALAD, FRAGMENT, OFF_TOPIC, REPEATED, ECHOED, LONG)
"""What may be wrong with a turn: no words; words of no language; words of another language; English words without
sense; one or two words that say nothing; something else than what the talk is about; the persuader's own words again;
the listener's words; more words than anybody reads in a chat."""

READ_WORDS: Final = 120
"""Words of a turn that the listener reads (the longest of the corpus's 10,600 persuader turns has 100)."""
BRIEF: Final = 8
"""Words that a short answer to a question has at most; it may be about anything (design)."""
RECENT: Final = 2
"""The persuader's turns from which any repeated sentence is noticed; from earlier ones, only a third use (design)."""
SLIPS: Final = 0.34
"""Share of odd words in a turn that passes as slips of the pen (the mean of human turns is .04)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a listener makes of a turn.

    Attributes:
        acts: the acts in its clear and new sentences; `{"other"}` where there are none.
        anchor: the amount in dollars that these suggest; None where they name none.
        again: the acts in sentences that the persuader has said before.
        clarity: the share of its words that are clear and new, in [0, 1].
        fault: what is wrong with most of its words, one of `FAULTS`; None where most are in order.
        about: words of the turn that a question about the largest fault can take up, or what it seems to be about where
            nothing is wrong; may be empty.
        odd: the largest fault in any part of the turn; None without one.
        named: whether it names the charity or giving, in clear words.
    """

    acts: frozenset[str]
    anchor: float | None = None
    again: frozenset[str] = frozenset()
    clarity: float = 1.0
    fault: str | None = None
    about: str = ""
    odd: str | None = None
    named: bool = True


def read(text: str, own: Sequence[str] = (), theirs: Sequence[str] = (), asked: bool = False) -> Reading:
    """Returns what a listener makes of a turn. A pure function.

    Args:
        text: the turn.
        own: the persuader's earlier turns.
        theirs: the listener's earlier turns.
        asked: whether the listener's last turn is a question, which a few words may answer.
    """
    parts = [part for part in _parts(s.part_read(text)) if part.size]
    said = sum(part.size for part in parts)
    # The part of a very long turn that is not read counts as words, by its length.
    unread = said * max(0.0, len(text.strip()) / s.READ_CHARACTERS - 1.0)
    total = said + unread
    if not total:
        return Reading(_NOTHING, clarity=0.0, fault=SILENT, odd=SILENT, named=False)
    before = _fresh_in_mind(own)
    yours = _keys(theirs)
    bits = frozenset[str]() if asked else _bits(parts, said)
    slips = sum(part.odd for part in parts if not part.fault) > SLIPS * said
    shares: dict[str, float] = {LONG: unread / total} if unread else {}
    abouts: dict[str, str] = dict.fromkeys(shares, "")
    clear: list[_Part] = []
    again: set[str] = set()
    seen = 0
    for part in parts:
        fault, about, weight = part.fault, part.about, part.size
        if seen + part.size > READ_WORDS and (seen or unread):
            fault = LONG
        elif part.size > 2 and part.key in yours and not part.courteous:
            fault, about = ECHOED, part.key
        elif part.key in before and not part.courteous:
            fault, about = REPEATED, part.key
            again |= part.acts
        elif part.key in bits:
            fault, about = FRAGMENT, part.key
        elif fault == OFF_TOPIC and asked and total <= BRIEF:
            fault = None
        if fault is None:
            clear.append(part)
            if slips and part.odd:
                fault, about, weight = SALAD, part.strange, part.odd
        if fault is not None:
            shares[fault] = shares.get(fault, 0.0) + weight / total
            abouts[fault] = max(abouts.get(fault, ""), about, key=len)
        seen += part.size
        before.add(part.key)
    clarity = max(0.0, 1.0 - sum(shares.values()))
    worst = max(shares, key=lambda fault: shares[fault], default=None)
    found = frozenset[str]().union(*(part.acts for part in clear)) - _NOTHING
    return Reading(
        found or _NOTHING,
        _anchor(clear),
        frozenset(again) - _NOTHING,
        clarity,
        worst if clarity < 0.5 else None,
        abouts[worst] if worst else next((part.subject for part in clear if part.subject), ""),
        worst,
        any(part.named for part in clear),
    )


def _bits(parts: Sequence["_Part"], total: int) -> frozenset[str]:
    """Returns the sentences that say nothing because they are too short, alone or with others like them."""
    found = [part for part in parts if part.size <= 2 and part.acts <= _NOTHING and "?" not in part.sentence]
    if len(found) > 1 or sum(part.size for part in found) == total:
        return frozenset(part.key for part in found if not part.fault)
    return frozenset()


@dataclass(frozen=True, slots=True)
class _Part:
    """A sentence by itself: its acts, number of words, words as one text, what is wrong with it, and its subject."""

    sentence: str
    acts: frozenset[str]
    size: int
    key: str
    odd: int = 0
    fault: str | None = None
    about: str = ""
    strange: str = ""
    named: bool = False
    subject: str = ""

    @property
    def courteous(self) -> bool:
        """Whether it only greets, thanks, agrees and the like, which people do more than once."""
        return self.acts <= _COURTESY


@lru_cache(maxsize=1024)
def _parts(text: str) -> tuple[_Part, ...]:
    return tuple(map(_part, s.sentences(text)))


@lru_cache(maxsize=8192)
def _part(sentence: str) -> _Part:
    words = english.words(sentence)
    size = len(words)
    if not size:
        return _Part(sentence, _NOTHING, 0, "")
    key = " ".join(words)
    strange = _strange(words)
    acts, named = s.sentence_acts(sentence), NAMED.search(sentence) is not None
    related = RELATED.search(sentence) is not None
    fault = about = None
    topic = subject(words)
    illegible = _illegible(words) if 2 * len(strange) > size else None
    if illegible == OFF_TOPIC and related:
        strange = _strange(words, 0.0)
    elif illegible is not None:
        fault, about = illegible, topic if illegible == OFF_TOPIC else _oddest(strange)
    elif size >= 4 and acts <= _ASIDES and not related and not _PERSONAL.search(sentence):
        about = topic
        if about and (not english.known(about) or (acts <= _NOTHING and size >= 6)):
            fault = OFF_TOPIC
    if fault:
        acts, named = _NOTHING, False
    oddest = _oddest([word for word in words if not english.looks_english(word)] or strange)
    return _Part(sentence, acts, size, key, len(strange), fault, about or "", oddest, named, topic)


def _strange(words: Sequence[str], unknown_cost: float = english.UNKNOWN_COST) -> list[str]:
    return [word for word, odd in zip(words, english.odd(words, unknown_cost), strict=True) if odd]


def _oddest(words: Sequence[str]) -> str:
    """Returns the word that reads least like English, the longest of several; empty where there is no word."""
    return max(
        words, key=lambda word: (not english.looks_english(word), not english.known(word), len(word)), default=""
    )


def _illegible(words: Sequence[str]) -> str:
    """Returns what makes most words of a sentence odd."""
    names = [word for word in words if not word[0].isdigit()]
    foreign = [word for word in names if not english.known(word)]
    if 2 * sum(not english.looks_english(word) and word.isascii() for word in foreign) > len(names):
        return GIBBERISH
    if len(foreign) > 0.7 * len(names):
        return FOREIGN
    return SALAD if 2 * len(_strange(words, 0.0)) > len(words) else OFF_TOPIC


def subject(words: Sequence[str]) -> str:
    """Returns the word that a sentence seems to be about; empty where it has none of four letters."""
    best, most = "", 0.0
    for place, word in enumerate(words):
        if len(word) < 4 or "'" in word or word[0].isdigit():
            continue
        unknown = not english.known(word)
        if not unknown and (word in _COMMON or RELATED.search(word)):
            continue
        score = (
            (2.0 if unknown else 0.0)
            + (1.0 if place and words[place - 1] in _BEFORE_NOUNS else 0.0)
            + (0.7 if word.endswith("s") and not word.endswith("ss") else 0.0)
            - (0.8 if word.endswith(("ing", "ed", "ly")) else 0.0)
            + 0.1 * len(word)
        )
        if score > most:
            best, most = word, score
    return best


def _fresh_in_mind(own: Sequence[str]) -> set[str]:
    """Returns the sentences of the persuader that a listener would notice again: the latest, and those said twice."""
    once: set[str] = set()
    noticed = set(_keys(own[-RECENT:]))
    for text in own[:-RECENT]:
        keys = _keys([text])
        noticed |= once & keys
        once |= keys
    return noticed


def _keys(texts: Iterable[str]) -> frozenset[str]:
    return frozenset[str]().union(*(_keys_of(s.part_read(text)) for text in texts))


@lru_cache(maxsize=1024)
def _keys_of(text: str) -> frozenset[str]:
    return frozenset(part.key for part in _parts(text) if part.size)


def _anchor(parts: Sequence[_Part]) -> float | None:
    anywhere = None
    for part in reversed(parts):
        amount = dollars(part.sentence)
        if amount is not None:
            if part.acts & s.ANCHORING:
                return amount
            anywhere = anywhere or amount
    return anywhere


NAMED: Final = re.compile(
    r"\b(?:donat|contribut|charit|save the child|stc\b|non-? ?profit|fundrais|pledg|good cause)"
    r"|\b(?:giv\w+|gift|spare|help\w*|organi[sz]ation)\b.*\b(?:child\w*|kids|task payment|poor|needy|in need)\b"
    r"|\b(?:giv\w+|part|half|some|all) (?:\w+ ){0,2}(?:of )?(?:your|the) (?:task )?(?:payment|earnings)\b"
)
"""What names the charity or giving."""
RELATED: Final = re.compile(
    r"\b(?:donat|contribut|charit|giv(?:e|ing|en)\b|gift|spare\b|help|need|support|child|kid|famil|people|poor|poverty|"
    r"money|cents?\b|dollars?\b|pay|paid|cause|organi[sz]|non-? ?profit|fund|food|hungry|hunger|school|educat|health|"
    r"war\b|refugee|syria|suffer|world|countr|lives|life\b|future|save|research|survey|task|hits?\b|turk|chat|talk|"
    r"website|url\b|thank|sorry)"
)
"""Words that belong to the talk (chosen with the corpus in view)."""
_PERSONAL: Final = re.compile(
    r"\b(?:you\b|your|we\b|us\b|i\b|my\b|me\b|i'm|it\b|they\b|them\b|their|these\b|this\b|that\b)"
)
"""The two who talk, and pronouns that may take up what was said."""

_NOTHING: Final = frozenset((s.OTHER,))
_ASIDES: Final = _NOTHING | {s.CREDIBILITY, s.LOGICAL, s.EMOTION, s.STORY, s.INFORMATION, s.FOOT, s.PRAISE}
_COURTESY: Final = frozenset(
    (
        s.GREETING, s.ACKNOWLEDGEMENT, s.THANK, s.WELCOME, s.CLOSING, s.POSITIVE_ANSWER, s.NEGATIVE_ANSWER,
        s.NEUTRAL_ANSWER, s.COMMENT,
    )
)  # fmt: skip
_BEFORE_NOUNS: Final = frozenset(
    ("the", "a", "an", "of", "about", "in", "on", "by", "my", "our", "their", "his", "some", "most", "many", "more",
     "to", "for", "from", "with", "model", "favourite", "favorite", "new", "old")
)  # fmt: skip
_COMMON: Final = frozenset(
    ("that", "this", "they", "them", "their", "there", "these", "those", "what", "when", "where", "which", "while",
     "with", "would", "could", "should", "have", "from", "about", "than", "then", "very", "really", "just", "like",
     "some", "more", "most", "many", "much", "also", "even", "been", "were", "will", "does", "because", "into", "over",
     "only", "other", "good", "great", "nice", "best", "well", "know", "think", "want", "make", "made", "goes", "going",
     "every", "each", "such", "both", "after", "before", "always", "never", "often", "sometimes", "here", "your")
)  # fmt: skip
