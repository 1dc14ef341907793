"""Ctrl-C ends every command with one line and 130, also while it is only being imported."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "josh" / "main.py"
AT_IMPORT = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, *rest):
        if name == os.environ["MODULE"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
"""
CALLS_MAIN = f"""{AT_IMPORT}
from josh.main import main
sys.exit(main())
"""


def interrupted(arguments, folder, **environment):
    """Runs Python with some arguments, as a terminal does: Ctrl-C is not ignored."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **{name: _with_path(name, value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _with_path(name, value):
    before = os.environ.get(name) if name == "PYTHONPATH" else None
    return os.pathsep.join([str(value), *([before] if before else [])])


@pytest.mark.parametrize("module", ["josh.cli", "josh.parser", "josh.runs.report.show"])
def test_ctrl_c_during_an_import_is_one_line(tmp_path, module):
    done = interrupted(["-c", CALLS_MAIN, "show", "nothing"], tmp_path, MODULE=module)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "josh: interrupted\n")


HANGS_AT_PRELOAD = """
import os, pathlib, sys, time
class Hangs:
    def find_spec(self, name, *rest):
        if name == "josh.runs.loop.preload":
            pathlib.Path("importing").touch()
            while os.getppid() == parent:
                time.sleep(0.05)
            os._exit(0)
parent = os.getppid()
sys.meta_path.insert(0, Hangs())
"""


@pytest.mark.parametrize("whole_group", [False, True], ids=["the process", "the group, as at a terminal"])
def test_ctrl_c_ends_a_loop_whose_packages_are_still_imported(tmp_path, whole_group):
    """The imports last until the loop is gone, so it is interrupted while it waits for them, on any machine."""
    (tmp_path / "sitecustomize.py").write_text(HANGS_AT_PRELOAD)
    process = subprocess.Popen(
        [sys.executable, "-m", "josh", "loop", "--tiny", "--tiny_size", "nano", "--log_dir", "records"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": _with_path("PYTHONPATH", tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    try:
        while not (tmp_path / "importing").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1] == "josh: interrupted"
    assert "Traceback" not in said
    assert not [*(tmp_path / "records").iterdir()], "a loop without a result leaves no folder"


@pytest.mark.parametrize("command", [["-m", "josh"], [SCRIPT]])
@pytest.mark.parametrize("module", ["josh.cli", "josh.config"])
def test_ctrl_c_is_one_line_however_josh_is_started(tmp_path, command, module):
    (tmp_path / "sitecustomize.py").write_text(AT_IMPORT)
    done = interrupted([*command, "show", "nothing"], tmp_path, PYTHONPATH=tmp_path, MODULE=module)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "josh: interrupted\n")


def test_a_program_that_imports_josh_keeps_its_own_ctrl_c(tmp_path):
    code = (
        "import josh.main, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler); "
        "import josh.__main__; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    assert interrupted(["-c", code], tmp_path).stdout == "True\nFalse\n"


def test_a_second_ctrl_c_ends_a_plug_in_that_waits(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os, signal, time\n"
        "from josh.agents.persuasion.offline import OfflinePersuader\n"
        "class Stuck(OfflinePersuader):\n"
        "    async def step(self, **given):\n"
        "        for _ in range(2):\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)\n"
    )
    done = interrupted(["-m", "josh", "--agent", "./mine.py:Stuck", "--synthetic_tasks", "2"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "josh: interrupted\n")


def test_the_script_of_a_clone_runs_from_anywhere(tmp_path):
    done = interrupted([SCRIPT, "--version"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
