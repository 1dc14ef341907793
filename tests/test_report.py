"""The report of a run as it is written: what is in it, how it is split, and what happens where it cannot be."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from playing import run

from josh.cli import main
from josh.runs.evaluate.compare import compare
from josh.runs.record.journal import answer_times
from josh.runs.record.stored import stored_episodes
from josh.runs.report.page_html import render, safe_json
from josh.runs.report.report import report
from josh.runs.report.tree_data import standings

TOY = ("--env", "toy_world:World")
TWICE = ("--env", "toy_twice:World", "--josh", "--beam_size", 1)


pytestmark = pytest.mark.usefixtures("elsewhere")


def block(page, name):
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(found[1]) if found else None


def head(folder, page="report.html"):
    return block(folder / page, "head")


def trees(folder, page="report.html"):
    """The trees of a page, wherever they lie, in the order of its tasks."""
    shown = head(folder, page)
    if not shown["files"]:
        pieces = [block(folder / page, f"chunk-{at}") for at in range(max(row["chunk"] for row in shown["tasks"]) + 1)]
    else:
        texts = [(folder / file).read_text("utf-8") for file in shown["files"]]
        pieces = [json.loads(re.fullmatch(rf"joshChunk\({at}, (.*)\);\n", text)[1]) for at, text in enumerate(texts)]
    return [pieces[row["chunk"]][row["place"]] for row in shown["tasks"]]


def episodes(folder):
    return [episode for _, episode in stored_episodes(folder / "episodes.jsonl", [])]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_a_run_ends_with_a_report_that_has_its_figures(capsys):
    folder = run("one", "--josh")
    assert f"report          {folder / 'report.html'}" in capsys.readouterr().out
    shown, told = head(folder), summary(folder)
    assert shown["kind"] == "run"
    assert shown["names"] == {"rate": "donation rate", "mean": "mean donation"}
    assert shown["rate"] == {"value": told["success_rate"]} | dict(
        zip(("low", "high"), told["success_rate_ci95"], strict=True)
    )
    assert shown["mean"]["value"] == pytest.approx(told["average_reward"])
    assert shown["mean"]["low"] < told["average_reward"] < shown["mean"]["high"]
    assert [row["id"] for row in shown["tasks"]] == [episode.task.id for episode in episodes(folder)]
    assert Counter(row["state"] for row in shown["tasks"])["won"] == told["success_rate"] * 20
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
                assert node["seen"] == [node["messages"][0]["content"].replace("[", "(").replace("]", ")")]
            else:
                assert "seen" not in node


def test_looking_up_latencies_leaves_a_journal_as_it_is(endpoint, tmp_path):
    url, _ = endpoint()
    folder = run("one", "--model", "m", "--base_url", url, "--synthetic_tasks", 1, "--max_convo_turns", 1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not [name for name in before if name.startswith("replies.sqlite-")]
    with answer_times(folder) as times:
        assert list(times("synthetic-train-0000")) == [("", 1, "agent")]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "replies.sqlite").write_bytes(b"nothing that SQLite knows")
    with answer_times(folder) as times:
        assert times("synthetic-train-0000") == {}
    # A log that was not folded in, as of a run that was killed.
    base = sqlite3.connect(folder / "log.sqlite", isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("CREATE TABLE replies (task, path, depth, speaker, seconds)")
    base.execute("INSERT INTO replies VALUES ('t', '0', 3, 'user', 0.25)")
    for ending in ("", "-wal"):
        shutil.copy(folder / f"log.sqlite{ending}", folder / f"replies.sqlite{ending}")
    base.close()
    with answer_times(folder) as times:
        assert times("t") == {("0", 3, "user"): 0.25}


def test_nothing_in_the_data_can_end_a_script():
    nasty = "</script><!--<script>\u2028&\u2029"
    text = safe_json({"said": nasty})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"said": nasty}
    page = render("</title><script>", {"id": nasty}, [text], split=False)
    assert page.count("<script") == page.count("</script>") == 3
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in page


def test_a_report_can_be_made_again_and_elsewhere():
    folder = run("one", "--josh", "--synthetic_tasks", 2)
    first = (folder / "report.html").read_bytes()
    assert main(["report", str(folder), "--out", "other.html"]) == 0
    assert Path("other.html").read_bytes() == first
    (folder / "report.html").unlink()
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").read_bytes() == first


def test_the_trees_of_a_large_run_lie_beside_the_page():
    folder = run("one", "--josh")
    whole = trees(folder)
    (folder / "report").mkdir()
    (folder / "report" / "trees-0000-00000000.js").write_text("of the report before")
    report([folder], inline=100_000, chunk=60_000)
    shown = head(folder)
    assert len(shown["files"]) > 5
    assert sorted(f"report/{path.name}" for path in (folder / "report").iterdir()) == shown["files"]
    assert trees(folder) == whole
    assert len((folder / "report.html").read_bytes()) < 100_000
    assert main(["report", str(folder)]) == 0
    assert not (folder / "report").exists()
    assert trees(folder) == whole


def test_a_report_that_fails_leaves_the_old_one(capsys):
    env = "from josh.envs.persuasion.env import PersuasionEnv\nclass Mine(PersuasionEnv):\n"
    Path("mine.py").write_text(f"{env}    pass\n")
    folder = run("one", "--env", "./mine.py:Mine", "--josh")
    report([folder], inline=100_000, chunk=60_000)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    settings = json.loads((folder / "config.json").read_text())
    Path("broken.py").write_text(
        f"{env}    def user_prompt(self, task):\n        if task.index == 9:\n            raise KeyboardInterrupt\n"
    )
    settings["settings"]["env"]["name"] = "./broken.py:Mine"
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(KeyboardInterrupt):
        report([folder], inline=100_000, chunk=50_000)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after.pop(folder / "config.json") != before.pop(folder / "config.json")
    assert after == before


def test_a_run_succeeds_though_its_report_cannot_be_written(capsys):
    Path("mine.py").write_text(
        "from pathlib import Path\n"
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "class Mine(PersuasionEnv):\n"
        "    def groups(self, task):\n"
        "        for run in Path('one').iterdir():\n"
        "            (run / 'report.html').mkdir(exist_ok=True)\n"
        "        return {}\n"
    )
    folder = run("one", "--env", "./mine.py:Mine", "--synthetic_tasks", 2)
    assert (folder / "report.html").is_dir()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"josh: no report.html was written: cannot write {folder / 'report.html'}: ")
    assert line.endswith(f"make it with: josh report {folder}")


def test_a_report_makes_do_without_plug_ins_that_are_gone(capsys):
    Path("mine.py").write_text("from josh.envs.persuasion.env import PersuasionEnv\nclass Mine(PersuasionEnv): pass\n")
    folder = run("one", "--env", "./mine.py:Mine", "--synthetic_tasks", 2)
    Path("mine.py").unlink()
    assert main(["report", str(folder)]) == 0
    shown = head(folder)
    assert "the environment cannot be loaded" in shown["notes"][0]
    assert len(shown["tasks"]) == 2
    assert len(trees(folder)) == 2


def test_an_unfinished_run_has_a_report_of_what_is_there(capsys):
    folder = run("one", "--josh", "--synthetic_tasks", 4)
    lines = (folder / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:100])
    (folder / "summary.json").unlink()
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().err == f"josh: {folder / 'episodes.jsonl'}: line 3 is damaged and left out\n"
    shown = head(folder)
    assert shown["counts"]["finished"] == 2
    assert shown["notes"] == ["Not finished: 2 of 4 tasks", "Line 3 of episodes.jsonl is damaged and left out"]
    (folder / "episodes.jsonl").unlink()
    assert main(["report", str(folder)]) == 0
    assert head(folder)["tasks"] == []


def test_tasks_stand_in_the_order_of_the_run_and_every_one_once(capsys):
    folder = run("one", "--josh", "--synthetic_tasks", 4, "--shuffle")
    ids = json.loads((folder / "config.json").read_text())["task_ids"]
    lines = (folder / "episodes.jsonl").read_text().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_text("".join(lines[at] for at in (2, 1, 3, 1, 2)))
    assert main(["report", str(folder)]) == 0
    shown = head(folder)
    assert [row["id"] for row in shown["tasks"]] == ids[1:]
    assert [tree["task_id"] for tree in trees(folder)] == ids[1:]
    assert shown["notes"] == ["Not finished: 3 of 4 tasks"]
    capsys.readouterr()
    assert main(["show", str(folder)]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[1] for line in listed.splitlines() if re.match(r"\d+ ", line)] == ids
    assert "not finished" in next(line for line in listed.splitlines() if ids[0] in line)


def test_a_task_that_stands_twice_counts_once():
    folder = run("one", "--josh", "--synthetic_tasks", 3)
    whole, told = head(folder), summary(folder)
    lines = (folder / "episodes.jsonl").read_text().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_text("".join([*lines, lines[0], lines[1]]))
    assert main(["report", str(folder)]) == 0
    assert head(folder) == whole
    assert whole["counts"]["finished"] == told["finished"] == 3


def test_a_run_in_which_nothing_was_scored_has_no_interval():
    folder = run("one", "--josh", "--synthetic_tasks", 2)
    (folder / "episodes.jsonl").write_text("")
    assert main(["report", str(folder)]) == 0
    assert head(folder)["rate"] == {"value": None, "low": None, "high": None}


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


def test_the_runs_of_an_evaluation_get_theirs_when_asked_for(capsys):
    assert main(["evaluate", "--synthetic_tasks", "3", "--rollouts", "1", "--log_dir", "all"]) == 0
    (folder,) = Path("all").iterdir()
    runs = [path for path in folder.iterdir() if path.is_dir()]
    assert not list(folder.rglob("report.html"))
    assert main(["report", str(folder)]) == 0
    assert sorted(path.parent for path in folder.rglob("report.html")) == sorted(runs)


def test_two_runs_are_set_against_each_other_as_josh_compare_does(capsys):
    flags = ("--rollouts", 2, "--temperature", 1, "--synthetic_tasks", 20)
    first, second = run("a", *flags), run("b", *flags, "--agent", "uniform_persuader")
    assert main(["report", str(first), str(second)]) == 0
    page = f"report-vs-b-{second.name}.html"
    assert str(first / page) in capsys.readouterr().out
    shown = head(first, page)
    cells = compare([first, second])["results"]
    assert shown["difference"] == cells[1]["difference"]
    assert [one["success_rate"] for one in shown["runs"]] == [cell["success_rate"] for cell in cells]
    pairs = [
        (task, path, one[1], two[1])
        for task in cells[0]["rows"]
        for path, (one, two) in enumerate(zip(cells[0]["rows"][task], cells[1]["rows"][task], strict=True))
    ]
    flipped = {(task, str(path)): int(two) for task, path, one, two in pairs if one != two}
    flips = [row for row in shown["changes"] if row["won"][0] != row["won"][1]]
    assert {(row["task"], row["path"]): row["won"][1] for row in flips} == flipped
    assert len(flipped) > 5
    assert shown["changes"][: len(flips)] == flips
    assert [row["task"] for row in flips] == sorted(row["task"] for row in flips)
    pieces = block(first / page, "chunk-0")
    for row in shown["changes"]:
        sides = pieces[row["place"]]["sides"]
        earned = [sum(hit["worth"] for turn in side for hit in turn["hits"]) for side in sides]
        assert earned == pytest.approx(row["rewards"])


def test_two_searches_are_compared_by_their_best_paths():
    first, second = run("a", "--josh"), run("b", "--josh", "--stop", "best")
    assert main(["report", str(first), str(second), "--out", "both.html"]) == 0
    shown = block(Path("both.html"), "head")
    assert shown["searched"]
    means = [summary(folder)["average_reward"] for folder in (first, second)]
    assert shown["difference"]["average_reward"]["value"] == pytest.approx(means[1] - means[0])
    rewards = [{episode.task.id: episode.reward for episode in episodes(folder)} for folder in (first, second)]
    moved = {task: abs(rewards[1][task] - reward) for task, reward in rewards[0].items() if rewards[1][task] != reward}
    kept = [row["task"] for row in shown["changes"] if row["won"][0] == row["won"][1]]
    assert len(kept) == shown["moved"] > 5
    assert set(kept) <= moved.keys() == {row["task"] for row in shown["changes"]}
    assert [moved[task] for task in kept] == sorted((moved[task] for task in kept), reverse=True)


def test_what_makes_no_sense_is_refused_in_a_line(capsys):
    search = run("a", "--josh", "--synthetic_tasks", 2)
    plain = run("b", "--synthetic_tasks", 2)
    assert main(["evaluate", "--synthetic_tasks", "2", "--rollouts", "1", "--log_dir", "all"]) == 0
    (evaluation,) = Path("all").iterdir()
    capsys.readouterr()
    for given, said in {
        ("nowhere",): "nowhere is no run",
        (search, plain): f"not comparable: {search} is a search",
        (plain, search): f"not comparable: {search} is a search",
        (search, plain, plain): "3 folders are given; give one run, or two to compare",
        (evaluation, plain): f"{evaluation} has several runs; give one of them: ",
        (evaluation, "--out", "all.html"): f"{evaluation} has several runs, and so several reports",
        (search, "--out", "report"): "out is 'report'; give a name that ends in .html",
        (search, "--out", "no/where.html"): "cannot write no/where.html: No such file or directory",
    }.items():
        assert main(["report", *map(str, given)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"josh: {said}")
    assert not [path for path in Path().iterdir() if path.suffix in (".html", ".part")]


def test_no_address_and_no_key_is_in_a_report(endpoint, monkeypatch):
    url, _ = endpoint()
    monkeypatch.setenv("MY_KEY", "sk-very-secret-indeed")
    flags = ("--model", "m", "--base_url", url, "--api_key_var", "MY_KEY")
    folder = run("one", *flags, "--synthetic_tasks", 1, "--max_convo_turns", 1)
    text = (folder / "report.html").read_text()
    for hidden in ("sk-very-secret-indeed", "MY_KEY", "127.0.0.1"):
        assert hidden not in text


def test_the_page_s_files_are_packed():
    root = Path(__file__).resolve().parent.parent
    assert '"josh.runs.report": ["page/*"]' in (root / "setup.py").read_text()
    assert "recursive-include runs/report/page *.html *.css *.js" in (root / "MANIFEST.in").read_text()
    suffixes = {path.suffix for path in (root / "runs" / "report" / "page").iterdir()}
    assert suffixes == {".html", ".css", ".js"}


def test_a_resumed_run_that_was_killed_is_not_shown_with_the_figures_of_the_session_before(endpoint, monkeypatch):
    url, server = endpoint()
    flags = ("--model", "m", "--base_url", url, "--synthetic_tasks", 4, "--max_concurrency", 1, "--josh")
    folder = run("one", *flags, "--max_calls", 20)
    told = summary(folder)
    asked = len(server.requests)
    resume = f"from josh.cli import main; main(['run', '--resume', {str(folder)!r}, '--max_calls', '500'])"
    killed = subprocess.Popen([sys.executable, "-c", resume], stderr=subprocess.PIPE)
    while len(server.requests) < asked + 60:
        time.sleep(0.001)
    killed.kill()
    killed.communicate()
    assert not (folder / "summary.json").exists()
    assert main(["report", str(folder)]) == 0
    shown = head(folder)
    calls = {side["side"]: side["calls"] for side in shown["costs"]["sides"]}
    assert calls["agent"] > told["usage"]["agent"]["calls"] + 50
    assert not [note for note in shown["notes"] if "budget" in note]
    done = {episode.task.id for episode in episodes(folder)}
    rows = [json.loads(line) for line in (folder / "training_examples.jsonl").read_text().splitlines()]
    assert shown["counts"]["training_examples"] == sum(row["task_id"] in done for row in rows)
    assert json.loads((folder / "summary.before.json").read_text()) == told
    assert main(["run", "--resume", str(folder), "--max_calls", "500"]) == 0
    assert not (folder / "summary.before.json").exists()
    assert summary(folder)["complete"]


@pytest.mark.parametrize(
    "damaged", ["[1]", '{"usage": {"agent": 3}, "retries": "x"}', '{"unpriced": 5}', "{", "[" * 100_000]
)
def test_a_damaged_summary_costs_a_note(damaged):
    folder = run("one", "--josh", "--synthetic_tasks", 2)
    told = summary(folder)
    (folder / "summary.json").write_text(damaged)
    assert main(["report", str(folder)]) == 0
    assert head(folder)["notes"] == ["summary.json is damaged and left out"]
    assert head(folder)["counts"]["training_examples"] == told["training_examples"]


def test_runs_of_the_same_name_are_told_apart_by_the_folders_they_lie_in(capsys):
    few = ("--rollouts", 2, "--synthetic_tasks", 3)
    for home, flags in {"y1": (), "y2": ("--temperature", 2), "y3": ("--user", "donor_firm")}.items():
        run(home, *few, *flags).rename(f"{home}/model-x")
    one, two, three = (f"{home}/model-x" for home in ("y1", "y2", "y3"))
    assert main(["report", one, two]) == 0
    shown = head(Path(one), "report-vs-y2-model-x.html")
    assert shown["id"] == "y1/model-x vs y2/model-x"
    assert [each["name"] for each in shown["runs"]] == ["y1/model-x", "y2/model-x"]
    assert [each["policy"] for each in shown["runs"]] == ["OfflinePersuader"] * 2
    capsys.readouterr()
    for command in ("report", "compare"):
        for given, said in {
            (one, three): "not comparable: no user model was met by all (OfflinePersuader (y1/model-x): ",
            (one, "y2/../y1/model-x"): "y2/../y1/model-x is given twice; give it once",
        }.items():
            assert main([command, *given]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith(f"josh: {said}")


def test_a_comparison_says_what_sets_the_runs_apart(endpoint):
    url, _ = endpoint()
    few = ("--josh", "--model", "m", "--base_url", url, "--price", "m=1/1", "--max_convo_turns", 2)
    first = run("a", *few, "--synthetic_tasks", 4, "--beam_size", 2)
    second = run("b", *few, "--synthetic_tasks", 3, "--beam_size", 4, "--stop", "best")
    lines = (first / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (first / "episodes.jsonl").write_bytes(b"".join(lines[:2]))
    assert main(["report", str(first), str(second), "--out", "both.html"]) == 0
    shown = block(Path("both.html"), "head")
    assert {tuple(each) for each in shown["settings"]} >= {("beam_size", "2", "4"), ("stop", "first", "best")}
    assert {each[0] for each in shown["settings"]} == {"beam_size", "stop", "synthetic_tasks"}
    one, two = shown["id"].split(" vs ")
    assert shown["notes"] == [
        f"{one} is not finished: 2 of 4 tasks",
        f"Left out, for the other one has not finished them: 1 task of {two}",
    ]
    for each, folder in zip(shown["runs"], (first, second), strict=True):
        told = summary(folder)
        assert each["calls"] == sum(side["calls"] for side in told["usage"].values())
        assert each["cost"] == told["cost"]


def test_who_played_differs_only_where_somebody_else_did():
    few = ("--synthetic_tasks", 2, "--temperature", 1)
    first = run("a", *few)
    for name, flags in {
        "OfflinePersuader": ("--agent", "offline_persuader"),
        "UniformPersuader": ("--agent", "uniform_persuader"),
    }.items():
        assert main(["report", str(first), str(run(name, *few, *flags)), "--out", "both.html"]) == 0
        found = {each[0]: each[1:] for each in block(Path("both.html"), "head")["settings"]}
        module = "josh.agents.persuasion.offline:"
        changed = {"agent": [f"{module}OfflinePersuader", f"{module}{name}"]}
        assert found == (changed if name == "UniformPersuader" else {})


def test_what_plug_ins_cannot_take_costs_a_note_and_no_tree(capsys):
    Path("mine.py").write_text(
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "class Mine(PersuasionEnv):\n"
        "    def groups(self, task):\n"
        "        return super().groups(task) if task.index else 1 / 0\n"
    )
    folder = run("one", "--env", "./mine.py:Mine", "--synthetic_tasks", 4)
    assert head(folder)["notes"] == [
        "1 task shown without what plug-ins could not say; the first, synthetic-train-0000: "
        "ZeroDivisionError: division by zero"
    ]
    rows = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    rows[1]["nodes"][1]["messages"][0]["content"] = 5
    rows[2]["nodes"][1]["messages"][0]["content"] = [{"type": "text", "text": "hi"}]
    rows[3]["nodes"][1]["messages"][0] = {}
    (folder / "episodes.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert main(["report", str(folder)]) == 0
    assert head(folder)["notes"][0].startswith("3 tasks shown without what plug-ins could not say; the first, ")
    assert trees(folder)[1]["nodes"][1]["messages"][0]["content"] == 5
    assert len(head(folder)["tasks"]) == 4
    for task in "1234":
        assert main(["show", str(folder), task]) == 0


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
