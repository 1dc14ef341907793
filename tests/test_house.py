"""The house rules that a machine can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

FOLDERS = ("agents", "users", "envs", "rewards", "runs")
FLOORS = {
    "messages": 0, "errors": 0, "seeds": 0, "tags": 0,
    "tree": 1, "roles": 1, "loading": 1, "forking": 1,
    "search": 2, "strategies": 2, "examples": 2, "branch": 2, "threads": 2,
    "driver": 3, "turns": 3, "episode": 3, "api": 3, "models": 3, "testing": 3, "terminal": 3,
    "envs": 4,
    "agents": 5, "users": 5, "rewards": 5,
    "runs": 6, "parser": 7, "cli": 7, "main": 7, "__main__": 7, "__init__": 7,
}  # fmt: skip


def modules():
    for folder in ("josh", "josh/models", "josh/strategies"):
        for path in sorted((ROOT / folder).glob("*.py")):
            yield folder.removeprefix("josh/").replace("josh", "") or path.stem, path
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield folder, path


def imported(path):
    """The floors' names that a module imports from josh, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "josh":
            rest = node.module.split(".")[1:]
            yield from [rest[0]] if rest else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("josh."))


def test_every_module_has_a_floor():
    assert {name for name, _ in modules()} == set(FLOORS)


def test_imports_only_go_down():
    for name, path in modules():
        for other in imported(path):
            assert other in FLOORS, f"{path} imports josh.{other}"
            assert FLOORS[other] <= FLOORS[name], f"{path} ({name}) imports josh.{other} from a floor above"
            if FLOORS[name] == 5:
                assert FLOORS[other] < 5 or other == name, f"{path} imports another folder of its floor: {other}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folders_are_linked_under_josh(folder):
    link = ROOT / "josh" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("..") / folder
    assert not (ROOT / folder / "__init__.py").exists()


def run_python(code, cwd):
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_folders_are_no_packages_of_their_own(tmp_path):
    for folder in FOLDERS:
        assert run_python(f"import {folder}", tmp_path).returncode != 0
        assert run_python(f"import josh.{folder}", tmp_path).returncode == 0


def test_help_loads_nothing_heavy(tmp_path):
    code = (
        "import sys, contextlib, io, josh.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    josh.cli.main(['--help'])\n"
        "heavy = {'openai', 'litellm', 'numpy', 'torch', 'tqdm', 'tenacity', 'httpx', 'aiohttp'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run_python(code, tmp_path).stdout.strip() == "[]"


def test_the_shim_runs_from_anywhere_without_hiding_other_packages(tmp_path):
    shim = str(ROOT / "josh" / "main.py")
    done = subprocess.run([sys.executable, shim, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--beam_size" in done.stdout


def test_ci_runs_the_test_command_of_the_readme():
    fence = chr(96) * 3
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split(fence)[1::2]
    commands = [block.split("\n", 1)[1].strip() for block in blocks if block.startswith("bash\n")]
    assert len(commands) >= 2, "the README gives two set-up commands"
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    # `set -e` overlooks every command of an and-list but the last.
    assert f"{commands[1]} || exit 1" in script


def test_ci_runs_the_tests_that_the_readmes_command_leaves_out():
    assert "-m 'not slow'" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "pytest -m slow" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
