"""What a plug-in does wrong costs its own branch, and the error names what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playing import lines, only_run

from josh.cli import main

PLUG_INS = """
import asyncio, os, sys, threading, time
from josh import BaseJOSHAgent, BaseJOSHUser, BaseRewards
from josh.envs.persuasion.env import PersuasionEnv
from josh.agents.persuasion.offline import OfflinePersuader

class Second(OfflinePersuader):
    def start(self, task, env, options):
        super().start(task, env, options)
        self.second = task.index == 1

class Exits(Second):
    def step(self, **given):
        return sys.exit(3) if self.second else super().step(**given)

class ExitsLater(Second):
    async def step(self, **given):
        await asyncio.sleep(0)
        return sys.exit(3) if self.second else super().step(**given)

class ExitsInAThread(Exits):
    blocking = True

class Generator(Second):
    def step(self, **given):
        if self.second:
            raise GeneratorExit
        return super().step(**given)

class Odd(Second):
    def step(self, **given):
        if self.second:
            raise BaseException("odd")
        return super().step(**given)

class Cancels(Second):
    def step(self, **given):
        if self.second:
            asyncio.current_task().cancel()
        return super().step(**given)

class CancelsLater(Second):
    async def step(self, **given):
        if self.second:
            asyncio.current_task().cancel()
            await asyncio.sleep(60)
        return super().step(**given)

class CatchesItsCancellation(Second):
    async def step(self, **given):
        if self.second:
            asyncio.current_task().cancel()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
        return super().step(**given)

class Text(BaseJOSHAgent):
    def step(self, **given):
        return "hello"

class Bare(BaseJOSHAgent):
    def step(self, **given):
        self.add_message("hello")
        return True

class Says(BaseJOSHUser):
    def step(self, agent, **given):
        return True

class Bool(BaseRewards):
    def is_reward(self, actions):
        return False

class Fails(BaseRewards):
    def is_reward(self, actions):
        return {}["x"]

class Starts(BaseJOSHAgent):
    def start(self, task, env, options):
        1 / 0

class Moves(OfflinePersuader):
    def step(self, **given):
        os.chdir("/")
        return super().step(**given)

class Thread(OfflinePersuader):
    def start(self, task, env, options):
        super().start(task, env, options)
        threading.Thread(target=time.sleep, args=(600,), name="left behind").start()

class OneSplit(PersuasionEnv):
    splits = ("train",)
"""
SMALL = ("--synthetic_tasks", "3", "--max_convo_turns", "2")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("odd.py").write_text(PLUG_INS)


@pytest.mark.parametrize("search", [(), ("--josh",)])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("Exits", "the plug-in called sys.exit(3)"),
        ("ExitsLater", "the plug-in called sys.exit(3)"),
        ("ExitsInAThread", "the plug-in called sys.exit(3)"),
        ("Generator", "the plug-in raised GeneratorExit"),
        ("Odd", "the plug-in raised BaseException: odd"),
        ("Cancels", "the plug-in cancelled the task that it runs in"),
        ("CancelsLater", "the plug-in cancelled the task that it runs in"),
        ("CatchesItsCancellation", "the plug-in cancelled the task that it runs in"),
    ],
)
def test_a_plug_in_that_ends_the_program_or_itself_costs_its_branch(name, error, search):
    assert main(["--agent", f"./odd.py:{name}", *SMALL, *search]) == 0
    summary = json.loads((only_run() / "summary.json").read_text())
    assert (summary["finished"], summary["scored"], summary["owed"]) == (3, 2, 1)
    errors = {
        node.get("error", "").partition(";")[0] for row in lines(only_run() / "episodes.jsonl") for node in row["nodes"]
    }
    assert errors - {""} == {error}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--agent", "./odd.py:Text"], "Text.step() returned the text 'hello'; add words with add_message, and return"),
        (
            ["--agent", "./odd.py:Bare"],
            "Bare.messages got 'hello', which is not a chat message; add a message, such as",
        ),
        (
            ["--user", "./odd.py:Says"],
            "Says.step() returned True; return the agent and whether the conversation is over",
        ),
        (
            ["--rewards", "./odd.py:Bool"],
            "Bool.is_reward() returned False; return whether a goal is met, and the goals",
        ),
        (["--rewards", "./odd.py:Fails"], "Fails.is_reward() failed: KeyError: 'x'"),
    ],
)
def test_the_contract_stands_in_the_error(flags, message, capsys):
    assert main([*flags, *SMALL]) == 1
    assert message in capsys.readouterr().err


def test_an_error_says_once_how_to_see_where_it_is(capsys):
    assert main(["--rewards", "./odd.py:Fails", *SMALL]) == 1
    assert capsys.readouterr().err.count("josh: --debug shows where in the plug-in\n") == 1
    assert main(["--rewards", "./odd.py:Fails", *SMALL, "--debug"]) == 1
    error = capsys.readouterr().err
    assert 'return {}["x"]' in error
    assert "--debug" not in error


def test_a_set_up_that_fails_is_named(capsys):
    assert main(["--agent", "./odd.py:Starts", *SMALL]) == 2
    assert "cannot be set up: Starts.start() failed: ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_a_plug_in_that_changes_the_folder_loses_no_file(capsys, tmp_path):
    assert main(["--agent", "./odd.py:Moves", *SMALL]) == 0
    assert Path.cwd() == tmp_path
    assert (only_run() / "summary.json").exists()
    assert "a plug-in changed the current folder" in capsys.readouterr().err


def test_a_thread_that_is_left_behind_does_not_hold_the_process():
    command = [sys.executable, "-m", "josh", "--agent", "./odd.py:Thread", "--synthetic_tasks", "1"]
    command += ["--max_convo_turns", "1"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert "did not wait for a thread that is still running: 'left behind" in ended.stderr


def test_a_split_that_a_world_lacks_is_told_how_to_add_it(capsys):
    assert main(["--env", "./odd.py:OneSplit", "--task_split", "test"]) == 2
    message = "no task_split named 'test'; known: train; or give OneSplit.splits = ('train', 'test')"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("name", "command"), [("config.json", "--resume"), ("episodes.jsonl", "show")])
def test_a_file_that_is_nested_too_deeply_is_damaged(name, command, capsys):
    assert main([*SMALL]) == 0
    folder = only_run()
    (folder / name).write_text("[" * 200_000 + "\n")
    main([command, str(folder)])
    assert "is damaged" in capsys.readouterr().err


def test_a_damaged_line_is_named_where_its_task_is_wanted(capsys):
    assert main([*SMALL]) == 0
    rows = (only_run() / "episodes.jsonl").read_text().splitlines()
    (only_run() / "episodes.jsonl").write_text("\n".join(["{", *rows[1:]]) + "\n")
    assert main(["show", str(only_run()), "1"]) == 2
    assert "line 1 of" in (error := capsys.readouterr().err)
    assert "is damaged" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "deep.toml"], "deep.toml is not TOML"),
        (["--config", "a.yaml"], "it looks like YAML, and TOML has lines such as: beam_size = 8"),
        (["show", "a.yaml"], "a.yaml is a file; give the folder of a run"),
    ],
)
def test_what_other_programs_take_is_named(arguments, message, capsys):
    Path("deep.toml").write_text("a = " + "[" * 20_000)
    Path("a.yaml").write_text("beam_size: 8\n")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
