"""`josh proactive eval`: the published flags, the baselines beside the model, and states met in training."""

import json
from collections import Counter
from pathlib import Path

import pytest
from suites import refusal, values
from trajectories import preferences

from josh.cli import main
from josh.parser import parse
from josh.runs.systems.proactive_eval import evaluation_arguments

pytestmark = pytest.mark.usefixtures("elsewhere")
NUMBERS = [
    "success",
    "utility",
    "action_accuracy",
    "clarify",
    "turns",
    "rejected",
    "over",
    "under",
    "cost",
    "task_score",
]
BASELINES = ["direct", "clarify_first", "threshold"]


def evaluated(capsys, *flags):
    """The content of `evaluation.json`."""
    capsys.readouterr()
    assert main(["proactive", "eval", "--json", *map(str, flags)]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def generated(split, out="traj.jsonl"):
    """Trajectories of 12 made-up states of a split."""
    flags = ["--n_states", "12", "--domain", "both", "--task_split", split, "--out", out]
    assert main(["proactive", "generate", *flags]) == 0
    return out


def flags_of(own, *rest):
    """The flags that `josh evaluate` gets, by name; a flag without a value is empty."""
    found = evaluation_arguments(own, list(rest))
    return {
        one[2:]: ("" if value.startswith("--") else value)
        for one, value in zip(found, [*found[1:], "--"], strict=True)
        if one.startswith("--")
    }


def test_all_tasks_count_and_every_number_has_an_interval_and_a_paired_difference(capsys):
    found = evaluated(capsys, "--max_samples", 24, "--seed", 3)
    assert found["policies"] == ["offline_helper", *BASELINES]
    assert found["suite"]["columns"] == NUMBERS
    assert found["tasks"] == 24
    for cell in found["suite"]["results"]:
        assert cell["conversations"] == cell["scored"] == 24
        assert all(cell[name]["n"] == 24 and cell[name]["low"] is not None for name in NUMBERS)
    for cell in found["suite"]["results"][1:]:
        assert cell["difference"]["from"] == "offline_helper"
        assert all(cell["difference"][name]["low"] is not None for name in NUMBERS)


def test_half_of_the_made_up_states_are_decided_well_by_a_fixed_policy(capsys):
    found = evaluated(capsys, "--max_samples", 40)
    assert values(found, "direct", "action_accuracy", "clarify", "turns", "success") == (0.5, 0, 1, 0.5)
    assert values(found, "clarify_first", "action_accuracy", "clarify", "turns", "under") == (0.5, 1, 2, 0)
    accuracy, utility = values(found, "threshold", "action_accuracy", "utility")
    assert 0.5 < accuracy < 1
    assert utility > values(found, "direct", "utility")[0]


def test_the_numbers_are_by_persona_too(capsys):
    found = evaluated(capsys, "--max_samples", 24, "--baselines", "direct")
    groups = found["suite"]["results"][1]["groups"]
    assert set(groups) == {"Novice-Learner", "Busy-Developer", "Experienced-Engineer"}
    assert sum(each["tasks"] for each in groups.values()) == 24
    assert groups["Busy-Developer"]["action_accuracy"]["value"] == 1  # an impatient user's made-up request is clear
    assert main(["proactive", "eval", "--max_samples", "12", "--baselines", "direct", "--groups"]) == 0
    assert "persona Busy-Developer: " in capsys.readouterr().out


def test_the_results_are_also_written_as_one_object(capsys):
    assert main(["proactive", "eval", "--max_samples", "6", "--output", "out/results.json"]) == 0
    found = json.loads(Path("out/results.json").read_text())
    assert found["summary"]["policy"] == "offline_helper"
    assert found["summary"]["success"]["n"] == 6
    assert [cell["policy"] for cell in found["policies"]] == ["offline_helper", *BASELINES]
    assert len(found["detailed_results"]) == 4 * 6
    assert set(NUMBERS) <= set(found["detailed_results"][0]["scores"])


def test_preferences_say_which_action_is_the_better_one(capsys):
    rows = preferences(generated("test"))
    share = sum(row["chosen_action"] == "Execute" for row in rows) / len(rows)
    found = evaluated(capsys, "--prefs_path", "prefs.jsonl", "--baselines", "direct")
    assert found["tasks"] == len(rows)
    accuracy, success = values(found, "direct", "action_accuracy", "success")
    assert accuracy == pytest.approx(share, abs=1e-6)
    clear = sum(row["state"]["id"].endswith("-clear") for row in rows) / len(rows)
    assert success == pytest.approx(clear, abs=1e-6)  # made-up states are graded
    users = Counter(row["persona"]["name"] for row in rows)
    groups = found["suite"]["results"][1]["groups"]
    assert {name: each["tasks"] for name, each in groups.items()} == users


def test_states_that_training_met_are_refused(capsys):
    preferences(generated("test"))
    evaluate = ["proactive", "eval", "--max_samples", "12", "--trained_on", "prefs.jsonl"]
    said = refusal(capsys, *evaluate[1:], command=evaluate[0])
    assert "not held out: the training data has 12 tasks" in said
    capsys.readouterr()
    assert main(["proactive", "eval", "--prefs", "prefs.jsonl", "--trained_on", "prefs.jsonl"]) == 2
    assert "not held out" in capsys.readouterr().err
    preferences(generated("train", "other.jsonl"), out="train.jsonl")
    assert main(["proactive", "eval", "--max_samples", "12", "--trained_on", "train.jsonl"]) == 0
    assert "held out: none of the 12 tasks" in capsys.readouterr().out


def test_a_tuned_model_decides_by_its_labels_beside_its_base(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/base"}')
    flags = flags_of({"model_dir": str(tmp_path)})
    assert (flags["model"], flags["agent"]) == (f"hf:/base+{tmp_path}", "helper")
    assert flags["agent.decide"] == "labels"
    policies = json.loads(flags["policies"])
    assert list(policies) == [*BASELINES, "prompt_only"]
    assert {one["model"] for one in policies.values()} == {"hf:/base"}
    other = flags_of({"model_dir": str(tmp_path), "base_model": "meta-llama/Llama-3.1-8B-Instruct"})
    assert other["model"] == f"hf:meta-llama/Llama-3.1-8B-Instruct+{tmp_path}"


def test_baselines_of_an_agent_whose_words_need_no_model_have_none_either(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/base"}')
    policies = json.loads(flags_of({"model_dir": str(tmp_path)}, "--agent", "offline_helper")["policies"])
    assert [policies[name]["model"] for name in BASELINES] == ["offline"] * 3
    assert policies["prompt_only"] == {"agent": "offline_helper", "model": "hf:/base", "agent.decide": "labels"}


def test_a_model_that_is_not_tuned_decides_by_a_prompt(tmp_path):
    flags = flags_of({"base_model": "gpt-4o-mini", "threshold": 0.4})
    assert (flags["model"], flags["agent.decide"]) == ("gpt-4o-mini", "reply")
    policies = json.loads(flags["policies"])
    assert list(policies) == BASELINES
    assert policies["threshold"] == {"agent": "threshold", "model": "gpt-4o-mini", "agent.below": 0.4}
    (tmp_path / "config.json").write_text("{}")
    assert flags_of({"model_dir": str(tmp_path)})["model"] == f"hf:{tmp_path}"


def test_the_flags_of_an_evaluation_are_read_and_given_on(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/base"}')
    Path("states.jsonl").write_text('{"query": "Sort my orders."}\n')
    typed = ["--model_dir", str(tmp_path), "--states", "states.jsonl", "--max_samples", "5", "--seed", "4"]
    args = parse(["proactive", "eval", *typed, "--agent.decide", "labels", "--rewards.formula", "v2"])
    assert args.rest == ["--seed", "4", "--agent.decide", "labels", "--rewards.formula", "v2"]
    flags = flags_of({name: getattr(args, name) for name in ("model_dir", "states", "max_samples")}, *args.rest)
    assert (flags["file"], flags["task_split"], flags["end_index"]) == ("states.jsonl", "all", "5")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--model_dir", "nowhere"], "model_dir is 'nowhere', which has no model and no adapter"),
        (["--prefs", "nowhere.jsonl"], "prefs is 'nowhere.jsonl', which is not a file"),
        (["--states", "a", "--prefs", "b"], "prefs is given with states; leave one of them out"),
        (["--max_samples", "0"], "max_samples is 0; give 1 or more"),
        (["--baselines", "random"], "baselines has 'random'; give direct, clarify_first, threshold or prompt_only"),
        (["--baselines", "prompt_only"], "baselines has prompt_only, but the model is not tuned"),
        (["--baselines", "direct", "--threshold", "0.4"], "threshold is given, but not among the baselines"),
        (["--model", "m", "--model_dir", "d"], "model is 'm', and model_dir is 'd'; leave one of them out"),
        (["--resume", "eval-1", "--prefs", "b"], "prefs is given, but the evaluation records it"),
    ],
)
def test_a_wrong_flag_is_one_line(capsys, flags, line):
    assert line in refusal(capsys, "eval", *flags, command="proactive")


def test_a_folder_of_adapters_names_one(capsys, tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "first/adapter_config.json").touch()
    line = refusal(capsys, "eval", "--model_dir", str(tmp_path), command="proactive")
    assert line.endswith(f"which has no model and no adapter; give the folder of one, such as {tmp_path / 'first'}")


def test_a_base_that_is_a_folder_is_a_local_model_also_without_a_tuned_one(tmp_path):
    flags = flags_of({"base_model": str(tmp_path)})
    assert (flags["model"], flags["agent.decide"]) == (f"hf:{tmp_path}", "reply")
