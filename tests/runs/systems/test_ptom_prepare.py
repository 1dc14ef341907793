"""`josh ptom prepare`: rows of games, split by scenario, in three formats, and what is refused."""

import json
from pathlib import Path

import pytest
from gaming import game_row, turn_row, write_rows
from playing import lines
from refusals import bad

from josh.cli import main
from josh.envs.ptom.sections import read_sections
from josh.runs.train.data import read_rows

pytestmark = pytest.mark.usefixtures("elsewhere")


def prepared(*flags, rows=None, out="training_data.jsonl"):
    write_rows(Path("games.jsonl"), *(rows or [game_row("g1", 3), game_row("g2", 2)]))
    assert main(["ptom", "prepare", "--input", "games.jsonl", "--output", out, *map(str, flags)]) == 0
    return lines(out)


def test_two_games_of_three_and_two_turns_are_five_rows_with_one_game_on_each_side():
    train = prepared("--format", "chatml", "--train-split", "0.5")
    held = lines("training_data_validation.jsonl")
    assert sorted((len(train), len(held))) == [2, 3]
    assert {row["game_id"] for row in train}.isdisjoint(row["game_id"] for row in held)
    assert [row["turn"] for row in train] == list(range(1, len(train) + 1))
    for name in ("training_data", "training_data_validation"):
        assert main(["export", "--check", f"{name}.jsonl"]) == 0
        manifest = json.loads(Path(f"{name}.jsonl.manifest.json").read_text())
        assert manifest["tasks"] == list(dict.fromkeys(row["game_id"] for row in lines(f"{name}.jsonl")))


def test_a_row_has_the_scenario_the_history_of_words_and_the_turn_in_sections():
    first, second, last = prepared("--train-split", "1", rows=[game_row("g1", 3)])
    assert set(first) == {"messages", "game_id", "turn", "strategy_type", "success"}
    assert (first["game_id"], first["strategy_type"], first["success"]) == ("g1", "optimal", True)
    system, user, assistant = first["messages"]
    assert [system["role"], user["role"], assistant["role"]] == ["system", "user", "assistant"]
    assert "The cabin costs 200 dollars less. (favors A; about cost)" in system["content"]
    assert "Above all" not in system["content"]
    assert "Nothing has been said yet." in user["content"]
    heads = ["BELIEF STATE:", "REASONING:", "COUNTERFACTUAL ANALYSIS:", "ACTION (ASK):"]
    assert [line for line in assistant["content"].splitlines() if line in heads] == heads
    history = second["messages"][1]["content"]
    assert "You: What matters most to you?\nPerson: The money." in history
    assert "I know nothing yet" not in history
    assert read_sections(last["messages"][2]["content"]).kind == "ACT"
    assert not Path("training_data_validation.jsonl").exists()


def test_an_empty_analysis_and_a_missing_last_response_are_fine():
    turns = [turn_row(counterfactual_analysis={}), turn_row("ACT", "I recommend Option A.")]
    del turns[1]["response"]
    first, last = prepared("--train-split", "1", rows=[game_row(trajectory=turns)])
    assert "COUNTERFACTUAL" not in first["messages"][2]["content"]
    assert "COUNTERFACTUAL ANALYSIS:\n- ACT: 0.70 (It tells me what counts.)" in last["messages"][2]["content"]


def test_all_formats_are_sound_and_trained_on_as_they_are():
    chatml = prepared("--train-split", "1")
    assert len(read_rows(Path("training_data.jsonl"), "sft")) == 5
    shared = prepared("--train-split", "1", "--format", "sharegpt", out="s.jsonl")
    assert [[turn["from"] for turn in row["conversations"]] for row in shared] == [["system", "human", "gpt"]] * 5
    assert shared[0]["conversations"][2]["value"] == chatml[0]["messages"][2]["content"]
    assert shared[0]["game_id"] == "g1"
    assert main(["export", "--check", "s.jsonl"]) == 0
    assert prepared("--train-split", "1", "--format", "openai", out="o.jsonl") == [
        {"messages": row["messages"]} for row in chatml
    ]


def test_games_of_one_scenario_stay_together():
    rows = [game_row(f"g{number}", scenario_id=f"s{number % 4}") for number in range(12)]
    train = prepared("--train-split", "0.5", rows=rows)
    sides = [{int(row["game_id"][1:]) % 4 for row in each} for each in (train, lines("training_data_validation.jsonl"))]
    assert [len(one) for one in sides] == [2, 2]
    assert sides[0].isdisjoint(sides[1])
    again = prepared("--train-split", "0.5", rows=rows)
    assert train == again


def test_failed_games_are_used_on_request_alone(capsys):
    rows = [game_row("g1"), game_row("g2", success=False), game_row("g3", success=False, strategy_type="failed")]
    rows += [game_row("g4", strategy_type="recovery"), game_row("g5", success=None)]

    def games(*flags):
        return sorted({row["game_id"] for row in prepared("--train-split", "1", *flags, rows=rows)})

    assert games() == ["g1", "g4", "g5"]
    assert "failed games: 2" in capsys.readouterr().out
    assert games("--only-success") == ["g1", "g4"]
    assert games("--filter-strategy", "recovery") == ["g4"]
    assert games("--filter-strategy", "failed") == ["g2", "g3"]
    assert games("--filter-strategy", "failed,optimal") == ["g1", "g2", "g3", "g5"]
    assert len(prepared("--train-split", "1", "--max-examples", "3", rows=rows)) == 3


def test_a_validation_file_never_overwrites_a_file(capsys):
    Path("data_validation.jsonl").write_text("mine\n")
    write_rows(Path("games.jsonl"), game_row("g1"), game_row("g2"))
    line = bad(capsys, "ptom", "prepare", "--input", "games.jsonl", "--output", "data.jsonl")
    assert line.startswith("josh: data_validation.jsonl exists and is not an export")
    assert Path("data_validation.jsonl").read_text() == "mine\n"
    assert not Path("data.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--output", "o.jsonl"), "no input given"),
        (("--input", "games.jsonl"), "no output given"),
        (("--input", "games.jsonl", "--output", "games.jsonl"), "output is games.jsonl, which is the input"),
        (("--input", "games.jsonl", "--output", "o", "--format", "xml"), "format is 'xml'; give chatml, sharegpt or"),
        (("--input", "games.jsonl", "--output", "o", "--train_split", "2"), "train_split is 2; give a share above 0"),
        (("--input", "games.jsonl", "--output", "o", "--max_examples", "0"), "max_examples is 0; give 1 or more"),
        (
            ("--input", "games.jsonl", "--output", "o", "--filter_strategy", "recovery"),
            "games.jsonl has no game to train on; by strategy there are 1 of optimal; give another --filter_strategy",
        ),
        (
            ("--input", "broken.jsonl", "--output", "o"),
            "broken.jsonl line 2: trajectory is []; give a list of turns with an action",
        ),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(capsys, flags, words):
    write_rows(Path("games.jsonl"), game_row())
    write_rows(Path("broken.jsonl"), game_row(), game_row("g2", trajectory=[]))
    before = sorted(Path().iterdir())
    assert bad(capsys, "ptom", "prepare", *flags).startswith(f"josh: {words}")
    assert sorted(Path().iterdir()) == before
