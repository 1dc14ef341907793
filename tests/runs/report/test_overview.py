"""The page of an evaluation and of a loop: its numbers, its links, and how it is made."""

import json
from pathlib import Path

import pytest
from evaluating import cell, evaluated, figures
from loop_figures import WHOLE, looped
from reports import head

from josh.cli import main
from josh.runs.report.report import report

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_an_evaluation_ends_with_a_page_of_its_numbers(capsys):
    folder = evaluated("--user", "donor,donor_mild", "--rollouts", "2", "--baseline_agent", "uniform_persuader")
    assert f"report          {folder}/report.html" in capsys.readouterr().out
    shown, found = head(folder), figures(folder)
    assert shown["kind"] == "evaluation"
    assert [block["user"] for block in shown["blocks"]] == ["donor", "donor_mild"]
    for block in shown["blocks"]:
        for one in block["cells"]:
            whole = cell(found, one["policy"], block["user"])
            assert {name: one[name] for name in ("success_rate", "average_reward")} == {
                name: whole[name] for name in ("success_rate", "average_reward")
            }
            assert one.get("difference", {}).get("mcnemar") == whole.get("difference", {}).get("mcnemar")
    assert {run["page"] for run in shown["runs"]} == {f"{run['run']}/report.html" for run in found["runs"]}
    assert all((folder / run["page"]).is_file() for run in shown["runs"])
    assert shown["notes"] == []


def test_an_evaluation_that_was_interrupted_has_a_page_with_how_to_go_on(capsys):
    folder = evaluated("--no_references", "--rollouts", "1")
    (folder / "evaluation.json").unlink()
    (folder / "model-donor" / "summary.json").unlink()
    assert main(["report", str(folder)]) == 0
    shown = head(folder)
    assert shown["blocks"] == []
    (note,) = shown["notes"]
    assert note == f"Not finished: 0 of 1 run; go on with: josh evaluate --resume {folder.name}"
    assert [run["state"] for run in shown["runs"]] == ["unfinished"]


def test_a_loop_has_its_rounds_with_their_intervals(tmp_path):
    folder = looped(tmp_path / "loop", WHOLE)
    assert report([folder]) == [folder / "report.html"]
    shown = head(folder)
    assert shown["kind"] == "loop"
    assert shown["base"]["mean"] == {"value": 0.2, "low": 0.1, "high": pytest.approx(0.3)}
    assert [row["mean"]["value"] for row in shown["rounds"]] == [0.3, 0.4]
    assert [row["difference"]["high"] for row in shown["rounds"]] == [0.3, 0.3]
    assert shown["control"]["rate"]["value"] == 0.3
    assert [one["user"] for one in shown["other_users"]] == ["donor_mild"]
    assert [(run["folder"], run["page"]) for run in shown["runs"]] == [
        ("search-1", None),
        ("base-donor", "base-donor/report.html"),
        ("round-1-donor", None),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("loop.json", "{", "loop.json is damaged: "),
        ("loop.json", "[]", "loop.json is damaged: it is not a JSON object"),
        ("loop.json", '{"names": {}}', "loop.json is damaged"),
        ("plan.json", '{"stages": []}', "plan.json is damaged: it does not name its runs"),
    ],
)
def test_a_damaged_loop_is_refused_in_a_line(tmp_path, capsys, name, text, said):
    folder = looped(tmp_path / "loop", WHOLE)
    (folder / name).write_text(text)
    assert main(["report", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (folder / "report.html").exists()


def test_a_loop_that_goes_on_has_a_page(tmp_path):
    folder = looped(tmp_path / "loop", None)
    report([folder])
    assert head(folder)["notes"] == ["Not finished: 0 of 3 runs; go on with: josh loop --resume loop"]


def test_evaluations_and_comparisons_print_json_and_nothing_else(capsys):
    capsys.readouterr()
    folder = evaluated("--no_references", "--rollouts", "2", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found == {"folder": str(folder), **figures(folder)}
    assert (folder / "report.html").is_file()
    assert main(["compare", str(folder), "--json", "--out", "all.json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads(Path("all.json").read_text())
    assert shown["results"] == found["results"]
