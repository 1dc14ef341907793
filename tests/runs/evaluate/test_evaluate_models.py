"""Evaluations of models: calls, costs, budgets, and going on after a kill."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from evaluating import SMALL, cell, evaluated, figures

from josh.cli import main
from josh.seeds import derive


def respond(body):
    draw = derive(json.dumps(body["messages"]), body["seed"])
    if body["model"] == "them" and len(body["messages"]) > 4 and draw % 6 == 0:
        return f"Yes. [DONATE ${draw // 6 % 4 / 2:.2f}]"
    return f"words {draw % 40}"


def against(url):
    cast = ["--model", "new", "--baseline", "old", "--user_model", "them", "--base_url", url, "--user_base_url", url]
    return [*cast, "--price", "new=1/2,old=1/2,them=3/4"]


def test_calls_and_costs_of_both_sides_are_told(endpoint, capsys):
    url, server = endpoint(respond=respond)
    found = figures(evaluated(*against(url)))
    assert found["policies"] == ["old", "new"], "references would cost the user's calls"
    for policy in ("old", "new"):
        usage = cell(found, policy, "them")["usage"]
        assert usage["agent"]["calls"] > 0
        assert usage["user"]["cost"] > usage["agent"]["cost"] > 0
    total = sum(side["calls"] for one in found["results"] for side in one["usage"].values())
    assert total == len(server.requests)
    assert "agent, " in capsys.readouterr().out


def test_a_budget_holds_for_the_whole_evaluation_and_can_be_raised(endpoint, capsys):
    url, server = endpoint(respond=respond)
    whole = evaluated(*against(url))
    needed = len(server.requests)
    server.requests.clear()
    folder = evaluated(*against(url), "--max_calls", "100", "--max_concurrency", "3", code=1)
    assert len(server.requests) <= 100
    assert not (folder / "evaluation.json").exists()
    error = capsys.readouterr().err
    assert f"max_calls 100 is reached: go on with: josh evaluate --resume {folder} --max_calls MORE" in error
    more = str(needed - 50)
    assert main(["evaluate", "--resume", str(folder), "--max_calls", more, "--max_concurrency", "3"]) == 1
    assert len(server.requests) <= needed - 50
    assert f"max_calls {more} is reached" in capsys.readouterr().err
    assert main(["evaluate", "--resume", str(folder), "--max_calls", str(needed + 50)]) == 0
    assert len(server.requests) == needed
    assert (folder / "evaluation.json").read_bytes() == (whole / "evaluation.json").read_bytes()


def test_a_killed_evaluation_goes_on_and_comes_out_the_same(endpoint, tmp_path):
    url, _ = endpoint(respond=respond, latency=0.03)
    whole = evaluated(*against(url))
    command = [sys.executable, "-m", "josh", "evaluate", *SMALL, *against(url), "--log_dir", "killed"]
    for wait, begun in ((0.2, "baseline-them"), (0.05, "baseline-them"), (0.1, "model-them")):
        folders = list(Path("killed").glob("eval-*/plan.json"))
        again = [*command[:4], "--resume", str(folders[0].parent)] if folders else command
        with subprocess.Popen(again, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not list(Path("killed").glob(f"*/{begun}/config.json")):
                time.sleep(0.02)
            time.sleep(wait)
            child.send_signal(signal.SIGKILL)
    (plan,) = Path("killed").glob("eval-*/plan.json")
    assert not (plan.parent / "evaluation.json").exists(), "it was killed too late to prove anything"
    assert main(["evaluate", "--resume", str(plan.parent)]) == 0
    assert (plan.parent / "evaluation.json").read_bytes() == (whole / "evaluation.json").read_bytes()
    assert (plan.parent / "model-them" / "episodes.jsonl").read_bytes() == (
        whole / "model-them" / "episodes.jsonl"
    ).read_bytes()


def test_a_resumed_evaluation_takes_no_other_settings(capsys):
    folder = evaluated("--no_references")
    for flags, why in (
        (["--seed", "3"], "seed is 3"),
        (["--user", "donor_firm"], "user is 'donor_firm'"),
        (["--baseline", "x"], "records its models and training data"),
        (["--log_dir", "x"], "log_dir is given"),
    ):
        assert main(["evaluate", "--resume", str(folder), *flags]) == 2
        assert why in capsys.readouterr().err
    assert main(["evaluate", "--resume", "nowhere"]) == 2
    assert "is not an evaluation" in capsys.readouterr().err


def test_a_damaged_plan_is_told_in_one_line_and_left_as_it_is(capsys):
    folder = evaluated("--no_references")
    plan = json.loads((folder / "plan.json").read_text())
    (part,) = plan["parts"]
    settings = part["settings"]
    broken = (
        [{"x": 1}],
        ["a"],
        [part | {"folder": ""}],
        [part | {"folder": "../x"}],
        [part | {"policy": 1}],
        [part | {"reference": "no"}],
        [part | {"settings": 5}],
        [part | {"settings": settings | {"seed": "x"}}],
        [part | {"settings": settings | {"sed": 1}}],
    )
    before = sorted(folder.rglob("*"))
    capsys.readouterr()
    for parts in broken:
        (folder / "plan.json").write_text(json.dumps(plan | {"parts": parts}))
        for command in (["evaluate", "--resume", str(folder)], ["compare", str(folder)]):
            assert main(command) == 2, parts
            error = capsys.readouterr().err
            assert error.startswith(f"josh: {folder / 'plan.json'}"), parts
            assert error.count("\n") == 1
    for held_out in (None, [], {"tasks": 1}):
        (folder / "plan.json").write_text(json.dumps(plan | {"held_out": held_out}))
        assert main(["evaluate", "--resume", str(folder)]) == 2
        assert "does not name the held-out data" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_what_cannot_be_played_leaves_nothing_behind(capsys):
    assert evaluated("--baseline_agent", "reakt", code=2) is None
    assert "no agent named 'reakt'" in capsys.readouterr().err
    assert not Path("records").exists()
