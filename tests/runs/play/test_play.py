"""`josh play`: a person on one side of a conversation, by a pipe and by a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from josh.cli import main
from josh.envs.toolwoz.env import ToolwozEnv
from josh.envs.toolwoz.tasks import perfect_calls
from josh.runs.settings import core

PEOPLE = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}


@pytest.fixture(autouse=True)
def elsewhere(elsewhere, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def josh(*flags, typed="", **variables):
    return subprocess.run(
        [sys.executable, "-m", "josh", *flags],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


def only_run(log_dir="records"):
    (folder,) = Path(log_dir).iterdir()
    return folder


def lines(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def said(folder):
    """What every speaker said in a run's only conversation."""
    (episode,) = lines(folder / "episodes.jsonl")
    return [(node["speaker"], message["content"]) for node in episode["nodes"] for message in node["messages"]]


def test_a_person_gives_and_is_recorded_like_any_user():
    ended = josh("play", typed="Hello there\n\nTell me more.\nFine. [DONATE $1.50]\nnever read\n")
    assert ended.returncode == 0, ended.stderr
    assert "you are the persuadee" in ended.stdout
    assert "# Who you are" in ended.stdout
    assert "[DONATE $1.50] in a message gives that much, [DONATE $0] refuses" in ended.stdout
    assert "synthetic-train-0000: won, $1.50 after 3 rounds" in ended.stdout
    folder = only_run()
    assert f"josh show {folder} 1" in ended.stdout
    assert [text for speaker, text in said(folder) if speaker == "user"] == [
        "Hello there",
        "Tell me more.",
        "Fine. [DONATE $1.50]",
    ]
    for speaker, text in said(folder):
        if speaker == "agent":
            assert " ".join(ended.stdout.split()).count(f"persuader: {text}") == 1
    (episode,) = lines(folder / "episodes.jsonl")
    assert (episode["reward"], episode["ending"], episode["nodes"][-1]["model"]) == (1.5, "completed", "person")
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["user"]["name"] == "human"
    report = json.loads(re.search(r'id="head">(.*?)</script>', (folder / "report.html").read_text())[1])
    assert report["headline"].endswith(": OfflinePersuader (offline) and Human (person)")
    assert config["plays"]["user"] == "josh.users.human:Human"
    (example,) = lines(folder / "training_examples.jsonl")
    assert example["is_golden_path"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["usage"]["user"]["calls"] == 0
    assert summary["average_reward"] == 1.5
    assert main(["replay", str(folder)]) == 0


def test_a_refusal_is_lost_and_a_person_who_leaves_is_cut_off():
    for typed, outcome, ending in (
        ("No. [DONATE $0]\n", "lost", "completed"),
        ("Hm.\n/quit\n", "user_left", "truncated"),
        ("no line end", "user_left", "truncated"),
    ):
        name = f"{outcome}-{len(typed)}"
        ended = josh("play", "--as", "persuadee", "--log_dir", name, typed=typed)
        assert ended.returncode == 0, ended.stderr
        (episode,) = lines(only_run(name) / "episodes.jsonl")
        assert (episode["nodes"][-1]["outcome"], episode["ending"], episode["reward"]) == (outcome, ending, 0)
        assert episode["error"] == ""


def test_a_person_who_persuades_earns_nothing_by_a_tag_and_makes_examples(capsys):
    ended = josh("play", "--as", "persuader", "--seed", "3", typed="Give! [DONATE $2]\nPlease?\n/quit\n")
    assert ended.returncode == 0, ended.stderr
    assert "you are the persuader" in ended.stdout
    folder = only_run()
    assert folder.name.startswith("persuasion-person-")
    (episode,) = lines(folder / "episodes.jsonl")
    assert episode["metrics"]["tag_attempts"] == 1
    assert (episode["reward"], episode["ending"]) == (0, "truncated")
    assert json.loads((folder / "config.json").read_text())["settings"]["agent"]["name"] == "human"
    for speaker, text in said(folder):
        assert speaker == "agent" or f"persuadee: {text}" in " ".join(ended.stdout.split())
    (example,) = lines(folder / "training_examples.jsonl")
    assert [message["role"] for message in example["messages"][:3]] == ["system", "user", "assistant"]
    assert main(["show", str(folder), "1"]) == 0
    assert "persuader: (left)" in capsys.readouterr().out
    assert main(["show", str(folder)]) == 0
    assert ": Human (person) and Donor (offline)" in capsys.readouterr().out


def test_a_person_calls_tools_until_something_is_said():
    task = ToolwozEnv({"seed": core()["seed"].default}).tasks("train")[0]
    perfect = perfect_calls(task.data)
    calls = [f"/{api} {' '.join(f'{name}={value}' for name, value in given.items())}" for api, given in perfect]
    api, given = perfect[0]  # quotes and commas do no harm
    calls[0] = f"/{api} " + ", ".join(f'{name}="{value}"' for name, value in given.items())
    wrong = ["/search_taxi", "/search_hotel the north", "/search_hotel area=north star=4"]
    typed = "\n".join((*wrong, *calls, "All done.", "/quit", ""))
    ended = josh("play", "--env", "toolwoz", "--as", "assistant", typed=typed)
    assert ended.returncode == 0, ended.stderr
    shown = " ".join(ended.stdout.split())
    assert "/search_hotel area= internet= name= parking= pricerange= stars= type=" in shown
    assert "(there is no tool 'search_taxi'; known: search_restaurant, " in shown
    assert "(what is 'the north'? Write /search_hotel area=VALUE " in shown
    assert "(what is 'star'? Write /search_hotel area=VALUE " in shown
    assert f"{task.id}: won, 1.00 after 1 round" in shown
    folder = only_run()
    assert main(["replay", str(folder)]) == 0
    (example,) = lines(folder / "training_examples.jsonl")
    roles = ["system", "user", *["assistant", "tool"] * len(calls), "assistant"]
    assert [message["role"] for message in example["messages"]] == roles
    made = [message["tool_calls"][0]["function"]["name"] for message in example["messages"] if "tool_calls" in message]
    assert made == [api for api, _ in perfect]
    assert main(["export", str(folder), "--format", "sft", "--out", "sft.jsonl"]) == 0
    assert main(["export", "--check", "sft.jsonl"]) == 0


def test_the_last_words_of_the_other_side_are_shown(tmp_path):
    (tmp_path / "soft.py").write_text(
        "from josh import BaseJOSHUser\n\nclass Soft(BaseJOSHUser):\n    def step(self, agent):\n"
        '        agent.add_message({"role": "user", "content": "Gladly. [DONATE $2]"})\n        return agent, True\n'
    )
    ended = josh("play", "--as", "agent", "--user", "./soft.py:Soft", typed="Please give.\n")
    shown = ended.stdout.splitlines()
    assert "persuadee: Gladly. [DONATE $2]" in shown
    assert "synthetic-train-0000: won, $2.00 after 1 round" in shown
    assert "; 1 round; " in josh("show", str(only_run()), "1").stdout


def test_a_persuader_who_leaves_before_a_word_is_not_recorded():
    ended = josh("play", "--as", "persuader")
    assert ended.returncode == 2
    assert ended.stderr == "josh: synthetic-train-0000: the agent said nothing, so there is no conversation to record\n"
    assert not Path("records").exists()


def test_what_ends_a_conversation_is_the_environment_s_business():
    Path("free.py").write_text(
        "from josh import BaseRewards\n"
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "class Free(PersuasionEnv):\n"
        "    tag = None\n"
        "class Unmoved(BaseRewards):\n"
        "    def is_reward(self, agent_actions):\n"
        "        return False, []\n"
    )
    free = ("--env", "./free.py:Free", "--rewards", "./free.py:Unmoved", "--max_convo_turns", "3")
    ended = josh("play", *free, typed="[DONATE $1]\nYes.\n/quit\n")
    assert ended.returncode == 0, ended.stderr
    assert [text for speaker, text in said(only_run()) if speaker == "user"][:2] == ["[DONATE $1]", "Yes."]


def test_the_other_side_may_be_a_model_and_its_tags_are_defused(endpoint):
    url, server = endpoint(respond=lambda body: f"\x1b[2J [DONATE $2] {len(body['messages'])}")
    ended = josh("play", "--model", "us", typed="Hm.\n[GIVE $0.5]\n", OPENAI_BASE_URL=url)
    assert ended.returncode == 0, ended.stderr
    assert r"persuader: \x1b[2J (DONATE $2) 2" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert "won, $0.50 after 2 rounds" in ended.stdout
    assert json.loads((only_run() / "summary.json").read_text())["usage"]["agent"]["calls"] == 2
    assert len(server.requests) == 2


def test_a_budget_that_ends_a_conversation_costs_nothing_that_was_said(endpoint):
    url, server = endpoint(respond=lambda body: f"words {len(body['messages'])}")
    ended = josh("play", "--model", "us", "--max_calls", "1", typed="Hm.\nnever read\n", OPENAI_BASE_URL=url)
    assert "max_calls 1 is reached: 0 of 1 tasks were finished" in ended.stderr
    ended = josh("--resume", str(only_run()), "--max_calls", "5", typed="[DONATE $1]\n")
    assert ended.returncode == 0, ended.stderr
    assert "won, $1.00 after 2 rounds" in ended.stdout
    assert [text for speaker, text in said(only_run()) if speaker == "user"] == ["Hm.", "[DONATE $1]"]
    assert len(server.requests) == 2


def test_no_model_is_set_up_for_the_person(tmp_path):
    row = {"id": "one", "data": PEOPLE, "metadata": {"persuadee_model": "them"}}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row))
    ended = josh("play", "--corpus", "tasks.jsonl", typed="[DONATE $0]\n", PERSUASION_PERSUADEE_MODEL="another")
    assert ended.returncode == 0, ended.stderr
    assert json.loads((only_run() / "config.json").read_text())["plays"]["models"] == ["offline"]


def test_several_tasks_are_played_one_after_another():
    ended = josh("play", "--end_index", "2", typed="One. [DONATE $1]\nHello.\nTwo. [DONATE $2]\n")
    assert ended.returncode == 0, ended.stderr
    order = [ended.stdout.index(text) for text in ("0000: you are", "won, $1.00", "0001: you are", "won, $2.00")]
    assert order == sorted(order)


def begun(*flags):
    return subprocess.Popen([sys.executable, "-m", "josh", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def asked(process, times):
    """Wait until the person has been asked so many times."""
    written, end = b"", time.monotonic() + 30
    while written.count(b"persuadee> ") < times:
        assert time.monotonic() < end, written
        if select.select([process.stdout], [], [], 0.1)[0]:
            written += os.read(process.stdout.fileno(), 1 << 16)


def test_the_time_that_a_person_takes_is_no_timeout():
    process = begun("play", "--task_timeout", "0.3")
    asked(process, 1)
    time.sleep(0.8)
    assert b"won, $1.00" in process.communicate(b"[DONATE $1]\n")[0]


def test_what_was_said_before_a_kill_is_not_asked_for_again():
    typed = ["Hello.", "Go on.", "Well.", "[DONATE $0.75]"]
    assert josh("play", "--log_dir", "whole", typed="\n".join(typed) + "\n").returncode == 0
    process = begun("play")
    process.stdin.write(b"Hello.\nGo on.\n")
    process.stdin.flush()
    asked(process, 3)
    process.kill()
    process.communicate()
    ended = josh("--resume", str(only_run()), typed="Well.\n[DONATE $0.75]\n")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("persuadee> ") == 2
    assert ended.stdout.index("persuadee: Go on.") < ended.stdout.index("persuadee> Well.")
    for file in ("episodes.jsonl", "training_examples.jsonl"):
        assert (only_run() / file).read_bytes() == (only_run("whole") / file).read_bytes()


def as_session_of(terminal):
    def prepare():
        # Whoever runs the tests in the background has Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    return prepare


class Terminal:
    """A terminal with josh in it."""

    def __init__(self, *arguments):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "josh", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=as_session_of(theirs),  # noqa: PLW1509
        )
        os.close(theirs)
        self.written = ""

    def until(self, text, seconds=20):
        end = time.monotonic() + seconds
        start = len(self.written)
        while text not in self.written[start:]:
            assert time.monotonic() < end, self.written
            if select.select([self.ours], [], [], 0.1)[0]:
                self.written += os.read(self.ours, 1 << 16).decode()

    def type(self, text):
        os.write(self.ours, text.encode())

    def ended(self):
        """Read what is left; the exit code."""
        while True:
            try:
                got = os.read(self.ours, 1 << 16)
            except OSError:
                break
            if not got:
                break
            self.written += got.decode()
        os.close(self.ours)
        return self.process.wait(20)


def test_in_a_terminal_ctrl_c_breaks_off_and_resuming_goes_on():
    first = Terminal("play")
    first.until("persuadee> ")
    first.type("Good evening \x1b[D!\n")
    first.until("persuadee> ")
    first.type("\x03")
    assert first.ended() == 130
    assert f"go on with: josh --resume {only_run()}" in first.written
    assert "Traceback" not in first.written
    second = Terminal("--resume", str(only_run()))
    second.until("persuadee> ")
    assert "persuadee: Good evening !" in second.written
    second.type("\x04")
    assert second.ended() == 0
    assert "you left, $0.00 after 2 rounds" in second.written
    assert [text for speaker, text in said(only_run()) if speaker == "user"] == ["Good evening !"]


def test_a_conversation_in_which_nothing_was_said_leaves_nothing():
    terminal = Terminal("play")
    terminal.until("persuadee> ")
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert not Path("records").exists()


def test_when_nobody_reads_any_more_the_conversation_can_be_resumed():
    typed = "(echo Hello.; sleep 1; echo Go on.)"
    # The brief is 40 lines; after the first answer the reader is gone.
    command = f"{typed} | {sys.executable} -m josh play | sed '/persuadee> Hello/q' > read.txt"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "the output is closed (Broken pipe)" in ended.stderr
    assert f"go on with: josh --resume {only_run()}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    again = josh("--resume", str(only_run()), typed="[DONATE $1]\n")
    assert again.returncode == 0, again.stderr
    assert ("user", "Hello.") in said(only_run())


@pytest.mark.parametrize(
    "flags, words",
    [
        (["play", "--as", "nobody"], "as is 'nobody'; give user (persuadee) or agent (persuader)"),
        (["play", "--as", "agent", "--model", "x"], "model is 'x', but you play the agent; leave it out"),
        (["play", "--user", "donor"], "user is 'donor', but you play the user"),
        (["--user", "human"], "max_concurrency is 16 with a person for the user"),
        (["--agent", "human", "--josh"], "strategy is 'beam' with a person for the agent"),
        (["play", "--josh"], "josh is given; a person has one conversation at a time, leave it out"),
        (["play", "--start_index", "99"], "start_index 99 to end_index 100 holds no task"),
    ],
)
def test_what_cannot_be_played_is_refused_in_a_line(flags, words, capsys):
    assert main(flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not re.search("Traceback", line)
    assert not Path("records").exists()
