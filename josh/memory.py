"""Python's memory, tuned for big trees."""

import gc


def relax_gc() -> None:
    """Let Python look for reference cycles less often: trees have none, and a big tree takes long to look through."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
