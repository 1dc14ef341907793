"""Reward tags: bracketed amounts such as `[PAY $1.50]`, which count only in the text of one of the two speakers.

A tag is read in four steps:

1. `_plain` spells the text in ASCII where it can: full-width signs, look-alike letters, blanks; invisible signs go.
2. The strict pattern finds tags and their amounts. The last tag that is not disputed counts.
3. A tag is disputed where the text quotes it, asks about it, or says that it is not given.
4. A wide pattern finds what looks like a tag and is not one. It does not count, and is reported.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from unicodedata import category, normalize

_FORMAT = r"[\s*_`~]*"
"""Blanks and Markdown between the parts of a tag."""
_AMOUNT = r"\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+,\d{1,2}|\d+(?:\.\d*)?|\.\d+"
_DOLLARS = r"(?:US\s*\$|USD|\$)"
_AFTER_DOLLARS = r"(?:USD|(?:US\s+)?dollars?|bucks?|\$)"
_CENTS = r"(?:cents?|¢)"
_SQUARE = "[\u3010\u3016\u3014\u27e6\u2772\u2045", "]\u3011\u3017\u3015\u27e7\u2773\u2046"
_ENDS = "]}>\u3009\u300b"
_LOOKALIKES = str.maketrans(
    # Cyrillic and Greek letters, Armenian o, the two Turkish i and the long s, then square brackets
    "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0474\u050c"
    "\u0430\u0435\u0455\u0456\u0458\u043e\u0440\u0441\u0443\u0445\u0475\u0501"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03bd\u03b9"
    "\u0555\u0585\u0131\u0130\u017f" + "".join(_SQUARE),
    "ABESIJKMHOPCTYXVGaesijopcyxvdABEZHIKMNOPTYXoviOoiIs" + "[" * len(_SQUARE[0]) + "]" * len(_SQUARE[1]),
)
_BRACKETS = re.compile(r"[\[{<\u2045\u27e6\u2772\u3008-\u301b\ufe39-\ufe48\ufe59-\ufe5d\uff08\uff1c\uff3b\uff5b(]")
_DIGIT_OR_MONEY = re.compile(
    r"[\d$€£¥¢]|\b(?:half|one|two|three|four|five|ten|all|nothing|none|dollars?|cents?)\b", re.IGNORECASE
)
_QUOTED = re.compile(
    r'"[^"\n]{0,400}"|\u201c[^\u201d\n]{0,400}\u201d|\u201e[^\u201c\u201d\n]{0,400}[\u201c\u201d]'
    r"|\u00ab[^\u00bb\n]{0,400}\u00bb|\u300c[^\u300d\n]{0,400}\u300d"
)
_CLAUSE = re.compile(
    r"[.!?;:,\n\u2014\u2013\u2026)]|\s-\s|\b(?:but|so|and|because|though|although|however|yet|still|then|instead,)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"""(?:\b(?:not|never|cannot|no|nor|neither|without|refuse|refusing|decline|dont|wont|cant|wouldnt)
        |n['\u2019]t|\binstead\ of|\brather\ than|\bunwilling|\bmuch\ less)
        (?:\s+(?:to|say|saying|write|writing|type|typing|use|using|put|putting|send|sending|give|giving
        |do|doing|going|gonna|want|wanting|wish|willing|will|would|be|just|ever|even|a|an|the|any|my|your|with|it|that
        |this|simply|agree|agreeing|plan|planning|intend|intending|ready|able|prepared|have|you|me|i|i['\u2019]m|tag|tags
        |words?|message|now|today|yet|here|like|either|at|all|about))*\s*[*_`~'"\u201c\u2018(]*$""",
    re.IGNORECASE | re.VERBOSE,
)
_AGREES = re.compile(r"\b(?:(?:why|if)\s+not|say(?:ing)?\s+no)\b", re.IGNORECASE)
"""Words with a negation that do not negate what follows."""
_TAKEN_BACK = re.compile(
    r"""[*_`~'"\u201d\u2019)]*\s*(?:\?|\W{0,4}(?:no\ way|absolutely\ not|not\ a\ chance|no\ chance
        |not\ happening|forget\ it
        |(?:just|i['\u2019]m|i\ am|only)\ kidding|is\ (?:not|never|too|out)|isn['\u2019]t|never\s*(?:[.!?]|$)))""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Found:
    """A tag in a text: its place, the amount that it states in dollars, and whether it is disputed."""

    start: int
    end: int
    amount: float
    disputed: bool


@dataclass(frozen=True)
class RewardTag:
    """A kind of tag, `[WORD $N]`; upper and lower case are equal.

    An amount is in dollars (`$1.50`, `1,50`, `1.50 USD`, `2 dollars`) or in cents (`50 cents`).

    Attributes:
        words: the words that may begin a tag; `write` uses the first.
        low: the least amount, in dollars; smaller ones are raised to it.
        high: the largest amount, in dollars; larger ones are lowered to it.
    """

    words: tuple[str, ...]
    low: float
    high: float

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"\[{self._inner}\]", re.IGNORECASE)

    @cached_property
    def _in_round(self) -> re.Pattern[str]:
        return re.compile(rf"\({self._inner}\)", re.IGNORECASE)

    @property
    def _inner(self) -> str:
        words = "|".join(map(re.escape, self.words))
        amount = (
            rf"(?:(?P<cents>{_AMOUNT}){_FORMAT}{_CENTS}|"
            rf"{_DOLLARS}?{_FORMAT}(?P<dollars>{_AMOUNT}){_FORMAT}{_AFTER_DOLLARS}?)"
        )
        return rf"{_FORMAT}(?:{words}){_FORMAT}[:=]?{_FORMAT}{amount}{_FORMAT}[.!]?{_FORMAT}"

    @cached_property
    def _wide(self) -> re.Pattern[str]:
        """A bracket of any kind but the round one; a square one may lack its end."""
        begins, ends = r"\[{<\u3008\u300a", r"\]}>\u3009\u300b"
        text = rf"[^{begins}{ends}]{{1,80}}"
        closed = rf"[{begins}](?P<closed>{text})[{ends}]"
        return re.compile(rf"{closed}|\[(?P<open>{text}?)(?:\)|(?=[{begins}])|$)", re.MULTILINE)

    @cached_property
    def _stem(self) -> re.Pattern[str]:
        stems = "|".join(re.escape(word.removesuffix("E")) for word in self.words)
        return re.compile(rf"(?<![^\W_])(?:{stems})[^\W_]*", re.IGNORECASE)

    @cached_property
    def _bare(self) -> re.Pattern[str]:
        words = "|".join(map(re.escape, self.words))
        return re.compile(rf"(?<![\w\[{{<(])(?:{words})[\s:*_`~]*{_DOLLARS}?\s*\d")

    def read(self, text: str) -> float | None:
        """Returns the amount of the last undisputed tag in `text`, clamped to [low, high]; None without one.

        The last tag counts, because a speaker may mention one amount first and then decide on another.
        """
        amount = self.stated(text)
        return None if amount is None else min(self.high, max(self.low, amount))

    def stated(self, text: str) -> float | None:
        """Returns the amount of the tag that `read` reads, as it stands in `text`, in dollars; None without one."""
        found = [one.amount for one in self._tags(_plain(text)[0]) if not one.disputed]
        return found[-1] if found else None

    def count(self, text: str) -> int:
        """Returns the number of tags in `text`, disputed ones included."""
        return len(self._tags(_plain(text)[0]))

    def disputed(self, text: str) -> int:
        """Returns the number of tags in `text` that do not count, because they are quoted, asked about or negated."""
        return sum(one.disputed for one in self._tags(_plain(text)[0]))

    def unread(self, text: str) -> int:
        """Returns the number of places in `text` that look like a tag, and are none (`[PAY: a dollar]`, `{PAY $1}`)."""
        plain, _ = _plain(text)
        if self._stem.search(plain) is None:
            return 0
        taken = [(one.start, one.end) for one in self._tags(plain)]
        near = [*self._near(plain, taken)]
        near += [match.span() for match in self._in_round.finditer(plain)]
        bare = [match.span() for match in self._bare.finditer(plain)]
        return len(near) + sum(not _overlaps(span, (*taken, *near)) for span in bare)

    def defuse(self, text: str) -> str:
        """Returns `text` with every tag, and all that looks like one, in round brackets; such a tag does not count."""
        while _BRACKETS.search(text):
            plain, places = _plain(text)
            found = [(one.start, one.end) for one in self._tags(plain)]
            found += self._near(plain, found)
            if not found:
                break
            signs = list(text)
            for start, end in found:
                signs[places[start]] = "("
                if plain[end - 1] in _ENDS:
                    signs[places[end - 1]] = ")"
            text = "".join(signs)
        return text

    def without(self, text: str) -> str:
        """Returns `text` without its tags, and without the blanks around them."""
        plain, places = _plain(text)
        for one in reversed(self._tags(plain)):
            text = f"{text[: places[one.start]].rstrip()} {text[places[one.end - 1] + 1 :].lstrip()}".strip()
        return text

    def write(self, amount: float) -> str:
        """Returns the tag for `amount` dollars, such as `[PAY $1.50]`."""
        return f"[{self.words[0]} ${amount:.2f}]"

    def _tags(self, plain: str) -> list[_Found]:
        if "[" not in plain:
            return []
        found = []
        for match in self._pattern.finditer(plain):
            dollars, cents = match["dollars"], match["cents"]
            amount = _number(dollars) if dollars else _number(cents) / 100
            found.append(_Found(match.start(), match.end(), amount, self._is_disputed(plain, *match.span(), amount)))
        return found

    def _is_disputed(self, plain: str, start: int, end: int, amount: float) -> bool:
        """Returns whether a text quotes a tag, asks about it, takes it back, or says that it is not given."""
        line = plain[plain.rfind("\n", 0, start) + 1 : start]
        if line.lstrip().startswith(">"):
            return True
        whole = plain.strip()
        if plain[start - 1 : start] in ("'", "\u2018") and plain[end : end + 1] in ("'", "\u2019"):
            return len(whole) > end - start + 2
        for quoted in _QUOTED.finditer(plain):
            # Quotation marks around the whole text are a habit of chat models.
            if quoted.start() < start and end <= quoted.end() and quoted[0] != whole:
                return True
        if _TAKEN_BACK.match(plain, end):
            return True
        if not amount:
            return False  # "I will not give: [PAY $0]" is a refusal, and says so twice
        # The tag's own words are words of giving: "I will not PAY [PAY $1]".
        before = self._stem.sub("give", plain[max(0, start - 200) : start])
        return is_negated(before, len(before))

    def _near(self, plain: str, taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Yields the places of brackets that look like a tag and are none."""
        for match in self._wide.finditer(plain):
            content = match["closed"] or match["open"]
            stem = self._stem.search(content)
            late = stem is not None and match["open"] and content[: stem.start()].strip(" *_`~")
            if stem is None or late or _overlaps(match.span(), taken):
                continue
            alone = content.strip(" *_`~.!:$").upper() in self.words
            if alone or stem[0] in self.words or _DIGIT_OR_MONEY.search(content):
                yield match.span()


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """Returns a text as a reader sees it, in ASCII where it can be, and the place of each of its signs in `text`."""
    if text.isascii() and "\\" not in text:
        return text, range(len(text))
    signs: list[str] = []
    places: list[int] = []
    for place, sign in enumerate(text):
        if sign == "\\" or (not sign.isascii() and category(sign) in ("Cf", "Mn", "Me")):
            continue
        # Superscripts and fractions (No) would join the digits beside them.
        spelled = sign if sign.isascii() or category(sign) == "No" else normalize("NFKC", sign)
        for each in spelled.translate(_LOOKALIKES):
            signs.append(each)
            places.append(place)
    return "".join(signs), places


def _number(text: str) -> float:
    """Returns an amount: a comma with two digits or one behind it is a decimal comma, any other separates thousands."""
    whole, comma, cents = text.rpartition(",")
    decimal = comma and "." not in text and len(cents) < 3
    return float(f"{whole}.{cents}" if decimal else text.replace(",", ""))


def is_negated(text: str, place: int) -> bool:
    """Returns whether a text says, in the same clause, that it does not give or say what stands at a place."""
    before = _AGREES.sub("agreed", text[max(0, place - 200) : place])
    before = re.sub(r",(\s*ever\b)", r"\1", before, flags=re.IGNORECASE)
    clause = before[max((match.end() for match in _CLAUSE.finditer(before)), default=0) :]
    return _NEGATED.search(clause) is not None


def _overlaps(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)
