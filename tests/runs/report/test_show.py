"""`josh show`, as a reader meets it: the list of a run's tasks, and the tree of one."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT
from playing import LOOKS
from rich.cells import cell_len

from josh.cli import main

RUDE = r"""
from josh import BaseJOSHAgent, BaseJOSHUser

class Rude(BaseJOSHAgent):
    def step(self, **_):
        self.add_message({"role": "assistant", "content": "\x1b[2J\x1b]0;title\x07 gone \u202e \r\n日本語"})
        return True

class Giver(BaseJOSHUser):
    def step(self, agent):
        agent.add_message({"role": "user", "content": "[DONATE $1.00]"})
        return agent, True
"""


@pytest.fixture(autouse=True)
def elsewhere(elsewhere, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search of three tasks, played to the end."""
    return played(tmp_path_factory.mktemp("searched"), "--josh", "--stop", "best", "--synthetic_tasks", "3")


def played(log_dir, *flags):
    assert main([*flags, "--log_dir", str(log_dir)]) in (0, 1)
    (folder,) = log_dir.iterdir()
    return folder


def shown(capsys, folder, *arguments):
    capsys.readouterr()
    assert main(["show", str(folder), *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def refused(capsys, folder, *arguments):
    capsys.readouterr()
    assert main(["show", str(folder), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def in_a_process(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "josh", "show", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


def episodes(folder):
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_list_has_a_line_for_every_task(searched, capsys):
    lines = shown(capsys, searched)
    for number, episode in enumerate(episodes(searched), 1):
        (line,) = [line for line in lines if episode["task_id"] in line]
        _, _, reward, rounds, *_, turns, errors = line.split()
        assert line.startswith(str(number))
        assert (reward, rounds, errors) == (f"${episode['reward']:.2f}", f"{episode['rounds']:g}", "0")
        assert int(turns) == len(episode["nodes"]) - 1
    assert "searched with a beam of 8 to the end" in lines[0]
    assert lines[-1].endswith(f"josh show {searched} 1")


def test_a_tree_has_every_turn_once_and_marks_the_golden_path(searched, capsys):
    (episode, *_) = episodes(searched)
    lines = shown(capsys, searched, "1", "--width", "1000")
    turns = [line for line in lines if re.search(r"persua(der|dee): ", line)]
    assert len(turns) == len(episode["nodes"]) - 1
    said = [re.split(r"persua(?:der|dee): ", line)[1].split("   ")[0].strip() for line in turns]
    assert sorted(said) == sorted(node["messages"][-1]["content"] for node in episode["nodes"][1:])
    (golden,) = [line for line in lines if "★ won, " in line]
    assert golden.endswith(f"★ won, ${episode['reward']:.2f}")
    wins = [line for line in lines[1:] if " won, $" in line]
    assert len(wins) == len(episode["collapses"][0]["rewarded"])
    splits = episode["nodes"][episode["collapses"][0]["winner"]]["path"].count("/") + 1
    assert sum("─ ★ " in line for line in lines) == splits
    assert lines[-1] == "★ golden path   ✓ successful   · did not win"


def test_only_splits_are_indented(capsys, tmp_path):
    plain = played(tmp_path / "plain", "--synthetic_tasks", "1")
    lines = shown(capsys, plain, "1")
    (episode,) = episodes(plain)
    assert sum(line.startswith(("persuader: ", "persuadee: ")) for line in lines) == len(episode["nodes"]) - 1
    assert not re.search("[├└│]", "".join(lines))


@pytest.mark.parametrize("width", [40, 60, 173])
def test_no_line_is_wider_than_asked_for(searched, capsys, width):
    for task in "123":
        lines = shown(capsys, searched, task, "--width", str(width))
        # However deep a text stands, it keeps some columns.
        assert max(map(cell_len, lines)) <= max(width, 18 + 24 + 2)


def test_a_task_is_named_by_id_or_number(searched, capsys):
    assert shown(capsys, searched, "synthetic-train-0001") == shown(capsys, searched, "2")


def test_a_task_that_is_not_there_is_refused_with_those_near(searched, capsys):
    assert "no task 'synthetic-train-001'; near: synthetic-train-000" in refused(
        capsys, searched, "synthetic-train-001"
    )
    assert f"no task 'p4g'; josh show {searched} lists them" in refused(capsys, searched, "p4g")
    assert "there is no task 4; " in refused(capsys, searched, "4")
    assert "width is 10; give 40 to 1000" in refused(capsys, searched, "1", "--width", "10")
    assert "nowhere is not a run" in refused(capsys, "nowhere")


def test_nothing_that_a_model_says_reaches_the_terminal_as_a_command(capsys, tmp_path):
    (tmp_path / "rude.py").write_text(RUDE, encoding="utf-8")
    flags = ["--agent", "./rude.py:Rude", "--user", "./rude.py:Giver", "--synthetic_tasks", "1"]
    folder = played(tmp_path / "records", *flags)
    for more in ([], ["--full"]):
        text = "\n".join(shown(capsys, folder, "1", *more))
        assert r"\x1b[2J\x1b]0;title\x07 gone \u202e" in text
        assert "日本語" in text
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_errors_and_other_worlds_are_shown(capsys, tmp_path):
    folder = played(tmp_path / "toy", "--env", "toy_world:World", "--josh", "--seed", "3")
    text = "\n".join(line for task in range(1, 13) for line in shown(capsys, folder, str(task)))
    assert "✗ agent: (ConnectionError: the line is dead)" in text
    assert "user: " in text
    assert "kept, 0." in text
    assert "persuade" not in text
    assert any(line.split()[-1] != "0" for line in shown(capsys, folder) if line.startswith("1"))


def test_tool_calls_and_what_only_the_agent_saw(capsys, tmp_path):
    folder = played(tmp_path / "tools", "--env", "toy_world:Tools", "--josh")
    text = "\n".join(line for task in range(1, 13) for line in shown(capsys, folder, str(task)))
    assert 'agent: [calls look {"at": "this"}]' in text
    assert "You sell things" not in text
    whole = "\n".join(shown(capsys, folder, "2", "--full"))
    assert "system: You sell things, the 1th time." in whole
    assert re.search("tool: (red|blue)", whole)


def test_what_an_agent_is_told_in_its_own_turn_is_not_the_users(capsys, tmp_path):
    (tmp_path / "looks.py").write_text(LOOKS + RUDE)
    flags = ["--agent", "./looks.py:Looks", "--user", "./looks.py:Giver", "--synthetic_tasks", "1"]
    folder = played(tmp_path / "records", *flags)
    said = [line.strip() for line in shown(capsys, folder, "1", "--full") if "AP" in line or "red" in line]
    assert said == [
        "persuader: APICALL look",
        "tool: APIRETURN red",
        "persuader: SPEAK It is red.",
        "persuader: It is red.",
    ]
    assert "APIRETURN" not in "\n".join(shown(capsys, folder, "1"))


def test_long_texts_are_cut_unless_all_is_wanted(capsys, tmp_path):
    long = "zebra " * 300
    (tmp_path / "long.py").write_text(RUDE.replace("gone", long))
    folder = played(
        tmp_path / "records", "--agent", "./long.py:Rude", "--user", "./long.py:Giver", "--synthetic_tasks", "1"
    )
    assert sum("zebra" in line for line in shown(capsys, folder, "1")) == 3
    assert any("[...]" in line for line in shown(capsys, folder, "1"))
    assert sum(line.count("zebra") for line in shown(capsys, folder, "1", "--full")) == 300


def test_what_is_there_is_shown_of_a_damaged_or_unfinished_run(capsys, tmp_path):
    folder = played(tmp_path / "records", "--synthetic_tasks", "3")
    file = folder / "episodes.jsonl"
    first, second, _ = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text(f"{first}{{half a line\n{second}", encoding="utf-8")
    lines = shown(capsys, folder)
    assert [line.rstrip().endswith("not finished") for line in lines if line[:1].isdigit()] == [False, False, True]
    assert main(["show", str(folder)]) == 0
    assert "line 2 is damaged" in capsys.readouterr().err
    assert "task synthetic-train-0002 is not in the lines that can be read; line 2 of" in refused(capsys, folder, "3")
    (folder / "config.json").unlink()
    assert sum("synthetic-train-" in line for line in shown(capsys, folder)) == 2
    assert "persuade" not in shown(capsys, folder, "2")[2]


def test_a_plug_in_that_is_gone_costs_only_its_names(capsys, tmp_path):
    (tmp_path / "gone.py").write_text("from josh.envs.persuasion.env import PersuasionEnv as World\n")
    folder = played(tmp_path / "records", "--env", "./gone.py:World", "--synthetic_tasks", "1")
    assert "persuader: " in shown(capsys, folder, "1", "--trust")[2]
    (tmp_path / "gone.py").unlink()
    sys.modules.pop(f"josh_plugin_{(tmp_path / 'gone.py').as_posix().encode().hex()}")
    assert "agent: " in shown(capsys, folder, "1", "--trust")[2]


def test_of_an_evaluation_the_runs_are_named(capsys, tmp_path):
    assert main(["evaluate", "--synthetic_tasks", "2", "--max_convo_turns", "2", "--log_dir", "evals"]) == 0
    (folder,) = (tmp_path / "evals").iterdir()
    line = refused(capsys, Path("evals") / folder.name)
    assert "is made of several runs; give one of them: model-donor, uniform-donor, " in line
    assert "2 persuasion tasks" in shown(capsys, folder / "model-donor")[0]


def test_without_box_characters_it_is_drawn_in_ascii(searched):
    ended = in_a_process(searched, "1", PYTHONIOENCODING="ascii")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.isascii()
    assert "|- * persuader: " in ended.stdout
    assert "`- " in ended.stdout


def test_a_reader_that_has_seen_enough_is_no_error(searched):
    command = f"{sys.executable} -m josh show {searched} 1 --width 40 --full | head -n 1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ended.stdout.startswith("synthetic-train-0000: ")
    assert ended.stderr == ""


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_for_terminals_that_want_them(searched, variables):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "josh", "show", str(searched), "1"]
    process = subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "xterm", **variables})
    os.close(theirs)
    written = b""
    while True:
        try:
            got = os.read(ours, 1 << 16)
        except OSError:
            break
        if not got:
            break
        written += got
    assert process.wait() == 0
    assert (b"\x1b[1;33m" in written) is not bool(variables)


def test_the_picture_in_the_readme_is_what_josh_shows(capsys, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    picture = next(block for block in readme.split("```\n") if "├─ " in block)
    command = re.search(r"here after\s`josh (.*?)`:", readme)[1]
    folder = played(tmp_path / "records", *command.split())
    assert "\n".join(shown(capsys, folder, "1")) + "\n" == picture


def test_no_error_commands_the_terminal(capsys, tmp_path, searched):
    assert r"no task 'red\x1b[31m'" in refused(capsys, searched, "red\x1b[31m")
    assert r"nowhere\x1b[31m is not a run" in refused(capsys, "nowhere\x1b[31m")
    with pytest.raises(SystemExit):
        main(["show", str(searched), "1", "\x1b[31m"])
    assert capsys.readouterr().err == "josh: unrecognized arguments: \\x1b[31m; see josh show --help\n"
    (tmp_path / "nasty.py").write_text(
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "from josh import BaseJOSHAgent\n"
        "class Fails(BaseJOSHAgent):\n"
        "    def delete_reward(self, reward):\n"
        "        raise RuntimeError('\\x1b]0;title\\x07\\nmore')\n"
        "    def step(self, **_):\n"
        "        raise RuntimeError('\\x1b[2J\\nmore')\n"
    )
    played(tmp_path / "records", "--agent", "./nasty.py:Fails", "--synthetic_tasks", "2")
    both = capsys.readouterr()
    assert r"\x1b[2J more" in both.out
    assert "\x1b" not in both.out + both.err
    logging.getLogger("josh").warning("the server says %s", "\x1b[2J")
    assert capsys.readouterr().err == "josh: the server says \\x1b[2J\n"


def test_leaves_are_called_what_the_report_s_page_calls_them(capsys, tmp_path):
    folder = played(tmp_path / "toy", "--env", "toy_world:World", "--josh", "--seed", "3")
    lines = [line for task in range(1, 13) for line in shown(capsys, folder, str(task), "--width", "1000")]
    labels = {re.sub(r"(, [\d.]+)?$", "", line.split("   ")[-1].strip()) for line in lines if "   " in line}
    assert {"cut off", "successful", "limit", "user left"} <= labels
    head = json.loads(re.search(r'id="head">(.*?)</script>', (folder / "report.html").read_text("utf-8"))[1])
    assert {"cut off", "successful", "limit", "user left", "won"} <= set(head["leaves"])
    assert sum(head["leaves"].values()) == sum(
        "outcome" in node for episode in episodes(folder) for node in episode["nodes"]
    )


def test_awkward_ids_break_no_row_of_the_list(capsys, tmp_path):
    folder = played(tmp_path / "records", "--synthetic_tasks", "3")
    rows = episodes(folder)
    for row, name in zip(rows, ("two\nlines", "long" * 75, "日本" * 60), strict=True):
        row["task_id"] = row["task"]["id"] = name
    (folder / "episodes.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (folder / "config.json").unlink()
    lines = shown(capsys, folder, "--width", "80")[2:-2]
    assert len(lines) == 4
    assert r"two\nlines" in lines[1]
    assert max(map(cell_len, lines)) <= 80
    assert refused(capsys, folder, "9" * 5000).startswith(f"josh: {folder} has no task '999")


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [(">/dev/full", 2, "josh: cannot write to stdout: No space left on device\n"), (">&-", 0, "")],
)
def test_output_that_cannot_be_written_is_no_traceback(searched, output, code, said):
    command = f"{sys.executable} -m josh show {searched} 1 {output}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (code, said)
