"""What a report says of a tree beside its words: directives, facts, labels of pairs, and the table of turns."""

import json
from pathlib import Path

import pytest
from playing import run

from josh.cli import main
from josh.dialogue import Speaker
from josh.envs.debate.responses import responses
from josh.rewards.debate import DebateRewards
from josh.roles import BaseRewards, Task
from josh.runs.record.stored import stored_episodes
from josh.runs.report.annotations import Annotator, TurnTally, pair_words, turn_table_text

FAN = ("--env", "debate", "--strategy", "fan_out")
TOY = ("--env", "toy_world:World", "--strategy", "fan_out", "--strategy.go_on", "--rewards", "toy_world:Counting")
pytestmark = pytest.mark.usefixtures("elsewhere")


def episodes(folder):
    return [episode for _, episode in stored_episodes(Path(folder) / "episodes.jsonl", [])]


def shown(capsys, *arguments):
    capsys.readouterr()
    assert main(["show", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def head(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    return json.loads(text.split('id="head">')[1].split("</script>")[0])


def first_tree(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    return json.loads(text.split('id="chunk-0">')[1].split("</script>")[0])[0]


@pytest.mark.parametrize(
    ("user", "does"), [("keeper", "kept"), ("yielder", "took"), ("doubter", "drifted"), ("oracle", None)]
)
def test_scripted_learners_do_in_every_turn_what_their_name_says(user, does):
    folder = run("records", *FAN, "--agent", "keeper", "--user", user)
    cells = [cell for one in episodes(folder) for cell in DebateRewards([]).turn_cells(one.task, one.tree)]
    assert cells
    if does is not None:
        assert {column for _, _, column in cells} == {does}
    else:
        assert {(row, column) for _, row, column in cells} == {("right, partner wrong", "kept")}


def test_a_response_is_counted_by_who_was_right_before():
    folder = run("records", *FAN, "--agent", "keeper", "--user", "keeper")
    for one in episodes(folder):
        (right,) = {node.turn.facts["right"]["user"] for node in one.tree.nodes[-12:]}
        rows = {row for _, row, _ in responses(one.tree, frozenset(one.task.data["gold"]), Speaker.USER)}
        assert rows == {"right, partner wrong" if right else "wrong, partner right"}


def test_the_table_counts_turns_and_has_an_interval_over_tasks():
    folder = run("records", *FAN, "--agent", "keeper", "--user", "oracle", "--synthetic_tasks", 30)
    tally = TurnTally(Annotator(DebateRewards([])))
    for one in episodes(folder):
        tally.add(one)
    table = tally.figures()
    assert table["title"] == "Acceptance and resistance, by who was right"
    assert table["columns"] == ["kept", "took", "drifted", "unreadable"]
    whole, *others = table["rows"]
    assert (whole["row"], whole["directive"], whole["turns"]) == ("right, partner wrong", "", 12 * whole["tasks"])
    kept, took, *_ = whole["cells"]
    assert (kept["count"], kept["value"], kept["high"]) == (whole["turns"], 1, 1)
    assert 0.7 < kept["low"] < 1
    assert (took["count"], took["value"], took["low"]) == (0, 0, 0)
    assert [(row["directive"], row["turns"]) for row in others] == [
        (name, 6 * whole["tasks"]) for name in ("accept", "resist")
    ]
    lines = turn_table_text(table, 100)
    assert lines[0].split() == ["all", "turns", "turns", "kept", "took", "drifted", "unreadable"]
    assert lines[1].startswith(f"right, partner wrong  {whole['turns']}")


def test_the_terminal_draws_directives_answers_and_labels(capsys):
    folder = run("records", *FAN, "--agent", "keeper", "--user", "offline_debater", "--user.knows", 1)
    number = next(n for n, one in enumerate(episodes(folder), 1) if any(pair.label == "resist" for pair in one.pairs))
    said = shown(capsys, folder, number, "--width", 120)
    assert "first speaker [logical]: " in said
    assert "second speaker [accept]: " in said
    assert said.count("resist: chosen") == said.count("resist: rejected") == 6
    assert "(right), resist: chosen" in said
    assert "(wrong), agreed, resist: rejected" in said


def test_the_table_is_in_the_terminal_in_json_and_on_the_page(capsys):
    folder = run("records", *FAN)
    said = shown(capsys, folder, "--actions")
    assert "\nAcceptance and resistance, by who was right\n" in said
    assert "\nunder resist " in said
    table = json.loads(shown(capsys, folder, "--actions", "--json"))["turn_table"]
    assert head(folder)["turn_table"] == table
    nodes = [node for node in first_tree(folder)["nodes"] if "facts" in node]
    assert {node["known"].split(" (")[1] for node in nodes} <= {"right)", "wrong)", "right), agreed", "wrong), agreed"}


def test_the_page_has_the_labelled_pairs_and_counts_the_others():
    folder = run("records", *FAN, "--synthetic_tasks", 40)
    tasks, summary = head(folder)["tasks"], json.loads((folder / "summary.json").read_text())["pairs"]
    assert sum(task["pairs"] for task in tasks) == sum(summary["labels"].values())
    (one,) = [one for one in episodes(folder) if one.task.id == first_tree(folder)["task_id"]]
    tree = first_tree(folder)
    assert len(tree["pairs"]) == sum(bool(pair.label) for pair in one.pairs)
    assert sum(tree["unlabelled"].values()) == sum(not pair.label for pair in one.pairs)
    assert pair_words(one) == {index: node["labels"] for index, node in enumerate(tree["nodes"]) if "labels" in node}


def test_any_rewards_with_facts_and_pairs_are_drawn_with_plain_words(capsys):
    folder = run("records", *TOY)
    numbers = [n for n, one in enumerate(episodes(folder), 1) if any(pair.label for pair in one.pairs)]
    said = shown(capsys, folder, numbers[0], "--trust")
    assert "letters: 2" in said
    assert "longer: chosen" in said
    assert head(folder)["turn_table"] is None
    assert "turn_table" not in json.loads(shown(capsys, folder, "--actions", "--json", "--trust"))


def test_rewards_that_fail_to_say_their_facts_get_plain_words():
    class Broken(BaseRewards):
        turn_table = DebateRewards.turn_table

        def fact_words(self, facts, speaker):
            raise ZeroDivisionError

        def turn_cells(self, task, tree):
            raise ZeroDivisionError

    folder = run("records", *FAN, "--synthetic_tasks", 1)
    (one,) = episodes(folder)
    annotator = Annotator(Broken([]))
    assert annotator.words(one.tree.nodes[1]) == "agree: False"
    assert annotator.cells(one) == ()
    assert BaseRewards([]).fact_words({"a": 1, "b": {"c": 2}, "d": "e"}, Speaker.USER) == "a: 1, d: e"
    assert BaseRewards([]).turn_table is None
    assert list(BaseRewards([]).turn_cells(Task("q", 0, {}), one.tree)) == []
