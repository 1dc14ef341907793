"""Reads amounts of money in a sentence."""

import re
from functools import lru_cache
from typing import Final

_NUMBERS: Final = {
    **{
        word: n
        for n, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)
    },
    "a": 1, "an": 1, "fifteen": 15, "twenty": 20, "twenty-five": 25, "twenty five": 25, "thirty": 30, "forty": 40,
    "fifty": 50, "sixty": 60, "seventy-five": 75, "eighty": 80, "ninety": 90, "couple": 2, "couple of": 2, "few": 3,
}  # fmt: skip
_UNITS: Final = {"c": 0.01, "d": 1.0, "b": 1.0, "p": 0.01, "n": 0.05, "di": 0.1, "q": 0.25}
_WORD: Final = "|".join(sorted(_NUMBERS, key=len, reverse=True))
_DIGITS: Final = r"(?:\d{1,7}(?:\.\d{1,4})?|\.\d{1,4})(?!\d)"
_AMOUNT: Final = re.compile(
    r"(?<!up to )(?<!0 to )(?<!ing to )\$\s?(?P<before>\d{1,3}(?:,\d{3})+(?!\d)|" + _DIGITS + r")"
    rf"|(?<![\d.])(?P<after>{_DIGITS})\s?\$"
    r"|(?P<half>half a dollar)"
    rf"|(?:(?<![\d.])(?P<digits>{_DIGITS})|\b(?P<word>{_WORD}))[\s-]?"
    r"(?P<unit>cents?|dollars?|bucks?|penn(?:y|ies)|nickels?|dimes?|quarters?)\b(?! (?:of|century))"
)


@lru_cache(maxsize=8192)
def dollars(sentence: str) -> float | None:
    """Returns the last amount in dollars (above 0) in a sentence in lower case; None where it names none."""
    found = None
    for match in _AMOUNT.finditer(sentence):
        number = match["before"] or match["after"] or match["digits"]
        if match["half"]:
            value = 0.5
        elif number:
            value = float(number.replace(",", ""))
        else:
            value = float(_NUMBERS[match["word"]])
        unit = match["unit"]
        if unit:
            value *= _UNITS["di" if unit.startswith("di") else unit[0]]
        if value > 0:
            found = round(value, 2)
    return found
