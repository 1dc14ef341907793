"""Short checksums of what a run has on disk, to notice flipped bits."""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from zlib import crc32

from josh.models.reply_journal import ReplyKey

_NUMBERS = struct.Struct("<qqqqqd")


def checksum(data: bytes) -> str:
    """Returns a checksum of 8 bytes (BLAKE2b), as 16 hexadecimal digits."""
    return blake2b(data, digest_size=8).hexdigest()


def row_checksum(key: ReplyKey, model: str, reply: str, numbers: Sequence[float]) -> str:
    """Returns the CRC-32 of a row of the journal, as 8 hexadecimal digits. It takes about a microsecond.

    Args:
        key: the place of the reply.
        model: the model's name.
        reply: the reply as JSON.
        numbers: seed, choice, calls, tokens of the prompt and of the completion, and seconds.

    Raises:
        ValueError: a number is of another type.
    """
    data = f"{key.task} {key.path} {key.depth} {key.speaker} {key.draw} {key.request} {model} {reply}"
    try:
        return f"{crc32(data.encode('utf-8', 'surrogatepass'), crc32(_NUMBERS.pack(*numbers))):08x}"
    except struct.error:
        raise ValueError("a value of another type") from None
