"""What a persuader's words do, found by rules: which option they recommend, what they disclose, what they ask about.

A persuader that writes sections says itself whether it recommends (`ACTION (ACT)`), so that only the option is read
here. Of other persuaders the words alone count.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from josh.envs.ptom.scenarios import OPTIONS, A, B, Fact, Scenario
from josh.envs.ptom.sections import ACT, ACTIONS
from josh.tags import is_negated

DISCLOSED: Final = 0.8
"""The share of the words of a fact that a message must have to disclose it."""
_WORD: Final = re.compile(r"[a-z0-9]+")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_CUE: Final = re.compile(
    r"\b(?:recommend\w*|suggest\w*|advise|advice|urge|propose|choose|pick|select|take|book|opt for|go (?:with|for)"
    r"|(?:should|would) (?:be|go|get)|my vote|best (?:choice|fit|option|match)|better (?:choice|fit|option|match)"
    r"|right (?:choice|fit|option)|in favou?r of|stands? out|wins?)\b",
    re.IGNORECASE,
)
_OPEN_QUESTION: Final = re.compile(
    r"\b(?:matters?|important|importance|priorit\w+|cares?|values?|looking for|prefer\w*|needs?|hop(?:e|ing)|goals?"
    r"|worr\w+|deal ?breaker|motivat\w+)\b",
    re.IGNORECASE,
)
_SMALL: Final = frozenset(
    [
        *("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "have", "in", "is", "it", "its"),
        *("of", "on", "or", "than", "that", "the", "to", "with"),
    ]
)


def words_of(text: str) -> set[str]:
    """Returns the words of a text that carry its meaning, in lower case."""
    return set(_WORD.findall(text.lower())) - _SMALL


def disclosed_in(text: str, facts: Iterable[Fact]) -> list[Fact]:
    """Returns the facts that a message discloses: it has at least `DISCLOSED` of their words, numbers included."""
    said = words_of(text)
    found = []
    for fact in facts:
        wanted = words_of(fact.content)
        numbers = {word for word in wanted if word.isdigit()}
        if wanted and numbers <= said and len(wanted & said) >= DISCLOSED * len(wanted):
            found.append(fact)
    return found


def asked_in(text: str, dimensions: Iterable[str]) -> tuple[bool, list[str]]:
    """Returns whether a message asks openly what matters to the person, and the dimensions that it asks about."""
    questions = " ".join(piece for piece in _SENTENCE.split(text) if piece.rstrip(" *_\"'").endswith("?"))
    named = [name for name in dimensions if spoken(name) in questions.lower().replace("_", " ")]
    return bool(questions and not named and _OPEN_QUESTION.search(questions)), named


def spoken(dimension: str) -> str:
    """Returns the name of a dimension as people say it."""
    return dimension.replace("_", " ").lower()


def recommended_in(text: str, scenario: Scenario, kind: str | None = None) -> str | None:
    """Returns the option that a message recommends, `A` or `B`; None for none, or for both alike.

    Args:
        text: the persuader's words.
        scenario: the scenario, whose options have names.
        kind: what the persuader says that it does: `ACT`, or another action, which recommends nothing; None where it
            does not say it: then a word such as "recommend" must be there.
    """
    if kind is not None and kind != ACT:
        return None
    named = [(match.start(), key) for key in OPTIONS for match in _mentions(text, scenario, key)]
    if not named:
        return None
    found = [key for sentence in _spans(text) for key in _in_sentence(text, sentence, named)]
    if found:
        return found[-1]
    options = {key for _, key in named}
    return options.pop() if kind == ACT and len(options) == 1 else None


def recommended(turns: Sequence[tuple[str, Sequence[Sequence[Any]]]], scenario: Scenario) -> str | None:
    """Returns the option that a persuader recommended last.

    Args:
        turns: its turns: their words, and their recorded actions.
        scenario: the scenario.
    """
    for words, actions in reversed(turns):
        found = recommended_in(words, scenario, action_in(actions))
        if found is not None:
            return found
    return None


def action_in(steps: Iterable[Iterable[Any]]) -> str | None:
    """Returns the action among the actions of a turn (`Turn.actions`); None where there is none."""
    return next((one for step in steps for one in step if isinstance(one, str) and one in ACTIONS), None)


def thought_in(steps: Iterable[Iterable[Any]]) -> Mapping[str, Any] | None:
    """Returns the sections among the actions of a turn, as `Planned.thought` wrote them; None where there are none."""
    found = (one for step in steps for one in step if isinstance(one, Mapping) and "name" not in one)
    return next(found, None)


def _spans(text: str) -> list[tuple[int, int]]:
    ends = [match.end() for match in _SENTENCE.finditer(text)]
    return list(zip([0, *ends], [*ends, len(text)], strict=True))


def _in_sentence(text: str, span: tuple[int, int], named: Sequence[tuple[int, str]]) -> list[str]:
    """Returns the options that a sentence recommends, in its order."""
    start, end = span
    here = sorted((place, key) for place, key in named if start <= place < end)
    if not here or text[start:end].rstrip(" *_\"'").endswith("?"):
        return []
    found = []
    for cue in _CUE.finditer(text, start, end):
        after = next(((place, key) for place, key in here if place >= cue.start()), None)
        before = next(((place, key) for place, key in reversed(here) if place < cue.start()), None)
        nearest = after or before
        if nearest is None:
            continue
        away = is_negated(text[:end], cue.start()) or is_negated(text[:end], nearest[0])
        if not away:
            found.append(nearest[1])
        elif len({key for _, key in here}) == 1:
            found.append(B if nearest[1] == A else A)
    return found


def _mentions(text: str, scenario: Scenario, key: str) -> Iterable[re.Match[str]]:
    yield from re.finditer(rf"\boption[ _]?\(?{key}\b", text, re.IGNORECASE)
    name = scenario.names[key]
    other = scenario.names[B if key == A else A]
    if name.lower() != f"option {key.lower()}" and name.lower() not in other.lower():
        yield from re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
