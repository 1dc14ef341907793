"""Finds and masks personal data in texts: e-mail addresses, phone numbers, card numbers and, if asked, names.

The rules are plain, so that their result is the same everywhere, and quick:

- e-mail: a local part, `@`, and a domain with a dot.
- card: 13 to 19 digits, with spaces or hyphens between groups, that pass Luhn's check (ISO/IEC 7812-1).
- phone: 9 to 15 digits with the signs of a phone number (`+`, brackets, hyphens, dots, spaces), 7 digits as 555-0123,
  or 10 or 11 digits in a row. Prices, years, dates, times and other plain numbers are not phone numbers.
- name: what follows `my name is`, `I'm`, `I am`, `this is` or `call me` with a capital letter, and every use of the
  same name in the conversation. Other names are not found.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

from josh.dialogue import Turn
from josh.imported import ImportedDialogue
from josh.messages import dumps

EMAIL, PHONE, CARD, NAME = KINDS = ("email", "phone", "card", "name")
USUAL: Final = (EMAIL, PHONE, CARD)
"""The kinds that are masked unless a world or a flag says otherwise."""

_EMAIL: Final = re.compile(r"[\w.+'-]+(?:@| ?\(at\) ?| ?\[at\] ?)[\w-]+(?:\.[\w-]+)+", re.UNICODE)
_CARD: Final = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_PHONE: Final = re.compile(
    r"(?<![\w.,$€£/:-])\+?\(?\d(?:[\d ().\-/]{5,20})\d(?![\w%:/$€£]|[.,]\d| ?(?:dollars|cents|USD))"
)
_SEVEN: Final = re.compile(r"\d{3}[-. ]\d{4}")
_DATE: Final = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{4}[- ]\d{4}|\d{1,2}[:.]\d\d")
_DIGIT: Final = re.compile(r"\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d")
_DECIMAL: Final = re.compile(r"\d+\.\d+")
_INTRODUCED: Final = re.compile(
    r"(?:\b[Mm]y name(?:'s| is)|\b[Tt]his is|\b[Cc]all me|\b[Ii](?:['\u2019]m| am))"
    r"\s+([A-Z][a-zà-ÿ]+(?:\s+[A-Z][a-zà-ÿ]+)?)"
)
_NO_NAMES: Final = frozenset(
    """A An The I Not Just So Very Really Also From In At On Of Glad Happy Sorry Sure Fine Good Great Okay Ok Well Here
    There Interested American English Christian Catholic Yes No Save And But If It He She They We You My Your Mr Mrs Ms
    Dr""".split()  # noqa: SIM905
)


class Masker:
    """Replaces personal data in dialogues by its kind in square brackets, such as `[email]`, and counts it."""

    def __init__(self, kinds: Sequence[str]) -> None:
        """Args: kinds: some of `KINDS`."""
        self._kinds = frozenset(kinds)
        self.counts: Counter[str] = Counter()

    def masked(self, found: ImportedDialogue) -> ImportedDialogue:
        """Returns a dialogue without personal data in its texts, its own data, its id and the ids of its people."""
        if not self._kinds or not (NAME in self._kinds or _may_hold(found)):
            return found
        names = self._names(found) if NAME in self._kinds else None
        turns = [(speaker, self._turn(turn, names)) for speaker, turn in found.turns]
        changed: dict[str, Any] = {}
        if any(new is not old for (_, new), (_, old) in zip(turns, found.turns, strict=True)):
            changed["turns"] = turns
        if (opening := self._turn(found.opening, names)) is not found.opening:
            changed["opening"] = opening
        if found.metadata and (metadata := self._plain(found.metadata, names)) != found.metadata:
            changed["metadata"] = metadata
        people = [self._pseudonym(one, "person") for one in found.people]
        if people != list(found.people):
            changed["people"] = people
        if found.id and (name := self._pseudonym(found.id, "dialogue")) != found.id:
            changed["id"] = name
        return replace(found, **changed) if changed else found

    def text(self, text: str, names: re.Pattern[str] | None = None) -> str:
        """Returns a text without personal data."""
        if "@" in text or "(at)" in text or "[at]" in text:
            text = self._cut(_EMAIL, EMAIL, text)
        if _DIGIT.search(text):
            text = self._cut(_CARD, CARD, text, is_card)
            text = self._cut(_PHONE, PHONE, text, is_phone)
        return text if names is None else self._cut(names, NAME, text)

    def _cut(self, pattern: re.Pattern[str], kind: str, text: str, is_one: Callable[[str], bool] = bool) -> str:
        if kind not in self._kinds:
            return text

        def put(match: re.Match[str]) -> str:
            if not is_one(match[0]):
                return match[0]
            self.counts[kind] += 1
            return f"[{kind}]"

        return pattern.sub(put, text)

    def _turn(self, turn: Turn, names: re.Pattern[str] | None) -> Turn:
        messages = self._messages(turn.messages, names)
        # Messages that are the same in both views are counted once.
        internal = messages if turn.internal is turn.messages else self._again(turn, messages, names)
        if messages is turn.messages and internal is turn.internal:
            return turn
        actions = self._quiet(lambda: self._plain(turn.actions, names))
        return replace(turn, messages=messages, internal=internal, actions=tuple(map(tuple, actions)))

    def _again(
        self, turn: Turn, messages: tuple[dict[str, Any], ...], names: re.Pattern[str] | None
    ) -> tuple[dict[str, Any], ...]:
        shown = dict(zip(map(id, turn.messages), messages, strict=True))
        rest = tuple(message for message in turn.internal if id(message) not in shown)
        hidden = dict(zip(map(id, rest), self._messages(rest, names), strict=True))
        internal = tuple(shown.get(id(message)) or hidden[id(message)] for message in turn.internal)
        same = all(new is old for new, old in zip(internal, turn.internal, strict=True))
        return turn.internal if same else internal

    def _messages(
        self, messages: tuple[dict[str, Any], ...], names: re.Pattern[str] | None
    ) -> tuple[dict[str, Any], ...]:
        found = []
        for message in messages:
            new = message
            if (text := self.text(message["content"], names)) != message["content"]:
                new = {**new, "content": text}
            if calls := message.get("tool_calls"):
                masked = self._plain(calls, names)
                new = new if masked == calls else {**new, "tool_calls": masked}
            found.append(new)
        same = all(new is old for new, old in zip(found, messages, strict=True))
        return messages if same else tuple(found)

    def _plain(self, value: Any, names: re.Pattern[str] | None) -> Any:
        """Returns a JSON value without personal data in its texts."""
        if isinstance(value, str):
            return self.text(value, names)
        if isinstance(value, Mapping):
            return {key: self._plain(each, names) for key, each in value.items()}
        return [self._plain(each, names) for each in value] if isinstance(value, list | tuple) else value

    def _quiet(self, make: Callable[[], Any]) -> Any:
        """Returns a result without counting what it masks, because it repeats other texts."""
        before = self.counts.copy()
        found = make()
        self.counts = before
        return found

    def _pseudonym(self, name: str, what: str) -> str:
        """Returns an id, or a pseudonym for one that holds personal data: the same for the same id."""
        if self.text(name) == name:
            return name
        return f"{what}-{blake2b(name.encode('utf-8', 'backslashreplace'), digest_size=6).hexdigest()}"

    def _names(self, found: ImportedDialogue) -> re.Pattern[str] | None:
        """Returns a pattern of the names that the speakers of a dialogue give themselves; None for none."""
        names: dict[str, None] = {}
        for message in (message for _, turn in found.turns for message in turn.messages):
            for match in _INTRODUCED.finditer(message["content"]):
                names |= dict.fromkeys(part for part in match[1].split() if part not in _NO_NAMES)
        if not names:
            return None
        return re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")


def _may_hold(found: ImportedDialogue) -> bool:
    """Returns whether a dialogue has the sign of an e-mail address, or enough digits; a quick test of all its texts."""
    texts = [message["content"] for _, turn in found.turns for message in turn.internal]
    if any("tool_calls" in message for _, turn in found.turns for message in turn.internal):
        return True
    texts += [message["content"] for message in found.opening.internal]
    whole = "\n\n\n\n".join([*texts, found.id, *found.people, dumps(found.metadata) if found.metadata else ""])
    return "@" in whole or "(at)" in whole or "[at]" in whole or _DIGIT.search(whole) is not None


def is_card(text: str) -> bool:
    """Returns whether digits with spaces or hyphens pass Luhn's check of card numbers."""
    digits = [int(each) for each in text if each.isdecimal()]
    doubled = [sum(divmod(2 * each, 10)) for each in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(doubled) + sum(digits[-1::-2])) % 10 == 0 and any(digits)


def is_phone(text: str) -> bool:
    """Returns whether a run of digits and signs is a phone number, and not a date, a price or another number."""
    digits = re.sub(r"\D", "", text)
    plain = text.strip()
    if (
        _DATE.fullmatch(plain)
        or _DECIMAL.fullmatch(plain)
        or any(part.count(".") == 1 and len(part) < 8 for part in plain.split())
    ):
        return False
    if len(digits) == 7:
        return bool(_SEVEN.fullmatch(plain))
    if not 9 <= len(digits) <= 15:
        return False
    if plain.isdecimal():
        return len(digits) in (10, 11)
    return plain.startswith(("+", "(", "0")) or max(map(len, re.findall(r"\d+", plain))) <= 4 or "-" in plain
