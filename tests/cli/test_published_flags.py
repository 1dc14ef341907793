"""The published flags `--agent_strategy` and `--user_mode` bring the published world and user model; others do not."""

import json

import pytest
from refusals import bad

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
WORLD = "without --env means --env toolwoz"
MODEL = "josh: --user_mode goal without --user_model means --user_model gpt-4o"


def settings_of(capsys, *flags):
    assert main([*flags, "--dry_run"]) == 0
    printed = capsys.readouterr()
    settings = json.loads(printed.out)["settings"]
    return (
        settings["env"]["name"],
        settings["user"]["model"],
        [one for one in printed.err.splitlines() if "means" in one],
    )


@pytest.mark.parametrize("spelling", ["--agent_strategy", "--agent-strategy"])
def test_the_published_name_of_the_agent_means_the_published_world(capsys, spelling):
    world, _, said = settings_of(capsys, spelling, "offline_tool_agent")
    assert world == "toolwoz"
    assert said == [f"josh: --agent_strategy {WORLD}"]


def test_the_published_name_of_the_user_means_its_world_and_its_model(capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    world, model, said = settings_of(capsys, "--user_mode", "goal")
    assert (world, model) == ("toolwoz", "gpt-4o")
    assert said == [f"josh: --user_mode {WORLD}", MODEL]


def test_a_user_without_a_model_stays_offline(capsys):
    world, model, said = settings_of(capsys, "--user_mode=offline_goal")
    assert (world, model, len(said)) == ("toolwoz", "offline", 1)


def test_a_settings_file_may_use_the_published_names(tmp_path, capsys):
    (tmp_path / "run.toml").write_text('agent_strategy = "offline_tool_agent"\n')
    world, _, said = settings_of(capsys, "--config", "run.toml")
    assert world == "toolwoz"
    assert said == [f"josh: --agent_strategy {WORLD}"]


def test_a_world_that_is_given_stays(capsys):
    flags = ("--env", "persuasion", "--agent_strategy", "offline_persuader", "--user_mode", "donor")
    assert settings_of(capsys, *flags) == ("persuasion", "offline", [])


@pytest.mark.parametrize(
    "flags", [("--agent", "offline_persuader"), ("--user", "donor"), ("--beam_size", "8", "--josh")]
)
def test_no_other_flag_means_another_world(capsys, flags):
    assert settings_of(capsys, *flags) == ("persuasion", "offline", [])


def test_the_example_of_the_published_code_fails_before_the_first_call(capsys, endpoint, monkeypatch):
    url, server = endpoint()
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    flags = "--josh --josh_debug --max_concurrency 20 --seed 20 --task_split train --temperature 1.0 --beam_size 8"
    side = ("--agent_strategy", "react", "--user_mode", "goal", "--model", "m", "--base_url", url, "--end_index", "10")
    assert bad(capsys, *flags.split(), *side).startswith("josh: no key for model 'gpt-4o'")
    assert server.requests == []
