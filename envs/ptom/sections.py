"""A turn of the persuader in sections: what it believes, why it acts, what else it could do, and what it says.

    BELIEF STATE:
    - cost: 0.80
    - comfort: 0.30
    Confidence: mid
    Entropy: 1.20

    REASONING:
    They care about money.

    COUNTERFACTUAL ANALYSIS:
    - DISCLOSE: 0.70 (the price speaks for A)
    - ACT: 0.40

    ACTION (DISCLOSE):
    Option A costs 200 dollars less.

The person hears the words of the last section alone. `read_sections` also reads Markdown around the headings, JSON in
a section, and percentages. A section that cannot be read is counted, and the turn is played nevertheless.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

ASK, DISCLOSE, ACT = ACTIONS = ("ASK", "DISCLOSE", "ACT")
BELIEF, REASONING, COUNTERFACTUALS, ACTION = "belief", "reasoning", "counterfactuals", "action"
SECTIONS: Final = (BELIEF, REASONING, COUNTERFACTUALS, ACTION)
LEVELS: Final[Mapping[str, float]] = MappingProxyType({"low": 0.25, "mid": 0.5, "high": 0.9})
"""The probability that a confidence level stands for."""
_OTHER_LEVELS: Final = {"medium": "mid", "moderate": "mid"}
_NAMES: Final = {
    "BELIEF STATE": BELIEF,
    "BELIEFS": BELIEF,
    "BELIEF": BELIEF,
    "REASONING": REASONING,
    "COUNTERFACTUAL ANALYSIS": COUNTERFACTUALS,
    "COUNTERFACTUALS": COUNTERFACTUALS,
    "ACTION": ACTION,
}
_HEADING = re.compile(
    rf"^[ \t]*[#>*_`\[]*[ \t]*(?P<name>{'|'.join(_NAMES)})[ \t]*(?:\((?P<kind>[^)\n]{{1,40}})\))?"
    r"[ \t]*[*_`\]]*[ \t]*(?::[ \t]*[*_`]*|$)",
    re.IGNORECASE | re.MULTILINE,
)
_KIND = re.compile(rf"\b({'|'.join(ACTIONS)})\b", re.IGNORECASE)
_NUMBER = r"(?P<number>\d*\.\d+|\d+)[ \t]*(?P<percent>%?)"
_DESIRE = re.compile(
    rf"^[ \t]*[-*\u2022]?[ \t]*[*_`\"]*(?P<name>[A-Za-z][\w /&'-]{{0,60}}?)[*_`\"]*[ \t]*[:=][ \t]*{_NUMBER}"
)
_INLINE = re.compile(rf"[*_`\"]*(?P<name>[A-Za-z][\w-]{{0,40}})[*_`\"]*[ \t]*[:=]?[ \t]*\(?{_NUMBER}")
_LEVEL = re.compile(
    r"confidence(?:[ _]level)?[\"*_`]*[ \t]*[:=]?[ \t]*[\"*_`]*(low|mid|medium|moderate|high)", re.IGNORECASE
)
_ENTROPY = re.compile(r"(?:information[ _])?entropy[\"*_`]*[ \t]*[:=]?[ \t]*(\d*\.\d+|\d+)", re.IGNORECASE)
_CHANCE = re.compile(
    rf"^[ \t]*[-*\u2022]?[ \t]*[*_`\"]*(?P<name>[A-Za-z][\w ()/'-]{{0,60}}?)[*_`\"]*[ \t]*[:=][ \t*_`]*"
    rf"(?:p(?:_success|\(success\))?[ \t]*[:=]?[ \t]*)?{_NUMBER}(?P<why>.*)$"
)
_NOT_DESIRES: Final = frozenset(("confidence", "confidence level", "entropy", "information entropy", "uncertainty"))


@dataclass(frozen=True, slots=True)
class Belief:
    """What a persuader believes about the person.

    Attributes:
        desires: how much it is thought to care about each dimension.
        confidence: `low`, `mid` or `high`; another text where the source has one; None for none.
        entropy: how uncertain the belief is, in bits; None where it is not stated.
    """

    desires: Mapping[str, float]
    confidence: str | None = None
    entropy: float | None = None


@dataclass(frozen=True, slots=True)
class Chance:
    """What a persuader expects of an action: the probability of success, and why."""

    p: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A turn of a persuader.

    Attributes:
        kind: `ASK`, `DISCLOSE` or `ACT`; None where it names none.
        words: what the person hears.
        belief: what it believes; None where it is not there, or cannot be read.
        reasoning: why it acts; empty for nothing.
        chances: what it expects of each action, by name.
        unreadable: the sections that are there and cannot be read.
        missing: the sections that are not there.
    """

    kind: str | None
    words: str
    belief: Belief | None = None
    reasoning: str = ""
    chances: Mapping[str, Chance] = field(default_factory=lambda: MappingProxyType({}))
    unreadable: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def thought(self) -> dict[str, Any]:
        """The sections before the action as JSON values, for `Turn.actions`."""
        belief = self.belief
        found: dict[str, Any] = {}
        if belief is not None:
            found["belief"] = {"desires": dict(belief.desires)}
            found["belief"] |= {"confidence": belief.confidence} if belief.confidence else {}
            found["belief"] |= {"entropy": belief.entropy} if belief.entropy is not None else {}
        if self.reasoning:
            found["reasoning"] = self.reasoning
        if self.chances:
            found["counterfactuals"] = {name: one.p for name, one in self.chances.items()}
        found |= {"unreadable": list(self.unreadable)} if self.unreadable else {}
        found |= {"missing": list(self.missing)} if self.missing else {}
        return found

    @property
    def actions(self) -> list[Any]:
        """The turn as `Turn.actions` has it: the kind of the action, and the thought."""
        return [*([self.kind] if self.kind else []), *([self.thought] if self.thought else [])]


def written(planned: Planned) -> str:
    """Returns a turn as a text in sections; those without content are left out."""
    parts = []
    if planned.belief is not None:
        lines = [f"- {name}: {value:.2f}" for name, value in planned.belief.desires.items()]
        lines += [f"Confidence: {planned.belief.confidence}"] if planned.belief.confidence else []
        lines += [f"Entropy: {planned.belief.entropy:.2f}"] if planned.belief.entropy is not None else []
        parts.append("\n".join(["BELIEF STATE:", *lines]))
    if planned.reasoning:
        parts.append(f"REASONING:\n{planned.reasoning}")
    if planned.chances:
        lines = [
            f"- {name}: {one.p:.2f}" + (f" ({' '.join(one.why.split())})" if one.why else "")
            for name, one in planned.chances.items()
        ]
        parts.append("\n".join(["COUNTERFACTUAL ANALYSIS:", *lines]))
    parts.append(f"ACTION ({planned.kind}):\n{planned.words}" if planned.kind else f"ACTION:\n{planned.words}")
    return "\n\n".join(parts)


def read_sections(text: str) -> Planned:
    """Reads a turn.

    Args:
        text: the turn, without thoughts.

    Returns:
        The turn. A text without any heading is all words. Where there are headings, and none of an action, or nothing
        after it, there are no words: what a persuader thinks must not be said.
    """
    parts = dict(_parts(text))
    if not parts:
        return Planned(None, text.strip(), missing=SECTIONS)
    unreadable = []
    belief = _belief(parts[BELIEF][1]) if BELIEF in parts else None
    chances = _chances(parts[COUNTERFACTUALS][1]) if COUNTERFACTUALS in parts else {}
    if BELIEF in parts and belief is None:
        unreadable.append(BELIEF)
    if COUNTERFACTUALS in parts and not chances:
        unreadable.append(COUNTERFACTUALS)
    kind, words = _action(*parts.get(ACTION, ("", "")))
    if ACTION in parts and kind is None:
        unreadable.append(ACTION)
    reasoning = parts[REASONING][1] if REASONING in parts else ""
    missing = tuple(name for name in SECTIONS if name not in parts)
    return Planned(kind, words, belief, reasoning, chances, tuple(unreadable), missing)


def _parts(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields each section: its name, what its heading has in brackets, and its content; of equal ones the last counts.

    What follows the heading of the last action belongs to the action.
    """
    found = list(_HEADING.finditer(text))
    actions = [match for match in found if _NAMES[match["name"].upper()] == ACTION]
    for number, match in enumerate(found, start=1):
        following = found[number].start() if number < len(found) else len(text)
        name = _NAMES[match["name"].upper()]
        if actions and name != ACTION and match.start() > actions[-1].start():
            continue
        end = len(text) if actions and match is actions[-1] else following
        content = text[match.end() : end]
        yield name, (match["kind"] or "", content.strip().strip("`").strip())


def _action(kind: str, content: str) -> tuple[str | None, str]:
    named = _KIND.search(kind)
    if named is not None:
        return named[1].upper(), content
    first = re.match(rf"\(?[*_`]*({'|'.join(ACTIONS)})\b[*_`]*\)?[ \t]*(?:[:\n-]|$)\s*", content, re.IGNORECASE)
    if first is not None and content[: first.end()].strip():
        return first[1].upper(), content[first.end() :].strip()
    return None, content


def _belief(content: str) -> Belief | None:
    given = _json_in(content)
    level, entropy = _LEVEL.search(content), _ENTROPY.search(content)
    confidence = level[1].lower() if level else None
    if given is not None:
        named = given.get("target_desires", given.get("desires", given))
        desires = _numbers(named if isinstance(named, Mapping) else {})
    else:
        desires = dict(_desires(content))
    if not desires:
        return None
    return Belief(desires, _OTHER_LEVELS.get(confidence or "", confidence), float(entropy[1]) if entropy else None)


def _desires(content: str) -> Iterator[tuple[str, float]]:
    lines = [match for line in content.splitlines() if (match := _DESIRE.match(line))]
    found = lines if lines else list(_INLINE.finditer(content))
    for match in found:
        name, number = match["name"].strip(), _share(match)
        if name.lower().replace("_", " ") not in _NOT_DESIRES and number is not None:
            yield name, number
        rest = match.string[match.end() :] if match.re is _DESIRE else ""
        yield from _further(rest)


def _further(rest: str) -> Iterator[tuple[str, float]]:
    """Yields the desires that follow the first one on its line: `cost: 0.8, comfort: 0.3`."""
    if not rest.lstrip().startswith((",", ";")):
        return
    for match in _INLINE.finditer(rest):
        number = _share(match)
        if match["name"].lower() not in _NOT_DESIRES and number is not None:
            yield match["name"], number


def _chances(content: str) -> dict[str, Chance]:
    given = _json_in(content)
    found: dict[str, Chance] = {}
    if given is not None:
        for name, one in given.items():
            value = one.get("p_success", one.get("p")) if isinstance(one, Mapping) else one
            numbers = _numbers({name: value})
            why = str(one.get("reasoning") or "") if isinstance(one, Mapping) else ""
            found |= {key: Chance(number, why) for key, number in numbers.items()}
        return found
    for line in content.splitlines():
        match = _CHANCE.match(line)
        number = None if match is None else _share(match)
        if match is not None and number is not None:
            found[match["name"].strip()] = Chance(number, _reason(match["why"]))
    return found


def _reason(text: str) -> str:
    """Returns why, without the brackets or the dash that separate it from the number."""
    bare = text.strip(" \t*").lstrip("-:;,\u2013\u2014").strip()
    return bare[1:-1].strip() if bare.startswith("(") and bare.endswith(")") else bare


def _share(match: re.Match[str]) -> float | None:
    """Returns the number of a match as a share; None where it is above 1."""
    number = float(match["number"]) / (100 if match["percent"] else 1)
    return number if 0 <= number <= 1 else None


def _numbers(given: Mapping[Any, Any]) -> dict[str, float]:
    return {
        str(name): float(value)
        for name, value in given.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    }


def _json_in(content: str) -> Mapping[str, Any] | None:
    start = content.find("{")
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(content[start:])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
