"""Workers and runs that are killed at random moments change no byte, and no reply in a journal is bought twice."""

import random
import shutil
import time
from pathlib import Path

import pytest
from killed_run import journalled
from resuming import files, flags, respond, run_in, summary
from workers import PROCESSES, calls_in, children, kill, on, started, the_run, wait_for_requests

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere")]


def began(log_dir="killed"):
    """Whether a run has its settings on disk; what a killed one left without them is removed."""
    if any(Path(log_dir).glob("*/config.json")):
        return True
    shutil.rmtree(log_dir, ignore_errors=True)
    return False


@pytest.mark.parametrize("seed", [1, 2])
def test_random_kills_change_no_byte_and_buy_no_reply_of_the_journal_twice(endpoint, seed):
    dice = random.Random(seed)
    url, server = endpoint(respond=respond)
    whole = run_in("whole", *flags(url))
    once = len(server.requests)
    url, server = endpoint(respond=respond, latency=0.03)
    known, killed = [], {"worker": 0, "run": 0}
    run = started(*on(2, url))
    while min(killed.values()) < 3 and run.poll() is None:
        wait_for_requests(server, len(server.requests) + dice.randrange(4, 20), run)
        time.sleep(dice.random() * 0.05)
        workers = children(run)
        if workers and killed["worker"] <= killed["run"]:
            kill(dice.choice(workers))
            killed["worker"] += 1
            continue
        run.kill()
        run.communicate()
        killed["run"] += 1
        if began():
            time.sleep(0.2)  # requests of its workers that were on their way have come in
            known.append((len(server.requests), set(journalled(the_run()))))
            run = started("--resume", str(the_run()), *PROCESSES, dice.choice("123"))
        else:
            run = started(*on(2, url))
    _, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert min(killed.values()) >= 3
    assert files(the_run()) == files(whole)
    assert known[-1][1]
    for before, journal in known:
        assert not journal & {request["seed"] for request in server.requests[before:]}
    assert calls_in(summary(the_run())) == once
    assert len(server.requests) - once <= 16 * sum(killed.values())
