"""A run as a caller in Python meets it: settings in, a result out, and nothing printed."""

import asyncio
import json

import pytest

from josh.errors import FatalError
from josh.runs.play.run import run
from josh.runs.resolve import resolve

pytestmark = pytest.mark.usefixtures("elsewhere")

BREAKS_OFF = """
from josh.errors import FatalError
from josh.users.persuasion.donor import Donor


class BreaksOff(Donor):
    def step(self, agent, **given):
        if "0001" in self.task:
            raise FatalError("the endpoint is gone")
        return super().step(agent, **given)

    def start(self, task, env, options):
        super().start(task, env, options)
        self.task = task.id
"""


def test_a_run_returns_what_came_of_it_and_prints_nothing(capsys):
    result = asyncio.run(run(resolve({"josh": True, "synthetic_tasks": 2}, {})))
    assert capsys.readouterr().out == ""
    assert result.worked
    assert result.stopped == ""
    assert json.loads((result.folder / "summary.json").read_text()) == result.summary
    assert not (result.folder / "report.html").exists()
    assert result.plays["agent"].rpartition(":")[2] == "OfflinePersuader"


def test_a_run_that_is_broken_off_hands_over_what_is_on_disk(tmp_path, capsys):
    (tmp_path / "user.py").write_text(BREAKS_OFF)
    left = []
    settings = resolve({"user": str(tmp_path / "user.py:BreaksOff"), "synthetic_tasks": 2, "max_concurrency": 1}, {})
    with pytest.raises(FatalError, match="the endpoint is gone"):
        asyncio.run(run(settings, broken_off=lambda result, error: left.append((result, error))))
    ((result, error),) = left
    assert isinstance(error, FatalError)
    assert (result.summary["finished"], result.summary["complete"]) == (1, False)
    assert len((result.folder / "episodes.jsonl").read_text().splitlines()) == 1
    assert capsys.readouterr().out == ""
