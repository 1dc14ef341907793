"""`josh pbt generate`: the published flags, shards, and trees over a chat endpoint."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from debating import debate, directive_of, sides
from playing import lines
from resuming import FILES

from josh.cli import main
from josh.seeds import part_of

pytestmark = pytest.mark.usefixtures("elsewhere")
TREES = Path("records/pbt/trees")
QUESTIONS = [
    {"question_id": f"q{n}", "question": f"Which is number {n}?", "answer": {"normalized_aliases": [f"gold {n}"]}}
    for n in range(12)
]


def generate(*flags):
    assert main(["pbt", "generate", *map(str, flags)]) == 0


def refused(capsys, *flags):
    """The line on stderr of a command that is refused before anything is written."""
    before = sorted(Path().rglob("*"))
    try:
        code = main(["pbt", *map(str, flags)])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert sorted(Path().rglob("*")) == before
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.removeprefix("josh: ").removesuffix("; see josh --help\n").strip()


def files(folder):
    return [(Path(folder) / name).read_bytes() for name in FILES]


def settings(folder=TREES):
    return json.loads((folder / "config.json").read_text())["settings"]


def depths(episode):
    """The number of turns at each depth."""
    depth = [0]
    for node in episode["nodes"][1:]:
        depth.append(depth[node["parent"]] + 1)
    return [count for _, count in sorted(Counter(depth[1:]).items())]


def test_without_models_it_is_the_offline_quiz_and_a_run_as_any_other(capsys):
    generate()
    said = capsys.readouterr().out
    assert main(["--env", "debate", "--strategy", "fan_out", "--task_split", "all", "--log_dir", "runs"]) == 0
    (run,) = Path("runs").iterdir()
    assert files(TREES) == files(run)
    assert (TREES / "report.html").exists()
    pairs = json.loads((TREES / "summary.json").read_text())["pairs"]
    assert pairs["labels"].keys() == {"accept", "resist"}
    agreed = sum("pairs" not in episode for episode in lines(TREES / "episodes.jsonl"))
    assert said.endswith(f"trees           20, {agreed} of them without disagreement\n")
    assert f"sibling pairs   {pairs['pairs']} in {pairs['tasks']} tasks: " in said


def test_a_finished_run_is_left_as_it_is(capsys):
    generate("--limit", 3)
    before = {path: path.stat().st_mtime_ns for path in TREES.iterdir()}
    capsys.readouterr()
    generate("--limit", 3)
    assert capsys.readouterr().out.startswith("finished before records/pbt/trees/\ntrees           3, ")
    assert {path: path.stat().st_mtime_ns for path in TREES.iterdir()} == before


def test_published_flags_are_settings_of_the_run():
    generate("--limit", 2, "--split", "validation", "--both_do_first", "--deterministic", "--seed", 3)
    found = settings()
    assert found["env"]["name"] == "debate"
    assert found["env"]["both_first"] is True
    assert (found["tasks"]["task_split"], found["env"]["synthetic_tasks"], found["seed"]) == ("valid", 2, 3)
    assert (found["agent"]["temperature"], found["user"]["temperature"]) == (0, 0)
    generate("--limit", 2, "--both_do_first", "false", "--agent", "keeper", "--out-dir", "out")
    found = settings(Path("out/trees"))
    assert (found["env"]["both_first"], found["agent"]["name"]) == (False, "keeper")
    assert (found["agent"]["temperature"], found["user"]["temperature"]) == (0.7, 0.7)


@pytest.mark.parametrize(
    ("turns", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 6]), (4, [1, 2, 6, 12]), (5, [1, 2, 6, 12, 36])]
)
def test_other_numbers_of_turns_cut_the_table_or_go_on_with_it(turns, counts):
    generate("--limit", 1, "--max_turns", turns, "--agent", "keeper", "--user", "keeper")
    (episode,) = lines(TREES / "episodes.jsonl")
    assert depths(episode) == counts


def test_several_trees_of_a_question_stay_in_its_split():
    Path("questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    generate("--questions", "questions.jsonl", "--num_per_example", 3, "--limit", 5)
    episodes = lines(TREES / "episodes.jsonl")
    assert [episode["task_id"] for episode in episodes][:4] == ["q0", "q0~2", "q0~3", "q1"]
    assert Counter(episode["task"]["data"]["question_id"] for episode in episodes) == {f"q{n}": 3 for n in range(5)}
    generate("--questions", "questions.jsonl", "--num_per_example", 2, "--split", "train", "--out_dir", "out")
    kept = {episode["task_id"] for episode in lines("out/trees/episodes.jsonl")}
    assert kept == {
        f"{row['question_id']}{n}" for row in QUESTIONS for n in ("", "~2") if part_of(row["question_id"]) == "train"
    }
    assert 0 < len(kept) < 24


@pytest.mark.parametrize(("by", "shards"), [("--num_shards", 3), ("--shard_size", 4)])
def test_any_cut_into_shards_gives_the_bytes_of_one_run(by, shards, capsys):
    generate("--limit", 13)
    for number in (2, 0, 1):
        generate("--limit", 13, by, shards, "--shard_idx", number, "--out_dir", "parts")
    assert sorted(path.name for path in Path("parts").iterdir()) == [f"shard_{n}_of_3" for n in range(3)]
    capsys.readouterr()
    generate("--merge", "parts/shard_2_of_3", "parts/shard_0_of_3", "parts/shard_1_of_3", "--out_dir", "merged")
    assert files("merged/trees") == files(TREES)
    assert "trees           13, " in capsys.readouterr().out
    generate("--merge", "parts", "--out_dir", "parts")
    assert files("parts/trees") == files(TREES)


def test_shards_that_do_not_exist_or_are_missing_are_named(capsys):
    published = ["generate", "--limit", 76495, "--shard_size", 8000]
    assert refused(capsys, *published, "--shard_idx", 9) == "shard 9 of 9 does not exist; give shard_idx 0 to 8"
    assert refused(capsys, *published) == "there are 9 shards, but shard_idx is not given; give --shard_idx 0 to 8"
    generate("--limit", 6, "--num_shards", 3, "--shard_idx", 1)
    capsys.readouterr()
    line = refused(capsys, "generate", "--merge", "records/pbt")
    assert line == "shards 0, 2 of 3 are missing; give all 3"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--limit 0", "limit is 0; give 1 or more"),
        ("--limit 3 --synthetic_tasks 4", "limit is given with synthetic_tasks; leave one of them out"),
        ("--max_turns 13", "max_turns is 13; give 1 to 12"),
        ("--max_turns 4 --max_convo_turns 3", "max_turns is given with max_convo_turns; leave one of them out"),
        ("--num_shards 2 --shard_size 4", "num_shards is given with shard_size; leave one of them out"),
        ("--shard_idx 3", "shard 3 of 1 does not exist; give shard_idx 0, or num_shards"),
        ("--shard_idx -1", "shard_idx is -1; give 0 or more"),
        ("--num_shards 0 --shard_idx 0", "num_shards is 0; give 1 or more"),
        ("--shard_size 0 --shard_idx 0", "shard_size is 0; give 1 or more"),
        ("--num_per_example 0", "num_per_example is 0; give 1 to 1000"),
        ("--split dve", "no split named 'dve'; known: train, valid, test, all"),
        ("--deterministic --temperature 1", "deterministic is given with temperature 1; leave one of them out"),
        ("--user_top_p 1", "user_top_p is 1.0, but the user has no chat model; leave it out, or give --user_model"),
        ("--questions nowhere.jsonl", "cannot read nowhere.jsonl: No such file or directory"),
        ("--merge a b --limit 3", "limit is given with merge, which plays nothing; leave one of them out"),
        ("--merge nowhere", "nowhere is not a run: cannot read nowhere/config.json: No such file or directory"),
    ],
)
def test_wrong_flags_get_one_line(capsys, flags, line):
    assert refused(capsys, "generate", *flags.split()) == line


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], "no command is given after josh pbt; known: generate"),
        (["genrate"], "no command named 'genrate'; did you mean 'generate'?"),
        (["generate", "--shard_id", "1"], "unrecognized arguments: --shard_id 1; did you mean --shard_idx?"),
        (["generate", "--limit", "many"], "limit is 'many'; give a whole number"),
    ],
)
def test_unknown_commands_and_flags_get_one_line_with_the_near_one(capsys, flags, line):
    assert refused(capsys, *flags).startswith(line)


def test_the_help_has_groups_and_the_published_names(capsys):
    with pytest.raises(SystemExit):
        main(["pbt", "generate", "--help"])
    said = capsys.readouterr().out
    for title in ("tasks and shards:", "trees:", "agent:", "user:", "judge:", "spending:"):
        assert f"\n{title}\n" in said
    for flag in ("--model_a STR, --model STR", "--extractor_model STR, --judge_model STR", "--num_per_example INT"):
        assert flag in said


def test_another_command_for_the_same_folder_is_refused_with_the_difference(capsys):
    generate("--limit", 2)
    capsys.readouterr()
    line = refused(capsys, "generate", "--limit", 2, "--max_turns", 2)
    assert line.startswith("max_convo_turns is 1, and not given in records/pbt/trees; give another --out_dir")
    line = refused(capsys, "generate", "--limit", 3)
    assert line == "limit is 3, and 2 in records/pbt/trees; give another --out_dir"


@pytest.mark.parametrize(
    ("agreeing", "turns", "counts"),
    [((), 21, [1, 2, 6, 12]), (("accept",), 12, [1, 2, 3, 6]), (("accept", "resist"), 3, [1, 2])],
)
def test_a_debate_over_an_endpoint_makes_one_request_a_turn(endpoint, agreeing, turns, counts):
    url, server = endpoint(respond=debate(agreeing))
    generate("--limit", 2, *sides(url))
    assert [depths(episode) for episode in lines(TREES / "episodes.jsonl")] == [counts] * 2
    assert len(server.requests) == 2 * turns
    assert None not in map(directive_of, server.requests)
    assert {body["temperature"] for body in server.requests} == {0.7}


def test_an_extractor_model_is_asked_once_a_turn_that_the_rules_cannot_read(endpoint):
    url, server = endpoint(respond=debate(readable=False))
    generate("--limit", 2, *sides(url, judged=True))
    assert Counter(body["model"] for body in server.requests) == {"a": 14, "b": 28, "extractor": 42}
    (first, _) = lines(TREES / "episodes.jsonl")
    assert first["nodes"][-1]["facts"]["answers"] == {"agent": "alpha", "user": "beta"}
    readable, server = endpoint(respond=debate())
    generate("--limit", 1, *sides(readable, judged=True), "--out_dir", "read")
    assert Counter(body["model"] for body in server.requests) == {"a": 7, "b": 14}


def test_a_dry_run_counts_the_extractor_too(endpoint, capsys):
    url, server = endpoint(respond=debate())
    priced = ["--price", "a=1/1,b=1/1,extractor=1/1"]
    generate("--limit", 2, "--dry_run", *sides(url), "--price", "a=1/1,b=1/1")
    assert "estimate: 4 to 42 calls, " in capsys.readouterr().err
    generate("--limit", 2, "--dry_run", *sides(url, judged=True), *priced)
    assert "estimate: 4 to 84 calls, " in capsys.readouterr().err
    assert server.requests == []


@pytest.mark.slow
def test_a_killed_shard_goes_on_with_the_same_command_and_the_same_bytes(endpoint):
    url, _ = endpoint(respond=debate(("accept",)))
    whole = ["--limit", "6", "--num_shards", "2", "--shard_idx", "1"]
    generate(*whole, *sides(url))
    url, server = endpoint(respond=debate(("accept",)), latency=0.01)
    command = [*whole, *sides(url), "--max_concurrency", "2", "--out_dir", "killed"]
    for enough in (1, 12):
        with subprocess.Popen(
            [sys.executable, "-m", "josh", "pbt", "generate", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child:
            deadline = time.monotonic() + 20
            while len(server.requests) < enough and time.monotonic() < deadline:
                time.sleep(0.001)
            os.kill(child.pid, signal.SIGKILL)
    assert len(server.requests) < 36
    generate(*command)
    assert files("killed/shard_1_of_2") == files("records/pbt/shard_1_of_2")
    assert len(server.requests) <= 36 + 2 * 4
