"""A run that is killed over and over: `python killed_run.py FOLDER KILLS SEED FLAG...`.

Every session is a child process, forked from this one so that nothing has to be imported anew. After each kill a line
of JSON says which seeds the journal holds; the next session begins when a line comes in. The last session is left to
end by itself, and its exit code is this process's.
"""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path

from josh.cli import main as josh

PRELOADED = (
    "josh.runs.run josh.envs.persuasion josh.agents.persuader josh.users.persuadee openai httpx_aiohttp tenacity"
)


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
    log_dir, kills, seed, *flags = sys.argv[1:]
    # A run of another model loads whatever a run needs.
    warm = ["--model", "warm", "--base_url", flags[flags.index("--base_url") + 1], "--max_convo_turns", "1"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert josh([*warm, "--synthetic_tasks", "1", "--log_dir", f"{log_dir}.warm"]) == 0
    dice, killed = random.Random(int(seed)), 0
    while True:
        runs = [path.parent for path in Path(log_dir).glob("*/config.json")]
        lost = [path for path in Path(log_dir).glob("*-*") if path not in runs]
        for path in lost:
            shutil.rmtree(path)  # it was killed before it knew its settings
        again = ["--resume", str(runs[0])] if runs else [*flags, "--log_dir", log_dir]
        again += ["--max_concurrency", str(dice.choice((1, 2, 4, 16)))]
        child = session(again, f"{log_dir}.errors")
        if killed < int(kills):
            time.sleep(dice.uniform(0.05, 0.5))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status) or 100 * (killed < int(kills))
        killed += 1
        print(json.dumps([seed for path in runs for seed in journalled(path)]), flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    sys.exit(main())
