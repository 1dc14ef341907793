"""A flag that nothing reads is refused by name, from the command line and from a TOML file."""

from pathlib import Path

import pytest
from refusals import bad

from josh.cli import main
from josh.parser import make_parser

pytestmark = pytest.mark.usefixtures("elsewhere")
NO_JUDGE = "there is no judge; leave it out, or give --judge_model"
NO_USER = "the user has no chat model; leave it out, or give --user_model"
NO_AGENT = "the agent has no chat model; leave it out, or give --model"
NO_LOCAL = "no model is on this machine; leave it out, or give --model hf:FOLDER"
NO_CALLS = "no side asks a chat model; leave it out, or give --model"
NO_ASKING = "the rewards 'donation' ask no judge; leave it out, or give --rewards that do"
MADE_UP = "the people are made up; leave it out, or give --corpus"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--judge_temperature 0.5", f"judge_temperature is 0.5, but {NO_JUDGE}"),
        ("--judge_max_tokens 9", f"judge_max_tokens is 9, but {NO_JUDGE}"),
        (
            "--judge_model m --judge_base_url http://h/v1",
            "judge_model is 'm', but the rewards 'donation' ask no judge; leave it out",
        ),
        ("--user_temperature 0.3", f"user_temperature is 0.3, but {NO_USER}"),
        ("--user_max_tokens 20 --josh", f"user_max_tokens is 20, but {NO_USER}"),
        ("--user_api_key_var KEY", f"user_api_key_var is 'KEY', but {NO_USER}"),
        ("--top_p 0.9", f"top_p is 0.9, but {NO_AGENT}"),
        ("--api_key_var KEY", f"api_key_var is 'KEY', but {NO_AGENT}"),
        ("--env toolwoz --stop_at END", f"stop_at is 'END', but {NO_AGENT}"),
        ("--batch_size 4", f"batch_size is 4, but {NO_LOCAL}"),
        ("--dtype float16", f"dtype is 'float16', but {NO_LOCAL}"),
        ("--load_in_4bit", f"load_in_4bit is given, but {NO_LOCAL}"),
        ("--torch_threads 2", f"torch_threads is 2, but {NO_LOCAL}"),
        ("--keep_samples", f"keep_samples is given, but {NO_CALLS}"),
        ("--requests_per_minute 5", f"requests_per_minute is 5.0, but {NO_CALLS}"),
        ("--single_replies", f"single_replies is given, but {NO_CALLS}"),
        ("--max_attempts 3", f"max_attempts is 3, but {NO_CALLS}"),
        ("--price m=1/2", f"price is 'm=1/2', but {NO_CALLS}"),
        ("--split_rule annotated", f"split_rule is 'annotated', but {MADE_UP}"),
        ("--include_bad", f"include_bad is given, but {MADE_UP}"),
        ("--dry_run --batch_size 4", f"batch_size is 4, but {NO_LOCAL}"),
        ("evaluate --user_temperature 0.3", f"user_temperature is 0.3, but {NO_USER}"),
        (
            "evaluate --baseline_top_p 0.5",
            "baseline_top_p is 0.5, but the baseline has no chat model; leave it out, or give --baseline",
        ),
        ("evaluate --baseline offline --baseline_max_tokens 9", "baseline_max_tokens is 9, but the baseline has no"),
        (
            "evaluate --model m --base_url http://h --baseline offline --baseline_leave_out seed",
            "baseline_leave_out is",
        ),
        ("evaluate --baseline_base_url http://h", "baseline_base_url is given, but baseline is 'offline'; give --b"),
        (
            "--env proactive --rewards.g 1",
            "rewards.g is 1.0, but formula v1 has none; leave it out, or give formula v2",
        ),
        ("--env proactive --rewards.formula v2 --rewards.w1 1", "rewards.w1 is 1.0, but formula v2 has none; leave"),
        ("proactive generate --out t.jsonl --rewards.d 1", "rewards.d is 1.0, but formula v1 has none; leave it out"),
        ("play --judge_temperature 0", f"judge_temperature is 0.0, but {NO_JUDGE}"),
        ("loop --tiny --rounds 1 --user_top_p 0.5", f"user_top_p is 0.5, but {NO_USER}"),
        ("--trust", "trust is given, but no recorded run is; leave it out, or give --resume with the run"),
        ("--sample 2 --dry_run", "sample is 2 with --dry_run, which plays nothing; leave one of them out"),
        (
            "--user human --max_concurrency 1 --user_model offline",
            "user_model is 'offline', but a person plays the user; leave it out",
        ),
    ],
)
def test_a_flag_that_nothing_reads_is_refused(capsys, flags, said):
    assert bad(capsys, *flags.split()).startswith(f"josh: {said}")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--josh --judge_model m", f"judge_model is 'm', but {NO_ASKING}"),
        ("--josh --judge_model m --dry_run", f"judge_model is 'm', but {NO_ASKING}"),
        ("evaluate --judge_model m", f"judge_model is 'm', but {NO_ASKING}"),
        ("loop --tiny --judge_model m", f"judge_model is 'm', but {NO_ASKING}"),
        ("--user donor --user_model m", "user_model is 'm', but the user 'donor' asks no chat model"),
        ("--agent uniform_persuader --model hf:none", "model is 'hf:none', but the agent 'uniform_persuader' asks no"),
        ("--model m", "no key for model 'm': set OPENAI_API_KEY"),
        ("--model m --judge_model m --max_cost 1", "no key for model 'm': set OPENAI_API_KEY"),
        ("--user_model m --user_base_url http://", "user_base_url is 'http://'; give an address"),
        ("--user_model m --user_api_key_var a-b", "user_api_key_var is not a variable's name"),
        ("--agent http://", "the agent's address is 'http://'; give an address"),
    ],
)
def test_nobody_gets_a_key_or_a_model_that_nothing_asks(capsys, monkeypatch, flags, said):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert bad(capsys, *flags.split()).startswith(f"josh: {said}")


def test_a_file_of_settings_is_treated_alike_and_a_switch_that_is_off_is_not_refused(capsys):
    Path("run.toml").write_text("keep_samples = false\n[judge]\ntemperature = 0.5\n")
    assert bad(capsys, "--config", "run.toml") == f"josh: judge_temperature is 0.5, but {NO_JUDGE}"


def asking(url):
    return ("--model", "m", "--base_url", url, "--end_index", "1", "--max_convo_turns", "2")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--price n=1/2", "price names 'n', which no side asks; the models are m"),
        ("--price m=1/2,M=1/2", "price names 'M', which no side asks; the models are m"),
        ("--torch_threads 2", f"torch_threads is 2, but {NO_LOCAL}"),
        ("--agent script_persuader", "model is 'm', but the agent 'script_persuader' asks no chat model; leave it out"),
    ],
)
def test_a_flag_that_another_model_would_read_is_refused_before_any_call(capsys, endpoint, flags, said):
    url, server = endpoint()
    assert bad(capsys, *asking(url), *flags.split()).startswith(f"josh: {said}")
    assert server.requests == []


def test_a_user_that_asks_no_model_has_no_use_for_one(capsys, endpoint):
    url, _ = endpoint()
    line = bad(capsys, "--user", "donor", "--user_model", "m", "--user_base_url", url)
    assert (
        line == "josh: user_model is 'm', but the user 'donor' asks no chat model; leave it out, or give another --user"
    )


@pytest.mark.parametrize(
    "flags",
    [
        ("--top_p", "0.9", "--max_tokens", "9", "--requests_per_minute", "6000", "--single_replies"),
        ("--price", "m=1/2", "--max_attempts", "2", "--max_cost", "1", "--chat_template_kwargs", '{"think": false}'),
    ],
)
def test_what_a_model_reads_is_taken(endpoint, flags):
    url, server = endpoint()
    assert main([*asking(url), *flags]) == 0
    assert server.requests


def test_flags_that_a_run_without_models_reads_are_taken(capsys):
    few = ("--end_index", "1", "--temperature", "0.5", "--max_cost", "1", "--max_calls", "5", "--max_tokens_total", "9")
    assert main([*few, "--josh"]) == 0


def test_rows_that_name_a_model_for_the_user_count(endpoint, monkeypatch):
    url, server = endpoint()
    person = '{"id": "p", "traits": {}}'
    row = f'{{"id": "t", "data": {{"persuader": {person}, "persuadee": {person}}}, "metadata": {{"user_model": "m"}}}}'
    Path("tasks.jsonl").write_text(row)
    flags = ("--corpus", "tasks.jsonl", "--user_max_tokens", "7", "--max_convo_turns", "2", "--end_index", "1")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert main(flags) == 0
    assert {body["max_tokens"] for body in server.requests} == {7}


def test_an_evaluation_takes_what_one_of_its_runs_reads(endpoint):
    url, server = endpoint()
    two = ("--user", "donor,persuadee", "--user_model", "offline,m", "--user_base_url", url, "--user_max_tokens", "7")
    few = ("--synthetic_tasks", "1", "--max_convo_turns", "1", "--rollouts", "1", "--no_references")
    assert main(["evaluate", *two, *few]) == 0
    assert {body["max_tokens"] for body in server.requests} == {7}


def test_a_class_of_ones_own_may_read_the_settings_of_its_side():
    Path("mine.py").write_text(
        "from josh.agents.persuasion.offline import OfflinePersuader\nclass Mine(OfflinePersuader):\n    pass\n"
    )
    assert main(["--agent", "./mine.py:Mine", "--top_p", "0.5", "--end_index", "1"]) == 0


def test_a_resumed_run_keeps_its_settings_and_refuses_what_is_given_now(capsys):
    assert main(["--end_index", "1", "--log_dir", "r"]) == 0
    (run,) = map(str, Path("r").iterdir())
    assert main(["--resume", run]) == 0
    capsys.readouterr()
    assert main(["--resume", run, "--batch_size", "4"]) == 2
    assert capsys.readouterr().err == f"josh: batch_size is 4, but {NO_LOCAL}\n"


def test_a_rescored_run_refuses_the_settings_of_a_judge_that_it_has_not(capsys):
    assert main(["--end_index", "1", "--log_dir", "r"]) == 0
    (run,) = map(str, Path("r").iterdir())
    capsys.readouterr()
    assert main(["rescore", run, "--judge_temperature", "0.5"]) == 2
    assert capsys.readouterr().err == f"josh: judge_temperature is 0.5, but {NO_JUDGE}\n"


def test_a_loop_makes_a_small_model_only_if_asked(capsys):
    line = bad(capsys, "loop", "--model", "hf:m", "--tiny_size", "nano")
    assert line == "josh: tiny_size is 'nano', but no model is made; leave it out, or give --tiny"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sft --beta 0.3", "beta is 0.3, but sft does not read it; leave it out, or train dpo or kto"),
        ("dpo --desirable_weight 2", "desirable_weight is 2.0, but dpo does not read it; leave it out, or train kto"),
        ("sft --monitor_every 0", "cannot read rows.jsonl: No such file or directory"),
    ],
)
def test_a_training_refuses_what_its_method_does_not_read(capsys, command, said):
    pytest.importorskip("trl", reason="trl is not installed: pip install 'josh-dialogue[train]'")
    line = bad(capsys, "train", *command.split(), "--data", "rows.jsonl", "--model", "m", "--out", "adapters")
    assert line == f"josh: {said}"


def test_the_help_shows_commands_and_main_flags_and_that_of_run_all_flags_in_groups(capsys):
    whole = make_parser(["--help"]).format_help()
    assert len(whole.splitlines()) < 80
    assert whole.index("  evaluate  ") < whole.index("main flags of run") < whole.index("  --beam_size INT")
    assert "--judge_temperature" not in whole
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: josh run [FLAGS]\n")
    titles = [line.removesuffix(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        *("options", "world", "agent", "user", "rewards", "judge", "search", "tasks", "limits", "traffic", "spending"),
        *("workers", "models on this machine", "confirming wins", "output"),
    ]
