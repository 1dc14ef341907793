"""CONTRIBUTING.md: its tutorials are run as they stand, and what it names is there."""

import ast
import re
import shlex
import subprocess
import sys

import pytest
from places import ROOT

from josh.cli import main

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))


@pytest.fixture
def tutorial(elsewhere, tmp_path):
    """The current folder, with the tutorials' files in it."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def commands(name):
    """The flags of each `josh` command in the bash blocks that name something."""
    blocks = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("josh ")]
    return [shlex.split(line)[1:] for line in lines if name in line]


@pytest.mark.parametrize("name", ["test_market.py", "test_best_first.py"])
def test_the_tests_of_a_tutorial_pass(name, tutorial):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", name]
    done = subprocess.run(command, cwd=tutorial, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 10


def test_the_world_is_played_with_its_setting_from_a_flag_and_from_a_file(tutorial):
    flags = commands("--env.difficulty")[0]
    assert main([*flags, "--log_dir", "by-flag"]) == 0
    assert main(["--config", "hard.toml", "--log_dir", "by-file"]) == 0
    by_flag, by_file = (next((tutorial / name).glob("*/episodes.jsonl")) for name in ("by-flag", "by-file"))
    assert by_flag.read_bytes() == by_file.read_bytes()
    assert "Deal, $" in by_flag.read_text(encoding="utf-8")


def test_the_help_lists_the_settings_of_the_world(tutorial, capsys):
    with pytest.raises(SystemExit) as ended:
        main(next(flags for flags in commands("market.py") if "--help" in flags))
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--env.difficulty" in shown
    assert "--env.patience" in shown


@pytest.mark.parametrize(
    ("flags", "refusal"),
    [(["--env.difficulty", "9"], "env.difficulty is 9; give 1 to 5"), (["--corpus", "p4g"], "corpus is given, but ")],
)
def test_a_setting_that_is_out_of_range_or_that_nobody_reads_is_refused(flags, refusal, tutorial, capsys):
    assert main(["--env", "./market.py:Market", *flags]) == 2
    assert refusal in capsys.readouterr().err


@pytest.mark.parametrize("flags", commands("best_first.py"), ids=" ".join)
def test_the_strategy_is_played_on_any_world(flags, tutorial):
    assert main(flags) == 0


def test_every_step_in_the_life_of_a_turn_is_there():
    rows = re.findall(r"^\| \d+ \| `([\w/]+\.py)` \| `([\w.]+)` \|", TEXT, re.MULTILINE)
    assert len(rows) == 10
    for file, function in rows:
        names = set()
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {f"{node.name}.{getattr(one, 'name', '')}" for one in node.body}
        assert function in names, f"{file} has no {function}"


def test_the_annotated_tree_names_every_room_and_no_file_that_is_gone():
    tree = next(block for block in TEXT.split("```")[1::2] if "the engine: knows no world" in block)
    files = [
        path
        for folder in ("josh", "envs", "agents", "users", "rewards", "runs")
        for path in (ROOT / folder).rglob("*.py")
        if not (ROOT / folder).is_symlink()
    ]
    assert set(re.findall(r"\b\w+\.py\b", tree)) <= {path.name for path in files}
    assert {f"{path.parent.name}/" for path in files} <= set(re.findall(r"\b\w+/", tree))


def test_the_floors_are_those_that_the_tests_check():
    block = next(block for block in TEXT.split("```")[1::2] if "main __main__ __init__" in block)
    shown = [line.replace("/ ", " ").rstrip("/").replace("/", ".") for line in block.strip().splitlines()]
    module = ast.parse((ROOT / "tests" / "test_house.py").read_text(encoding="utf-8"))
    (checked,) = [
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "FLOORS"
    ]
    assert shown == list(reversed(checked))
