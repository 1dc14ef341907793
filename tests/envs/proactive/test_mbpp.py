"""States from MBPP: both layouts, their tests, the function's name, and rows with a fault."""

import json
import os
import subprocess
import sys

import pytest
from places import ROOT
from sandboxes import any_sandbox

from josh.envs.proactive.asserts import function_of
from josh.envs.proactive.mbpp import load_mbpp
from josh.envs.proactive.states import load_states
from josh.errors import UsageError

FULL = {
    "text": "Write a function to find the similar elements from the given two tuple lists.",
    "code": "def similar_elements(a, b):\n  return tuple(set(a) & set(b))",
    "task_id": 12,
    "test_setup_code": "",
    "test_list": [
        "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)",
        "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)",
    ],
    "challenge_test_list": ["assert similar_elements((), ()) == ()"],
}
SANITIZED = {
    "source_file": "Benchmark Questions Verification V2.ipynb",
    "task_id": 14,
    "prompt": "Write a function to find the volume of a sphere.",
    "code": "import math\ndef volume_sphere(r): return (4/3) * math.pi * r ** 3",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(volume_sphere(10), 4188.790204786391, rel_tol=0.001)"],
}


def written(tmp_path, *rows, array=False):
    path = tmp_path / "mbpp.jsonl"
    path.write_text(json.dumps(rows, indent=1) if array else "".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_the_full_layout_keeps_its_tests_and_names_the_function(tmp_path):
    (state,) = load_mbpp(written(tmp_path, FULL))
    assert (state.id, state.domain, state.dialogue_turn, state.prev_reject) == ("mbpp-12", "coding", 0, 0)
    assert state.query == f"{FULL['text']}\nThe name of the function: similar_elements"
    assert list(state.tests) == FULL["test_list"]
    assert state.setup == ""
    assert state.extra == {
        "task_id": 12,
        "function": "similar_elements",
        "mbpp_challenge_tests": FULL["challenge_test_list"],
    }
    assert "set(a)" not in json.dumps(state.row)


@pytest.mark.parametrize("array", [False, True])
def test_the_sanitized_layout_keeps_its_imports(tmp_path, array):
    (state,) = load_mbpp(written(tmp_path, SANITIZED, array=array))
    assert state.query == f"{SANITIZED['prompt']}\nThe name of the function: volume_sphere"
    assert (state.tests, state.setup) == (tuple(SANITIZED["test_list"]), "import math")


def test_a_setup_is_kept_apart_from_the_tests(tmp_path):
    row = {**FULL, "test_setup_code": "root = Node(1)\nroot.left = Node(2)", "test_list": ["assert height(root) == 2"]}
    (state,) = load_mbpp(written(tmp_path, row))
    assert (state.setup, state.tests) == (row["test_setup_code"], ("assert height(root) == 2",))
    assert state.extra["function"] == "height"


def test_the_states_can_be_written_and_read_again(tmp_path):
    states = load_mbpp(written(tmp_path, FULL, SANITIZED))
    path = tmp_path / "states.jsonl"
    path.write_text("".join(f"{json.dumps(state.row)}\n" for state in states))
    assert load_states(path) == states


def test_the_reference_solutions_pass_their_tests(tmp_path):
    for row, state in zip((FULL, SANITIZED), load_mbpp(written(tmp_path, FULL, SANITIZED)), strict=True):
        assert any_sandbox().grade(row["code"], state.tests, state.setup).right


def test_the_splits_are_the_published_ones(tmp_path):
    path = written(tmp_path, *({**FULL, "task_id": number} for number in (1, 10, 11, 510, 511, 600, 601, 974, 975)))
    found = {split: [state.extra["task_id"] for state in load_mbpp(path, split)] for split in ("prompt", "test", "all")}
    assert found == {"prompt": [1, 10], "test": [11, 510], "all": [1, 10, 11, 510, 511, 600, 601, 974, 975]}
    assert [state.id for state in load_mbpp(path, "validation")] == ["mbpp-511", "mbpp-600"]
    assert [state.id for state in load_mbpp(path, "train")] == ["mbpp-601", "mbpp-974"]
    assert [state.id for state in load_mbpp(path, "all", limit=2)] == ["mbpp-1", "mbpp-10"]


@pytest.mark.parametrize(
    ("tests", "name"),
    [
        (["assert (max_length([[0], [1, 3]])) == (1, [1, 3])"], "max_length"),
        (["assert set(common((1, 2), (2, 3))) == set((2,))"], "common"),
        (["assert longest([Pair(5, 24), Pair(15, 25)], 4) == 3"], "longest"),
        (["assert math.isclose(area(3), 9.0)", "assert area(0) == 0"], "area"),
        (["assert sum(10, 15) == 6", "assert sum(100, 150) == 93"], "sum"),
        (["assert sorted(divmod(7, 2)) == [1, 3]"], "divmod"),
        (["assert not odd(2)", "assert odd(len([1]))"], "odd"),
        (["assert 4 == double(2)"], "double"),
        (["assert Stack().push(1).size() == 1"], "Stack"),
        (["assert 1 == 1"], None),
        ([], None),
    ],
)
def test_the_function_is_the_one_that_the_tests_call(tests, name):
    assert function_of(tests) == name


def test_functions_of_the_setup_are_not_the_one_under_test():
    assert function_of(["assert near(area(3), 9)"], "def near(a, b): return abs(a - b) < 1") == "area"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": None}, "line 2: the task has no request; give a text as `text` or `prompt`"),
        ({"test_list": []}, "line 2: the task has no tests; give assertions as `test_list`"),
        ({"test_list": 3}, "line 2: test_list is 3; give a list of texts"),
        ({"test_list": ["assert f(1 == 2"]}, "line 2: mbpp_tests does not parse ("),
        ({"test_setup_code": "import"}, "line 2: mbpp_setup does not parse ("),
        ({"test_list": ["assert 1 == 1"]}, "line 2: the tests call no function ('assert 1 == 1'); give assertions"),
        ({"task_id": "x"}, "line 2: task_id is 'x'; give a whole number"),
        ({"task_id": 14}, "line 2: the task_id 14 occurs twice, first at "),
        ({"challenge_test_list": [1]}, "line 2: challenge_test_list is [1]; give a list of texts"),
    ],
)
def test_a_row_with_a_fault_is_refused_with_its_line(tmp_path, change, said):
    with pytest.raises(UsageError) as refused:
        load_mbpp(written(tmp_path, SANITIZED, {**FULL, **change}))
    assert str(refused.value).startswith(f"{tmp_path / 'mbpp.jsonl'} {said}")
    assert "\n" not in str(refused.value)


def test_what_selects_nothing_is_refused(tmp_path):
    path = written(tmp_path, FULL)
    for split, limit, said in (
        ("dev", None, "split is 'dev'; give test, validation, train, prompt or all"),
        ("test", 0, "limit is 0; give 1 or more"),
        (
            "train",
            None,
            f"{path} has no tasks of the split train, which has the task_id 601 to 974; give ",
        ),
    ):
        with pytest.raises(UsageError) as refused:
            load_mbpp(path, split, limit)
        assert str(refused.value).startswith(said)
    path.write_text("[1]\n")
    with pytest.raises(UsageError, match=r"mbpp\.jsonl entry 1 is 1; give a JSON object with task_id"):
        load_mbpp(path)


def through_datasets(tmp_path, module, *given):
    (tmp_path / "datasets.py").write_text(module)
    code = (
        "from josh.envs.proactive.mbpp import load_mbpp\n"
        f"try:\n    print([state.id for state in load_mbpp(None, *{given!r})])\n"
        "except ValueError as error:\n    print(error)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_mbpp_comes_through_datasets(tmp_path):
    module = f"def load_dataset(*given, split): return [{{**{FULL!r}, 'test_setup_code': repr(given)}}]\n"
    assert through_datasets(tmp_path, module) == "['mbpp-12']"
    failing = "def load_dataset(*given, split): raise OSError('no network')\n"
    said = through_datasets(tmp_path, failing, "train", None, "sanitized")
    wanted = "datasets cannot load google-research-datasets/mbpp sanitized, split train: no network; give a file"
    assert said == wanted
    assert through_datasets(tmp_path, "raise ImportError('none')\n").endswith("pip install datasets; or give a file")
