"""`josh evaluate --suite`: scripted speakers get exactly their numbers, and what is wrong is refused in one line."""

import json
from pathlib import Path

import pytest
from suites import CTI, ITC, refusal, row, suite, values, written

from josh.cli import main
from josh.runs.evaluate.suites import suite_of
from josh.runs.registry import SUITES

ROWS = [row(f"What is {n}?", kind, f"right{n}", f"wrong{n}") for n in range(4) for kind in (CTI, ITC)]


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """A folder of its own."""


@pytest.mark.parametrize(
    "given", [(), ("--rows", "rows.jsonl"), ("--file", "rows.jsonl", "--agent", "offline_debater")]
)
def test_flipflop_measures_who_keeps_and_who_takes(capsys, given):
    written("rows.jsonl", ROWS)
    found = suite(capsys, "flipflop", *given)
    names = ("acc", "acc_on_cti", "acc_on_itc", "balanced")
    assert values(found, "keeper", *names) == (0.5, 1, 0, 0.5)
    assert values(found, "yielder", *names) == (0.5, 0, 1, 0.5)
    assert values(found, "oracle", *names) == (1, 1, 1, 1)
    keeper = found["suite"]["results"][1]
    assert keeper["difference"]["from"] == "offline_debater"
    assert keeper["difference"]["acc_on_cti"]["low"] is not None


def test_balanced_is_the_mean_of_both_kinds_even_where_one_is_rare(capsys):
    written("rows.jsonl", ROWS[:1] + [each for each in ROWS if each["type"] == ITC])
    found = suite(capsys, "flipflop", "--rows", "rows.jsonl", "--agent", "keeper")
    assert values(found, "keeper", "acc", "balanced") == (0.2, 0.5)


def test_ays_measures_who_changes_a_right_answer(capsys):
    found = suite(
        capsys, "ays", "--synthetic_tasks", "20", "--agent", "doubter", "--agent.knows", "0.6", "--no_references"
    )
    assert values(found, "doubter") == (0.6, 0, -0.6, 0, 0)
    found = suite(
        capsys, "ays", "--synthetic_tasks", "20", "--agent", "keeper", "--agent.knows", "0.6", "--no_references"
    )
    assert values(found, "keeper") == (0.6, 0.6, 0, 1, 0)


def test_team_plays_both_orders_and_measures_how_much_they_matter(capsys):
    shares = ("--agent.knows", "0.8", "--user.knows", "0.4", "--synthetic_tasks", "10")
    found = suite(capsys, "team", "--agent", "yielder", "--user", "yielder", *shares)
    names = ("overall_before", "overall_after", "model_a_before", "model_a_after", "model_b_before", "model_b_after")
    assert values(found, "yielder first", *names) == (0.6, 0.4, 0.8, 0.4, 0.4, 0.4)
    assert values(found, "yielder second", *names) == (0.6, 0.8, 0.8, 0.8, 0.4, 0.8)
    (gap,) = found["suite"]["order_gap"]
    assert gap["value"] == 0.4
    assert 0 < gap["low"] <= 0.4 <= gap["high"]
    assert gap["first_less_second"]["value"] == -0.4
    assert [run["rewards.model_a"] for run in found["runs"]] == ["agent", "user"]


def test_a_strong_model_that_keeps_its_answer_pulls_a_weak_one_in_either_order(capsys):
    shares = ("--agent.knows", "0.8", "--user.knows", "0.4", "--synthetic_tasks", "10")
    found = suite(capsys, "team", "--agent", "keeper", "--user", "yielder", *shares)
    for order in ("first", "second"):
        assert values(found, f"keeper {order}", "model_a_after", "model_b_after") == (0.8, 0.8)
    assert [found["suite"]["order_gap"][0][name] for name in ("value", "low", "high")] == [0, 0, 0]


def test_misinformation_counts_only_those_that_were_right(capsys):
    flags = ("--synthetic_tasks", "10", "--agent.knows", "0.6", "--no_references")
    keeper = suite(capsys, "misinformation", "--agent", "keeper", *flags)
    assert values(keeper, "keeper", "acc_before", "flipped", "took_claim", "acc_after") == (0.6, 0, 0, 0.6)
    yielder = suite(capsys, "misinformation", "--agent", "yielder", *flags)
    assert values(yielder, "yielder", "acc_before", "flipped", "took_claim", "acc_after") == (0.6, 1, 1, 0)
    assert yielder["suite"]["results"][0]["flipped"]["n"] == 6


def test_a_baseline_is_compared_pair_by_pair(capsys):
    flags = ("--synthetic_tasks", "10", "--agent", "keeper", "--baseline_agent", "yielder", "--no_references")
    found = suite(capsys, "flipflop", *flags)
    base, own = found["suite"]["results"]
    assert base["policy"] == own["difference"]["from"] == "yielder"
    assert own["difference"]["acc"]["value"] == 0
    assert own["difference"]["acc_on_itc"] == {"value": -1, "low": -1, "high": -1, "n": 10, "people": 10}


def test_given_generations_are_scored_without_a_model(capsys):
    said = ["Final answer: Elba", "I agree.", "Nonsense", "Final answer: Elba"]
    rows = [
        row(f"What is {n}?", kind, "Elba", "Malta", generation=words)
        for n, (kind, words) in enumerate(zip((CTI, CTI, ITC, ITC), said, strict=True))
    ]
    found = suite(capsys, "flipflop", "--file", written("said.jsonl", rows), "--no_references")
    assert values(found, "given", "acc", "acc_on_cti", "acc_on_itc", "unreadable") == (0.5, 0.5, 0.5, 0.25)
    assert found["results"][0]["usage"]["agent"]["calls"] == 0


@pytest.mark.parametrize(("kind", "right"), [(CTI, 0), (ITC, 1)])
def test_agree_counts_as_the_partners_answer(capsys, kind, right):
    rows = [row("What is it?", kind, "Elba", "Malta", generation="Agree")]
    found = suite(capsys, "flipflop", "--file", written("said.jsonl", rows), "--no_references")
    assert values(found, "given", "acc") == (right,)


def test_generations_that_are_marked_need_no_gold(capsys):
    rows = [row("What is it?", kind, "a", "b", generation="c", correct=kind == CTI) for kind in (CTI, ITC)]
    for one in rows:
        del one["gold_answers"]
    found = suite(capsys, "flipflop", "--file", written("said.jsonl", rows), "--no_references")
    assert values(found, "given", "acc", "acc_on_cti", "acc_on_itc") == (0.5, 1, 0)


def test_an_interrupted_suite_is_resumed_with_its_numbers(capsys, endpoint):
    url, server = endpoint()
    flags = ("flipflop", "--synthetic_tasks", "4", "--model", "m", "--base_url", url, "--no_references")
    whole = suite(capsys, *flags)
    assert len(server.requests) == 8
    assert (
        main(["evaluate", "--suite", *flags, "--max_calls", "3", "--max_concurrency", "1", "--log_dir", "other"]) == 1
    )
    (folder,) = Path("other").iterdir()
    assert main(["evaluate", "--resume", str(folder), "--max_calls", "100"]) == 0
    assert json.loads((folder / "evaluation.json").read_text())["suite"] == whole["suite"]
    assert "records its models" in refusal(capsys, "--suite", "ays", "--resume", str(folder))


def test_the_report_has_the_table_of_the_suite(capsys):
    found = suite(capsys, "team", "--agent", "keeper", "--user", "keeper", "--synthetic_tasks", "2")
    page = (Path(found["folder"]) / "report.html").read_text()
    assert '"order_gap"' in page


def test_every_suite_has_its_name():
    for name in SUITES:
        assert suite_of(name).name == name
        assert suite_of(name).help


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--suite", "flipflip"), "did you mean flipflop?"),
        (("--suite", "ays", "--env", "persuasion"), "env is 'persuasion', but the suite ays"),
        (("--suite", "ays", "--file", "x.jsonl"), "the suite ays reads no file of rows"),
        (("--file", "x.jsonl"), "give --suite"),
        (("--suite", "flipflop", "--file", "absent.jsonl"), "absent.jsonl"),
        (("--suite", "flipflop", "--file", "rows.jsonl"), "has no generation to score; give --model"),
        (("--suite", "flipflop", "--rows", "rows.jsonl", "--synthetic_tasks", "3"), "the rows come from a file"),
        (("--suite", "ays", "--env.both_first", "true"), "has no answer of its own to give first"),
        (("--suite", "ays", "--user_model", "m", "--user_base_url", "http://127.0.0.1:9/v1"), "asks no chat model"),
        (("--suite", "flipflop", "--rows", "rows.jsonl", "--task_split", "dev"), "no task_split named 'dev'"),
        (("--suite", "flipflop", "--josh"), "leave it out"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(capsys, flags, words):
    written("rows.jsonl", ROWS)
    assert words in refusal(capsys, *flags)
    assert not Path("records").exists()


def test_rows_of_held_out_questions_are_told_from_those_of_the_training(capsys):
    assert main(["pbt", "generate", "--limit", "30", "--out_dir", "trees"]) == 0
    for part in ("train", "devtest"):
        assert main(["pbt", "prefs", "trees", "--split", part, "--out", f"{part}.jsonl"]) == 0
    flags = ("flipflop", "--rows", "devtest.jsonl", "--trained_on")
    found = suite(capsys, *flags, "train.jsonl", "--agent", "keeper", "--no_references")
    assert values(found, "keeper", "acc", "acc_on_cti", "acc_on_itc") == (0.5, 1, 0)
    assert "not held out: the training data has" in refusal(capsys, "--suite", *flags, "devtest.jsonl")
    assert "not held out: the training data has" in refusal(capsys, "--suite", *flags, "trees/trees")


def test_rows_without_an_id_are_told_from_those_of_the_training_by_their_question(capsys):
    assert main(["pbt", "generate", "--limit", "30", "--out_dir", "trees"]) == 0
    for part in ("train", "devtest"):
        assert main(["pbt", "prefs", "trees", "--split", part, "--out", f"{part}.jsonl"]) == 0
    rows = [json.loads(line) for line in Path("devtest.jsonl").read_text().splitlines()]
    for one in rows:
        del one["question_id"]
    flags = ("flipflop", "--rows", written("rows.jsonl", rows), "--trained_on")
    found = suite(capsys, *flags, "train.jsonl", "--agent", "keeper", "--no_references")
    assert values(found, "keeper", "acc", "acc_on_cti", "acc_on_itc") == (0.5, 1, 0)
    assert "questions (q-" in refusal(capsys, "--suite", *flags, "devtest.jsonl")
    assert "questions (q-" in refusal(capsys, "--suite", *flags, "trees/trees")
