"""Checks the files of a journal for what SQLite does not report.

SQLite takes an empty file for a new journal, drops the torn end of its log, and drops everything in the log after a
flipped bit. Format of the log: https://www.sqlite.org/fileformat2.html#walformat
"""

import sys
from array import array
from pathlib import Path

_HEADER, _FRAME = 32, 24
_BIG_ENDIAN = 0x377F0683
_WORD = 0xFFFFFFFF


def log_of(journal: Path) -> Path:
    """Returns the path of a journal's log, which exists while the journal is open and after its process was killed."""
    return journal.with_name(f"{journal.name}-wal")


def damage_of(journal: Path) -> str:
    """Returns why the files of a journal cannot be used; empty where they can, or where there are none."""
    log = log_of(journal)
    if not journal.exists():
        return "only its log is left" if log.exists() and log.stat().st_size else ""
    size = journal.stat().st_size
    if not size:
        return "it is empty"
    with journal.open("rb") as file:
        page = int.from_bytes(file.read(18)[16:], "big")
    return "its end is missing" if page > 1 and size % page else ""


def loss_in(log: Path) -> str:
    """Returns what SQLite will drop from a log, in words; empty for nothing, or where the log is missing."""
    if not log.exists() or not log.stat().st_size:
        return ""
    data = log.read_bytes()
    magic, page = (int.from_bytes(data[start : start + 4], "big") for start in (0, 8))
    big = magic == _BIG_ENDIAN
    if len(data) >= _HEADER and _pair(data, 24) != _sum(data[:24], big, (0, 0)):
        return "it is damaged from its beginning"
    if len(data) < _HEADER or (len(data) - _HEADER) % (page + _FRAME):
        return "its end is missing"
    sound = _sound_frames(data, page, big)
    start = _HEADER + sound * (page + _FRAME)
    # The file is used again from its beginning, so frames of an earlier use, with another salt, may follow.
    following = (start, start + page + _FRAME)
    if any(data[frame + 8 : frame + 16] == data[16:24] for frame in following):
        return f"it is damaged after {100 * start // len(data)} % of its length"
    return ""


def _sound_frames(data: bytes, page: int, big: bool) -> int:
    """Returns how many frames at the beginning of a log have the right salt and checksum."""
    state, sound = _pair(data, 24), 0
    for start in range(_HEADER, len(data), page + _FRAME):
        state = _sum(data[start : start + 8] + data[start + _FRAME : start + _FRAME + page], big, state)
        if data[start + 8 : start + 16] != data[16:24] or _pair(data, start + 16) != state:
            break
        sound += 1
    return sound


def _pair(data: bytes, start: int) -> tuple[int, int]:
    return int.from_bytes(data[start : start + 4], "big"), int.from_bytes(data[start + 4 : start + 8], "big")


def _sum(data: bytes, big: bool, state: tuple[int, int]) -> tuple[int, int]:
    """Returns SQLite's running checksum after some data, whose length is a multiple of 8."""
    words = array("I", data)
    if big == (sys.byteorder == "little"):
        words.byteswap()
    one, other = state
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = one + first + other & _WORD
        other = other + second + one & _WORD
    return one, other
