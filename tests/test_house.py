"""The house rules that a machine can check."""

import ast
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from places import ROOT

FOLDERS = ("agents", "users", "envs", "rewards", "runs")
FLOORS = (
    "messages reading errors calls quick config seeds tags texts redact threads memory forking trust",
    "dialogue imported tree allowance search transcript branch roles loading",
    "strategies examples token_rows tools",
    "driver turns steps scoring clock outcomes episode confirming conversation conformance api testing terminal models",
    "envs",
    "agents users rewards",
    "runs.settings runs.resolve runs.registry runs.intervals runs.model_names",
    "flags",
    "runs.record",
    "runs.export",
    "runs.play",
    "runs.imports",
    "runs.train",
    "runs.probe",
    "runs.evaluate runs.race",
    "runs.report",
    "runs.loop",
    "runs.systems runs.experiments",
    "commands",
    "parser",
    "cli",
    "main __main__ __init__",
)
"""From the ground up, modules and folders of modules. A module may import what is on its own floor, and below."""
ROOMS = {room: number for number, floor in enumerate(FLOORS) for room in floor.split()}
WORLDS = re.compile("donat|donor|persua|debat|woz|p4g|proactiv|mbpp|ptom", re.IGNORECASE)
"""What gives a world away, in code and in docstrings."""
APART = ("agents", "users", "rewards")
"""Rooms of one floor that never import each other."""


def files():
    """Every Python file, by the module's name without `josh.`; each once, though the folders are linked into josh/."""
    found = {}
    for folder in ("josh", *FOLDERS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            if parts[0] == "josh":
                del parts[0]
                if parts[0] in FOLDERS:
                    continue
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


FILES = files()


def room_of(module):
    """The room on a floor that a module belongs to."""
    parts = module.split(".")
    return next((room for room in (".".join(parts[:2]), parts[0]) if room in ROOMS), None)


@cache
def imported(module):
    """The modules of josh that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "josh":
            whole = node.module.removeprefix("josh").removeprefix(".")
            for alias in node.names:
                deeper = f"{whole}.{alias.name}".removeprefix(".")
                found.add(deeper if deeper in FILES else whole or "__init__")
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("josh.") for alias in node.names if alias.name.startswith("josh.")}
    return frozenset(found)


def test_every_module_has_a_floor_and_every_room_a_module():
    assert {room_of(module) for module in FILES} == set(ROOMS)


def test_every_import_names_a_module():
    for module in FILES:
        assert imported(module) <= FILES.keys() | set(FOLDERS), module


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_what_stands_below_it(module):
    own = room_of(module)
    for other in imported(module):
        room = room_of(other)
        assert ROOMS[room] <= ROOMS[own], f"josh.{module} imports josh.{other} from a floor above"
        if own in APART:
            assert room == own or room not in APART, f"josh.{module} imports josh.{other}, another folder of its floor"


def test_no_module_imports_itself_by_way_of_others():
    try:
        TopologicalSorter({module: imported(module) - {module} for module in FILES}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_no_module_imports_a_private_name():
    for module, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("josh"):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"josh.{module} imports {private} from {node.module}"


def test_the_engine_and_the_life_of_a_run_name_no_world():
    for module, path in FILES.items():
        if module.split(".")[0] in {"envs", "agents", "users", "rewards"} or module == "runs.registry":
            continue
        if module.startswith("runs.systems."):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not WORLDS.search(line), f"{path.relative_to(ROOT)}:{number} names a world: {line.strip()}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folders_are_linked_under_josh(folder):
    link = ROOT / "josh" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("..") / folder
    assert not (ROOT / folder / "__init__.py").exists()


def test_every_folder_is_packaged_with_its_data():
    code = (
        "import json, setuptools\nfrom distutils.core import run_setup\n"
        "made = run_setup('setup.py', stop_after='init')\n"
        "print(json.dumps([made.packages, made.package_data]))"
    )
    packages, data = json.loads(run_python(code, ROOT).stdout)
    for module, path in FILES.items():
        package = "josh" if path.parent == ROOT / "josh" else ".".join(["josh", *module.split(".")[:-1]])
        if path.name == "__init__.py" and path.parent != ROOT / "josh":
            package = f"josh.{module}"
        assert package in packages, f"setup.py packages no {package}, and so not {path.relative_to(ROOT)}"
    for folder in ("josh", *FOLDERS):
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT / folder)
            if (
                path.is_dir()
                or path.suffix in {".py", ".pyc", ".md", ".png"}
                or (folder == "josh" and inside.parts[0] in FOLDERS)
            ):
                continue
            name = folder if folder == "josh" else f"josh.{folder}"
            owners = [".".join([name, *inside.parts[:deep]]) for deep in range(len(inside.parts))]
            kept = any(
                fnmatch("/".join(inside.parts[deep:]), pattern)
                for deep, owner in enumerate(owners)
                for pattern in data.get(owner, ())
            )
            assert kept, f"setup.py packages no data {path.relative_to(ROOT)}"


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
        "heavy = {'openai', 'litellm', 'numpy', 'torch', 'tqdm', 'tenacity', 'httpx', 'aiohttp', 'rich'}\n"
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
