"""Ctrl-C ends every command with one line and 130, also while it is only being imported."""

import os
import signal
import subprocess
import sys
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
