"""Grades of honest solutions, and how a sandbox is made, refused and remembered."""

import asyncio
import copy
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from places import ROOT
from sandboxes import REQUIRED, TOOLS, any_sandbox

from josh.errors import UsageError
from josh.rewards.sandbox.run import BATCH, Grade, Sandbox, runnable
from josh.rewards.sandbox.tools import Limits, Python, command, this_python
from josh.rewards.sandbox.values import decode, encode

CAREFUL = '''
LIMIT = 10
def check(number):
    """Raises ValueError, an Exception, where the number is too large."""
    if number > LIMIT:
        raise ValueError(f"{number} is more than {LIMIT}")
    return number
'''


def refer(value):
    raise AssertionError(f"{value!r} is not plain")


def passed(solution, tests, setup=""):
    return any_sandbox().grade(solution, tests, setup).passed


@pytest.mark.skipif(not REQUIRED, reason="JOSH_TEST_SANDBOX is not `required`, as it is in CI")
def test_a_sandbox_works_on_this_machine():
    reasons = {tool: runnable(tool) for tool in TOOLS}
    assert "" in reasons.values(), f"every test of the sandbox would skip: {reasons}"


def test_each_assertion_is_judged_apart():
    tests = ["assert check(3) == 3", "assert check(4) == 5", "assert check(11) == 11", "assert check(10) == 10"]
    assert any_sandbox().grade(CAREFUL, tests) == Grade(2, 4, "test 2: AssertionError")
    assert any_sandbox().grade(CAREFUL, tests[2:3]).error == "test 1: ValueError: 11 is more than 10"


def test_a_hanging_assertion_leaves_the_others_their_result():
    solution = "def double(number):\n    while number == 7: pass\n    return 2 * number"
    grade = any_sandbox(1.0).grade(solution, ["assert double(7) == 14", "assert double(2) == 4"])
    assert grade == Grade(1, 2, "test 1: it takes longer than 1 s")


def test_state_does_not_reach_the_next_assertion():
    solution = "CALLS = []\ndef count():\n    CALLS.append(1)\n    return len(CALLS)"
    assert passed(solution, ["assert count() == 1"] * 3) == 3


def test_a_right_solution_that_mentions_valueerror_passes():
    caught = "try:\n    check(11)\n    raise AssertionError\nexcept ValueError as error:\n    assert '11' in str(error)"
    assert passed(CAREFUL, ["assert check(3) == 3", caught]) == 2


def test_more_assertions_than_one_sandbox_has_are_all_judged():
    grade = any_sandbox().grade(CAREFUL, [f"assert check({number}) == {number}" for number in range(BATCH + 5)])
    assert (grade.passed, grade.total) == (11, BATCH + 5)


@pytest.mark.parametrize(
    ("solution", "error"),
    [
        ("def double(number)\n    return 1", "test 1: SyntaxError: expected ':' (solution, line 1)"),
        ("", "test 1: NameError: name 'double' is not defined"),
        ("import numpy_of_nobody", "test 1: ModuleNotFoundError: No module named 'numpy_of_nobody'"),
        ("def double(number): return double(number)", "test 1: RecursionError: maximum recursion depth exceeded"),
        ("def double(number): return input()", "test 1: EOFError: EOF when reading a line"),
        ("def double(number): raise Odd()\nclass Odd(Exception): pass", "test 1: SolutionError: Odd: "),
        ("def double(): pass", "test 1: TypeError: double() takes 0 positional arguments but 1 was given"),
        ("import ctypes\ndef double(number): ctypes.string_at(0)", "test 1: its process ended"),
    ],
)
def test_the_error_says_what_is_wrong(solution, error):
    grade = any_sandbox().grade(solution, ["assert double(2) == 4"])
    assert (grade.passed, grade.total, grade.error) == (0, 1, error.strip())


def test_python_in_all_its_forms_can_be_tested():
    solution = """
import collections, dataclasses, enum, itertools, math, re, typing
Point = collections.namedtuple("Point", "x y")
class Kind(enum.IntEnum):
    ONE = 1
@dataclasses.dataclass
class Node:
    value: int
    next: "Node" = None
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item)
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
def counts(text): return collections.Counter(text)
def point(): return Point(1, 2)
def kind(): return Kind.ONE
def squares(n): return (i * i for i in range(n))
def length(node): return 0 if node is None else 1 + length(node.next)
def sort(items): items.sort()
def power(n): return 3 ** n
def same(thing): return thing
def keys(d): return d.keys()
if __name__ == "__main__":
    raise SystemExit
"""
    tests = [
        "assert counts('aab') == {'a': 2, 'b': 1}",
        "assert point() == (1, 2)",
        "assert kind() == 1",
        "assert list(squares(4)) == [0, 1, 4, 9]",
        "assert length(Node(1, Node(2))) == 2",
        "root = Node(1)\nroot.next = Node(2)\nassert length(root) == 2 and root.next.value == 2",
        "stack = Stack()\nstack.push(3)\nassert len(stack) == 1 and list(stack) == [3] and 3 in stack",
        "items = [3, 1]\nassert sort(items) is None\nassert items == [1, 3]",
        "assert power(5000) == 3 ** 5000",
        "assert math.isclose(same(0.1) + 0.2, 0.3) and same(float('inf')) > 1",
        "assert keys({'a': 1}) == {'a'}",
        "assert same(same) == same and callable(same) and same(None) is None and same(True) is True",
    ]
    grade = any_sandbox().grade(solution, tests)
    assert grade == Grade(len(tests), len(tests))


def test_a_solution_may_have_the_name_of_one_of_pythons_functions():
    assert passed("def sum(a, b):\n    return 6", ["assert sum(10, 15) == 6", "assert sum(100, 150) == 6"]) == 2


def test_the_setup_is_known_to_tests_and_solution():
    setup = """
import math
class Node:
    def __init__(self, value): self.value = value
WANTED = 5
def near(a, b): return abs(a - b) < 1
"""
    solution = "def read(node: Node):\n    return math.floor(node.value)\nnear = None\nWANTED = 0"
    assert passed(solution, ["assert read(Node(5.5)) == WANTED", "assert near(read(Node(5)), 5.5)"], setup) == 2
    solution = "class Node:\n    def __init__(self, n): self.n = n\ndef second(root): return root.next.n"
    assert passed(solution, ["assert second(root) == 2"], "root = Node(1)\nroot.next = Node(2)") == 1


def test_the_order_of_a_set_is_the_same_in_every_run():
    solution = "def order():\n    return [*{'one', 'two', 'three', 'four', 'five'}]"
    box = any_sandbox()
    known = json.loads(
        subprocess.run(
            [sys.executable, "-c", f"import json\n{solution}\nprint(json.dumps(order()))"],
            env={"PYTHONHASHSEED": "0"},
            capture_output=True,
            check=True,
        ).stdout
    )
    assert box.grade(solution, [f"assert order() == {known}"]).passed == 1


PLAIN = [None, True, 0, -(2**70), 1.5, "text \ud800", b"\0", bytearray(b"x"), 2j, range(1, 9, 2), [1, [2]], {1, 2}]
PLAIN += [(1, (2,)), frozenset({1}), {"a": {(1, 2): 3}}, Decimal("1.50"), Fraction(1, 3), date(2026, 1, 2)]
PLAIN += [datetime(2026, 1, 2, 3, 4), timedelta(1, 2), int, (str, ValueError)]


@pytest.mark.parametrize("value", PLAIN)
def test_a_plain_value_comes_through_whole(value):
    found = decode(json.loads(json.dumps(encode(value, refer))), refer)
    assert (type(found), found) == (type(value), value)


def test_the_same_content_is_graded_once(tmp_path):
    tool = any_sandbox().tool
    box = Sandbox(tool, folder=tmp_path / "grades")
    chance = "import os\ndef chance():\n    return int.from_bytes(os.urandom(4))"
    wanted = ["assert chance() % 2 == 0"] * BATCH
    first = box.grade(chance, wanted)
    assert box.grade(chance, wanted) is first
    assert Sandbox(tool, folder=tmp_path / "grades").grade(chance, wanted) == first
    (file,) = (tmp_path / "grades").iterdir()
    assert json.loads(file.read_text()) == {"passed": first.passed, "total": BATCH, "error": first.error}
    file.write_text("not a grade")
    assert Sandbox(tool, folder=tmp_path / "grades").grade("def chance(): return 0", wanted).passed == BATCH
    box.grade(chance, wanted, "import math")
    box.grade(chance, wanted[1:])
    assert len(list((tmp_path / "grades").iterdir())) == 4


def test_branches_threads_and_tasks_share_a_sandbox():
    box = any_sandbox()
    assert copy.deepcopy({"box": box})["box"] is box
    solutions = [f"def number(): return {number}" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda solution: box.grade(solution, ["assert number() == 3"]).passed, solutions))
    assert found == [0, 0, 0, 1, 0, 0]

    async def soon():
        return await asyncio.gather(*(box.graded(one, ["assert number() == 4"]) for one in solutions))

    assert [grade.right for grade in asyncio.run(soon())] == [False] * 4 + [True, False]


@pytest.mark.parametrize("tool", [None, ""])
def test_nothing_runs_without_leave(tool):
    with pytest.raises(UsageError, match=r"^the tests .* allow it with --allow_exec bwrap\|unshare\|docker$"):
        Sandbox(tool)


def test_a_tool_that_isolates_nothing_is_refused():
    with pytest.raises(UsageError, match=r"^allow_exec is 'subprocess'; give bwrap, unshare or docker$"):
        Sandbox("subprocess")


def test_a_tool_that_does_not_work_here_is_refused_with_the_reason():
    for tool in (*TOOLS, "docker"):
        if reason := runnable(tool):
            with pytest.raises(UsageError) as refused:
                Sandbox(tool)
            assert str(refused.value) == f"--allow_exec {tool} does not work here: {reason}"
            assert "\n" not in reason


def test_tests_with_a_fault_are_refused():
    with pytest.raises(UsageError, match=r"test 2 \('assert f\(2\) = 3'\) does not parse: line 1: .*give assertions"):
        any_sandbox().grade("", ["assert f(1) == 2", "assert f(2) = 3"])
    with pytest.raises(UsageError, match="the setup of the tests does not parse: line 2"):
        any_sandbox().grade("", ["assert f(1) == 2"], "import math\nx =")


def test_the_example_of_the_readme_prints_what_it_says():
    any_sandbox()
    words = (ROOT / "rewards" / "sandbox" / "README.md").read_text(encoding="utf-8")
    code = words.split("```python\n")[1].split("```")[0].replace('"bwrap"', repr(any_sandbox().tool))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"It prints `{done.stdout.strip()}`" in words


def test_nothing_is_left_on_the_machine(tmp_path):
    tool = any_sandbox().tool
    code = f"from josh.rewards.sandbox.run import Sandbox\nprint(Sandbox({tool!r}).grade('raise SystemExit', ['x']))"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "Grade(passed=0, total=1, error='test 1: SystemExit')\n"
    assert not list(tmp_path.iterdir())


PYTHON = Python("/opt/py/bin/python3.11", ("/usr/lib", "/opt/py/lib"))
LIMITS = Limits(seconds=5, memory=256, processes=8, folder=16, at_once=4)


def made(tool, root=False):
    line = command(
        tool, PYTHON, LIMITS, count=3, user=61190, root=root, place="/tmp/empty", name="josh-1", image="python:3"
    )
    return " ".join(line[: -line[::-1].index("-c") - 1])


def test_dockers_command_line_follows_the_contract():
    assert made("docker") == (
        "docker run --rm --interactive --name josh-1 --pull never --network none --ipc private --hostname sandbox "
        "--read-only --tmpfs /tmp:rw,nosuid,nodev,mode=1777,size=16m --workdir /tmp --user 61190:61190 --cap-drop ALL "
        "--security-opt no-new-privileges --pids-limit 15 --memory 1280m --memory-swap 1280m --env PYTHONHASHSEED=0 "
        "python:3 python -s -P -S -B"
    )


def test_bubblewraps_command_line_follows_the_contract():
    for root, identity in (
        (True, "--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID"),
        (False, "--unshare-user --uid 65534 --gid 65534"),
    ):
        line = made("bwrap", root)
        assert line.startswith(
            "bwrap --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try "
            f"{identity} --die-with-parent --as-pid-1 --clearenv --setenv PYTHONHASHSEED 0 --hostname sandbox "
        )
        assert "--ro-bind /usr/lib /usr/lib --ro-bind /opt/py/lib /opt/py/lib --dev-bind /dev/null" in line
        assert line.endswith(
            "--perms 1777 --size 16777216 --tmpfs /tmp --remount-ro / --chdir /tmp "
            "-- /opt/py/bin/python3.11 -s -P -S -B"
        )


def test_unshares_command_line_follows_the_contract():
    spaces = "unshare --mount --pid --net --ipc --uts --fork --kill-child"
    assert made("unshare", root=True).startswith(f"{spaces} sh -c ")
    end = "--root=/tmp/empty --wd=/tmp /opt/py/bin/python3.11 -s -P -S -B"
    assert made("unshare", root=True).endswith(f"-- unshare {end}")
    assert made("unshare").startswith(f"{spaces} --user --map-root-user sh -c ")
    assert made("unshare").endswith(f"-- unshare --user --map-user=65534 --map-group=65534 {end}")


def test_the_sandbox_has_the_interpreter_and_none_of_its_packages():
    python = this_python()
    assert os.path.realpath(sys.executable) == python.program
    assert all(Path(path).exists() for path in python.paths)
    assert passed(
        "import sys\ndef path(): return [one for one in sys.path if 'packages' in one]", ["assert path() == []"]
    )
