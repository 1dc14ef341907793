"""The source of every random number and every request's seed."""

from hashlib import blake2b


def derive(*place: object) -> int:
    """Derive the seed of one place in a run, such as (run seed, task id, node path, depth, speaker, attempt).

    Returns:
        An integer in [1, 2**31): every known chat server with a `seed` accepts that range.
    """
    digest = blake2b("\x1f".join(map(str, place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (2**31 - 1) + 1


def id_of_text(text: str) -> str:
    """Returns the id of a question that has none: a hash of its text, without the spaces around it."""
    return f"q-{derive('question', text.strip()):08x}"


def part_of(name: object) -> str:
    """Returns the part of a data set that a row belongs to, by the hash of its name.

    Returns:
        `train` for 70 % of all names, `valid` for 15 %, `test` for 15 %; the same for every seed.
    """
    place = derive("part", name) % 100
    return "train" if place < 70 else "valid" if place < 85 else "test"
