"""The report of a run: its figures, its tasks and its trees."""

import json
from collections import Counter
from pathlib import Path

import pytest
from playing import run
from reports import TOY, TWICE, episodes, head, summary, trees

from josh.cli import main
from josh.runs.report.tree_data import standings

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_a_run_ends_with_a_report_that_has_its_figures(capsys):
    folder = run("one", "--josh")
    assert f"report          {folder / 'report.html'}" in capsys.readouterr().out
    shown, recorded = head(folder), summary(folder)
    assert shown["kind"] == "run"
    assert shown["names"] == {"rate": "donation rate", "mean": "mean donation"}
    assert shown["rate"] == {"value": recorded["success_rate"]} | dict(
        zip(("low", "high"), recorded["success_rate_ci95"], strict=True)
    )
    assert shown["mean"]["value"] == pytest.approx(recorded["average_reward"])
    assert shown["mean"]["low"] < recorded["average_reward"] < shown["mean"]["high"]
    assert [row["id"] for row in shown["tasks"]] == [episode.task.id for episode in episodes(folder)]
    assert Counter(row["state"] for row in shown["tasks"])["won"] == recorded["success_rate"] * 20
    assert {group["kind"] for group in shown["groups"]} >= {"age", "sex", "political views"}
    for kind in {group["kind"] for group in shown["groups"]}:
        assert sum(group["tasks"] for group in shown["groups"] if group["kind"] == kind) <= 20
    assert sum(group["tasks"] for group in shown["groups"] if group["kind"] == "sex") == 20


@pytest.mark.parametrize("flags", [("--josh",), ("--josh", "--stop", "best"), ("--rollouts", 2, "--temperature", 1)])
def test_rewards_by_round_add_up_to_what_the_reported_conversations_earned(flags):
    folder = run("one", *flags)
    rounds = head(folder)["rounds"]
    earned = [reward for episode in episodes(folder) for reward in episode.rewards]
    assert sum(each["reward"] for each in rounds) == pytest.approx(sum(earned))
    assert sum(each["count"] for each in rounds) == sum(reward > 0 for reward in earned)
    assert [each["round"] for each in rounds] == list(range(1, len(rounds) + 1))
    assert " at temperature 1, seed 10: " in head(folder)["headline"]


def test_several_goals_of_a_conversation_share_its_reward(tmp_path):
    folder = run("one", *TOY, "--josh")
    earned = sum(reward for episode in episodes(folder) for reward in episode.rewards)
    shown = head(folder)
    assert shown["names"] == {"rate": "success rate", "mean": "average reward"}
    assert sum(each["reward"] for each in shown["rounds"]) == pytest.approx(earned)
    assert shown["groups"] == []


@pytest.mark.parametrize(("flags", "parts"), [((), [0.5, 0.5]), (("--rewards", "toy_twice:Odd"), [2.5, 2.5])])
def test_a_goal_that_is_met_again_earns_nothing_more(flags, parts):
    folder = run("one", *TWICE, *flags)
    assert head(folder)["rounds"] == [{"round": at, "count": 1, "reward": part} for at, part in enumerate(parts, 1)]
    (tree,) = trees(folder)
    hits = [[(hit["goals"], hit["again"]) for hit in node["hits"]] for node in tree["nodes"] if "hits" in node]
    assert hits == [[(["book"], [])], [(["find"], []), ([], ["find"]), ([], ["find"])]]
    assert [hit["worth"] for node in tree["nodes"] for hit in node.get("hits", ())] == [
        0.5 * (1 + bool(flags)), 0.5 * (1 + bool(flags)), 0, 0
    ]  # fmt: skip
    assert not head(folder)["notes"]


def test_what_a_goal_was_worth_is_left_open_where_the_run_s_rewards_are_gone():
    Path("odd.py").write_text("from toy_twice import Odd\n")
    folder = run("one", *TWICE, "--rewards", "./odd.py:Odd")
    Path("odd.py").unlink()
    assert main(["report", str(folder)]) == 0
    assert [each["reward"] for each in head(folder)["rounds"]] == [2.5, 2.5]
    assert [hit["worth"] for node in trees(folder)[0]["nodes"] for hit in node.get("hits", ())] == [None] * 4


def test_branches_stand_as_the_best_of_what_came_of_them():
    folder = run("one", "--josh", "--stop", "best")
    for tree, episode in zip(trees(folder), episodes(folder), strict=True):
        nodes = tree["nodes"]
        (winner,) = [collapse.winner for collapse in episode.tree.collapses]
        won = {leaf for leaf, outcome in episode.outcomes.items() if outcome == "won"}
        golden = [at for at, node in enumerate(nodes) if node["standing"] == "golden"]
        assert (winner in golden) == bool(won)
        assert len([at for at in golden if at in episode.outcomes]) == bool(won)
        assert all(nodes[leaf]["standing"] in ("golden", "successful") for leaf in won)
        ranks = ["golden", "successful", "lost", "dead", "error"]
        for node in nodes[1:]:
            assert ranks.index(nodes[node["parent"]]["standing"]) <= ranks.index(node["standing"])


def test_a_branch_that_a_win_cut_off_is_told_from_one_that_ended():
    kinds = Counter()
    for episode in episodes(run("one", *TOY, "--josh")):
        for leaf, outcome in episode.outcomes.items():
            kinds[standings(episode)[leaf], str(outcome), str(episode.tree.nodes[leaf].turn.outcome)] += 1
    cut_off, refused = kinds.pop(("dead", "lost", "alive")), kinds.pop(("lost", "lost", "lost"))
    assert cut_off > 5
    assert refused
    assert {kind[:2] for kind in kinds} <= {
        ("golden", "won"), ("golden", "lost"), ("golden", "truncated"), ("successful", "won"), ("successful", "lost"),
        ("lost", "truncated"), ("lost", "user_left"), ("error", "infra_error"),
    }  # fmt: skip


def test_errors_are_shown_where_they_are():
    folder = run("one", *TOY, "--josh")
    failed = {
        episode.task.id: [at for at, node in enumerate(episode.tree.nodes) if node.turn.error]
        for episode in episodes(folder)
    }
    assert any(failed.values())
    for row, tree in zip(head(folder)["tasks"], trees(folder), strict=True):
        assert bool(row["errors"]) == bool(failed[row["id"]] or tree["error"])
        assert all(tree["nodes"][at]["standing"] == "error" for at in failed[row["id"]])


def test_the_pairs_of_a_tree_are_those_of_the_export():
    folder = run("one", "--josh", "--stop", "best")
    assert main(["export", str(folder), "--format", "dpo", "--out", "dpo.jsonl"]) == 0
    rows = [json.loads(line) for line in Path("dpo.jsonl").read_text().splitlines()]
    found = [(tree["nodes"], pair) for tree in trees(folder) for pair in tree["pairs"]]
    assert len(found) >= len(rows) > 50  # the export drops what repeats or contradicts another tree's
    said = Counter(
        (nodes[pair["chosen"]]["messages"][0]["content"], nodes[pair["rejected"]]["messages"][0]["content"])
        for nodes, pair in found
    )
    assert not Counter((row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows) - said
    for nodes, pair in found:
        assert nodes[pair["chosen"]]["parent"] == nodes[pair["rejected"]]["parent"]
        assert pair["margin"] == pytest.approx(nodes[pair["chosen"]]["best"] - nodes[pair["rejected"]]["best"])


def test_tokens_latency_and_the_user_s_view_come_with_a_run_of_models(endpoint):
    def respond(body):
        return "Hm." if "for good" in body["messages"][0]["content"] else f"Give! {body['seed']} [DONATE $2]"

    url, _ = endpoint(respond=respond, latency=0.01)
    flags = ("--model", "m", "--base_url", url, "--user_model", "m", "--user_base_url", url, "--synthetic_tasks", 2)
    folder = run("one", *flags, "--josh", "--beam_size", 2, "--max_convo_turns", 2)
    shown = head(folder)
    assert [row["attempts"] for row in shown["tasks"]] == [4, 4]
    assert shown["costs"]["sides"][0]["calls"] == summary(folder)["usage"]["agent"]["calls"] > 0
    for tree in trees(folder):
        assert "Who you are" in tree["user_prompt"]
        for node in tree["nodes"][1:]:
            assert node["seconds"] >= 0.01
            if node["speaker"] == "agent":
                assert node["attempts"] == 1
                defused = node["messages"][0]["content"].replace("[", "(").replace("]", ")")
                assert node["user_internal"] == [{"role": "user", "content": defused}]
            else:
                assert "user_internal" not in node


def test_a_run_that_does_not_say_who_played_is_shown_all_the_same(capsys):
    for plays in ("x", ["agent"], None, {"agent": 5}):
        folder = run(f"of-{type(plays).__name__}", "--josh", "--synthetic_tasks", 2)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"plays": plays}))
        assert main(["report", str(folder)]) == 0
        assert head(folder)["headline"].endswith(": agent (offline) and user (offline)")
        other = run(f"beside-{type(plays).__name__}", "--josh", "--synthetic_tasks", 2)
        capsys.readouterr()
        assert main(["report", str(folder), str(other)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "not comparable" in line


def test_a_run_whose_budget_is_spent_has_a_report(endpoint, capsys):
    url, _ = endpoint()
    folder = run("one", "--model", "m", "--base_url", url, "--synthetic_tasks", 3, "--max_calls", 15)
    assert "Its budget was spent: max_calls 15" in head(folder)["notes"]


def test_rescored_runs_have_one_too():
    folder = run("one", "--josh", "--synthetic_tasks", 3)
    assert main(["rescore", str(folder), "--min_reward", "1", "--log_dir", "new"]) == 0
    (new,) = Path("new").iterdir()
    assert f"Rescored from {folder.name}" in head(new)["notes"]


def test_the_runs_of_an_evaluation_get_theirs_beside_its_own(capsys):
    assert main(["evaluate", "--synthetic_tasks", "3", "--rollouts", "1", "--log_dir", "all"]) == 0
    (folder,) = Path("all").iterdir()
    runs = [path for path in folder.iterdir() if path.is_dir()]
    assert sorted(path.parent for path in folder.rglob("report.html")) == sorted([folder, *runs])
    for page in folder.rglob("report.html"):
        page.unlink()
    assert main(["report", str(folder)]) == 0
    assert sorted(path.parent for path in folder.rglob("report.html")) == sorted([folder, *runs])


def test_no_address_and_no_key_is_in_a_report(endpoint, monkeypatch):
    url, _ = endpoint()
    monkeypatch.setenv("MY_KEY", "sk-very-secret-indeed")
    flags = ("--model", "m", "--base_url", url, "--api_key_var", "MY_KEY")
    folder = run("one", *flags, "--synthetic_tasks", 1, "--max_convo_turns", 1)
    text = (folder / "report.html").read_text()
    for hidden in ("sk-very-secret-indeed", "MY_KEY", "127.0.0.1"):
        assert hidden not in text


def test_a_task_that_an_error_ended_has_no_reward_and_is_counted_in_no_group():
    Path("mine.py").write_text(
        "from josh import BaseJOSHAgent\n"
        "class Fails(BaseJOSHAgent):\n"
        "    def start(self, task, env, options):\n"
        "        super().start(task, env, options)\n"
        "        self.index = task.index\n"
        "    def step(self, **_):\n"
        "        if self.index == 1:\n"
        "            raise RuntimeError('not today')\n"
        "        self.add_message({'role': 'assistant', 'content': 'Give!'})\n"
        "        return True\n"
    )
    folder = run("one", "--agent", "./mine.py:Fails", "--synthetic_tasks", 3)
    shown = head(folder)
    assert [row["state"] == "error" for row in shown["tasks"]] == [False, True, False]
    for name in ("reward", "rounds"):
        assert [row[name] is None for row in shown["tasks"]] == [False, True, False]
    assert sum(group["tasks"] for group in shown["groups"] if group["kind"] == "sex") == 2
