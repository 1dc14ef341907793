"""Rows in tokens: samples and groups with advantages, by hand and from runs of a local model."""

import json
from collections import Counter
from importlib.util import find_spec

import pytest

from josh.cli import main
from josh.dialogue import Outcome, Sample, Speaker, Turn
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.export.check import problems_in, wrong_row
from josh.runs.export.paths import ALL, PathSelection
from josh.runs.export.token_formats import advantages, grpo, samples
from josh.tree import Node, Tree

AGENT, USER = Speaker.AGENT, Speaker.USER
CHOICE = PathSelection(ALL, None, 0.0, AGENT)


def node(parent, speaker, path, depth, ids=(), prefix=0, outcome=Outcome.ALIVE):
    sample = (Sample(prefix, (1,), ids, tuple(-0.5 for _ in ids)),) if ids else ()
    return Node(parent, speaker, path, depth, Turn(samples=sample, outcome=outcome), ())


def a_tree():
    """The root splits into 1 and 2; 2 goes on by 4, which splits into 5 and 6. The rewards are 0, 1 and 2."""
    end = Outcome.USER_LEFT
    nodes = (
        node(-1, USER, "", 0),
        node(0, AGENT, "0", 1, (10, 11)),
        node(0, AGENT, "1", 1, (20,)),
        node(1, USER, "0", 2, outcome=end),
        node(2, USER, "1", 2),
        node(4, AGENT, "1/0", 3, (30,), prefix=2),
        node(4, AGENT, "1/1", 3, (40,), prefix=2),
        node(5, USER, "1/0", 4, outcome=end),
        node(6, USER, "1/1", 4, outcome=end),
    )
    worth = {3: 0.0, 7: 1.0, 8: 2.0}
    tree = Tree(nodes, (), seed=4)
    return Episode(Task("t", 0, {}), tree, tuple(worth), dict.fromkeys(worth, end), worth, {})


def test_advantages_compare_siblings_by_what_came_of_them():
    found = advantages(a_tree(), AGENT)
    # The first group is worth 0 and (1 + 2) / 2, the second 1 and 2.
    assert found[1] == -found[2] == pytest.approx(-0.75 / (1.5 / 2**0.5 + 1e-4), abs=1e-6)
    assert found[5] == -found[6] == pytest.approx(-0.5 / (0.5**0.5 + 1e-4), abs=1e-6)


def test_a_turn_without_siblings_has_the_advantage_of_the_turn_before():
    episode = a_tree()
    nodes = (*episode.tree.nodes[:6], *episode.tree.nodes[7:8])
    worth = {3: 0.0, 6: 1.0}
    alone = Episode(episode.task, Tree(nodes, ()), (3, 6), dict.fromkeys(worth, Outcome.USER_LEFT), worth, {})
    found = advantages(alone, AGENT)
    assert found[5] == found[2] > 0


def test_a_turn_that_paths_share_is_trained_once():
    rows = [row for row, _ in grpo(a_tree(), (), CHOICE, Counter())]
    assert [row["token_ids"] for row in rows] == [(10, 11), (20, 1, 30), (20, 1, 40)]
    assert [list(row["loss_mask"]) for row in rows] == [[1, 1], [1, 0, 1], [0, 0, 1]]
    first, second, third = (row["advantages"] for row in rows)
    assert first[0] == first[1] == -second[0]
    assert second[1] == third[0] == third[1] == 0.0
    assert second[2] == -third[2] < 0
    assert [row["reward"] for row in rows] == [0.0, 1.0, 2.0]


def test_samples_have_every_path_whole_and_equal_paths_twice():
    found = list(samples(a_tree(), (), CHOICE, Counter()))
    assert [list(row["loss_mask"]) for row, _ in found] == [[1, 1], [1, 0, 1], [1, 0, 1]]
    assert len({key for _, key in found}) == 3
    assert [row["logprobs"] for row, _ in found][1] == (-0.5, 0.0, -0.5)
    assert {wrong_row("samples", json.loads(json.dumps(row))) for row, _ in found} == {None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss_mask": [1]}, "loss_mask has not one entry for each token"),
        ({"loss_mask": [0, 0]}, "loss_mask has no 1: no token is learned"),
        ({"loss_mask": [2, 1]}, "loss_mask holds other numbers than 0 and 1"),
        ({"token_ids": []}, "token_ids is empty, or not a list"),
        ({"prompt_ids": [1.5]}, "prompt_ids holds something that is not a token"),
        ({"logprobs": [0.5, 0]}, "logprobs holds a number above 0"),
        ({"reward": None}, "reward is not a number"),
        ({"advantages": [1, "a"]}, "advantages holds something that is not a number"),
    ],
)
def test_wrong_rows_are_named(change, said):
    good = json.loads(json.dumps(next(grpo(a_tree(), (), CHOICE, Counter()))[0]))
    assert wrong_row("grpo", good) is None
    assert wrong_row("grpo", good | change) == said


@pytest.mark.parametrize("form", ["samples", "tokens", "grpo"])
@pytest.mark.parametrize("how", [["--rollouts", "4"], ["--josh", "--beam_size", "4", "--stop", "best"]])
def test_a_run_of_a_local_model_becomes_rows(tiny_model, tmp_path, capsys, form, how):
    small = ["--synthetic_tasks", "2", "--max_convo_turns", "3", "--max_tokens", "8", "--temperature", "1"]
    run = ["--model", f"hf:{tiny_model}", "--log_dir", str(tmp_path / "r"), *small, "--keep_samples"]
    assert main([*run, *how]) == 0
    (played,) = (tmp_path / "r").iterdir()
    out = tmp_path / "rows.jsonl"
    assert main(["export", str(played), "--format", form, "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 8
    assert list(problems_in(out)) == []
    assert all(len(row["token_ids"]) == len(row["loss_mask"]) == len(row["model_logprobs"]) for row in rows)
    manifest = json.loads((tmp_path / "rows.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert (manifest["format"], manifest["settings"]["paths"]) == ("samples" if form == "tokens" else form, "all")
    places = [(row["task"], row["path"], row["part"]) for row in rows]
    assert len(set(places)) == len(places)
    assert main(["--log_dir", str(tmp_path / "p"), "--synthetic_tasks", "1"]) == 0
    (plain,) = (tmp_path / "p").iterdir()
    assert main(["export", str(plain), "--format", form, "--out", str(out)]) == 2
    assert "--keep_samples" in capsys.readouterr().err


def test_a_run_becomes_traces_of_verifiers_and_is_imported_again(tiny_model, tmp_path):
    small = ["--synthetic_tasks", "2", "--max_convo_turns", "3", "--max_tokens", "8", "--temperature", "1"]
    run = ["--model", f"hf:{tiny_model}", "--log_dir", str(tmp_path / "r"), *small, "--keep_samples"]
    assert main([*run, "--josh", "--beam_size", "4", "--stop", "best"]) == 0
    (played,) = (tmp_path / "r").iterdir()
    out = tmp_path / "traces.jsonl"
    assert main(["export", str(played), "--format", "verifiers", "--out", str(out)]) == 0
    assert list(problems_in(out)) == []
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2
    for row in rows:
        nodes = row["nodes"]
        sampled = [node for node in nodes if node["sampled"]]
        assert len(sampled) > 3
        assert all(sum(node["mask"]) == len(node["logprobs"]) == len(node["advantages"]) for node in sampled)
        assert str(len(nodes) - 1) in row["info"]["josh"]["rewards"]
        assert row["rewards"]["reward"]["score"] == max(row["info"]["josh"]["rewards"].values())
        if find_spec("verifiers"):
            import verifiers.v1 as vf

            assert len(vf.Trace.model_validate(row).nodes) == len(nodes)
    again = tmp_path / "again"
    assert main(["import", str(out), "--format", "verifiers", "--env", "persuasion", "--out", str(again)]) == 0
    before, after = (json.loads((one / "summary.json").read_text()) for one in (played, again))
    assert after["tasks"] == before["tasks"] == 2
    assert after["average_reward"] == before["average_reward"]
