"""Calls in flight are paid for, so a run that a wrong setting ends waits for their replies."""

import asyncio
from pathlib import Path

import pytest
from asking import ASKING
from resuming import summary

from josh.cli import main
from josh.runs.experiments.loopback import Loopback

pytestmark = pytest.mark.usefixtures("elsewhere")


class SecondIsSlow(Loopback):
    """Answers the first request when the second has arrived, and the second a little later."""

    def __init__(self):
        super().__init__()
        self.both = asyncio.Event()
        self.arrived = 0

    async def _answer(self, request):
        self.arrived += 1
        if self.arrived == 1:
            await self.both.wait()
        else:
            self.both.set()
            await asyncio.sleep(0.3)
        return await super()._answer(request)


def test_the_replies_of_calls_in_flight_are_kept_where_offline_is_asked(capsys, endpoint):
    url, server = endpoint(SecondIsSlow)
    Path("mine.py").write_text(ASKING)
    few = ("--end_index", "2", "--max_convo_turns", "1", "--user", "./mine.py:Asking", "--log_dir", "r")
    assert main(["--model", "us", "--base_url", url, *few]) == 2
    assert "cannot reply; give --model or --user_model" in capsys.readouterr().err
    assert server.arrived == 2
    (run,) = Path("r").iterdir()
    assert summary(run)["usage"]["agent"]["calls"] == 2
    # The run gets its model, and pays for neither call again.
    assert main(["--resume", str(run), "--trust", "--user_model", "them", "--user_base_url", url]) == 0
    assert [body["model"] for body in server.requests].count("us") == 2
