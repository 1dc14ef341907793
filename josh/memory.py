"""The machine's limits: Python's memory management for big trees, and the number of open files."""

import gc
import os
from contextlib import suppress
from pathlib import Path

RESERVED_FILES = 32
"""Open files that are left for everything but connections: the run's files, imports, blocking steps."""


def relax_gc() -> None:
    """Make Python search for reference cycles less often: trees have none, and the search of a big tree takes long."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def connections_left() -> int:
    """Raise the limit of open files as far as this process may, and return how many connections fit into it.

    Returns:
        At least 1; a large number on systems without such a limit.
    """
    try:
        import resource
    except ImportError:  # Windows
        return 2**31
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # macOS refuses more than its own maximum
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return 2**31
    listed = next((path for path in (Path("/proc/self/fd"), Path("/dev/fd")) if path.is_dir()), None)
    opened = len(os.listdir(listed)) if listed else 16  # noqa: PTH208 (Path.iterdir would build a path for each)
    return max(1, soft - opened - RESERVED_FILES)
