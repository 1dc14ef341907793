"""`josh proactive states`: files of states that the world plays."""

from collections import Counter
from pathlib import Path

import pytest
from playing import lines
from refusals import bad
from sandboxes import any_sandbox
from trajectories import write

from josh.cli import main
from josh.seeds import part_of

pytestmark = pytest.mark.usefixtures("elsewhere")


def states(*flags, out="seeds/states.jsonl"):
    assert main(["proactive", "states", "--out", out, *map(str, flags)]) == 0
    return lines(Path(out))


def test_made_up_states_have_the_published_keys_and_half_lack_a_fact():
    rows = states("--n_states", 40)
    published = {"id", "domain", "query", "dialogue_turn", "prev_reject", "task_uncertainty"}
    assert all(published <= row.keys() for row in rows)
    assert Counter(row["domain"] for row in rows) == {"coding": 20, "planning": 20}
    assert sum("hidden" in row for row in rows) == 20
    assert {part_of(row["id"]) for row in rows} == {"train"}
    assert {row["domain"] for row in states("--domain", "planning", "--split", "test", out="t.jsonl")} == {"planning"}


def test_a_file_of_made_up_states_is_played_as_the_states_themselves():
    states("--n_states", 30, "--domain", "coding")
    for name, flags in {"file": ("--dataset_path", "seeds/states.jsonl"), "made": ("--n_states", 30)}.items():
        assert main(["proactive", "generate", "--out", f"{name}.jsonl", *map(str, flags)]) == 0
        assert main(["proactive", "rewards", "--trajectories", f"{name}.jsonl", "--out", f"{name}-prefs.jsonl"]) == 0
    file, made = (lines(Path(f"{name}-prefs.jsonl")) for name in ("file", "made"))
    assert [row["rewards"] for row in file] == [row["rewards"] for row in made]
    assert [row["prompt"] for row in file] == [row["prompt"] for row in made]
    assert not any("hidden" in row["state"] or "needs" in row["state"] for row in file)


def test_states_of_mbpp_keep_their_tests_and_name_the_function():
    tests = ["assert add(1, 2) == N", "assert add(0, 0) == 0"]
    row = {"text": "Write a function to add numbers.", "test_list": tests, "test_setup_code": "N = 3"}
    write([{**row, "task_id": number} for number in (3, 11, 12, 13, 700)], "mbpp.jsonl")
    rows = states("--dataset", "mbpp", "--path", "mbpp.jsonl", "--split", "test", "--limit", 2)
    assert [one["id"] for one in rows] == ["mbpp-11", "mbpp-12"]
    assert rows[0]["query"] == "Write a function to add numbers.\nThe name of the function: add"
    assert (rows[0]["mbpp_tests"], rows[0]["mbpp_setup"], rows[0]["dialogue_turn"]) == (tests, "N = 3", 0)
    flags = ("--dataset_path", "seeds/states.jsonl", "--out", "traj.jsonl", "--allow_exec", any_sandbox().tool)
    assert main(["proactive", "generate", *flags]) == 0
    assert {len(one["state"]["mbpp_tests"]) for one in lines(Path("traj.jsonl"))} == {2}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "no out given; example: josh proactive states --n_states 50 --out seeds/states.jsonl"),
        (("--out", "s.jsonl", "--n_states", "0"), "n_states is 0; give 1 or more"),
        (("--out", "s.jsonl", "--domain", "cooking"), "domain is 'cooking'; give coding, planning or both"),
        (("--out", "s.jsonl", "--split", "dev"), "split is 'dev'; give train, valid, test or all"),
        (("--out", "s.jsonl", "--dataset", "humaneval"), "dataset is 'humaneval'; give synthetic or mbpp"),
        (
            ("--out", "s.jsonl", "--path", "m.jsonl"),
            "path is given, but dataset is 'synthetic'; leave it out, or give ",
        ),
        (("--out", "s.jsonl", "--dataset", "mbpp", "--path", "m.jsonl"), "cannot read m.jsonl: No such file"),
        (("--out", "s.jsonl", "--n_states", "1000000"), "n_states is 1000000; there are "),
    ],
)
def test_wrong_flags_are_refused(capsys, flags, said):
    assert bad(capsys, "proactive", "states", *flags).startswith(f"josh: {said}")
    assert not list(Path().iterdir())
