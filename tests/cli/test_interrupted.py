"""Ctrl-C ends every command with one line and 130, also while it is only being imported."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "josh" / "main.py"
INTERRUPTS = """
import os, signal, sys
module = sys.argv.pop(1)
class Interrupts:
    def find_spec(self, name, *rest):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from josh.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["josh.cli", "josh.parser", "josh.runs.report.show"])
def test_ctrl_c_during_an_import_is_one_line(tmp_path, module):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTS, module, "show", "nothing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "josh: interrupted\n")


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
    done = subprocess.run(
        [sys.executable, "-m", "josh", "--agent", "./mine.py:Stuck", "--synthetic_tasks", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "josh: interrupted\n")


def test_the_script_of_a_clone_runs_from_anywhere(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
