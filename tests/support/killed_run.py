"""A run in sessions that somebody kills: `python killed_run.py FOLDER FLAG...`.

Every session is a child process, forked from this one so that nothing has to be imported anew. A line of JSON gives its
process id; once it is dead another says how it ended and which seeds the journal holds. The next session begins when a
line comes in, with the flags in that line. When a session ends by itself, its exit code is this process's.
"""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path

from josh.cli import main as josh


def session(arguments, errors):
    """Run josh in a child process; its id."""
    child = os.fork()
    if child:
        return child
    for stream, path in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    code = 70
    try:
        code = josh(arguments)
    finally:
        os._exit(code)


def journalled(folder):
    """The seeds of the requests that the journal has replies to."""
    copy = folder.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in folder.glob("replies.sqlite*"):
        shutil.copy(file, copy)
    base = sqlite3.connect(copy / "replies.sqlite")
    try:
        return sorted({seed for (seed,) in base.execute("SELECT seed FROM replies")})
    except sqlite3.OperationalError:
        return []  # it was killed before it had a table
    finally:
        base.close()


def main():
    log_dir, *flags = sys.argv[1:]
    # A run of another model loads whatever a run needs.
    warm = ["--model", "warm", "--base_url", flags[flags.index("--base_url") + 1], "--max_convo_turns", "1"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert josh([*warm, "--synthetic_tasks", "1", "--log_dir", f"{log_dir}.warm"]) == 0
    while more := sys.stdin.readline():
        runs = [path.parent for path in Path(log_dir).glob("*/config.json")]
        for path in Path(log_dir).glob("*-*"):
            if path not in runs:
                shutil.rmtree(path)  # it was killed before it knew its settings
        again = ["--resume", str(runs[0])] if runs else [*flags, "--log_dir", log_dir]
        child = session([*again, *json.loads(more)], f"{log_dir}.errors")
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
        runs = [path.parent for path in Path(log_dir).glob("*/config.json")]
        print(json.dumps([seed for path in runs for seed in journalled(path)]), flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
