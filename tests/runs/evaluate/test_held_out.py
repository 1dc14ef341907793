"""Nobody who was met in training is met in an evaluation."""

import json
from pathlib import Path

import pytest
from evaluating import SMALL, evaluated, figures
from hypothesis import given, settings
from hypothesis import strategies as st

from josh.cli import main
from josh.envs.persuasion.env import PersuasionEnv
from josh.errors import UsageError
from josh.roles import BaseEnv, Task
from josh.runs.evaluate.held_out import TrainingExposure, assert_held_out, seen_by, seen_in
from josh.runs.record.summary import person_of
from josh.runs.train.adapter_folder import CARD
from josh.runs.train.sources import fingerprint


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_nobody_made_up_for_test_is_in_train(seed, train, test):
    def split(name, count):
        return PersuasionEnv({"seed": seed, "synthetic_tasks": count}).tasks(name)

    def everybody(tasks):
        return {person for task in tasks for person in PersuasionEnv({}).people(task)}

    def answers(tasks):
        return {json.dumps(task.data[side]["traits"]) for task in tasks for side in ("persuadee", "persuader")}

    one, other = split("train", train), split("test", test)
    assert {task.id for task in one}.isdisjoint(task.id for task in other)
    assert everybody(one).isdisjoint(everybody(other))
    assert answers(one).isdisjoint(answers(other))
    assert_held_out(
        other, PersuasionEnv({}), TrainingExposure(frozenset(task.id for task in one), frozenset(everybody(one)))
    )


def test_people_met_in_training_are_refused_even_in_other_tasks():
    env = PersuasionEnv({"seed": 1})
    task = env.tasks("train")[0]
    renamed = Task("new", 0, task.data)
    with pytest.raises(UsageError, match="1 people"):
        assert_held_out([renamed], env, TrainingExposure(people=frozenset(env.people(task)[:1])))
    with pytest.raises(UsageError, match=r"1 tasks \(synthetic-train-0000\)"):
        assert_held_out([task], env, TrainingExposure(tasks=frozenset([task.id])))
    assert person_of(Task("t", 0, {}), BaseEnv({})) == "task t"


def test_leakage_is_refused_in_one_line_before_anything_is_played(capsys):
    assert main(["--josh", *SMALL, "--log_dir", "trained"]) == 0
    (run,) = Path("trained").iterdir()
    capsys.readouterr()
    assert evaluated("--task_split", "train", "--trained_on", str(run), code=2) is None
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not held out" in error
    assert "synthetic-train-0000" in error
    folder = evaluated("--trained_on", str(run), "--user", "donor,donor_mild", "--no_references")
    found = figures(folder)
    assert found["user_notes"] == {"donor": "trained against", "donor_mild": "not trained against"}
    assert found["held_out"] == {"trained_on": [str(run)], "tasks": 8, "people": 16}
    assert "user: donor_mild (not trained against)" in capsys.readouterr().out


def test_a_manifest_stands_for_its_runs_and_anything_else_is_refused(capsys):
    assert main([*SMALL, "--log_dir", "trained"]) == 0
    (run,) = Path("trained").iterdir()
    Path("data").mkdir()
    for where, entry in (("trained", run.name), ("data", {"run": run.name, "settings": {"log_dir": "trained"}})):
        manifest = Path(where, "sft.jsonl.manifest.json")
        manifest.write_text(json.dumps({"runs": [entry]}))
        Path(where, "sft.jsonl").write_text("")
        assert seen_in([manifest]) == seen_in([Path(where, "sft.jsonl")]) == seen_in([run])
    Path("odd.json").write_text(json.dumps({"runs": ["nowhere"]}))
    for source, why in (("nothing", "neither a run's folder"), ("odd.json", "which was not found")):
        assert evaluated("--trained_on", source, code=2) is None
        assert why in capsys.readouterr().err
    for entry in (5, {}, {"run": 5}, {"run": "x", "settings": 5}, {"run": "x", "folder": []}):
        Path("odd.json").write_text(json.dumps({"runs": [entry]}))
        assert evaluated("--trained_on", "odd.json", code=2) is None
        error = capsys.readouterr().err
        assert error.startswith("josh: trained_on: odd.json: runs[0] is ")
        assert error.count("\n") == 1
    (run / "episodes.jsonl").write_text("{}\n")
    assert evaluated("--trained_on", str(run), code=2) is None
    assert "damaged" in capsys.readouterr().err


def test_a_manifest_finds_its_run_and_no_other_of_that_name(capsys):
    for seed, log_dir in (("1", "trained"), ("2", "other")):
        assert main(["--josh", *SMALL, "--seed", seed, "--log_dir", log_dir]) == 0
    (run,), (other,) = Path("trained").iterdir(), Path("other").iterdir()
    Path("data").mkdir()
    assert main(["export", str(run), "--format", "sft", "--out", "data/sft.jsonl"]) == 0
    # One of that name stands where a manifest without a folder would look first.
    other.rename(Path("data", run.name))
    assert seen_in([Path("data/sft.jsonl")]) == seen_in([run])
    Path("elsewhere").mkdir()
    run.rename(Path("elsewhere", run.name))
    capsys.readouterr()
    assert evaluated("--trained_on", "data/sft.jsonl", code=2) is None
    assert f"{run.name}, but the run in data/{run.name} played other tasks" in capsys.readouterr().err
    Path("data", run.name).rename("gone")
    Path("elsewhere", run.name).rename(run)
    manifest = Path("data/sft.jsonl.manifest.json")
    entries = json.loads(manifest.read_text())["runs"]
    assert entries[0]["folder"] == f"../trained/{run.name}"
    for lacking in ("folder", "tasks_digest"):
        del entries[0][lacking]
        manifest.write_text(json.dumps({"runs": entries}))
        assert seen_in([manifest]) == seen_in([run])


def searched(seed):
    """A search on tasks of its own, and its export's manifest."""
    assert main(["--josh", *SMALL, "--seed", str(seed), "--log_dir", f"trained-{seed}"]) == 0
    (run,) = Path(f"trained-{seed}").iterdir()
    assert main(["export", str(run), "--format", "sft", "--out", f"{seed}.jsonl"]) == 0
    return run, json.loads(Path(f"{seed}.jsonl.manifest.json").read_text())


def adapter(name, manifest, **began):
    """An adapter's folder, as far as it says what it was made of."""
    folder = Path("adapters", name)
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_text(name)
    parts = {role: {"name": str(other), "sha256": fingerprint(other)} for role, other in began.items()}
    (folder / CARD).write_text(json.dumps({"data": {"file": "data/x.jsonl", "manifest": manifest}, **parts}))
    return folder


def test_an_adapter_stands_for_its_runs_and_those_of_the_adapter_it_went_on_from(capsys):
    (one, first), (other, second) = searched(1), searched(2)
    both = seen_in([one, other])
    early = adapter("early", first, base=Path("org/model"))
    late = adapter("late", second, base_adapter=early)
    assert seen_in([early]) == seen_in([one]) != both
    assert seen_in([late]) == seen_in([late / CARD]) == both
    assert seen_in([adapter("merged", second, base=early)]) == both
    tuned = seen_by([f"hf:org/model+{late}", "gpt-4o", "offline", "hf:org/model"])
    assert (tuned.seen, tuned.known, tuned.unknown) == (both, (str(late),), {})
    assert seen_by([f"hf:{late}"]) == tuned, "a merged model"
    # Another adapter of that name is not the one it went on from.
    (early / "adapter_model.safetensors").write_text("changed")
    tuned = seen_by([f"hf:org/model+{late}"])
    assert (tuned.seen, tuned.known) == (seen_in([other]), (str(late),))
    assert "its base_adapter adapters/early is gone or has changed" in tuned.unknown[str(late)]
    capsys.readouterr()
    assert evaluated("--trained_on", str(late), code=2) is None
    error = capsys.readouterr().err
    assert error.startswith("josh: trained_on: adapters/late/josh_adapter.json: its base_adapter")
    assert error.count("\n") == 1


def test_of_adapters_that_do_not_say_what_they_saw_nothing_is_known():
    bare = adapter("bare", None)
    odd = adapter("odd", {"runs": [{"run": "nowhere"}]})
    damaged = adapter("damaged", None)
    (damaged / CARD).write_text("[]")
    tuned = seen_by([f"hf:base+{folder}" for folder in (bare, odd, damaged, "org/theirs")])
    assert (tuned.seen, tuned.known) == (TrainingExposure(), ())
    for (name, reason), why in zip(
        tuned.unknown.items(), ("had no manifest", "which was not found", "is damaged", "has no josh"), strict=True
    ):
        assert why in reason, name
    with pytest.raises(UsageError, match=r"trained_on: .*bare/josh_adapter\.json: data/x\.jsonl had no manifest"):
        seen_in([bare])


def test_users_trained_against_can_be_named():
    found = figures(evaluated("--trained_users", "donor", "--user", "donor,donor_firm", "--no_references"))
    assert found["user_notes"] == {"donor": "trained against", "donor_firm": "not trained against"}


def test_users_that_nobody_knows_are_no_users_trained_against(capsys):
    assert evaluated("--trained_users", "donor, donator", "--no_references", code=2) is None
    error = capsys.readouterr().err
    assert error.startswith("josh: trained_users: no user model named 'donator'; known: persuadee, donor, donor_mild, ")
    assert error.count("\n") == 1
    assert not Path("records").exists()
    Path("mine.py").write_text("from josh.users.persuasion.donor import Donor\n\nclass Mine(Donor):\n    pass\n")
    users = ("--user", "donor,./mine.py:Mine", "--no_references")
    found = figures(evaluated("--trained_users", "./mine.py:Mine", *users))
    assert found["user_notes"] == {"donor": "not trained against", "./mine.py:Mine": "trained against"}
