"""The line that says what was played names temperature and seed, and a plain run says how to compare it."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
HINT = "temperature     0; a search samples at 1, so give --temperature 1 to compare this agent with a search"


def printed(capsys, *flags):
    assert main([*flags, "--end_index", "2"]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--josh",), "searched with a beam of 8 at temperature 1, seed 10: "),
        (("--josh", "--temperature", "0.5", "--seed", "3"), "searched with a beam of 8 at temperature 0.5, seed 3: "),
        ((), "1 conversation each at temperature 0, seed 10: "),
    ],
)
def test_temperature_and_seed_stand_in_the_line(capsys, flags, words):
    assert words in printed(capsys, *flags)[0]


@pytest.mark.parametrize(("flags", "hinted"), [((), True), (("--temperature", "1"), False), (("--josh",), False)])
def test_a_plain_run_at_another_temperature_than_a_search_says_so(capsys, flags, hinted):
    assert (HINT in printed(capsys, *flags)) == hinted


def test_a_run_records_when_it_began_and_the_code_that_played_it(capsys):
    printed(capsys, "--log_dir", "r")
    (run,) = Path("r").iterdir()
    config = json.loads((run / "config.json").read_text())
    assert datetime.fromisoformat(config["started"]).tzinfo is not None
    assert len(config.get("commit", "0" * 40)) == 40
