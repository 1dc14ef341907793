"""`josh acts`: sibling contrasts, their tests, lenses and output."""

import json

import pytest
from playing import run

from josh.cli import main
from josh.dialogue import Speaker
from josh.envs.persuasion.index_lens import IndexLens
from josh.errors import UsageError
from josh.roles import BaseEnv
from josh.runs.export.credit import sibling_groups, values
from josh.runs.intervals import holm, sign_flips
from josh.runs.record.episode_json import from_json
from josh.runs.report.acts import Contrasts, sibling_contrasts

ASK, THANK = ("act", "ask"), ("act", "thank")
LENS = """
class Long:
    def read(self, texts):
        return [{"length": float(len(text))} for text in texts]

class Broken:
    def read(self, texts):
        return ["long"] * len(texts)
"""


def grown(task, *rewards):
    """A tree whose first turns, by the agent, end it with these rewards; the first one asks, the last one thanks."""
    root = {"parent": -1, "speaker": "user", "path": "", "messages": []}
    acts = [["ask"], *([] for _ in rewards[2:]), ["thank"]]
    nodes = [
        {
            "parent": 0, "speaker": "agent", "path": str(place), "messages": [], "actions": [acts[place]],
            "outcome": "lost", "ended": "lost", "reward": reward,
        }
        for place, reward in enumerate(rewards)
    ]  # fmt: skip
    return from_json(
        {
            "task_id": task, "ending": "completed", "reward": rewards[0], "success": 0.0, "rounds": 1.0, "metrics": {},
            "error": "", "usage": {}, "reported": [1], "goals": [], "frontier": [], "nodes": [root, *nodes],
            "collapses": [], "task": {"index": 0, "data": {}, "metadata": {}},
        }
    )  # fmt: skip


def test_a_pair_is_two_siblings_of_which_one_does_more():
    tree = grown("one", 2.0, 0.5, 1.0)
    assert sibling_groups(tree, Speaker.AGENT, values(tree)) == {0: [1, 2, 3]}
    traits = {1: {ASK: 1.0}, 2: {}, 3: {THANK: 1.0, ASK: 0.5}}
    found = sibling_contrasts(tree, traits)
    assert found[ASK] == (pytest.approx(1.5 + 1.0 + 0.5), 3)
    assert found[THANK] == (pytest.approx(-1.0 + 0.5), 2)


def test_a_comparison_is_made_over_tasks_and_corrected_for_their_number():
    found = Contrasts()
    for number in range(12):
        found.add(grown(f"task {number}", 1.0 + number / 10, 0.0), BaseEnv({}), None, groups=False)
    figures = found.figures(min_tasks=10)
    assert (figures["tasks"], figures["turns"], figures["comparisons"]) == (12, 24, 2)
    ask, thank = figures["rows"]
    assert (ask["name"], ask["pairs"], ask["tasks"]) == ("ask", 12, 12)
    assert ask["difference"]["value"] == pytest.approx(1.55)
    assert thank["difference"]["value"] == pytest.approx(-1.55)
    assert ask["p"] == pytest.approx(2 / 2**12)
    assert ask["p_holm"] == pytest.approx(4 / 2**12)
    assert found.figures(min_tasks=13)["too_few"] == 2


def test_all_sign_flips_of_few_clusters_are_counted():
    assert sign_flips([{0: 1.0, 1: 1.0, 2: 1.0}, {0: 1.0, 1: -1.0}]) == [0.25, 1.0]


def test_sampled_sign_flips_are_never_impossible():
    assert sign_flips([dict.fromkeys(range(40), 1.0)], flips=999) == [0.001]


def test_holm_multiplies_by_the_number_of_hypotheses_that_are_left():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return run(str(tmp_path_factory.mktemp("acts")), "--josh", "--stop", "best", "--synthetic_tasks", 15)


def test_the_table_and_its_json_have_the_same_rows(searched, capsys):
    assert main(["acts", str(searched), "--groups", "--min_tasks", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    everybody = [row for row in found["rows"] if row["people"] == "everybody"]
    assert found["comparisons"] == len(found["rows"]) > len(everybody) > 5
    assert {row["people"].split(":")[0] for row in found["rows"]} > {"everybody", "age"}
    assert main(["acts", str(searched), "--min_tasks", "5", "--width", "100"]) == 0
    shown = capsys.readouterr().out
    assert all(row["name"] in shown for row in everybody)
    assert f"{len(everybody)} comparisons" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_any_lens_can_read_the_words(searched, tmp_path, capsys):
    (tmp_path / "lens.py").write_text(LENS, encoding="utf-8")
    assert main(["acts", str(searched), "--lens", f"{tmp_path}/lens.py:Long", "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)["rows"]} == {"length"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--lens", "nothing"], "no lens named 'nothing'; known: persuasion-index"),
        (["--lens", "{here}/lens.py:Broken"], "give numbers by name"),
        (["--min_tasks", "1"], "min_tasks is 1; give 2 or more"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(searched, tmp_path, capsys, flags, words):
    (tmp_path / "lens.py").write_text(LENS, encoding="utf-8")
    assert main(["acts", str(searched), *(flag.format(here=tmp_path) for flag in flags)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_independent_instrument_scores_dimensions():
    try:
        lens = IndexLens()
    except UsageError as error:
        pytest.skip(str(error))
    text = "Studies show that 20% of children benefit."
    one, empty, same = lens.read([text, "", text])
    assert len(one) == 15
    assert all(0 <= number <= 1 for number in one.values())
    assert one["Evidence"] > 0
    assert empty == {}
    assert same == one
