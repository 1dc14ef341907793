"""`josh loop`, as a user meets it: rounds of searching, training and evaluating, broken off and gone on with."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from josh.cli import main
from josh.errors import UsageError
from josh.runs.experiments import five_seeds
from josh.runs.export.export import choose, export
from josh.runs.loop.loop import locked
from josh.runs.loop.plan import make_plan
from josh.runs.loop.settings import LoopSettings, loop_settings

pytest.importorskip("trl", reason="trl is not installed: pip install 'josh-dialogue[train]'")

AGENT = '''
from josh.agents.chat import Persuader
from josh.users.persuasion.donor import Donor


class Asks(Persuader):
    """Says what its model says, and then asks: even a model that babbles gets something."""

    def add_message(self, message):
        text = f"{message['content']} Would you like to donate to Save the Children?"
        super().add_message({**message, "content": text})


class Stingy(Donor):
    """Nobody gives whom the second search of four tasks meets."""
    def start(self, task, env, options):
        super().start(task, env, options)
        self.closed = task.id in {f"synthetic-train-000{number}" for number in range(4, 8)}

    def step(self, agent, **given):
        if not self.closed:
            return super().step(agent, **given)
        agent.add_message({"role": "user", "content": "No."})
        return agent, False
'''
SMALL = ["--tiny", "--tiny_size", "nano", "--agent", "./mine.py:Asks", "--max_convo_turns", "4", "--beam_size", "4"]
FEW = [*SMALL, "--tasks", "4", "--test_tasks", "4", "--rollouts", "2"]
WHOLE = [*FEW, "--rounds", "2", "--test_every", "1", "--start", "base", "--other_users", "donor_mild", "--control"]


@pytest.fixture(autouse=True)
def elsewhere(elsewhere, tmp_path):
    (tmp_path / "mine.py").write_text(AGENT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A loop of two rounds with everything in it: its folder, and what it said."""
    place = tmp_path_factory.mktemp("whole")
    (place / "mine.py").write_text(AGENT)
    ended = subprocess.run(
        [sys.executable, "-m", "josh", "loop", *WHOLE], cwd=place, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    (folder,) = (place / "records").glob("loop-*")
    return folder, ended.stdout


def begun(*flags):
    return subprocess.Popen(
        [sys.executable, "-m", "josh", "loop", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def until(there, process, seconds=240):
    """Wait for something that a loop under way leaves on disk."""
    end = time.monotonic() + seconds
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.05)


def read(path):
    return json.loads(path.read_text())


def figures(folder):
    """A loop's numbers, but for those that depend on time and place."""
    found = read(folder / "loop.json")
    del found["minutes"]
    for one in [found["base"], *found["rounds"]]:
        del one["model"]
        one.pop("seconds", None)
    return found


def children():
    """The stages of any loop that are under way."""
    found = subprocess.run(["pgrep", "-f", "--", "--stage"], capture_output=True, text=True, check=False).stdout
    return found.split()


# What it does


def test_a_loop_tells_what_every_round_came_to(whole):
    folder, said = whole
    found = read(folder / "loop.json")
    assert found["minutes"] > 0
    assert [one["round"] for one in found["rounds"]] == [1, 2]
    for one in found["rounds"]:
        assert one["diff_ci"][0] <= one["diff"] <= one["diff_ci"][1]
        assert one["diff"] == pytest.approx(one["mean_donation"] - found["base"]["mean_donation"])
        assert one["gain_percent"] == pytest.approx(100 * one["diff"] / found["base"]["mean_donation"], abs=0.1)
        assert 0 <= one["donation_rate"] <= 1
        assert one["calls"] > one["search_calls"] > 0
        assert one["rows"] > 0
    assert set(found["other_users"]["donor_mild"]) == {"base", "round 2", *found["references"]}
    assert found["control"]["conversations"] == 8
    for line in ("base", "round 1", "round 2", "control: losing paths", "user: donor_mild (not trained against)"):
        assert line in said
    assert (folder / "loop.png").read_bytes().startswith(b"\x89PNG")


def test_every_round_searches_fresh_tasks_with_the_last_rounds_model(whole):
    folder, _ = whole
    one, two, test = (read(folder / name / "config.json") for name in ("search-1", "search-2", "round-2-donor"))
    assert len({*one["task_ids"], *two["task_ids"]}) == 8
    assert two["settings"]["agent"]["model"].endswith("-round-1")
    assert test["settings"]["agent"]["model"].endswith("-round-2")
    assert not {*one["task_ids"], *two["task_ids"]} & set(test["task_ids"])


def test_every_round_trains_a_new_adapter_on_what_its_own_search_found(whole):
    folder, _ = whole
    cards = {path.name: read(path / "josh_adapter.json") for path in (folder / "adapters").iterdir()}
    assert set(cards) == {f"{folder.name}-{what}" for what in ("round-1", "round-2", "control")}
    runs = {name: [one["run"] for one in card["data"]["manifest"]["runs"]] for name, card in cards.items()}
    assert runs[f"{folder.name}-round-2"] == ["search-2"]
    assert not any("base_adapter" in card for card in cards.values())


def test_the_search_is_held_against_plain_conversations_with_as_many_replies(whole):
    folder, said = whole
    search = read(folder / "loop.json")["search"]
    assert search["best_of_n"]["replies"] >= 0.8 * search["beam"]["replies"]
    assert 0 < search["best_of_n"]["calls"] <= search["best_of_n"]["replies"]
    assert search["plain"]["reward"]["value"] <= search["best_of_n"]["reward"]["value"]
    assert f"best of {search['conversations']}" in said


def test_the_control_learns_from_lost_paths_alone(whole):
    folder, _ = whole
    manifest = read(folder / "train-control.jsonl.manifest.json")
    assert manifest["settings"]["paths"] == "lost"
    won = set((folder / "train-1.jsonl").read_text().splitlines())
    assert won.isdisjoint((folder / "train-control.jsonl").read_text().splitlines())


def test_a_finished_loop_is_told_again(whole, capsys):
    folder, _ = whole
    before = read(folder / "loop.json")
    assert main(["loop", "--resume", str(folder)]) == 0
    assert "round 2" in capsys.readouterr().out
    after = read(folder / "loop.json")
    assert {**after, "minutes": 0} == {**before, "minutes": 0}


def test_several_seeds_are_told_together(whole, tmp_path, capsys, monkeypatch):
    folder, _ = whole
    for seed in (1, 2):
        place = tmp_path / "seeds" / f"seed-{seed}" / "loop-1"
        place.mkdir(parents=True)
        (place / "loop.json").write_text((folder / "loop.json").read_text())
    monkeypatch.setattr(sys, "argv", ["five_seeds", "--out", str(tmp_path / "seeds"), "--seeds", "1,2"])
    five_seeds.main()
    said = capsys.readouterr().out
    last = read(folder / "loop.json")["rounds"][-1]
    assert f"gain of the mean donation, all seeds together: {last['gain_percent']:+.0f} %" in said
    assert "tasks won by the beam less best of n" in said
    assert said.count(f"| {last['gain_percent']:+.0f} % |") == 2
    rows = [line.count("|") for line in said.splitlines() if line.startswith("|")]
    assert rows == [rows[0]] * 4


# Broken off


def test_what_a_loop_searched_is_no_test_for_others(whole, capsys):
    folder, _ = whole
    assert main(["evaluate", "--synthetic_tasks", "12", "--task_split", "train", "--trained_on", str(folder)]) == 2
    assert "not held out: the training data has 8 tasks" in capsys.readouterr().err


def test_a_killed_loop_comes_to_the_same_numbers(whole, tmp_path):
    process = begun(*WHOLE)
    until(lambda: any(tmp_path.glob("records/loop-*/train-1.jsonl")), process)
    process.kill()
    process.communicate()
    (folder,) = tmp_path.glob("records/loop-*")
    end = time.monotonic() + 60
    while children() and time.monotonic() < end:  # they see that nobody waits for them
        time.sleep(0.2)
    assert not children()
    assert not (folder / "loop.json").exists()
    assert main(["loop", "--resume", str(folder), "--jobs", "1"]) == 0
    assert figures(folder) == figures(whole[0])


def test_ctrl_c_ends_every_stage_and_says_how_to_go_on(tmp_path):
    process = begun(*FEW, "--rounds", "1", "--no_sampling", "--no_references")
    until(lambda: any(tmp_path.glob("records/loop-*/stages/base.json")), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    (folder,) = tmp_path.glob("records/loop-*")
    assert process.returncode == 130
    assert f"josh: go on with: josh loop --resume {folder}" in errors
    assert "Traceback" not in errors
    assert not children()
    assert main(["loop", "--resume", str(folder)]) == 0
    assert read(folder / "loop.json")["search"] is None


def test_a_budget_ends_a_loop_that_more_of_it_brings_to_its_end(tmp_path, tiny_model, capfd):
    flags = [*FEW[3:], "--model", f"hf:{tiny_model}", "--preset", "tiny", "--rounds", "1", "--no_sampling"]
    assert main(["loop", *flags, "--max_calls", "60"]) == 1
    (folder,) = tmp_path.glob("records/loop-*")
    assert (
        f"max_calls 60 is reached; go on with: josh loop --resume {folder} --max_calls MORE" in capfd.readouterr().err
    )
    assert main(["loop", "--resume", str(folder), "--max_calls", "100000"]) == 0
    found = read(folder / "loop.json")
    assert found["base"]["calls"] + found["rounds"][0]["calls"] > 60


def test_a_stage_that_fails_says_why_in_a_line(tmp_path, tiny_model, capfd):
    flags = [*FEW[3:], "--model", f"hf:{tiny_model}", "--preset", "tiny"]
    (tmp_path / "mine.py").write_text(AGENT.replace("super().add", "1 / 0 or super().add"))
    assert main(["loop", *flags]) == 1
    errors = capfd.readouterr().err
    assert "stage base" in errors
    assert "ZeroDivisionError" in errors
    assert "Traceback" not in errors


def test_two_processes_do_not_play_one_loop(whole, capsys):
    folder, _ = whole
    with locked(folder):
        assert main(["loop", "--resume", str(folder)]) == 2
    assert f"{folder} is being played by another process" in capsys.readouterr().err


def test_a_moved_loop_is_not_gone_on_with(whole, tmp_path, capsys):
    folder, _ = whole
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "plan.json").write_text((folder / "plan.json").read_text())
    assert main(["loop", "--resume", "moved"]) == 2
    assert f"was begun as {folder}" in capsys.readouterr().err


def test_what_is_damaged_is_done_again(whole, tmp_path):
    folder, _ = whole
    before = figures(folder)
    (folder / "stages" / "round-2.json").write_text("")
    (folder / "uniform-donor" / "summary.json").unlink()
    assert main(["loop", "--resume", str(folder)]) == 0
    assert figures(folder) == before


# What it refuses


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tiny", "--rounds", "0"], "rounds is 0; give 1 or more"),
        (["--tiny", "--method", "ppo"], "method is 'ppo'; give sft, dpo or kto"),
        (["--tiny", "--learn_from", "some"], "learn_from is 'some'; give newest or all"),
        ([], "model is None; a loop trains a model on this machine: give hf:FOLDER, or --tiny"),
        (["--model", "gpt-4o-mini"], "model is 'gpt-4o-mini'; a loop trains a model on this machine"),
        (["--tiny", "--model", "hf:x"], "model is 'hf:x' with --tiny, which makes one"),
        (
            ["--tiny", "--env", "toolwoz"],
            "env is 'toolwoz' with --tiny, which has no dialogues for a tiny model to learn from; give --model",
        ),
        (["--model", "hf:a+b"], "a+b has a plus sign"),
        (["--tiny", "--preset", "josh-kto"], "preset 'josh-kto' has no values for sft"),
        (["--tiny", "--paths", "best"], "paths is 'best'; give golden, successful or lost"),
        (["--tiny", "--control", "--method", "dpo"], "paths is 'lost', but dpo sets losers against winners"),
        (["--tiny", "--other_users", "donor"], "the user model donor is given twice"),
        (["--tiny", "--synthetic_tasks", "100"], "split 'train' has 100 tasks, and 15 rounds of 24 tasks need 360"),
        (["--tiny", "--jobs", "2", "--max_calls", "5"], "jobs is 2 with max_calls"),
        (["--tiny", "--train_config", "none.toml"], "cannot read none.toml"),
        (["--tiny", "--train_config", "own.toml"], "own.toml: data is given; a loop chooses it by itself"),
        (["--tiny", "--agent", ""], "agent is empty"),
        (["--tiny", "--other_users", ","], "other_users is ','; one of the names is empty"),
        (["--tiny", "--other_users", "nobody"], "no user named 'nobody'"),
        (["--tiny", "--agent", "nope"], "no agent named 'nope'"),
        (["--tiny", "--rewards", "nope"], "no rewards named 'nope'"),
        (["--tiny", "--min_reward", "5"], "min_reward is 5.0; give 0 to 2 dollars"),
        (["--tiny", "--tiny_size", "huge"], "no size named 'huge'"),
        (["--tiny", "--top", "0"], "top is 0; give 1 or more"),
        (["--model", "hf:./nowhere"], "there is no folder ./nowhere"),
        (["--resume", "nowhere"], "is no loop: cannot read"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(flags, said, capsys, tmp_path):
    (tmp_path / "own.toml").write_text('data = "x.jsonl"\n')
    assert main(["loop", *flags]) == 2
    errors = capsys.readouterr().err.strip()
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert not list(tmp_path.glob("records/*"))


def test_a_loop_keeps_its_settings(whole, capsys):
    folder, _ = whole
    assert main(["loop", "--resume", str(folder), "--rounds", "5"]) == 2
    assert "rounds is given" in capsys.readouterr().err
    assert main(["loop", "--resume", str(folder), "--beam_size", "8"]) == 2
    assert "beam_size is 8, and 4 in" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_loop_trains_by_preferences_too(method, tmp_path):
    flags = ["--rounds", "1", "--method", method, "--no_sampling", "--no_references", "--jobs", "1"]
    assert main(["loop", *FEW, *flags]) == 0
    (folder,) = tmp_path.glob("records/loop-*")
    card = read(folder / "adapters" / f"{folder.name}-round-1" / "josh_adapter.json")
    assert card["method"] == method
    assert read(folder / "loop.json")["rounds"][0]["rows"] == card["rows"]["used"] > 0


def test_a_round_can_go_on_from_the_last_and_learn_from_all(tmp_path):
    flags = ["--rounds", "2", "--no_sampling", "--no_references", "--learn_from", "all"]
    assert main(["loop", *FEW, *flags]) == 0, "a tiny model goes on from the last round unless told otherwise"
    (folder,) = tmp_path.glob("records/loop-*")
    card = read(folder / "adapters" / f"{folder.name}-round-2" / "josh_adapter.json")
    assert card["base_adapter"]["name"].endswith("-round-1")
    assert [one["run"] for one in card["data"]["manifest"]["runs"]] == ["search-1", "search-2"]


def test_a_round_whose_search_never_won_keeps_the_last_adapter(tmp_path, capsys):
    flags = ["--rounds", "2", "--test_every", "1", "--no_sampling", "--no_references", "--user", "./mine.py:Stingy"]
    assert main(["loop", *FEW, *flags]) == 0
    assert "nothing to learn from; the last round's adapter stays" in capsys.readouterr().out
    (folder,) = tmp_path.glob("records/loop-*")
    first, second = read(folder / "loop.json")["rounds"]
    assert first["rows"] > second["rows"] == 0
    assert first["mean_donation"] == second["mean_donation"]
    one, two = (folder / "adapters" / f"{folder.name}-round-{number}" for number in (1, 2))
    assert (one / "adapter_model.safetensors").read_bytes() == (two / "adapter_model.safetensors").read_bytes()


def test_a_tiny_model_takes_many_short_rounds_unless_told_otherwise():
    few, own, large = loop_settings({"tiny": True}), loop_settings({"tiny": True, "rounds": 2}), loop_settings({})
    assert (few.rounds, few.tasks, few.start, few.tested) == (15, 24, "last", (8, 15))
    assert (own.rounds, own.tasks, own.tested) == (2, 24, (1, 2))
    assert (large.rounds, large.tasks, large.start, large.tested) == (3, 96, "base", (1, 2, 3))
    assert loop_settings({"tiny": True, "rounds": 14, "control": True}).tested == (1, 8, 14)


def test_what_a_round_cost_counts_from_the_last_one_evaluated(tmp_path):
    assert main(["loop", *FEW, "--rounds", "3", "--test_every", "2", "--no_sampling", "--no_references"]) == 0
    (folder,) = tmp_path.glob("records/loop-*")
    found = read(folder / "loop.json")["rounds"]
    assert [one["round"] for one in found] == [2, 3]
    stages = {number: read(folder / "stages" / f"train-{number}.json")["rows"] for number in (1, 2, 3)}
    assert [one["rows"] for one in found] == [stages[1] + stages[2], stages[3]]
    calls = [read(folder / f"search-{number}" / "summary.json")["usage"]["agent"]["calls"] for number in (1, 2, 3)]
    assert [one["search_calls"] for one in found] == [calls[0] + calls[1], calls[2]]
    assert not (folder / "round-1-donor").exists()


def test_every_search_has_tasks_of_its_own():
    plan = make_plan(Path("loop"), LoopSettings(tiny=True, rounds=3, tasks=96), {}, {})
    spans = [[plan.part(f"search-{one}").settings[end] for end in ("start_index", "end_index")] for one in (1, 2, 3)]
    assert spans == [[0, 96], [96, 192], [192, 288]]
    assert plan.part("search-3").settings.strategy.config["stop"] == "best"
    assert plan.part("round-3-donor").settings.tasks.task_split == "test"


# Lost paths


def test_lost_paths_are_those_that_ended_so_by_themselves(tmp_path):
    assert main(["run", "--josh", "--stop", "best", "--synthetic_tasks", "6", "--log_dir", "first"]) == 0
    (run,) = Path("first").iterdir()
    export([run], tmp_path / "lost.jsonl", "sft", choose("sft", "lost", None, None), 1)
    trees = map(json.loads, (run / "episodes.jsonl").read_text().splitlines())
    lost = sum(node.get("outcome") in {"lost", "user_left", "truncated"} for tree in trees for node in tree["nodes"])
    assert 0 < len((tmp_path / "lost.jsonl").read_text().splitlines()) <= lost
    assert main(["export", str(run), "--format", "kto", "--paths", "lost", "--out", "kto.jsonl"]) == 2


def test_branches_that_a_win_cut_off_are_not_lost(tmp_path):
    assert main(["run", "--josh", "--synthetic_tasks", "3", "--min_reward", "0.01", "--log_dir", "first"]) == 0
    (run,) = Path("first").iterdir()
    with pytest.raises(UsageError, match="trees without a loss"):
        export([run], tmp_path / "lost.jsonl", "sft", choose("sft", "lost", None, None), 1)
