"""Runs played for the tests of what becomes of them."""

from pathlib import Path

from josh.cli import main


def run(log_dir, *flags):
    """Play a run; its folder."""
    assert main(["run", "--log_dir", log_dir, *map(str, flags)]) == 0
    (folder,) = Path(log_dir).iterdir()
    return folder
