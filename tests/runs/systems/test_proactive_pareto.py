"""`josh proactive pareto`: points from stored conversations, their front, and the files."""

import csv
from pathlib import Path

import pytest
from suites import refusal
from trajectories import ANSWERED, CODE, PERSONA, REJECTED, SOLVABLE, talk, trajectory, write

from josh.cli import main

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'josh-dialogue[plot]'")
pytestmark = pytest.mark.usefixtures("elsewhere")
WRONG = "```python\npass\n```"


def table(*paths, out="pareto.png"):
    """The rows of the table, by policy and lambda."""
    assert main(["proactive", "pareto", *map(str, paths), "--out", out]) == 0
    lines = Path(out).with_suffix(".csv").read_text(encoding="utf-8").splitlines()
    return {(row["policy"], row["lambda"]): row for row in csv.DictReader(lines)}


def numbers(row, *names):
    return tuple(float(row[name]) for name in names)


def two_states():
    """In the first state a question is answered and helps; in the second it is rejected and changes nothing."""
    one, two = ({**SOLVABLE, "id": name} for name in ("one", "two"))
    return write(
        [
            trajectory("Execute", WRONG, state=one),
            talk("Clarify", ("By what?", ANSWERED), (CODE, {}), state=one),
            trajectory("Execute", CODE, state=two),
            talk("Clarify", ("By what?", REJECTED), (CODE, {}), state=two),
        ]
    )


def test_each_lambda_chooses_the_better_stored_action_of_each_state():
    rows = table(two_states())
    assert numbers(rows["always Execute", "0"], "cost", "success") == (0, 0.5)
    assert numbers(rows["always Clarify", "0"], "cost", "success") == (0.54, 1)  # .24 answered, .84 rejected
    assert numbers(rows["best action, lambda 1", "1"], "cost", "success", "utility") == (0.12, 1, 0.88)
    assert numbers(rows["always Clarify", "0.3"], "utility") == (1 - 0.3 * 0.54,)
    front = {policy for (policy, _), row in rows.items() if row["front"] == "1"}
    assert front == {"always Execute", *(f"best action, lambda {one}" for one in ("0", "0.1", "0.3", "1"))}


def test_a_weight_that_is_higher_than_the_gain_leaves_the_question_out():
    path = two_states()
    assert main(["proactive", "pareto", str(path), "--lambda", "5", "--csv", "t.csv"]) == 0
    rows = {row["policy"]: row for row in csv.DictReader(Path("t.csv").read_text().splitlines())}
    assert numbers(rows["best action, lambda 5"], "cost", "success") == (0, 0.5)


def test_the_same_files_give_the_same_table_and_a_picture():
    path = two_states()
    table(path, out="a/one.svg")
    table(path, out="two.svg")
    assert Path("a/one.csv").read_bytes() == Path("two.csv").read_bytes()
    assert Path("two.svg").read_text().startswith("<?xml")


def test_a_run_an_evaluation_and_a_folder_of_both_are_read():
    flags = ["--n_states", "12", "--domain", "both", "--task_split", "test", "--mainline_action", "Clarify"]
    assert main(["proactive", "generate", *flags, "--decisions", "2", "--out", "all/traj.jsonl"]) == 0
    assert main(["proactive", "eval", "--max_samples", "12", "--log_dir", "all"]) == 0
    (evaluation,) = Path("all").glob("eval-*")
    rows = table("all", "all/traj.jsonl")
    of_file, of_run = table("all/traj.jsonl", out="f.png"), table("all/traj-run", out="r.png")
    pick = ("cost", "success", "utility", "states")
    assert {key: numbers(row, *pick) for key, row in of_file.items()} == {
        key: numbers(row, *pick) for key, row in of_run.items()
    }
    policies = {policy for policy, _ in table(evaluation, out="e.png")}
    assert policies == {"offline_helper", "direct", "clarify_first", "threshold"}
    assert {policy for policy, _ in rows} == policies | {policy for policy, _ in of_file}
    same = [rows[policy, "0"] for policy in ("always Execute", "direct")]
    assert numbers(same[0], *pick) == numbers(same[1], *pick)  # the same states, users and words


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["."], "has no run and no evaluation"),
        (["traj.jsonl", "--lambda=a"], "lambda is 'a'; give numbers of 0 or more"),
        (["traj.jsonl", "--lambda=-1"], "lambda is '-1'; give numbers of 0 or more"),
        (["traj.jsonl", "--out", "p.txt"], "out is 'p.txt'; give a file that ends in .png"),
        (["traj.jsonl", "--w1", "1", "--formula", "v2"], "w1 is 1.0, but formula v2 has none; leave it out, or give "),
        (["traj.jsonl", "--csv", "traj.jsonl"], "csv is 'traj.jsonl', which pareto reads; give another file"),
        (["one.jsonl"], "one.jsonl has no state with both actions"),
    ],
)
def test_wrong_input_is_one_line(capsys, flags, line):
    two_states()
    write([trajectory("Execute", CODE, persona=PERSONA)], "one.jsonl")
    assert line in refusal(capsys, "pareto", *flags, command="proactive")
    assert not list(Path().glob("*.png"))
