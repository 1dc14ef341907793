"""Runs on several workers, for the tests of what happens to them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from resuming import flags

PROCESSES = ("--executor", "processes", "--workers")
SECONDS = 60


def on(workers, url, *more, tasks=8, executor=PROCESSES):
    """The flags of a run on workers."""
    return [*flags(url, tasks=tasks), *executor, str(workers), *map(str, more)]


def started(*arguments, log_dir="killed"):
    """A run in a process of its own."""
    command = [sys.executable, "-m", "josh", *arguments]
    own = [] if "--resume" in arguments else ["--log_dir", log_dir]
    return subprocess.Popen([*command, *own], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(process):
    """The ids of the processes that a process has started."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def alive(number):
    """Whether a process is there, and not only waits for its parent to look at it."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what, seconds=SECONDS):
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.005)


def wait_for_requests(server, count, run=None):
    """Wait until a server got so many requests, or the run is over."""
    wait_for(lambda: len(server.requests) >= count or (run is not None and run.poll() is not None))


def kill(number):
    """Kill a process that may be gone."""
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return


def the_run(log_dir="killed"):
    """The folder of the run that began in a folder."""
    (config,) = Path(log_dir).glob("*/config.json")
    return config.parent


def calls_in(summary):
    """The calls of a summary."""
    return sum(side["calls"] for side in summary["usage"].values())


def asked(server):
    """The requests of a server, as text."""
    return [json.dumps(request, sort_keys=True) for request in server.requests]
