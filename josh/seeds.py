"""The source of every random number and every request's seed."""

from hashlib import blake2b


def derive(*place: object) -> int:
    """Derive the seed of one place in a run, such as (run seed, task id, node path, depth, speaker, attempt).

    Returns:
        An integer in [1, 2**31): every known chat server with a `seed` accepts that range.
    """
    digest = blake2b("\x1f".join(map(str, place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (2**31 - 1) + 1
