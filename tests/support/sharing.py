"""What is dear to make is made once, however many processes run the tests."""

import fcntl
import os


def made_once(tmp_path_factory, name, make):
    """Returns a folder that `make(folder)` has filled; the first process that asks for it has it filled."""
    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent  # each worker has a folder of its own in that of the whole session
    folder, made = home / name, home / f"{name}.made"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
