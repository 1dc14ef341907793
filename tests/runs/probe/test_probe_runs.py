"""A probe is a recorded run: it can be stopped, resumed and limited, and pays for no reply twice."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from probing import figures, probe, speaks, write_questions

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
CALLS = 2 * (64 + 16) + 4 * 16
"""Requests of a probe with eight questions: two models with items and turns, and the judge."""


def same(_):
    return "[[C]] [[7]]"


@pytest.fixture
def served(endpoint):
    """The server, its address, and the flags of a probe with eight questions."""
    write_questions("questions.jsonl", 8)
    url, server = endpoint(respond=speaks(same))
    return url, server, ("--questions", "questions.jsonl", "--judge", "judge", "--judge_base_url", url)


def only_folder():
    (folder,) = Path("records").iterdir()
    return folder


def test_a_probe_of_servers_asks_each_thing_once(served):
    url, server, flags = served
    found = probe(url, *flags)
    assert len(server.requests) == CALLS
    assert found["complete"] and not found["failed"]
    assert {side: used["calls"] for side, used in found["usage"].items()} == {"model": 80, "baseline": 80, "judge": 64}
    assert found["drift"] == {
        "not_measured": "the server of base gives no log-probabilities of a given text; it needs hf: models"
    }


def test_a_budget_ends_a_probe_which_goes_on_where_it_was(served, capsys):
    url, server, flags = served
    whole = probe(url, *flags)
    folder = only_folder()
    for one in sorted(folder.rglob("*")):
        one.unlink()
    folder.rmdir()
    server.requests.clear()
    capsys.readouterr()
    stopped = probe(url, *flags, "--max_calls", "100", code=1)
    assert (stopped["truncated"], stopped["complete"], len(server.requests)) == ("max_calls 100", False, 100)
    assert "items" not in stopped
    folder = only_folder()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (f"josh: max_calls 100 is reached: go on with: josh probe --resume {folder} --max_calls MORE\n")
    assert main(["probe", "--resume", str(folder), "--max_calls", "1000"]) == 0
    assert len(server.requests) == CALLS
    assert figures() == whole


def test_a_finished_probe_is_printed_again_without_a_call(served, capsys):
    url, server, flags = served
    before = probe(url, *flags)
    printed = capsys.readouterr().out
    assert main(["probe", "--resume", str(only_folder())]) == 0
    assert capsys.readouterr().out == printed
    assert (len(server.requests), figures()) == (CALLS, before)


def test_failed_requests_are_counted_and_asked_again(endpoint, capsys):
    broken = {"What is 17 + 25? Reply with the number only."}
    says = speaks(same)

    def respond(body):
        return "" if body["messages"][-1]["content"] in broken else says(body)

    url, server = endpoint(respond=respond)
    server.faults = [(400, {"error": {"message": "no"}}, {})] * 3
    found = probe(url, code=1)
    assert (found["complete"], found["failed"]) == (False, 3)
    assert found["items"]["items"] == 61
    assert "3 requests failed; go on with: josh probe --resume" in capsys.readouterr().err
    asked = len(server.requests)
    assert main(["probe", "--resume", str(only_folder())]) == 0
    assert len(server.requests) == asked + 3
    found = figures()
    assert (found["complete"], found["items"]["items"]) == (True, 64)
    assert found["items"]["passed"]["model"]["value"] == pytest.approx(63 / 64)


def test_a_server_that_is_down_leaves_no_folder(capsys):
    flags = ["--model", "a", "--baseline", "b", "--base_url", "http://127.0.0.1:1/v1", "--max_retry_seconds", "0.1"]
    assert main(["probe", *flags]) == 1
    assert not Path("records").exists()
    assert "cannot connect: connection refused; gave up after" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("how", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_probe_that_is_stopped_goes_on(tmp_path, endpoint, capsys, how, code, said):
    url, server = endpoint(respond=speaks(same), latency=0.05)
    models = ["--model", "tuned", "--baseline", "base", "--base_url", url, "--max_concurrency", "2"]
    command = [sys.executable, "-m", "josh", "probe", *models]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while len(server.requests) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(how)
    out, err = run.communicate(timeout=30)
    folder = only_folder()
    assert (run.returncode, out) == (code, "")
    assert err.splitlines()[-2:] == [f"josh: go on with: josh probe --resume {folder}", f"josh: {said}"]
    assert not (folder / "probe.json").exists()
    assert main(["probe", "--resume", str(folder), "--max_concurrency", "16"]) == 0
    assert len(server.requests) == 128
    assert figures()["items"]["passed"]["model"]["value"] == 1.0
    assert capsys.readouterr().out.splitlines()[-1] == "no worse than the base by more than 0.05: yes"


def test_another_setting_is_refused_on_resume(served, capsys):
    url, _, flags = served
    probe(url, *flags)
    folder = only_folder()
    for given, said in (
        (["--model", "other"], "model is 'other', and 'tuned' in"),
        (["--seed", "3"], "seed is 3, and 10 in"),
        (["--mode", "single"], "mode is 'single', and 'both' in"),
        (["--log_dir", "there"], "log_dir is given; a probe is resumed where it is"),
    ):
        capsys.readouterr()
        assert main(["probe", "--resume", str(folder), *given]) == 2
        assert said in capsys.readouterr().err


def test_a_probe_is_not_taken_for_a_run(served, capsys):
    url, _, flags = served
    probe(url, *flags)
    folder = only_folder()
    for command, said in (
        (f"--resume {folder}", f"is a probe; resume it with: josh probe --resume {folder}"),
        (f"evaluate --resume {folder}", f"is a probe; resume it with: josh probe --resume {folder}"),
        (f"show {folder} 1", f"is a probe, not a run; print it with: josh probe --resume {folder}"),
        (
            f"export {folder} --format sft --out x",
            f"is a probe, not a run; print it with: josh probe --resume {folder}",
        ),
    ):
        capsys.readouterr()
        assert main(command.split()) == 2
        assert said in capsys.readouterr().err


def test_a_recorded_key_needs_trust(endpoint, monkeypatch, capsys):
    url, _ = endpoint(respond=speaks(same))
    monkeypatch.setenv("MY_KEY", "secret-key-of-mine")
    found = probe(url, "--api_key_var", "MY_KEY", "--max_calls", "10", code=1)
    assert found["truncated"]
    folder = only_folder()
    assert f"--resume {folder} --trust --max_calls MORE" in capsys.readouterr().err
    assert main(["probe", "--resume", str(folder), "--max_calls", "1000"]) == 2
    assert "to allow it, give --trust" in capsys.readouterr().err
    assert main(["probe", "--resume", str(folder), "--max_calls", "1000", "--trust"]) == 0
    assert all("secret-key-of-mine" not in path.read_text(errors="ignore") for path in folder.iterdir())


def test_a_key_in_a_servers_error_is_not_written(endpoint, monkeypatch, capsys):
    url, server = endpoint(respond=speaks(same))
    monkeypatch.setenv("MY_KEY", "secret-key-of-mine")
    server.faults = [(400, {"error": {"message": "wrong secret-key-of-mine"}}, {})]
    found = probe(url, "--api_key_var", "MY_KEY", code=1)
    assert found["failed"] == 1 and "wrong" in found["first_error"]
    said = capsys.readouterr()
    texts = [path.read_text(errors="ignore") for path in only_folder().iterdir()]
    assert all("secret-key-of-mine" not in text for text in (said.out, said.err, *texts))


def test_cost_is_that_of_all_models(served, capsys):
    url, _, flags = served
    found = probe(url, *flags, "--price", "tuned=1/2,base=1/2,judge=10/20")
    used = found["usage"]
    expected = sum(
        (one["prompt_tokens"] * price + one["completion_tokens"] * 2 * price) / 1e6
        for one, price in ((used["model"], 1), (used["baseline"], 1), (used["judge"], 10))
    )
    assert found["cost"] == pytest.approx(expected)
    assert f"; ${found['cost']:.2f}\n" in capsys.readouterr().out


def test_thoughts_are_not_graded_and_not_judged(endpoint):
    says = speaks(
        lambda texts: "<think>[[A]]</think>[[C]]" if not any("hidden" in one for one in texts.values()) else "x"
    )
    write_questions("questions.jsonl", 2)
    url, _ = endpoint(respond=lambda body: f"<think>hidden 1 yes no</think>{says(body)}")
    flags = ("--questions", "questions.jsonl", "--judge", "judge", "--judge_base_url", url, "--mode", "pairwise")
    found = probe(url, *flags)
    assert found["items"]["passed"]["model"]["value"] == 1.0
    assert found["pairwise"]["counts"]["tie"] == 4


def test_a_toml_file_has_the_same_settings(served):
    url, _, _ = served
    Path("probe.toml").write_text(
        f'model = "tuned"\nbaseline = "base"\nbase_url = "{url}"\nquestions = "questions.jsonl"\nmargin = 0.1\n'
        f'[judge]\nmodel = "judge"\nbase_url = "{url}"\n'
    )
    assert main(["probe", "--config", "probe.toml"]) == 0
    found = figures()
    assert (found["margin"], found["judge"], found["questions"]) == (0.1, "judge", 8)
    assert json.loads((only_folder() / "plan.json").read_text())["probe"]["margin"] == 0.1
