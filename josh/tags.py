"""Reward tags: bracketed amounts such as `[PAY $1.50]`, which count only in the text of one of the two speakers."""

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class RewardTag:
    """A kind of tag, `[WORD $N]`; upper and lower case are equal.

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
        words = "|".join(map(re.escape, self.words))
        return re.compile(rf"\[\s*({words})\s*\$?\s*(\d+(?:\.\d*)?|\.\d+)\s*\]", re.IGNORECASE)

    def read(self, text: str) -> float | None:
        """Returns the amount of the last tag in `text`, clamped to [low, high]; None without a tag.

        The last tag counts, because a speaker may mention one amount first and then decide on another.
        """
        found = self._pattern.findall(text)
        return min(self.high, max(self.low, float(found[-1][1]))) if found else None

    def count(self, text: str) -> int:
        """Returns the number of tags in `text`."""
        return len(self._pattern.findall(text))

    def defuse(self, text: str) -> str:
        """Returns `text` with every tag in round brackets; such a tag does not count."""
        return self._pattern.sub(lambda match: f"({match.group(0)[1:-1]})", text)

    def write(self, amount: float) -> str:
        """Returns the tag for `amount` dollars, such as `[PAY $1.50]`."""
        return f"[{self.words[0]} ${amount:.2f}]"
