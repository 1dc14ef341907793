"""Reward tags: bracketed amounts such as `[PAY $1.50]` that one speaker may earn with and the other may not."""

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class RewardTag:
    """A family of tags `[WORD $N]`, matched without regard to case.

    Attributes:
        words: the words that open a tag; the first is the one `write` uses.
        low: amounts below are raised to this.
        high: amounts above are lowered to this.
    """

    words: tuple[str, ...]
    low: float
    high: float

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = "|".join(map(re.escape, self.words))
        return re.compile(rf"\[\s*({words})\s*\$?\s*(\d+(?:\.\d*)?|\.\d+)\s*\]", re.IGNORECASE)

    def read(self, text: str) -> float | None:
        """The amount of the last tag in `text`, clamped to [low, high]; None without a tag.

        The last one counts, for a speaker who weighs one amount and settles on another.
        """
        found = self._pattern.findall(text)
        return min(self.high, max(self.low, float(found[-1][1]))) if found else None

    def count(self, text: str) -> int:
        """How many tags `text` holds."""
        return len(self._pattern.findall(text))

    def defuse(self, text: str) -> str:
        """`text` with every tag in round brackets, in which it no longer counts."""
        return self._pattern.sub(lambda match: f"({match.group(0)[1:-1]})", text)

    def write(self, amount: float) -> str:
        """The tag for `amount` dollars, such as `[PAY $1.50]`."""
        return f"[{self.words[0]} ${amount:.2f}]"
