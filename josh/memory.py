"""Settings of Python's memory management for big trees."""

import gc


def relax_gc() -> None:
    """Make Python search for reference cycles less often: trees have none, and the search of a big tree takes long."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
