"""`josh evaluate`, as a user meets it: what is played, and what is counted."""

import json
from pathlib import Path

import pytest
from evaluating import cell, evaluated, figures, spans

from josh.cli import main
from josh.errors import UsageError
from josh.runs.evaluate.parts import EvaluationSpec, sub_runs_of
from josh.runs.evaluate.scores import PolicyResults, ScoredConversation, TaskResult, compared


def test_references_stand_in_every_offline_table(capsys):
    folder = evaluated("--user", "donor,donor_firm")
    out = capsys.readouterr().out
    found = figures(folder)
    scripts = ["best script, 1 act a turn", "best script, 3 acts a turn"]
    assert found["policies"] == ["offline_persuader", "uniform", *scripts]
    assert found["users"] == ["donor", "donor_firm"]
    assert len(found["results"]) == 8
    for word in ("uniform", *scripts, "user: donor_firm", "success rate", "pass^3", "not checked", "McNemar"):
        assert word in out
    runs = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert len(runs) == 8
    assert {"model-donor", "uniform-donor_firm"} < set(runs)
    for run in runs:
        assert (folder / run / "episodes.jsonl").exists()
    assert main(["replay", str(folder / "model-donor")]) == 0


def test_a_policy_against_itself_differs_by_exactly_nothing():
    found = figures(evaluated("--baseline", "offline", "--no_references"))
    assert found["policies"] == ["offline_persuader (1)", "offline_persuader (2)"]
    difference = cell(found, "offline_persuader (2)")["difference"]
    assert difference["from"] == "offline_persuader (1)"
    assert difference["pairs"] == 24
    assert len(list(spans(difference))) > 20
    for span in spans(difference):
        assert (span["value"], span["low"], span["high"]) == (0, 0, 0) or span["people"] == 1
    assert difference["mcnemar"] == {"only_here": 0, "only_there": 0, "people": 8, "p": 1.0}
    assert difference["success_rate_bounds"] == [0, 0]


def test_conversations_of_two_policies_meet_the_same_people_with_the_same_dice():
    folder = evaluated("--agent", "./mine.py:Asks", "--baseline_agent", "offline_persuader", "--no_references")
    seeds = [
        {
            (row["task_id"], node["path"], place): node["seed"]
            for row in map(json.loads, (folder / run / "episodes.jsonl").read_text().splitlines())
            for place, node in depths(row["nodes"])
            if node["speaker"] == "user" and "seed" in node
        }
        for run in ("model-donor", "baseline-donor")
    ]
    both = seeds[0].keys() & seeds[1].keys()
    assert len(both) > 40
    assert all(seeds[0][place] == seeds[1][place] for place in both)
    assert len({seeds[0][place] for place in both}) == len(both)


def depths(nodes):
    found = []
    for node in nodes:
        depth = found[node["parent"]][0] + 1 if node["parent"] >= 0 else 0
        found.append((depth, node))
    return found


def test_the_numbers_are_those_of_the_runs():
    folder = evaluated("--no_references", "--temperature", "0.8")
    found = cell(figures(folder), "offline_persuader")
    summary = json.loads((folder / "model-donor" / "summary.json").read_text())
    assert found["average_reward"]["value"] == pytest.approx(summary["average_reward"], abs=1e-6)
    assert found["success_rate"]["value"] == pytest.approx(summary["success_rate"], abs=1e-6)
    assert found["mean_rounds"]["value"] == pytest.approx(summary["mean_rounds"], abs=1e-6)
    assert found["metrics"]["donation"]["value"] == found["average_reward"]["value"]
    assert found["pass_hat"]["1"] == found["pass_at"]["1"] == found["success_rate"]
    assert found["conversations"] == found["scored"] == 24
    config = json.loads((folder / "model-donor" / "config.json").read_text())["settings"]
    assert (config["agent"]["temperature"], config["tasks"]["task_split"]) == (0.8, "test")
    assert config["strategy"] == {"name": "rollouts", "n": 3}


def test_groups_of_people_add_up_to_all(capsys):
    found = figures(evaluated("--no_references", "--groups"))
    assert "agreeableness: above average" in capsys.readouterr().out
    groups = cell(found, "offline_persuader")["groups"]
    assert {"age", "sex", "religion", "openness"} < groups.keys()
    for parts in groups.values():
        assert sum(part["tasks"] for part in parts.values()) == 8
        total = sum(part["tasks"] * part["average_reward"]["value"] for part in parts.values()) / 8
        assert total == pytest.approx(cell(found, "offline_persuader")["average_reward"]["value"], abs=1e-5)


def test_few_rollouts_are_warned_of(capsys):
    evaluated("--rollouts", "1", "--no_references")
    assert "1 conversation per task" in capsys.readouterr().err


def test_a_search_is_no_evaluation(capsys):
    assert main(["evaluate", "--josh"]) == 2
    assert "josh is given, but `josh evaluate` does not take it; leave it out" in capsys.readouterr().err
    Path("set.toml").write_text("josh = true")
    assert main(["evaluate", "--config", "set.toml"]) == 2
    assert "leave it out" in capsys.readouterr().err


def parts(wanted=None, **given):
    return sub_runs_of(given, wanted or EvaluationSpec({}))


def test_models_and_users_are_called_what_tells_them_apart():
    both = parts(EvaluationSpec({"model": "old"}, references=False), model="new", user_model="them")
    assert [(part.policy, part.folder) for part in both] == [("old", "baseline-them"), ("new", "model-them")]
    warm = parts(EvaluationSpec({"temperature": 0.5}, references=False), model="m", temperature=1.0)
    assert [part.policy for part in warm] == ["m T=0.5", "m T=1"]
    mixed = parts(user="donor,persuadee", user_model="offline,gpt", user_base_url="http://here/v1")
    assert [part.user for part in mixed[:2]] == ["donor", "gpt"]
    assert [part.settings.user.base_url for part in mixed[:2]] == [None, "http://here/v1"]
    assert {part.user for part in mixed if part.reference} == {"donor"}, "references cost nothing"


def test_an_offline_baseline_has_neither_agent_nor_address_of_a_model():
    first, second = parts(
        EvaluationSpec({"model": "offline"}, references=False), model="m", agent="persuader", base_url="u"
    )
    assert (first.settings.agent.name, first.settings.agent.base_url) == (None, None)
    assert (second.settings.agent.name, second.settings.agent.base_url) == ("persuader", "u")


def test_users_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="user has 2 values for 3 user models"):
        parts(user="donor,donor_firm", user_model="a,b,c")
    with pytest.raises(UsageError, match="give each once"):
        parts(user="donor,donor")


# Errors


def test_errors_are_counted_and_bounded_but_not_scored(capsys):
    flags = ("--agent", "./mine.py:Breaks", "--baseline_agent", "./mine.py:Asks", "--no_references")
    folder = evaluated(*flags)
    found = figures(folder)
    broken, whole = cell(found, "./mine.py:Breaks"), cell(found, "./mine.py:Asks")
    assert whole["infra_errors"] == 0
    assert 0 < broken["infra_errors"] == 24 - broken["scored"]
    low, high = broken["success_rate_bounds"]
    assert low <= broken["success_rate"]["value"] <= high
    assert high - low == pytest.approx(broken["infra_errors"] / 24)
    assert broken["difference"]["pairs"] == broken["scored"]
    captured = capsys.readouterr()
    low, high = broken["success_rate_bounds"]
    beside = f"of {broken['scored']}; {broken['infra_errors']} of 24 not scored: between {low:.2f} and {high:.2f}"
    assert beside in " ".join(captured.out.split())
    assert "had errors; go on with: josh evaluate --resume" in captured.err
    assert broken["rows"].keys() == whole["rows"].keys(), "no task is dropped"
    # It asks in the same words whenever it speaks at all, so where both speak nothing differs.
    assert {span["value"] for span in spans(broken["difference"])} <= {0, None}
    before = (folder / "evaluation.json").read_bytes()
    (again,) = [line.partition("go on with: josh ")[2].split() for line in captured.err.splitlines() if "go on" in line]
    assert main(again) == 0, "the printed command is enough"
    assert (folder / "evaluation.json").read_bytes() == before


def talks(*outcomes):
    return {
        str(place): ScoredConversation(float(won), won, rounds, {})
        for place, (won, rounds) in enumerate(outcomes)
        if won is not None
    }


def sample(rows, policy="p"):
    made = {task: TaskResult(task, task[0], {}, 10, talks(*outcomes)) for task, outcomes in rows.items()}
    return PolicyResults(policy, "u", "u", {}, "", ("0", "1"), made, {})


def test_rounds_to_success_are_of_winners_and_restricted_ones_of_all():
    (found,) = compared([sample({"a": [(True, 2), (False, 4)], "b": [(True, 6), (False, 10)]})])["results"]
    assert found["rounds_to_success"]["value"] == 4
    assert found["restricted_rounds_to_success"]["value"] == 7
    assert found["pass_hat"]["2"]["value"] == 0
    assert found["pass_at"]["2"]["value"] == 1


def test_a_task_that_only_errors_is_owed_to_the_bounds_alone():
    (found,) = compared([sample({"a": [(True, 2), (True, 2)], "b": [(None, 0), (None, 0)]})])["results"]
    assert found["success_rate"]["value"] == 1
    assert found["tasks_without_score"] == 1
    assert found["success_rate_bounds"] == [0.5, 1]
    assert found["average_reward_if_errors_earned_nothing"] == 0.5


def test_mcnemar_takes_one_conversation_of_every_person():
    good = {f"{person}{task}": [(True, 1), (True, 1)] for person in "abcdef" for task in (1, 2)}
    bad = {task: [(False, 1), (False, 1)] for task in good}
    _, second = compared([sample(bad, "bad"), sample(good, "good")])["results"]
    assert second["difference"]["mcnemar"] == {"only_here": 6, "only_there": 0, "people": 6, "p": 0.03125}
