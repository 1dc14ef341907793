"""`josh plot`: what is drawn of loops, runs and evaluations, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from loop_figures import LOOP

from josh.cli import main

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'josh-dialogue[plot]'")

from josh.runs.report.figures import PlottedRun, pareto_front, side_by_side

pytestmark = pytest.mark.usefixtures("elsewhere")


def played(log_dir, *flags):
    assert main([*flags, "--log_dir", str(log_dir)]) == 0
    return max(Path(log_dir).iterdir(), key=lambda folder: folder.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A search and plain conversations on the same five tasks."""
    place = tmp_path_factory.mktemp("runs")
    plain = played(place / "plain", "--synthetic_tasks", "5", "--rollouts", "2", "--temperature", "1")
    return played(place / "search", "--synthetic_tasks", "5", "--josh"), plain


@pytest.fixture
def loop(tmp_path):
    folder = tmp_path / "loop"
    folder.mkdir()
    (folder / "plan.json").write_text('{"stages": [], "parts": []}')
    (folder / "loop.json").write_text(json.dumps(LOOP))
    return folder


def drawn(capsys, *arguments):
    """What is written in a plot."""
    capsys.readouterr()
    assert main(["plot", *map(str, arguments), "--out", "out.svg"]) == 0
    assert capsys.readouterr().out == "written to      out.svg\n"
    return Path("out.svg").read_text(encoding="utf-8")


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main(["plot", *map(str, arguments)]) == 2
    *_, line = capsys.readouterr().err.splitlines()  # before it a note on a world that is not trusted may stand
    assert not list(Path().glob("*.png"))
    return line


def test_of_a_loop_the_rewards_by_round_are_drawn(loop, capsys):
    text = drawn(capsys, loop)
    for label in ("mean donation ($)", "donation rate", "round of training", "base", "tuned", "control: losing paths"):
        assert f">{label}</text>" in text
    assert ">user donor_mild</text>" in text
    assert "200 held-out tasks, 3 conversations each, user donor; 95 % intervals" in text


def test_of_a_run_it_is_drawn_when_people_give(runs, capsys):
    search, plain = runs
    assert "OfflinePersuader (n = 5 tasks, 10 conversations)" in drawn(capsys, plain)
    text = drawn(capsys, search, plain, "--kind", "turns")
    assert "OfflinePersuader, a beam of 8 (n = 5 tasks, 5 best paths)" in text
    for label in ("donation rate", "up to this round", "in this round", "(a turn of each side)"):
        assert label in text


def test_several_runs_are_set_against_their_calls(runs, capsys):
    text = drawn(capsys, *runs)
    assert "turns of the agent per task, all branches (no model was asked)" in text
    assert "OfflinePersuader, a beam of 8, best path (5 tasks)" in text
    assert "Pareto front (filled marks)" in text


def test_calls_are_counted_where_a_model_was_asked(runs, capsys, endpoint):
    url, _ = endpoint(respond=lambda body: f"words {body['seed']}")
    asked = played("asked", "--model", "us", "--base_url", url, "--synthetic_tasks", "3", "--max_convo_turns", "2")
    text = drawn(capsys, asked, runs[1])
    assert "model calls per task, both sides" in text
    assert ">us (3 tasks A)</text>" in text
    assert ">OfflinePersuader (5 tasks B)</text>" in text
    for letter in "AB":
        assert f"Pareto front, tasks {letter} (filled marks)" in text
    assert "2 sets of tasks, not comparable with each other" in text


def test_of_an_evaluation_every_policy_is_drawn(capsys):
    few = ["--synthetic_tasks", "2", "--max_convo_turns", "2"]
    folder = played("evals", "evaluate", *few, "--user", "donor,donor_mild")
    text = drawn(capsys, folder)
    for policy in ("offline_persuader", "uniform", "best script, 1 act a turn"):
        for user in ("donor", "donor_mild"):
            assert f">{policy}, user {user} (2 tasks)</text>" in text


def test_runs_of_the_same_name_are_told_apart_by_their_folders(capsys):
    one, two = (played(name, "--synthetic_tasks", "2", "--max_convo_turns", "2", "--seed", name) for name in "12")
    text = drawn(capsys, one, two)
    for folder in (one, two):
        assert f"OfflinePersuader ({folder.name}) (2 tasks)" in text


@pytest.mark.parametrize("name, start", [("a.png", b"\x89PNG"), ("b.svg", b"<?xml"), ("c.PDF", b"%PDF")])
def test_the_ending_says_the_format_and_the_same_numbers_give_the_same_bytes(loop, name, start):
    files = []
    for folder in ("one", "two"):
        Path(folder).mkdir()
        assert main(["plot", str(loop), "--out", f"{folder}/{name}"]) == 0
        files.append((Path(folder) / name).read_bytes())
    assert files[0] == files[1]
    assert files[0].startswith(start)


def test_without_a_name_a_plot_is_called_by_its_kind(loop, runs):
    for arguments, name in (([loop], "rounds"), ([runs[1]], "turns"), (runs, "pareto")):
        assert main(["plot", *map(str, arguments)]) == 0
        assert Path(f"{name}.png").stat().st_size > 1000


def test_what_cannot_be_plotted_is_refused_in_a_line(loop, runs, capsys, tmp_path):
    assert "out is 'x.gif'; give a file that ends in .png, .svg or .pdf" in refused(capsys, loop, "--out", "x.gif")
    assert "kind rounds takes the folder of one loop, not " in refused(capsys, runs[0], "--kind", "rounds")
    assert "nowhere is not a run" in refused(capsys, "nowhere")
    assert "cannot write no/x.png: No such file" in refused(capsys, loop, "--out", "no/x.png")
    (loop / "loop.json").write_text("{}")
    assert "loop.json is damaged; josh loop --resume" in refused(capsys, loop)
    (loop / "loop.json").unlink()
    assert "has no loop.json yet; go on with: josh loop --resume" in refused(capsys, loop)
    toy = played("toy", "--env", "toy_world:World")
    assert "have different rewards, mean_donation and average_reward; plot them separately" in refused(
        capsys, runs[1], toy
    )
    (toy / "episodes.jsonl").write_text("")
    assert f"{toy}: no conversation was scored, so there is nothing to plot" in refused(capsys, toy)


def test_without_matplotlib_a_line_says_what_to_install(loop):
    without = "import sys; sys.modules['matplotlib'] = None; from josh.cli import main"
    code = f"{without}; sys.exit(main(['plot', {str(loop)!r}]))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "josh: a plot needs matplotlib: pip install -e '.[plot]' -c constraints.txt\n"


def test_the_share_won_grows_round_by_round():
    line = PlottedRun(
        "one", False, (1, 2, 2, 3), (True, True, False, True), (1, 1, 0, 1), tuple("abcd"), tuple("abcd"), 0, 9, "", {}
    )
    assert [share.value for share in line.by_round(3)] == [0, 0.25, 0.5, 0.75]
    assert [line.in_round(number) for number in (1, 2, 3)] == [0.25, 0.25, 0.25]
    assert line.by_round(3)[3].low < 0.75 < line.by_round(3)[3].high


def test_every_task_counts_alike_however_many_of_its_conversations_came_to_an_end():
    won, earned = (True, True, True, False), (2, 1, 3, 0)
    line = PlottedRun("one", False, (1, 2, 1, 3), won, earned, tuple("aaab"), ("t", "t", "t", "u"), 0, 9, "", {})
    assert line.reward.value == 1
    assert line.reward.n == line.tasks == 2
    assert [share.value for share in line.by_round(2)] == [0, pytest.approx(1 / 3), 0.5]


def test_the_pareto_front_holds_what_nothing_cheaper_beats():
    points = [(5, 1.0), (1, 0.2), (3, 0.9), (4, 0.5), (3, 0.1), (6, 1.0), (1, 0.2)]
    assert pareto_front(points) == [1, 2, 0]
    assert pareto_front([(0, 0.0)]) == [0]


def test_points_of_the_same_cost_stand_side_by_side():
    assert side_by_side([0.0, 5.0, 0.0, 0.0], apart=1.0) == [-1.0, 5.0, 0.0, 1.0]
    assert side_by_side([2.0, 3.0], apart=1.0) == [2.0, 3.0]


def test_a_picture_of_somebody_else_is_not_overwritten(loop, capsys):
    name = "keep.svg"
    Path(name).write_bytes(b"mine")
    assert f"{name} exists and is not a plot of josh; give another --out" in refused(capsys, loop, "--out", name)
    Path(name).unlink()
    for _ in range(2):
        assert main(["plot", str(loop), "--out", name]) == 0
