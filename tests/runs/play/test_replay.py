"""A replay needs no endpoint, and tells when a run does not come out the same."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from resuming import files, flags, respond, run_in, said

from josh.cli import main
from josh.runs.play.replay import replay

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_a_replay_needs_no_endpoint_and_comes_out_the_same(endpoint, capsys):
    url, server = endpoint(respond=respond)
    run = run_in("records", *flags(url))
    asked = len(server.requests)
    capsys.readouterr()
    assert main(["replay", str(run), "--log_dir", "again"]) == 0
    assert f"the same as     {run}" in capsys.readouterr().out
    (again,) = Path("again").iterdir()
    assert files(again) == files(run)
    assert len(server.requests) == asked
    assert main(["replay", str(again)]) == 0


def test_a_run_that_is_not_finished_is_not_replayed(endpoint, capsys):
    url, _ = endpoint(respond=respond)
    run = run_in("records", *flags(url), "--max_calls", "100")
    capsys.readouterr()
    assert main(["replay", str(run)]) == 2
    assert said(capsys)[0].endswith(" of 8 tasks; resume it first")
    assert list(run.parent.iterdir()) == [run]


def test_a_replay_that_is_stopped_leaves_no_folder(endpoint):
    url, _ = endpoint(respond=respond)
    run = run_in("records", *flags(url, tasks=2))

    async def stopped():
        replaying = asyncio.create_task(replay(run))
        await asyncio.sleep(0)  # now it has begun, and waits for its first turn
        assert len(list(run.parent.iterdir())) == 2
        replaying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replaying

    asyncio.run(stopped())
    assert list(run.parent.iterdir()) == [run]


def test_a_replay_tells_when_a_run_does_not_come_out_the_same(endpoint, capsys):
    url, _ = endpoint(respond=respond)
    run = run_in("records", *flags(url, tasks=2))
    with sqlite3.connect(run / "replies.sqlite") as base:
        base.execute('UPDATE replies SET reply = \'{"text": "other"}\' WHERE depth = 1')
    base.close()
    assert main(["replay", str(run)]) == 1
    assert "compared        episodes.jsonl" in capsys.readouterr().out
