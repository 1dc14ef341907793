"""Shards of a run, and the run that they are merged to."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from playing import lines, run
from resuming import FILES, respond

from josh.cli import main
from josh.errors import UsageError
from josh.roles import Task
from josh.runs.play.merge import merge
from josh.runs.play.tasks import shard_of

TOY = ("--env", "toy_world:World", "--strategy", "fan_out", "--strategy.go_on", "--rewards", "toy_world:Counting")
pytestmark = pytest.mark.usefixtures("elsewhere")


def merged(*folders, out="merged"):
    return asyncio.run(merge([Path(folder) for folder in folders], Path(out), "whole"))


def shards(of, *flags):
    """Play all shards of a run; their folders."""
    return [run(f"shard-{n}-{of}", *flags, "--num_shards", of, "--shard_idx", n) for n in range(of)]


def same(one, other):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


@pytest.mark.parametrize(("tasks", "of"), [(1, 1), (5, 1), (5, 5), (7, 3), (12, 5), (100, 9)])
def test_shards_have_all_tasks_once_and_differ_by_one_at_most(tasks, of):
    whole = [Task(str(number), number, {}) for number in range(tasks)]
    cut = [shard_of(whole, number, of) for number in range(of)]
    assert [task for shard in cut for task in shard] == whole
    assert {len(shard) for shard in cut} <= {tasks // of, tasks // of + 1}


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--num_shards", "9", "--shard_idx", "9"], "shard 9 of 9 does not exist; give shard_idx 0 to 8"),
        (["--shard_idx", "1"], "shard 1 of 1 does not exist; give shard_idx 0, or num_shards"),
        (["--num_shards", "13"], "num_shards is 13, but there are 12 tasks; give at most 12"),
        (["--num_shards", "0"], "num_shards is 0; give 1 or more"),
    ],
)
def test_a_shard_that_does_not_exist_is_named_before_anything_is_played(capsys, flags, line):
    assert main(["run", *TOY, *flags]) == 2
    assert capsys.readouterr().err == f"josh: {line}\n"
    assert not Path("records").exists()


@pytest.mark.parametrize("of", [2, 5])
def test_merged_shards_are_the_run_that_plays_all_tasks_in_whatever_order(of):
    whole, parts = run("whole", *TOY), shards(of, *TOY)
    result = merged(*parts[::-1])
    assert same(result.folder, whole)
    summary, wanted = (json.loads((folder / "summary.json").read_text()) for folder in (result.folder, whole))
    assert summary == wanted
    assert main(["--resume", str(result.folder), "--trust"]) == 0
    assert same(result.folder, whole)


def test_a_folder_of_shards_stands_for_them(tmp_path):
    for number in range(2):
        assert main(["run", *TOY, "--num_shards", "2", "--shard_idx", str(number), "--log_dir", "both"]) == 0
    assert same(merged("both", out="both").folder, run("whole", *TOY))
    with pytest.raises(UsageError, match="whole exists; remove it"):
        merged("both", out="both")


def test_a_merged_run_has_the_replies_and_the_bill_of_its_shards(endpoint):
    url, server = endpoint(respond=respond)
    flags = ["--model", "us", "--base_url", url, "--synthetic_tasks", 5, "--josh", "--beam_size", 2]
    flags += ["--max_convo_turns", 2, "--price", "us=1/2"]
    whole = run("whole", *flags)
    result = merged(*shards(2, *flags))
    asked = len(server.requests)
    assert same(result.folder, whole)
    assert result.summary["usage"] == json.loads((whole / "summary.json").read_text())["usage"]
    assert main(["replay", str(result.folder)]) == 0
    assert len(server.requests) == asked


def test_what_is_not_all_shards_of_one_run_is_not_merged():
    one, two, three = shards(3, *TOY)
    seeded = run("seeded", *TOY, "--seed", 5, "--num_shards", 3, "--shard_idx", 2)
    whole = run("whole", *TOY)
    copy = Path(shutil.copytree(two, "copy"))
    for folders, line in (
        ([one], "shards 1, 2 of 3 are missing; give all 3"),
        ([three, one], "shard 1 of 3 is missing; give all 3"),
        ([one, two, three, two], f"{two} is given twice; give it once"),
        ([one, two, three, copy], f"shard 1 is given twice, in {two} and {copy}; leave one out"),
        ([one, two, seeded], f"seed is 10 in {one}, and 5 in {seeded}; merge shards of one run"),
        ([whole], f"{whole} is a whole run, without num_shards; give shards of one run"),
        ([whole.parent], "whole has no shard of a run; give the folders of runs with --num_shards"),
        (["nothing"], "nothing is not a run: cannot read nothing/config.json: No such file or directory"),
    ):
        with pytest.raises(UsageError) as error:
            merged(*folders)
        assert str(error.value) == line
        assert not Path("merged/whole").exists()


def test_an_unfinished_or_damaged_shard_is_named():
    one, two = shards(2, *TOY)
    text = (two / "episodes.jsonl").read_text()
    (two / "episodes.jsonl").write_text(text.replace('"directive"', '"direktive', 1))
    with pytest.raises(UsageError, match=f"{two}/episodes.jsonl: line 1 is damaged; resume this shard, then merge"):
        merged(one, two)
    assert not Path("merged/whole").exists()
    (two / "summary.json").unlink()
    with pytest.raises(UsageError, match=f"{two} is unfinished; finish it with josh --resume {two}"):
        merged(one, two)


def test_the_summary_counts_pairs_by_label_and_note(capsys):
    folder = run("records", *TOY)
    of_tasks = [episode["pairs"] for episode in lines(folder / "episodes.jsonl") if "pairs" in episode]
    pairs = [pair for pairs in of_tasks for pair in pairs]
    counted = json.loads((folder / "summary.json").read_text())["pairs"]
    labelled = sum(pair["label"] == "longer" for pair in pairs)
    assert counted == {
        "tasks": len(of_tasks),
        "pairs": len(pairs),
        "labels": {"longer": labelled},
        "unlabelled": {"counted": len(pairs) - labelled},
    }
    words = f"{len(pairs)} in {len(of_tasks)} tasks: {labelled} longer, {len(pairs) - labelled} without a label"
    assert f"sibling pairs   {words} ({len(pairs) - labelled} counted)" in capsys.readouterr().out
