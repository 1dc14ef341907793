"""What a run will cost is said before its first call, and a sample of its tasks says it better."""

import json
from pathlib import Path

import pytest

from josh.cli import main
from josh.runs.play.estimate import Range, from_sample

pytestmark = pytest.mark.usefixtures("elsewhere")


def flags(url, *more):
    cast = ("--model", "us", "--base_url", url, "--user_model", "them", "--user_base_url", url)
    return (*more, *cast, "--price", "us=1/2,them=1/2", "--max_convo_turns", "3", "--end_index", "6")


def estimated(capsys, *arguments):
    assert main([*arguments, "--dry_run"]) == 0
    printed = capsys.readouterr()
    assert not Path("records").exists()
    (line,) = [one for one in printed.err.splitlines() if "estimate" in one]
    return json.loads(printed.out)["estimate"], line


def says(words):
    return lambda body: words if body["model"] == "them" else "Please give."


def test_an_offline_run_costs_nothing(capsys):
    found, line = estimated(capsys, "--josh")
    assert found == {"calls": [0, 0], "tokens": [0, 0], "cost": [0.0, 0.0], "unpriced": []}
    assert line == "josh: estimate: 0 calls, $0.00; no side asks a chat model"


@pytest.mark.parametrize("way", [(), ("--josh", "--beam_size", "4"), ("--josh", "--stop", "best"), ("--rollouts", "2")])
@pytest.mark.parametrize("words", ["[DONATE $1]", "Tell me more, and why it should matter to me."])
def test_the_real_run_lies_in_the_range(capsys, endpoint, way, words):
    url, server = endpoint(respond=says(words))
    found, _ = estimated(capsys, *flags(url, *way))
    assert server.requests == []
    assert main([*flags(url, *way), "--log_dir", "r"]) == 0
    (run,) = Path("r").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    sides = summary["usage"].values()
    calls = sum(side["calls"] for side in sides)
    assert found["calls"][0] <= calls <= found["calls"][1]
    assert found["cost"][0] < found["cost"][1]


def test_one_round_of_plain_conversations_is_known_exactly(capsys):
    url = "http://127.0.0.1:9/v1"
    found, line = estimated(capsys, *flags(url), "--max_convo_turns", "1")
    assert found["calls"] == [12, 12]
    assert line.startswith("josh: estimate: 12 calls, ")


def test_an_unknown_price_is_said(capsys):
    url = "http://127.0.0.1:9/v1"
    found, line = estimated(capsys, "--model", "us", "--base_url", url)
    assert (found["cost"], found["unpriced"]) == (None, ["us"])
    assert line.endswith("dollars unknown; give --price us=PROMPT/REPLY")


def test_a_sample_is_part_of_the_run(capsys, endpoint):
    url, server = endpoint(respond=says("Tell me more."))
    assert main([*flags(url), "--sample", "2", "--log_dir", "r"]) == 0
    printed = capsys.readouterr()
    assert len(server.requests) == 12
    assert "all tasks       6 tasks: 36 calls, " in printed.out
    (run,) = Path("r").iterdir()
    assert f"josh: 2 of 6 tasks were finished; go on with: josh --resume {run}" in printed.err.replace("/\n", "\n")
    assert main(["--resume", str(run)]) == 0
    assert len(server.requests) == 36  # nothing was asked twice


def test_a_sample_is_scaled_from_its_smallest_to_its_largest_task():
    found = from_sample(10, [(4, 100), (8, 300)], 0.4, ())
    assert (found.calls, found.tokens, found.cost) == (Range(40, 80), Range(1000, 3000), Range(1.0, 3.0))
