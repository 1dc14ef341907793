"""What the command line takes, and what it refuses in one line."""

import json
from pathlib import Path

import pytest
from playing import PEOPLE
from refusals import bad

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_hyphens_and_published_names_work_as_well():
    here = ["--josh", "--env", "persuasion"]
    assert main([*here, "--beam-size", "2", "--end-index", "2", "--agent-strategy", "offline_persuader"]) == 0
    assert main([*here, "--user_mode", "donor_firm", "--end_index", "1", "--josh_debug"]) == 0


def test_settings_come_from_a_file_and_flags_win(tmp_path, capsys):
    (tmp_path / "run.toml").write_text("josh = true\nbeam-size = 2\nseed = 3\n")
    assert main(["--config", "run.toml", "--seed", "4", "--dry_run"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["strategy"] == {"name": "beam", "beam_size": 2, "stop": "first"}
    assert (settings["seed"], settings["agent"]["temperature"]) == (4, 1.0)
    assert not Path("records").exists()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("--josh --temperature 0", "josh: temperature is 0 with a search; siblings would be copies"),
        ("--beam_size 0 --josh", "josh: beam_size is 0; give 1 to 100000"),
        (
            "--agent reakt",
            "josh: no agent named 'reakt'; known: ask_first, clarify_first, ",
        ),
        ("--user nobody", "josh: no user named 'nobody'; known: challenger, corpus_persuadee, debater, donor, "),
        ("--rewards gold", "josh: no rewards named 'gold'; known: call_goals, debate, donation, goals, proactive, "),
        ("--env moon", "josh: no env named 'moon'; known: ays, debate, dialogues, features, flipflop, mcp, "),
        ("--agent ./none.py:A", "/none.py"),
        (
            "--agent ./mine:Mine",
            "josh: agent './mine:Mine': ./mine is neither a module nor a Python file; give ./mine.py:",
        ),
        ("--agent ./mine.py", "josh: agent './mine.py' names no class; give ./mine.py:Class"),
        ("--agent json:Nothing", "josh: agent 'json:Nothing': json has no 'Nothing'"),
        ("--agent json:JSONDecoder", "josh: agent 'json:JSONDecoder' has no step(); subclass josh.roles.BaseJOSHAgent"),
        ("--agent no.such:A", "josh: agent: there is no module no.such"),
        ("--task_split moon", "josh: no task_split named 'moon'; known: train, test"),
        ("--split test", "josh: unrecognized arguments: --split test"),
        ("--data .", "josh: data is given, but env 'persuasion' has no such setting; leave it out"),
        ("--env toolwoz --split_rule annotated", "josh: split_rule is given, but env 'toolwoz' has no such setting"),
        ("--env os:getcwd", "josh: env 'os:getcwd' is not a class; give a class, and subclass josh.roles.BaseEnv"),
        ("--model a --base_url http://[x/v1", "josh: base_url is 'http://[x/v1'; give an address such as"),
        ("--model a --base_url http://h:99999/v1", "josh: base_url is 'http://h:99999/v1'; give an address"),
        ("--log_dir=", "josh: log_dir is empty; give a value, or leave it out"),
        ("--corpus . --synthetic_tasks 5", "josh: synthetic_tasks is given with a corpus"),
        ("--start_index 20", "josh: start_index 20 to end_index -1 has no task; split 'train' has 20"),
        ("--start_index 5 --end_index 5", "josh: start_index 5 to end_index 5 has no task"),
        ("--start_index -1", "josh: start_index is -1; give 0 or more"),
        ("--end_index -2", "josh: end_index is -2; give -1 for all"),
        ("--max_concurrency 0", "josh: max_concurrency is 0; give 1 or more"),
        ("--rollouts 2 --josh", "josh: rollouts is given, but strategy 'beam' has no such setting"),
        (
            "--stop best",
            "josh: stop is given, but strategy 'rollouts' has no such setting; leave it out, or give --josh",
        ),
        ("--stop last --josh", "josh: stop is 'last'; give first or best"),
        ("--timeout 0", "josh: timeout is 0.0; give a number of seconds above 0"),
        ("--temperature nan", "josh: temperature is 'nan'; give a finite number"),
        ("--top_p 0", "josh: top_p is 0.0; give a share above 0, at most 1"),
        ("--min_p -1", "josh: min_p is -1.0; give a share from 0 to 1"),
        ("--user_top_p 1.5", "josh: user_top_p is 1.5; give a share above 0, at most 1"),
        ("--min_reward 3", "josh: min_reward is 3.0; give 0 to 2 dollars"),
        ("--model gpt-4o", "josh: no key for model 'gpt-4o': set OPENAI_API_KEY"),
        ("--user_model gpt-4o", "josh: no key for model 'gpt-4o': set OPENAI_API_KEY"),
        ("--user_model a,,b", "josh: user_model is 'a,,b'; one of the names is empty"),
        ("--user_model a,offline", "`offline` cannot rotate with chat models"),
        (
            "--user_model a,b,c --user_base_url http://x/v1,http://y/v1",
            "josh: user_base_url has 2 values for 3 user models",
        ),
        ("--corpus nowhere", "josh: "),
        ("--corpus .", "full_info.csv"),
        ("--split_rule odd --corpus .", "josh: "),
        ("--config none.toml", "josh: config: cannot read none.toml: No such file or directory"),
        ("--beam_size two", "beam_size is 'two'; give a whole number; see josh run --help"),
        ("--beam_sise 2", "unrecognized arguments: --beam_sise 2; did you mean --beam_size?"),
        ("--max_convo_turns 0", "josh: max_convo_turns is 0; give 1 or more"),
        ("prepare --corpus nowhere --output-dir out", "josh: "),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(capsys, flags, text):
    line = bad(capsys, *flags.split())
    assert text in line
    assert "Traceback" not in line


def test_a_chat_agent_without_a_model_says_so_and_leaves_nothing(capsys):
    line = bad(capsys, "--agent", "persuader")
    assert line == "josh: agent 'persuader' asks a chat model, but model is 'offline'; give --model"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("beam_sise = 2", "no setting named 'beam_sise'; did you mean 'beam_size'?"),
        ("beam_size = 'x'", "beam_size is 'x'; give a whole number"),
        ("josh = 1", "josh is 1; give true or false"),
        ("seed = true", "seed is True; give a whole number"),
        ("= 2", "is not TOML"),
    ],
)
def test_a_bad_settings_file_is_named(tmp_path, capsys, text, said):
    (tmp_path / "run.toml").write_text(text)
    assert said in bad(capsys, "--config", "run.toml")


def test_a_bad_number_of_turns_in_the_environment_is_named(capsys, monkeypatch):
    monkeypatch.setenv("PERSUASION_MAX_TURNS", "ten")
    assert "PERSUASION_MAX_TURNS is 'ten'" in bad(capsys)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert main(["--log_dir", "taken"]) == 2
    assert "cannot write to log_dir 'taken'" in capsys.readouterr().err
    assert main(["--log_dir", "/proc/none"]) == 2


def test_the_progress_bar_is_silent_when_nobody_watches_unless_asked(capsys):
    main(["--end_index", "2"])
    assert capsys.readouterr().err == ""
    main(["--end_index", "2", "--progress"])
    err = capsys.readouterr().err
    assert "2/2" in err
    assert "calls in flight" in err
    assert "donated" in err


def test_a_row_with_a_secure_address_of_its_own_has_to_name_its_key(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-123")
    metadata = {"persuadee_model": "them", "persuadee_base_url": "https://elsewhere.invalid/v1"}
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"id": "row", "data": PEOPLE, "metadata": metadata}))
    line = bad(capsys, "--corpus", "tasks.jsonl")
    assert (
        line
        == "josh: task row names https://elsewhere.invalid/v1, but no key; give persuadee_api_key_var in its row too"
    )


def test_a_task_that_cannot_be_set_up_is_told_before_any_is_played(capsys, tmp_path):
    (tmp_path / "late.py").write_text(
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "class Late(PersuasionEnv):\n"
        "    def goals(self, task):\n"
        "        return ['donation'] if task.index < 7 else 1 / 0\n"
    )
    line = bad(capsys, "--env", "./late.py:Late")
    assert line == "josh: task synthetic-train-0007 cannot be set up: ZeroDivisionError: division by zero"


def test_an_address_without_a_model_is_refused(capsys):
    assert "base_url is given, but model is 'offline'" in bad(capsys, "--base_url", "http://localhost:8000/v1")
