"""Two runs set against each other in a report."""

from pathlib import Path

import pytest
from playing import run
from reports import block, episodes, head, summary

from josh.cli import main
from josh.runs.evaluate.compare import compare

pytestmark = pytest.mark.usefixtures("elsewhere")


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
    moved = {task: round(dollars, 6) for task, dollars in moved.items()}
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
    Path("notes.htm").write_text("my notes")
    Path("notes.html").symlink_to("notes.htm")
    for given, said in {
        ("nowhere",): "nowhere is not a run",
        (search, "--out", "notes.html"): "notes.html exists and is not a page of josh; give another --out",
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
    assert [path.name for path in Path().iterdir() if path.suffix in (".html", ".part")] == ["notes.html"]
    assert Path("notes.htm").read_text() == "my notes"


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
            (one, three): "not comparable: the policies have no user in common (OfflinePersuader (y1/model-x): ",
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
        f"Left out, because the other run has not finished them: 1 task of {two}",
    ]
    for each, folder in zip(shown["runs"], (first, second), strict=True):
        recorded = summary(folder)
        assert each["calls"] == sum(side["calls"] for side in recorded["usage"].values())
        assert each["cost"] == recorded["cost"]


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
