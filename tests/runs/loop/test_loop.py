"""`josh loop`, as a user meets it: rounds of searching, training and evaluating, broken off and gone on with."""

import json
import signal
import subprocess
import sys

import pytest
from loops import AGENT, FEW, stages_under_way, until, until_none_under_way

from josh.cli import main
from josh.runs.experiments import replicate
from josh.runs.loop.loop import locked

pytestmark = pytest.mark.slow

pytest.importorskip("trl", reason="trl is not installed: pip install 'josh-dialogue[train]'")

WHOLE = [*FEW, "--rounds", "2", "--test_every", "1", "--start", "base", "--other_users", "donor_mild", "--control"]


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
    assert main(["loop", "--trust", "--resume", str(folder)]) == 0
    assert "round 2" in capsys.readouterr().out
    after = read(folder / "loop.json")
    assert {**after, "minutes": 0} == {**before, "minutes": 0}


def test_several_seeds_are_told_together(whole, tmp_path, capsys):
    folder, _ = whole
    for seed in (1, 2):
        place = tmp_path / "seeds" / f"seed-{seed}" / "loop-1"
        place.mkdir(parents=True)
        (place / "loop.json").write_text((folder / "loop.json").read_text())
    replicate.main(["--out", str(tmp_path / "seeds"), "--seeds", "1,2"])
    said = capsys.readouterr().out
    last = read(folder / "loop.json")["rounds"][-1]
    assert f"gain of the mean donation, all seeds together: {last['gain_percent']:+.0f} %" in said
    assert "tasks won by the beam minus best of n" in said
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
    until(lambda: any(tmp_path.glob("records/loop-*/train-1.jsonl")) and stages_under_way(tmp_path), process)
    process.kill()
    process.communicate()
    (folder,) = tmp_path.glob("records/loop-*")
    until_none_under_way(folder)
    assert not (folder / "loop.json").exists()
    assert main(["loop", "--trust", "--resume", str(folder), "--jobs", "1"]) == 0
    assert figures(folder) == figures(whole[0])


def test_ctrl_c_ends_every_stage_and_says_how_to_go_on(tmp_path):
    process = begun(*FEW, "--rounds", "1", "--no_sampling", "--no_references")
    until(lambda: any(tmp_path.glob("records/loop-*/stages/base.json")) and stages_under_way(tmp_path), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    (folder,) = tmp_path.glob("records/loop-*")
    assert process.returncode == 130
    assert f"josh: go on with: josh loop --resume records/{folder.name}" in errors
    assert "Traceback" not in errors
    assert not stages_under_way(folder)
    assert main(["loop", "--trust", "--resume", str(folder)]) == 0
    assert read(folder / "loop.json")["search"] is None


def test_a_budget_ends_a_loop_that_more_of_it_brings_to_its_end(tmp_path, tiny_model, capfd):
    flags = [*FEW[3:], "--model", f"hf:{tiny_model}", "--preset", "tiny", "--rounds", "1", "--no_sampling"]
    assert main(["loop", *flags, "--max_calls", "60"]) == 1
    (folder,) = tmp_path.glob("records/loop-*")
    assert (
        f"max_calls 60 is reached; go on with: josh loop --resume {folder} --trust --max_calls MORE"
        in capfd.readouterr().err
    )
    assert main(["loop", "--trust", "--resume", str(folder), "--max_calls", "100000"]) == 0
    found = read(folder / "loop.json")
    assert found["base"]["calls"] + found["rounds"][0]["calls"] > 60


def test_a_stage_that_fails_says_why_in_a_line(tmp_path, tiny_model, capfd):
    flags = [*FEW[3:], "--model", f"hf:{tiny_model}", "--preset", "tiny"]
    (tmp_path / "mine.py").write_text(AGENT.replace("said = sum", "said = 1 / 0 or sum"))
    assert main(["loop", *flags]) == 1
    errors = capfd.readouterr().err
    assert "stage base" in errors
    assert "ZeroDivisionError" in errors
    assert "Traceback" not in errors


def test_two_processes_do_not_play_one_loop(whole, capsys):
    folder, _ = whole
    with locked(folder):
        assert main(["loop", "--trust", "--resume", str(folder)]) == 2
    assert f"{folder} is in use by another josh" in capsys.readouterr().err


def test_a_moved_loop_is_not_gone_on_with(whole, tmp_path, capsys):
    folder, _ = whole
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "plan.json").write_text((folder / "plan.json").read_text())
    assert main(["loop", "--trust", "--resume", "moved"]) == 2
    assert f"was begun as {folder}" in capsys.readouterr().err


def test_what_is_damaged_is_done_again(whole, tmp_path):
    folder, _ = whole
    before = figures(folder)
    (folder / "stages" / "round-2.json").write_text("")
    (folder / "uniform-donor" / "summary.json").unlink()
    assert main(["loop", "--trust", "--resume", str(folder)]) == 0
    assert figures(folder) == before


def test_a_loop_keeps_its_settings(whole, capsys):
    folder, _ = whole
    assert main(["loop", "--trust", "--resume", str(folder), "--rounds", "5"]) == 2
    assert "rounds is given" in capsys.readouterr().err
    assert main(["loop", "--trust", "--resume", str(folder), "--beam_size", "8"]) == 2
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
    assert main(["loop", *FEW, *flags]) == 0, "a tiny model goes on from the last round by default"
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
