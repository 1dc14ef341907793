"""What data may not choose: the code that runs, and where a key goes."""

import json
from pathlib import Path

import pytest
from playing import PEOPLE, only_run, run

from josh.cli import main
from josh.runs.play.destinations import owned

RAN = Path("ran.txt")
FOREIGN = """
from pathlib import Path

from josh.envs.persuasion.env import PersuasionEnv
from josh.rewards.donation import DonationRewards

with Path("ran.txt").open("a") as file:
    file.write("ran ")


class World(PersuasionEnv):
    agents = {"offline": "./near.py:Near"}


class Gifts(DonationRewards):
    pass
"""
NEAR = """
from josh.agents.persuasion.offline import OfflinePersuader

class Near(OfflinePersuader):
    pass
"""
SMALL = ("--synthetic_tasks", "2", "--max_convo_turns", "2")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def foreign(change):
    """A run whose `config.json` somebody changed."""
    folder = run("records", *SMALL)
    config = json.loads((folder / "config.json").read_text())
    change(config["settings"])
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def code():
    """The file of a world, with its agent's file beside it."""
    Path("foreign").mkdir()
    Path("foreign/x.py").write_text(FOREIGN)
    Path("foreign/near.py").write_text(NEAR)
    return Path("foreign/x.py").resolve()


def with_code(role="env", name="World"):
    """A run that names somebody's code."""
    code()
    return foreign(lambda settings: settings[role].update(name=str(Path(f"foreign/x.py:{name}").resolve())))


@pytest.mark.parametrize("role_and_name", [("env", "World"), ("rewards", "Gifts"), ("agent", "World")])
@pytest.mark.parametrize("command", ["show", "show 1", "report", "plot", "compare", "export"])
def test_a_command_that_reads_runs_no_code_of_the_run(command, role_and_name, capsys):
    folder = with_code(*role_and_name)
    name, _, task = command.partition(" ")
    more = {"plot": ["--out", "turns.svg"], "export": ["--format", "sft", "--paths", "lost", "--out", "o.jsonl"]}.get(
        name, []
    )
    assert main([name, str(folder), *filter(None, [task]), *more]) == 0
    assert not RAN.exists()
    noted = "is code that a recorded run names; to run it, give --trust\n" in capsys.readouterr().err
    assert noted == (name != "export" and role_and_name[0] != "agent")


@pytest.mark.parametrize("command", [["--resume"], ["replay"], ["rescore"], ["evaluate", "--trained_on"]])
def test_a_command_that_plays_runs_no_code_of_the_run(command, capsys):
    folder = with_code()
    assert main([*command, str(folder)]) == 2
    assert not RAN.exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "x.py:World' is code that a recorded run names; to run it, give --trust" in error
    repeated = f", or --env {Path('foreign/x.py').resolve()}:World" in error
    assert repeated == (command[0] in {"--resume", "evaluate"})


@pytest.mark.parametrize("way", [["--trust"], ["--env", "foreign/x.py:World"]])
def test_code_runs_where_the_command_line_says_so(way, capsys):
    folder = run("mine", *SMALL, "--env", f"{code()}:World")
    before = RAN.read_text()
    capsys.readouterr()
    assert main(["--resume", str(folder), *way]) == 0
    assert RAN.read_text() == before, "it is loaded already"


def test_a_world_names_its_agent_beside_itself_from_any_folder(monkeypatch, capsys):
    world = code()
    elsewhere = Path("else").resolve()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    folder = run("records", *SMALL, "--env", f"{world}:World")
    assert json.loads((folder / "config.json").read_text())["plays"]["agent"].endswith(":Near")
    assert main(["rescore", "--trust", str(folder), "--log_dir", "again"]) == 0
    assert main(["--resume", str(folder), "--env", f"{world}:World"]) == 0


@pytest.mark.parametrize("command", ["show", "report", "rescore", "--resume"])
def test_a_command_that_starts_a_server_is_code(command, capsys):
    Path("rows.jsonl").write_text('{"instruction": "Go on.", "judge": "It went on."}')
    server = {"name": "mcp", "command": "sh -c 'touch ran.txt'", "tasks": str(Path("rows.jsonl").resolve())}
    folder = foreign(lambda settings: settings.update(env=server))
    main([command, str(folder)])
    assert not RAN.exists()
    assert "env \"mcp:sh -c 'touch ran.txt'\" is code that a recorded run names; to run it" in capsys.readouterr().err


def test_a_run_of_joshs_own_plug_ins_needs_no_flag(capsys):
    folder = run("records", *SMALL)
    for command in (["--resume"], ["replay"], ["rescore"], ["show"]):
        assert main([*command, str(folder)]) == 0
    assert "trust" not in capsys.readouterr().err


# Keys


def by_model(url, variable):
    return lambda settings: (
        settings["user"].update(name="persuadee", model="them", base_url=url, api_key_var=variable)
        or settings["tasks"].update(trust_task_endpoints=True)
    )


def unfinished(folder):
    (folder / "episodes.jsonl").unlink()
    return folder


def test_a_foreign_run_sends_no_key(endpoint, monkeypatch, capsys):
    url, server = endpoint()
    monkeypatch.setenv("HF_TOKEN", "hf-secret")
    folder = unfinished(foreign(by_model(url, "HF_TOKEN")))
    assert main(["--resume", str(folder)]) == 2
    assert not server.requests
    error = capsys.readouterr().err
    assert f"sends the key in HF_TOKEN to {url} for model 'them'; to allow it, give --trust, or" in error
    assert f"--user_base_url {url} --user_api_key_var HF_TOKEN" in error
    assert main(["--resume", str(folder), "--user_base_url", url]) == 2
    assert main(["--resume", str(folder), "--user_base_url", url, "--user_api_key_var", "HF_TOKEN"]) == 0
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer hf-secret"}


def test_the_default_key_goes_to_no_address_of_a_foreign_run(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    folder = unfinished(foreign(by_model("https://somewhere.invalid/v1", None)))
    assert main(["--resume", str(folder)]) == 2
    assert "sends the key in OPENAI_API_KEY to https://somewhere.invalid/v1" in capsys.readouterr().err


def test_an_address_without_a_key_needs_no_flag(endpoint):
    url, server = endpoint()
    folder = unfinished(foreign(by_model(url, None)))
    assert main(["--resume", str(folder)]) == 0
    assert server.requests


def tasks_with(**metadata):
    row = {"id": "row", "data": PEOPLE, "metadata": {f"persuadee_{name}": value for name, value in metadata.items()}}
    Path("tasks.jsonl").write_text(json.dumps(row))
    return ["--corpus", "tasks.jsonl", "--max_convo_turns", "1"]


def test_a_task_file_sends_no_key(endpoint, monkeypatch, capsys):
    url, server = endpoint()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret")
    flags = tasks_with(model="m", base_url=url, api_key_var="AWS_SECRET_ACCESS_KEY")
    assert main(flags) == 2
    assert main([*flags, "--dry_run"]) == 2
    assert not server.requests
    words = f"task row sends m at {url}, with the key in AWS_SECRET_ACCESS_KEY; to allow what the rows say, give "
    assert words + "--trust_task_endpoints" in capsys.readouterr().err


@pytest.mark.parametrize("way", [0, 1])
def test_a_task_file_sends_a_key_where_a_flag_says_so(way, endpoint, monkeypatch, capsys):
    url, server = endpoint()
    monkeypatch.setenv("ROW_KEY", "row-secret")
    flags = tasks_with(model="m", base_url=url, api_key_var="ROW_KEY")
    named = ["--user_model", "n", "--user_base_url", url, "--user_api_key_var", "ROW_KEY"]
    flags += [["--trust_task_endpoints"], named][way]
    assert main([*flags, "--dry_run"]) == 0
    captured = capsys.readouterr()
    said = f"user of task row: m at {url}, with the key in ROW_KEY"
    assert json.loads(captured.out)["requests_go_to"][-1] == said
    assert f"josh: {said}\n" in captured.err
    assert main(flags) == 0
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer row-secret"}
    assert f"josh: {said}\n" in capsys.readouterr().err, "it is said before the run too"


def test_the_recorded_trust_in_rows_counts_for_nothing(endpoint, monkeypatch, capsys):
    url, server = endpoint()
    monkeypatch.setenv("ROW_KEY", "row-secret")
    flags = tasks_with(model="m", base_url=url, api_key_var="ROW_KEY")
    assert main([*flags, "--trust_task_endpoints", "--log_dir", "records"]) == 0
    folder, asked = unfinished(only_run()), len(server.requests)
    (folder / "replies.sqlite").unlink()
    assert main(["--resume", str(folder)]) == 2
    assert len(server.requests) == asked
    assert main(["--resume", str(folder), "--trust_task_endpoints"]) in {0, 2}


# Providers

OPENAI, ROUTER = "https://api.openai.com/v1", "https://openrouter.ai/api/v1"


@pytest.mark.parametrize(
    ("model", "base_url", "variable", "goes"),
    [
        ("openrouter/a/b", OPENAI, "OPENAI_API_KEY", ("litellm:openrouter/a/b", None, None)),
        ("openrouter/a/b", OPENAI, None, ("litellm:openrouter/a/b", None, None)),
        ("openrouter/a/b", None, "OPENAI_API_KEY", ("litellm:openrouter/a/b", None, None)),
        ("litellm:anthropic/c", None, "OPENAI_API_KEY", ("litellm:anthropic/c", None, None)),
        ("anthropic/c", "http://127.0.0.1:1/v1", "OPENAI_API_KEY", ("litellm:anthropic/c", None, None)),
        ("anthropic/c", ROUTER, "OPENROUTER_API_KEY", ("anthropic/c", ROUTER, "OPENROUTER_API_KEY")),
        ("openai/gpt-oss-20b", "http://127.0.0.1:1/v1", None, ("openai/gpt-oss-20b", "http://127.0.0.1:1/v1", None)),
        ("openrouter/a/b", "http://127.0.0.1:1/v1", "MINE", ("openrouter/a/b", "http://127.0.0.1:1/v1", "MINE")),
        ("meta-llama/L", "http://127.0.0.1:1/v1", "OPENAI_API_KEY", None),
        ("gpt-4o-mini", OPENAI, "OPENAI_API_KEY", None),
    ],
)
def test_a_providers_model_never_meets_another_providers_address_or_key(model, base_url, variable, goes):
    going = owned(model, base_url, variable)
    assert (going.model, going.base_url, going.api_key_var) == (goes or (model, base_url, variable))


def test_a_rotation_says_where_a_providers_model_goes(monkeypatch, capsys):
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(name, f"key of {name}")
    monkeypatch.setenv("PERSUASION_PERSUADEE_BASE_URL", OPENAI)
    monkeypatch.setenv("PERSUASION_PERSUADEE_API_KEY_VAR", "OPENAI_API_KEY")
    monkeypatch.setenv("PERSUASION_PERSUADEE_MODEL_ROTATION", "gpt-4o-mini,openrouter/deepseek/deepseek-chat")
    assert main([*SMALL, "--dry_run"]) == 0
    captured = capsys.readouterr()
    said = (
        "user: openrouter/deepseek/deepseek-chat at its provider openrouter, with the key in OPENROUTER_API_KEY, not "
        f"with {OPENAI}, which is another provider's"
    )
    assert f"josh: {said}\n" in captured.err
    assert json.loads(captured.out)["requests_go_to"] == [said]
