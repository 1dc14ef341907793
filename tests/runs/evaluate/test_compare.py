"""`josh compare` sets against each other what can be compared, and says what cannot."""

import json
from pathlib import Path

import pytest
from evaluating import SMALL, cell, evaluated, spans

from josh.cli import main


def test_evaluations_are_compared_on_what_they_share(capsys):
    one = evaluated("--agent", "./mine.py:Asks")
    other = evaluated("--end_index", "5", "--user", "donor_mild,donor")
    capsys.readouterr()
    assert main(["compare", str(one), str(other), "--out", "all.json"]) == 0
    out = capsys.readouterr().out
    assert "5 tasks that every policy played" in out
    assert "left out: up to 3 tasks" in out
    found = json.loads(Path("all.json").read_text())
    assert found["users"] == ["donor"]
    scripts = ["best script, 1 act a turn", "best script, 3 acts a turn"]
    assert found["policies"] == ["./mine.py:Asks", "uniform", *scripts, "offline_persuader"]
    assert {each["difference"]["from"] for each in found["results"][1:]} == {"./mine.py:Asks"}
    assert cell(found, "offline_persuader")["conversations"] == 15


def test_a_run_compared_with_its_own_copy_differs_by_nothing(capsys):
    for folder in ("a", "b"):
        assert main([*SMALL, "--rollouts", "3", "--temperature", "1", "--log_dir", folder]) == 0
    runs = [str(next(Path(folder).iterdir())) for folder in ("a", "b")]
    Path(runs[1]).rename("b/other")
    assert main(["compare", runs[0], "b/other", "--out", "same.json"]) == 0
    _, second = json.loads(Path("same.json").read_text())["results"]
    assert {span["value"] for span in spans(second["difference"])} == {0}

    assert main(["compare", *runs[:1], "b/other", "--out", "same.json"]) == 0
    for text in ("my notes", '{"mine": 1}'):
        Path("notes.json").write_text(text)
        capsys.readouterr()
        assert main(["compare", runs[0], "b/other", "--out", "notes.json"]) == 2
        assert "notes.json exists and is not a comparison by josh; give another --out" in capsys.readouterr().err
        assert Path("notes.json").read_text() == text


def test_runs_at_different_temperatures_are_compared_with_a_line_that_says_so(capsys):
    runs = []
    for temperature in ("0", "1"):
        assert main([*SMALL, "--temperature", temperature, "--log_dir", temperature]) == 0
        (run,) = Path(temperature).iterdir()
        runs.append(str(run.rename(run.with_name(f"t{temperature}"))))
    capsys.readouterr()
    assert main(["compare", *runs]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line == "not the same temperature: OfflinePersuader (t0) at 0, OfflinePersuader (t1) at 1"
    assert main(["report", *runs, "--out", "both.html"]) == 0
    assert line in Path("both.html").read_text()


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--seed", "11"], "seed is 10 and 11"),
        (["--min_reward", "1"], "min_reward is 0.0 and 1.0"),
        (["--user", "donor_firm"], "the policies have no user in common"),
        (["--task_split", "train"], "have no task in common"),
        (["--rollouts", "1"], "one conversation per task has other seeds"),
        (["--max_convo_turns", "5"], "max_convo_turns is 6 and 5"),
    ],
)
def test_what_is_not_comparable_is_refused_with_what_differs(flags, why, capsys):
    one, other = evaluated("--no_references"), evaluated("--no_references", *flags)
    capsys.readouterr()
    assert main(["compare", str(one), str(other)]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1


def test_plug_ins_that_differ_have_their_short_names(capsys):
    one, other = evaluated("--no_references"), evaluated("--no_references", "--rewards", "toy_world:Nothing")
    capsys.readouterr()
    assert main(["compare", str(one), str(other)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("are not comparable: rewards is 'donation' and 'toy_world:Nothing'")


def test_searches_are_not_compared(capsys):
    assert main(["--josh", *SMALL]) == 0
    (run,) = Path("records").iterdir()
    assert main(["compare", str(run)]) == 2
    assert "is a search" in capsys.readouterr().err
