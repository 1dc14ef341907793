"""A speaker that asks a chat model and has none fails before the first call, and a run can still get that model."""

import json
from pathlib import Path

import asking
import pytest
from refusals import bad
from resuming import run_in

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")

ASKING = f"""{asking.ASKING}
class Declared(Asking):
    needs_model = True
"""


def agent(url):
    return ("--model", "us", "--base_url", url, "--end_index", "2", "--max_convo_turns", "2")


@pytest.mark.parametrize(
    ("command", "user"),
    [
        ((), "persuadee"),
        (("--dry_run",), "persuadee"),
        ((), "./mine.py:Declared"),
        (("evaluate",), "persuadee"),
        (("loop", "--tiny", "--rounds", "1"), "persuadee"),
        (("--josh", "--env", "toolwoz", "--agent", "function_calling"), "goal"),
        (("--env", "toolwoz", "--agent", "react"), "guide"),
    ],
)
def test_a_user_that_needs_a_model_fails_before_the_first_call(capsys, endpoint, command, user):
    url, server = endpoint()
    Path("mine.py").write_text(ASKING)
    flags = () if "loop" in command else agent(url)
    line = bad(capsys, *command, "--user", user, *flags)
    assert line.endswith("asks a chat model, but user_model is 'offline'; give --user_model")
    assert server.requests == []


def test_a_person_who_takes_a_side_leaves_the_other_without_a_model(capsys):
    line = bad(capsys, "play", "--as", "agent", "--user", "persuadee")
    assert line == "josh: user 'persuadee' asks a chat model, but user_model is 'offline'; give --user_model"


def test_a_run_whose_user_was_never_asked_gets_its_model_when_it_is_resumed(capsys, endpoint):
    url, server = endpoint()
    Path("mine.py").write_text(ASKING)
    broken = (*agent(url), "--user", "./mine.py:Asking", "--log_dir", "r", "--max_concurrency", "1")
    assert main(broken) == 2
    assert "cannot reply; give --model or --user_model" in capsys.readouterr().err
    (run,) = Path("r").iterdir()
    paid = len(server.requests)
    assert paid
    again = ["--user", "./mine.py:Asking", "--user_model", "them", "--user_base_url", url]
    assert main(["--resume", str(run), *again]) == 0
    asked = [body["model"] for body in server.requests[paid:]]
    assert asked.count("us") == 4 - paid  # two turns in each of two tasks, of which one was paid for
    assert json.loads((run / "config.json").read_text())["settings"]["user"]["model"] == "them"
    # Now that the user was asked, its model stays.
    assert main(["--resume", str(run), "--user", "./mine.py:Asking", "--user_model", "others"]) == 2
    assert "user_model is 'others', and 'them' in" in capsys.readouterr().err


def test_a_user_that_played_offline_keeps_its_model(capsys, endpoint):
    url, _ = endpoint()
    run = run_in("r", *agent(url))
    assert main(["--resume", str(run), "--user_model", "them", "--user_base_url", url]) == 2
    assert "it changes what is asked" in capsys.readouterr().err
