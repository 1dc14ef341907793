"""Short checksums of what a run has on disk, to notice flipped bits."""

from hashlib import blake2b


def checksum(data: bytes) -> str:
    """Returns a checksum of 8 bytes (BLAKE2b), as 16 hexadecimal digits."""
    return blake2b(data, digest_size=8).hexdigest()
