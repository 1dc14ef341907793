"""The commands of planning theory of mind: games of runs, evaluations with the published flags, and their table."""

import json
import shlex
from pathlib import Path

import pytest
from gaming import game_row, scenario_row, turn_row, write_rows
from places import ROOT
from playing import lines
from refusals import bad

from josh.cli import main
from josh.envs.ptom.games import games_in
from josh.errors import UsageError
from josh.parser import parse
from josh.runs.systems.ptom_compare import as_evaluation
from josh.runs.systems.ptom_evaluate import model_name, read_request, translated

pytestmark = pytest.mark.usefixtures("elsewhere")
PAGE = ROOT / "envs" / "ptom" / "README.md"


def test_published_flags_become_those_of_an_evaluation():
    words = (
        "--model M --base-model B --scenarios S.jsonl --num-eval 100 --max-turns 10 --human-agent claude-x --seed 42"
    )
    found = list(translated(read_request([*words.split(), "--output", "O.json", "--groups"])))
    pairs = dict(zip(found[::2], found[1::2], strict=False))
    assert pairs["--env"] == "ptom"
    assert (pairs["--model"], pairs["--baseline"], pairs["--user_model"]) == ("M", "B", "anthropic/claude-x")
    assert (pairs["--scenarios"], pairs["--env.n_scenarios"], pairs["--task_split"]) == ("S.jsonl", "100", "all")
    assert pairs["--agent.view"] == "row"
    assert found[-5:] == ["--max_convo_turns", "10", "--seed", "42", "--groups"]


def test_models_are_compared_with_the_first_one():
    words = "--models baseline gpt-x hf:B+ADAPTER --base_model hf:B --num-scenarios 50"
    asked = as_evaluation(read_request(words.split()))
    assert asked.given == {"model": "gpt-x,hf:B+ADAPTER", "baseline": "hf:B", "num_scenarios": "50"}
    alone = as_evaluation(read_request(["--models", "baseline"]))
    assert alone.given == {"model": "offline"}


def test_a_folder_of_an_adapter_is_named_with_its_base():
    folder = Path("models/ptom")
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    assert model_name("models/ptom") == "hf:org/base+models/ptom"
    assert model_name("models/ptom", "hf:other") == "hf:other+models/ptom"
    assert model_name("models") == "hf:org/base+models/ptom"
    other = folder.with_name("other")
    other.mkdir()
    (other / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="models has 2 adapters; give one of them, such as models/other"):
        model_name("models")
    with pytest.raises(UsageError, match="does not name its base model; give --base_model"):
        model_name("models/other")
    assert model_name("claude-sonnet-4") == "anthropic/claude-sonnet-4"
    assert model_name("gpt-4o") == "gpt-4o"
    assert model_name("hf:org/base") == "hf:org/base"


def test_an_evaluation_writes_its_numbers_and_refuses_what_was_trained_on(capsys):
    rows = [scenario_row(scenario_id=f"s{number}") | {"game_id": f"g{number}"} for number in range(6)]
    write_rows(Path("scenarios.jsonl"), *rows)
    flags = ["--scenarios", "scenarios.jsonl", "--model", "offline", "--rollouts", "1"]
    assert main(["ptom", "evaluate", *flags, "--num-scenarios", "4", "--output", "out/O.json"]) == 0
    found = json.loads(Path("out/O.json").read_text())
    assert found["tasks"] == 4
    assert [one["policy"] for one in found["results"]] == ["offline_planner", "ask first", "recommend at once"]
    again = ["ptom", "evaluate", *flags, "--num-scenarios", "4", "--output", "out/O.json"]
    assert main(again) == 0
    assert [row["task"] for row in json.loads(Path("out/O.json").read_text())["task_rows"]] == [
        row["task"] for row in found["task_rows"]
    ]
    write_rows(Path("games.jsonl"), game_row("g2", scenario_id="s2"), game_row("g9", scenario_id="s9"))
    assert main(["ptom", "prepare", "--input", "games.jsonl", "--output", "d.jsonl", "--train-split", "1"]) == 0
    capsys.readouterr()
    assert main(["ptom", "evaluate", *flags, "--trained_on", "d.jsonl"]) == 2
    assert "not held out: the training data has 1 tasks (s2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ptom evaluate --num-eval few", "num_scenarios is 'few'; give 1 or more"),
        ("ptom compare", "no models given; example: josh ptom compare --models baseline gpt-4o-mini"),
        ("ptom generate", "no output given; example: josh ptom generate"),
        ("ptom evaluate --output mine.json", "mine.json exists and is not an evaluation; give another --output"),
    ],
)
def test_wrong_input_is_one_line(capsys, words, said):
    Path("mine.json").write_text("{}")
    assert bad(capsys, *words.split()).startswith(f"josh: {said}")


def test_games_of_a_run_are_read_as_games_and_the_same_command_goes_on(capsys):
    words = (
        "ptom generate --num-scenarios 5 --trajectories-per-scenario 2 --max-parallel 2 --start-id 1 --output g.jsonl"
    )
    assert main(words.split()) == 0
    games = [game for _, game in games_in(Path("g.jsonl"))]
    assert len(games) == 8
    assert len({game.scenario.id for game in games}) == 4
    assert all(game.turns[-1].planned.belief for game in games)
    first = Path("g.jsonl").read_bytes()
    assert main(words.split()) == 0
    assert "finished before" in capsys.readouterr().out
    assert Path("g.jsonl").read_bytes() == first


def test_imported_games_are_related_by_their_scenario_and_make_no_pairs(capsys):
    words = "ptom generate --num-scenarios 6 --trajectories-per-scenario 2 --output g.jsonl"
    assert main(words.split()) == 0
    assert main(["ptom", "import", "g.jsonl", "--out", "run"]) == 0
    assert main(["rescore", "run", "--rewards", "ptom", "--log_dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    first = json.loads(Path("g-run/summary.json").read_text())
    found = json.loads((again / "summary.json").read_text())
    assert found["success_rate"] == first["success_rate"]
    assert found["scores"]["satisfaction"] == pytest.approx(first["scores"]["satisfaction"])
    capsys.readouterr()
    assert main(["export", "run", "--format", "dpo", "--out", "pairs.jsonl"]) == 2
    assert "they make no pairs" in capsys.readouterr().err
    flags = ["--num-scenarios", "6", "--task_split", "train", "--trained_on", "run"]
    assert main(["ptom", "evaluate", "--model", "offline", "--rollouts", "1", *flags]) == 2
    assert "not held out: the training data has 6 " in capsys.readouterr().err


def test_an_imported_game_in_which_the_other_option_is_accepted_is_lost():
    other = [turn_row("ACT", "I recommend Option B.", "Fine. [ACCEPT]")]
    own = [turn_row("ACT", "I recommend Option A.", "Fine. [ACCEPT]")]
    rows = [game_row("g1", success=False, trajectory=other), game_row("g2", trajectory=own)]
    write_rows(Path("g.jsonl"), *rows)
    assert main(["ptom", "import", "g.jsonl", "--out", "run"]) == 0
    assert main(["rescore", "run", "--rewards", "ptom", "--log_dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    found = json.loads((again / "summary.json").read_text())
    assert (found["success_rate"], found["scores"]["accepted"], found["scores"]["success"]) == (0.5, 1, 0.5)


def test_the_simulated_human_is_tried_in_one_command(capsys):
    assert main(["ptom", "human", "--test"]) == 0
    printed = capsys.readouterr().out
    assert "What matters most to you in this choice?" in printed
    assert "[ACCEPT]" in printed or "[DECLINE]" in printed
    assert not Path("records").exists()


def in_table():
    """The commands of the table, in its order."""
    section = PAGE.read_text(encoding="utf-8").partition("## The published commands")[2].partition("\n## ")[0]
    cells = [line.rpartition("| `")[2].removesuffix("` |") for line in section.splitlines() if line.endswith("` |")]
    return [shlex.split(cell)[1:] for cell in cells if cell.startswith("josh ")]


def test_the_commands_of_the_table_run_one_after_the_other():
    commands = in_table()
    assert [words[0] for words in commands].count("ptom") == 6
    for words in commands:
        if words[0] == "train":
            assert parse(words).data in ("training_data.jsonl", Path("training_openai.jsonl"))
            continue
        small = ["offline" if word.startswith(("hf:", "gpt-", "claude-", "models/")) else word for word in words]
        small = ["10" if word in ("100", "200", "50") else word for word in small]
        assert main(small) == 0, words
    assert len(lines("training_data.jsonl")) > 20
    assert json.loads(Path("comparison.json").read_text())["results"]


def test_a_simulated_human_that_cannot_be_asked_is_one_line(capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["ptom", "human", "--human-agent", "nosuch"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("josh: no key for model 'nosuch'")
