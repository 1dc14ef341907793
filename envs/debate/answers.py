"""Answers in a debate: what a turn says the answer is, read by rules, and which answers are the same.

Four rules read a turn, in this order; the first that finds something decides:
    1. "Final answer: X" (the last one). X may be Agree or Disagree.
    2. "The answer is X", and "it is X" with a name as X (the last one).
    3. A known answer in the text: an alias of the gold answer, a choice, the speaker's or the partner's last answer. It
       counts where exactly one is asserted: not denied, asked about, or reported of the partner.
    4. Words of agreement or disagreement, without an answer of their own.
Both sides are compared in TriviaQA's normal form. What no rule reads is None, and is left to a judge (`ask_judge`).
"""

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, Final

from josh.envs.debate import wording
from josh.messages import Message, text_of
from josh.roles import TurnModel

LONGEST = 8
"""Most words of an answer that is not known before."""


class Stance(StrEnum):
    """A turn that names no answer, and takes a side instead."""

    AGREE = "Agree"
    DISAGREE = "Disagree"


_PUNCTUATION = str.maketrans(
    dict.fromkeys(
        string.punctuation + "\u2018\u2019\u00b4\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014\u2026\u00bf\u00a1", " "
    )
)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


@lru_cache(maxsize=65_536)
def normalise(text: str) -> str:
    """Returns an answer in TriviaQA's normal form: lower case, without punctuation, articles and further spaces.

    A text that consists of articles alone, such as the letter "a", stays. A text without letters and digits is empty.
    """
    plain = " ".join(text.lower().translate(_PUNCTUATION).split())
    return " ".join(_ARTICLES.sub(" ", plain).split()) or plain


def is_right(answer: str | None, gold: Iterable[str]) -> bool | None:
    """Returns whether a normalised answer is one of the gold aliases; None for no answer."""
    return None if answer is None else answer in gold


def same(one: str | None, other: str | None, gold: Iterable[str]) -> bool:
    """Returns whether two normalised answers are the same: equal, or aliases of the same gold answer."""
    if one is None or other is None:
        return False
    return one == other or (one in gold and other in gold)


def resolve(found: str | None, own: str | None, other: str | None) -> str | None:
    """Returns the answer that stands after a turn.

    Args:
        found: the result of `find` for the turn.
        own: the speaker's answer before the turn; Disagree keeps it.
        other: the partner's answer before the turn; Agree takes it.
    """
    if found == Stance.AGREE:
        return other
    return own if found == Stance.DISAGREE else found


def find(text: str, data: Mapping[str, Any], own: str | None = None, other: str | None = None) -> str | None:
    """Reads a turn's answer by rules.

    Args:
        text: the turn's words.
        data: the question: `question`, `gold` (normalised aliases) and, where it has some, `choices`.
        own: the speaker's normalised answer before the turn; None for none.
        other: the partner's; None for none, and where the speaker did not hear it.

    Returns:
        A normalised answer, a `Stance`, or None where no rule reads the text.
    """
    plain = wording.plain(text)
    known = _known(data, own, other)
    whole = normalise(plain)
    if whole in known:
        return whole
    if whole in _TOKENS:
        return _TOKENS[whole]
    finals = [match for match in wording.FINAL.finditer(plain) if not wording.YOURS.search(plain[: match.start()])]
    for match in reversed(finals):
        value, read = _value(match[1], known)
        if read:
            return value
    stated = sorted((*wording.STATED.finditer(plain), *wording.IT_IS.finditer(plain)), key=lambda match: match.start(1))
    for match in reversed(stated):
        clause = wording.CLAUSE.split(plain[: match.start()])[-1]
        asked = "?" in wording.SENTENCE_END.split(plain[match.end() :] + " ", maxsplit=1)[0]
        if wording.NOT_OWN.search(clause) or asked:
            continue
        value, read = _value(match[1], known)
        if read and value is not None:
            return value
    return _mentioned(plain, data, known, own, other)


def standing(messages: Iterable[Message], data: Mapping[str, Any], *, both_first: bool = True) -> dict[str, str | None]:
    """Returns the last answer that each speaker gave in some messages, by `agent` and `user`; None for none.

    Args:
        messages: a conversation as both speakers see it, the agent's words as `assistant`.
        data: the question, as in `find`. Where it has `answers`, these stand after the turns that the task begins with
            (`history`), and these turns are not read.
        both_first: whether the user did not hear the agent before its own first turn.
    """
    found: dict[str, str | None] = {"agent": None, "user": None, **(data.get("answers") or {})}
    spoken = False
    for message in islice(messages, len(data.get("history") or ()) if "answers" in data else 0, None):
        role = message.get("role")
        if role not in ("assistant", "user"):
            continue
        speaker, partner = ("agent", "user") if role == "assistant" else ("user", "agent")
        heard = None if speaker == "user" and both_first and not spoken else found[partner]
        spoken = spoken or speaker == "user"
        said = resolve(find(text_of(message), data, found[speaker], heard), found[speaker], heard)
        found[speaker] = found[speaker] if said is None else said
    return found


JUDGE_PROMPT: Final = """\
Two speakers debate a question. Read the turn of one of them, and write down which answer this speaker holds at the \
end of the turn. Copy the answer from the turn in as few words as possible. Do not correct it, and do not answer the \
question yourself.

Question: {question}
{before}The turn: {text}

Reply with one line: "Final answer: " and the answer; "Final answer: Agree" if the speaker takes over the partner's \
answer without naming it; "Final answer: Disagree" if the speaker keeps its own answer without naming it; or "Final \
answer: NONE" if the turn holds no answer."""


async def ask_judge(
    judge: TurnModel, text: str, data: Mapping[str, Any], own: str | None = None, other: str | None = None
) -> str | None:
    """Asks a judge for a turn's answer, in one request. Takes the arguments of `find`, and returns the same."""
    before = "".join(
        f"{whose} answer before: {answer}\n"
        for whose, answer in (("The speaker's", own), ("The partner's", other))
        if answer is not None
    )
    prompt = JUDGE_PROMPT.format(question=data["question"], before=before, text=text)
    reply = wording.plain((await judge.reply([{"role": "user", "content": prompt}])).text)
    known = _known(data, own, other)
    finals = list(wording.FINAL.finditer(reply))
    return _value(finals[-1][1] if finals else reply.strip(), known)[0]


_TOKENS = {
    "agree": Stance.AGREE,
    "i agree": Stance.AGREE,
    "agreed": Stance.AGREE,
    "disagree": Stance.DISAGREE,
    "i disagree": Stance.DISAGREE,
}


def _known(data: Mapping[str, Any], own: str | None, other: str | None) -> frozenset[str]:
    choices = map(normalise, data.get("choices") or ())
    return frozenset(each for each in (*data["gold"], *choices, own, other) if each)


def _value(raw: str, known: frozenset[str]) -> tuple[str | None, bool]:
    """Reads what follows "final answer" or "the answer is".

    Returns:
        The answer or stance, None for an answer such as "unknown"; and whether the text was read.
    """
    raw = raw.strip()
    lead = wording.LEAD.match(raw)
    assert lead is not None, "the pattern may be empty"
    for start in dict.fromkeys((0, lead.end())):
        cuts = sorted({match.start() for match in wording.CUT.finditer(raw, start)}, reverse=True)
        for end in cuts:
            if (said := normalise(raw[start:end])) in known:
                return said, True
    raw = raw[lead.end() :]
    ending = wording.END.search(raw)
    assert ending is not None, "the pattern finds the end of every text"
    part = raw[: ending.start()]
    said = normalise(part)
    first = said.split(" ", 1)[0]
    if said in wording.NOTHING:
        return None, True
    if (stance := _stance(part)) is not None:
        return stance, True
    if first in wording.NO_VALUE or len(said.split()) > LONGEST:
        return None, False
    return said, True


def _mentioned(
    plain: str, data: Mapping[str, Any], known: frozenset[str], own: str | None, other: str | None
) -> str | None:
    """Reads a text by the known answers in it, and by words of agreement; see rules 3 and 4."""
    gold = frozenset(data["gold"])
    asserted: dict[str, str] = {}
    searched = _searched(known, data["question"])
    for said in _asserted(plain, searched):
        asserted.setdefault(_group(said, gold), said)
    stance = _stance(plain)
    if stance is None:
        if len(asserted) != 1:
            return None
        # "X did much, but Y did this" names X in passing, and Y may be an answer that nobody knew before.
        turns = list(wording.TURN_ROUND.finditer(plain))
        after = _asserted(plain[turns[-1].end() :], searched) if turns else list(asserted.values())
        return next(iter(asserted.values())) if after else None
    # Words of agreement may name the answer that is given up, words of disagreement the one that is refused.
    passing = other if stance is Stance.DISAGREE else own
    held = {group: said for group, said in asserted.items() if passing is None or group != _group(passing, gold)}
    if len(held) == 1:
        return next(iter(held.values()))
    contradicts = stance is Stance.AGREE and bool(asserted) and not same(own, other, gold)
    return None if held or contradicts else stance


def _group(answer: str, gold: frozenset[str]) -> str:
    return "" if answer in gold else answer


def _stance(plain: str) -> Stance | None:
    """Returns the last stance in a text; None for none, and for an agreement that a "but" takes back."""
    against = [match.start() for match in wording.DISAGREE.finditer(plain)]
    spans = [match.span() for match in wording.DISAGREE.finditer(plain)]
    agreed = [
        match
        for match in wording.AGREE.finditer(plain)
        if not any(start <= match.start() < end for start, end in spans)
    ]
    if agreed and (not against or agreed[-1].start() > against[-1]):
        return None if wording.TURN_ROUND.search(plain, agreed[-1].end()) else Stance.AGREE
    return Stance.DISAGREE if against else None


def _searched(known: Iterable[str], question: str) -> list[tuple[str, ...]]:
    """Returns the known answers to look for in a text, the longest first.

    Answers of the question's own words, common words and short ones are found in too many texts.
    """
    asked = f" {normalise(question)} "
    found = []
    for answer in known:
        words = answer.split()
        long = len(answer) >= 3 if not answer.isdecimal() else len(answer) >= 2
        if long and f" {answer} " not in asked and not wording.COMMON.issuperset(words):
            found.append(tuple(words))
    return sorted(found, key=lambda words: (-len(words), words))


def _asserted(plain: str, searched: Sequence[tuple[str, ...]]) -> list[str]:
    """Returns the answers that a text asserts, in their order."""
    words: list[str] = []
    clause_of: list[int] = []
    asked: list[bool] = []
    start = 0
    for number, mark in enumerate([*wording.CLAUSE.finditer(plain), None]):
        clause = plain[start : mark.start() if mark else len(plain)]
        inside = [word for word in clause.lower().translate(_PUNCTUATION).split() if not _ARTICLES.fullmatch(word)]
        words += inside
        clause_of += [number] * len(inside)
        end = wording.SENTENCE_END.search(f"{plain} ", mark.start() if mark else len(plain))
        asked.append("?" in plain[start : end.start() if end else len(plain)])
        start = mark.end() if mark else len(plain)
    found, at = [], 0
    while at < len(words):
        match = next((one for one in searched if tuple(words[at : at + len(one)]) == one), None)
        if match is None:
            at += 1
            continue
        end_at = at + len(match)
        before = [word for word, clause in zip(words[:at], clause_of[:at], strict=True) if clause == clause_of[at]]
        after = [
            word
            for word, clause in zip(words[end_at:], clause_of[end_at:], strict=True)
            if clause == clause_of[end_at - 1]
        ]
        if not asked[clause_of[at]] and not _is_denied(before, after):
            found.append(" ".join(match))
        at = end_at
    return found


def _is_denied(before: Sequence[str], after: Sequence[str]) -> bool:
    """Returns whether the words of its clause deny an answer, or give it as another's or as a former one."""
    if not (wording.DENIALS | wording.OF_OTHERS | wording.PAST).isdisjoint(before):
        return True
    if any(pair in pairwise(before) for pair in (("first", "answer"), ("first", "guess"))):
        return True
    return after[:1] != ["not"] and not wording.REFUTED.isdisjoint(after[:4])
