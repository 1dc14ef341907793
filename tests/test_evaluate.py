"""`josh evaluate` and `josh compare`, as a user meets them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from josh.cli import main
from josh.envs.persuasion.env import PersuasionEnv
from josh.errors import UsageError
from josh.roles import BaseEnv, Task
from josh.runs.evaluate.evaluate import Wanted, parts_of
from josh.runs.evaluate.held_out import Seen, check, seen_by, seen_in
from josh.runs.evaluate.scores import Row, Sample, Talk, compared
from josh.runs.record.summary import person_of
from josh.runs.train.train import CARD, fingerprint
from josh.seeds import derive

SMALL = ["--synthetic_tasks", "8", "--max_convo_turns", "6"]
PLUGINS = '''
from josh import BaseJOSHAgent

class Asks(BaseJOSHAgent):
    """Asks and asks; gives up the ghost in some conversations if told so."""
    breaks = False

    def step(self, *, model):
        draw = model.draw()
        if self.breaks and draw % 5 == 0:
            raise ConnectionError("the line is dead")
        self.add_message({"role": "assistant", "content": "Would you like to donate to Save the Children?"})
        return True

class Breaks(Asks):
    breaks = True
'''


@pytest.fixture(autouse=True)
def elsewhere(elsewhere, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGINS)


def evaluated(*flags, code=0):
    """Run an evaluation; its folder, or None where there is none."""
    before = set(Path("records").glob("eval-*"))
    assert main(["evaluate", *SMALL, *flags]) == code
    return next(iter(set(Path("records").glob("eval-*")) - before), None)


def figures(folder):
    return json.loads((folder / "evaluation.json").read_text())


def cell(found, policy, user="donor"):
    (one,) = (each for each in found["results"] if (each["policy"], each["user"]) == (policy, user))
    return one


def spans(node):
    """All estimates in some figures."""
    if isinstance(node, dict):
        if node.keys() >= {"value", "low", "high"}:
            yield node
        for each in node.values():
            yield from spans(each)


# What is played


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
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--josh"])
    assert stop.value.code == 2
    Path("set.toml").write_text("josh = true")
    assert main(["evaluate", "--config", "set.toml"]) == 2
    assert "leave it out" in capsys.readouterr().err


def parts(wanted=None, **given):
    return parts_of(given, wanted or Wanted({}))


def test_models_and_users_are_called_what_tells_them_apart():
    both = parts(Wanted({"model": "old"}, references=False), model="new", user_model="them")
    assert [(part.policy, part.folder) for part in both] == [("old", "baseline-them"), ("new", "model-them")]
    warm = parts(Wanted({"temperature": 0.5}, references=False), model="m", temperature=1.0)
    assert [part.policy for part in warm] == ["m T=0.5", "m T=1"]
    mixed = parts(user="donor,persuadee", user_model="offline,gpt", user_base_url="http://here/v1")
    assert [part.user for part in mixed[:2]] == ["donor", "gpt"]
    assert [part.settings.user.base_url for part in mixed[:2]] == [None, "http://here/v1"]
    assert {part.user for part in mixed if part.reference} == {"donor"}, "references cost nothing"


def test_an_offline_baseline_has_neither_agent_nor_address_of_a_model():
    first, second = parts(Wanted({"model": "offline"}, references=False), model="m", agent="persuader", base_url="u")
    assert (first.settings.agent.name, first.settings.agent.base_url) == (None, None)
    assert (second.settings.agent.name, second.settings.agent.base_url) == ("persuader", "u")


def test_users_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="user has 2 values for 3 user models"):
        parts(user="donor,donor_firm", user_model="a,b,c")
    with pytest.raises(UsageError, match="give each once"):
        parts(user="donor,donor")


# Held out


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
    check(other, PersuasionEnv({}), Seen(frozenset(task.id for task in one), frozenset(everybody(one))))


def test_people_met_in_training_are_refused_even_in_other_tasks():
    env = PersuasionEnv({"seed": 1})
    task = env.tasks("train")[0]
    renamed = Task("new", 0, task.data)
    with pytest.raises(UsageError, match="1 people"):
        check([renamed], env, Seen(people=frozenset(env.people(task)[:1])))
    with pytest.raises(UsageError, match=r"1 tasks \(synthetic-train-0000\)"):
        check([task], env, Seen(tasks=frozenset([task.id])))
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
    for source, why in (("nothing", "neither a run's folder"), ("odd.json", "in none of its folders")):
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
    assert f"{run.name}, which played other tasks in data/{run.name}" in capsys.readouterr().err
    Path("data", run.name).rename("gone")
    Path("elsewhere", run.name).rename(run)
    manifest = Path("data/sft.jsonl.manifest.json")
    entries = json.loads(manifest.read_text())["runs"]
    assert entries[0]["folder"] == str(run.resolve())
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
    assert "its base_adapter adapters/early is not there any more" in tuned.unknown[str(late)]
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
    assert (tuned.seen, tuned.known) == (Seen(), ())
    for (name, reason), why in zip(
        tuned.unknown.items(), ("had no manifest", "in none of its folders", "is damaged", "has no josh"), strict=True
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
    assert "are in no mean" in captured.out
    assert "had errors; go on with: josh evaluate --resume" in captured.err
    assert broken["rows"].keys() == whole["rows"].keys(), "no task is dropped"
    # It asks in the same words whenever it speaks at all, so where both speak nothing differs.
    assert {span["value"] for span in spans(broken["difference"])} <= {0, None}
    before = (folder / "evaluation.json").read_bytes()
    assert main(["evaluate", "--resume", str(folder)]) == 0
    assert (folder / "evaluation.json").read_bytes() == before


def talks(*outcomes):
    return {
        str(place): Talk(float(won), won, rounds, {}) for place, (won, rounds) in enumerate(outcomes) if won is not None
    }


def sample(rows, policy="p"):
    made = {task: Row(task, task[0], {}, 10, talks(*outcomes)) for task, outcomes in rows.items()}
    return Sample(policy, "u", "u", {}, "", ("0", "1"), made, {})


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


# Models, budgets, resuming


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
        (["--baseline", "x"], "says what is played"),
        (["--log_dir", "x"], "log_dir is given"),
    ):
        assert main(["evaluate", "--resume", str(folder), *flags]) == 2
        assert why in capsys.readouterr().err
    assert main(["evaluate", "--resume", "nowhere"]) == 2
    assert "is no evaluation" in capsys.readouterr().err


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
        assert "does not say what was held out" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_what_cannot_be_played_leaves_nothing_behind(capsys):
    assert evaluated("--baseline_agent", "reakt", code=2) is None
    assert "no agent named 'reakt'" in capsys.readouterr().err
    assert not Path("records").exists()


# Comparing


def test_evaluations_are_compared_on_what_they_share(capsys):
    one = evaluated("--agent", "./mine.py:Asks")
    other = evaluated("--end_index", "5", "--user", "donor_mild,donor")
    capsys.readouterr()
    assert main(["compare", str(one), str(other), "--out", "all.json"]) == 0
    out = capsys.readouterr().out
    assert "5 tasks that all played" in out
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


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--seed", "11"], "seed is 10 and 11"),
        (["--min_reward", "1"], "min_reward is 0.0 and 1.0"),
        (["--user", "donor_firm"], "no user model was met by all"),
        (["--task_split", "train"], "no task was played by all"),
        (["--rollouts", "1"], "a single conversation has other seeds"),
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


def test_searches_are_not_compared(capsys):
    assert main(["--josh", *SMALL]) == 0
    (run,) = Path("records").iterdir()
    assert main(["compare", str(run)]) == 2
    assert "is a search" in capsys.readouterr().err
