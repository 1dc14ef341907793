"""A run whose memory is used up ends with one line; a plug-in that asks for too much costs its own turn."""

import subprocess
import sys

import pytest

GREEDY = """
import resource
from josh.agents.persuasion.offline import OfflinePersuader
from josh.envs.persuasion.env import PersuasionEnv

class InATurn(OfflinePersuader):
    def step(self, **given):
        return bytearray(1 << 60)

class AtItsStart(OfflinePersuader):
    def __init__(self, *given, **more):
        self.table = bytearray(1 << 60)

class Loud(OfflinePersuader):
    def step(self, **given):
        self.add_message({"role": "assistant", "content": "x" * 100_000_000})
        return True

class Narrow(PersuasionEnv):
    def metrics(self, task, messages):
        with open("/proc/self/statm") as sizes:
            used = int(sizes.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, resource.RLIM_INFINITY))
        return {}
"""


def josh(folder, *flags):
    (folder / "mine.py").write_text(GREEDY)
    return subprocess.run(
        [sys.executable, "-m", "josh", *flags, "--synthetic_tasks", "1"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_plug_in_without_memory_in_a_turn_costs_that_conversation(tmp_path):
    done = josh(tmp_path, "--agent", "./mine.py:InATurn")
    assert done.returncode == 1
    assert "the first error: MemoryError\n" in done.stdout
    assert "josh: task synthetic-train-0000: agent at the root, turn 1: MemoryError\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plug_in_without_memory_at_its_start_is_wrong_input(tmp_path):
    done = josh(tmp_path, "--agent", "./mine.py:AtItsStart")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "josh: task synthetic-train-0000 cannot be set up: MemoryError\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_run_that_cannot_write_a_task_for_want_of_memory_ends_with_one_line(tmp_path):
    done = josh(tmp_path, "--agent", "./mine.py:Loud", "--env", "./mine.py:Narrow", "--max_convo_turns", "1")
    assert done.returncode == 1
    assert done.stderr == "josh: the memory is used up; give josh more, or a run a smaller max_concurrency\n"
