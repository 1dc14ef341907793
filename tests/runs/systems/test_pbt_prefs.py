"""`josh pbt prefs`: rows from josh's runs and from PBT's own files of trees."""

import json
from collections import Counter

import pytest
from debates import RESIST, TRAIN, VALID, Debate, published, stored_debates, worked_example
from serving import serving

from josh.cli import main
from josh.runs.experiments.loopback import Loopback
from josh.runs.export.files import manifest_of

SETS = [
    (("--mode", "accept"), {"agree": 2}),
    (("--mode", "resist"), {"resist": 2}),
    (("--agree_only",), {"agree": 2}),
    (("--resist_only", "--balance"), {"resist": 2}),
    (("--combo_only",), {"agree": 2, "resist": 2}),
    (("--mode", "balanced", "--match", "total"), {"agree": 1, "resist": 1}),
    (("--match", "none"), {"agree": 2, "resist": 3}),
    (("--combo_only", "--train_limit", "2"), {"agree": 1, "resist": 1}),
    (("--resist_only", "--train_limit", "1"), {"resist": 1}),
]


def lines(path, *rows):
    """Writes rows, each on a line; texts as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def prefs(tmp_path):
    """Run the command: the rows and the manifest."""

    def run(*arguments):
        out = tmp_path / "out" / "rows.jsonl"
        out.parent.mkdir(exist_ok=True)
        assert main(["pbt", "prefs", *map(str, arguments), "--out", str(out)]) == 0
        return [json.loads(line) for line in out.read_text().splitlines()], json.loads(manifest_of(out).read_text())

    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Run the command where it fails: the line on stderr; nothing is written."""

    def run(*arguments, code=2):
        out = tmp_path / "out"
        out.mkdir()
        assert main(["pbt", "prefs", *map(str, arguments), "--out", str(out / "rows.jsonl")]) == code
        assert list(out.iterdir()) == []
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run


@pytest.mark.parametrize(("flags", "codes"), SETS)
def test_the_flags_choose_the_set(prefs, tmp_path, flags, codes):
    run = stored_debates(tmp_path / "run", worked_example())
    rows, _ = prefs(run, *flags)
    assert Counter(row["code"] for row in rows) == codes


@pytest.mark.parametrize("swapped", [True, False])
def test_published_trees_give_the_pairs_of_the_worked_example(prefs, tmp_path, swapped):
    trees = lines(tmp_path / "tqa.jsonl", published(worked_example(), swapped))
    rows, manifest = prefs(trees, *(("--slots", "pbt") if swapped else ()), "--match", "none", "--split", "all")
    assert Counter(row["code"] for row in rows) == {"resist": 3, "agree": 2}
    assert manifest["yields"]["none"] == {"both wrong": 1}
    assert manifest["runs"][0]["slots"] == ("pbt" if swapped else "speaker")
    ours, _ = prefs(stored_debates(tmp_path / "run", worked_example()), "--match", "none", "--split", "all")
    names = ("chosen", "rejected", "code", "pref_score", "dispref_score", "margin", "pref_answers", "type")
    found = [sorted(json.dumps([row[name] for name in names]) for row in some) for some in (rows, ours)]
    assert found[0] == found[1]
    for row in rows:
        first, own, heard = row["prompt"]
        assert [one["role"] for one in (first, own, heard)] == ["user", "assistant", "user"]
        assert "q0?" in first["content"]
        assert "y, says turn 1." in first["content"]
        assert RESIST not in json.dumps(row), "the root's instruction is in no row"


@pytest.mark.parametrize("swapped", [True, False])
def test_slots_that_are_the_other_way_round_are_seen(refused, tmp_path, swapped):
    trees = lines(tmp_path / "tqa.jsonl", published(worked_example(), swapped))
    line = refused(trees, *(() if swapped else ("--slots", "pbt")))
    way = "give --slots pbt" if swapped else "leave --slots pbt out"
    assert f"line 1: the answer of the first turn is in the slot of the other speaker; {way}" in line


def test_words_of_agreement_and_a_missing_answer_are_resolved(prefs, tmp_path):
    debate = Debate()
    third = debate.add(debate.add(debate.add(0, "y"), "x"), "The Y.")
    for said in ("Agree", "Disagree", "NONE"):
        debate.add(third, said)
    rows, manifest = prefs(lines(tmp_path / "t.jsonl", published(debate, False)), "--match", "none", "--split", "all")
    (row,) = rows
    assert (row["code"], row["pref_answers"], row["dispref_answers"]) == ("resist", ["y", "x"], ["y", "y"])
    assert manifest["yields"]["none"] == {"unreadable": 2}


def test_shards_in_any_number_and_order_give_the_same_rows(prefs, tmp_path):
    names = (*TRAIN, *VALID)
    whole = lines(tmp_path / "whole.jsonl", *(published(worked_example(name)) for name in names))
    shards = [
        lines(tmp_path / f"shard{at}" / "tqa.jsonl", *(published(worked_example(name)) for name in some), "{torn")
        for at, some in enumerate((names[:1], names[1:4], names[4:]))
    ]
    texts = []
    for given in ([whole], shards, [shard.parent for shard in reversed(shards)]):
        _, manifest = prefs(*given, "--slots", "pbt", "--match", "total")
        texts.append((tmp_path / "out" / "rows.jsonl").read_bytes())
    assert texts[0] == texts[1] == texts[2]
    assert manifest["dropped"] == {"damaged lines": 3}
    runs = [stored_debates(tmp_path / "runs" / name, worked_example(name)) for name in names]
    _, manifest = prefs(tmp_path / "runs", "--traj_limit", "2", "--match", "none")
    assert manifest["yields"]["trees"] == 2
    one, _ = prefs(tmp_path / "runs")
    other, _ = prefs(*runs[::-1])
    assert one == other


def test_trees_of_one_question_are_in_one_part(prefs, tmp_path):
    several = [published(worked_example(f"tc_17_{number}")) for number in range(8)]
    rows, manifest = prefs(lines(tmp_path / "t.jsonl", *several), "--slots", "pbt")
    assert manifest["yields"]["questions"] == 1
    assert manifest["yields"]["trees"] == 8
    assert len({row["part"] for row in rows}) == 1


def test_published_rows_can_be_written(prefs, tmp_path):
    run = stored_debates(tmp_path / "run", worked_example())
    rows, _ = prefs(run, "--format", "pbt", "--split", "train")
    assert all(
        row.keys() == {"question", "prompt", "chosen", "rejected", "code", "pref_score", "dispref_score"}
        for row in rows
    )
    (row,) = (one for one in rows if one["code"] == "resist" and one["rejected"] == "y, says turn 5.")
    start, end = "<|start_header_id|>", "<|end_header_id|>\n\n"
    assert row["prompt"] == (
        f"<|begin_of_text|>{start}user{end}Debate with me. q0? y, says turn 1.<|eot_id|>"
        f"{start}assistant{end}x, says turn 2.<|eot_id|>{start}user{end}y, says turn 3.<|eot_id|>{start}assistant{end}"
    )
    texts, _ = prefs(run, "--format", "pbt-sft", "--split", "train")
    assert all(row.keys() == {"question", "text", "code"} for row in texts)
    assert any(one["text"] == f"{row['prompt']}{row['chosen']}<|eot_id|>" for one in texts)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--resist_only", "--agree_only"), "the flags ask for resist and accept pairs; give one of them"),
        (("--mode", "accept", "--combo_only"), "the flags ask for balanced and accept pairs"),
        (("--balance", "--match", "none"), "balance is given with match 'none'; leave one of them out"),
        (("--sft", "--format", "dpo"), "sft is given with format 'dpo'; leave one of them out"),
        (("--mode", "both"), "mode is 'both'; give accept, resist or balanced"),
        (
            ("--format", "arrow"),
            "no format named 'arrow'; known: dpo, sft, kto, openai-dpo, openai-sft, sharegpt-dpo, sharegpt-kto, pbt",
        ),
        (("--split", "dev"), "split is 'dev'; give train, valid, test, devtest or all"),
        (("--train_limit", "0"), "train_limit is 0; give 1 or more"),
        (("--split", "devtest", "--train_limit", "5"), "train_limit is 5, but --split devtest has no such part"),
        (("--slots", "ours"), "slots is 'ours'; give pbt or speaker"),
        (("--model", "somewhere"), "model is given, but rows of dpo need no template"),
        (("--model_filtering",), "model_filtering is given without a model; give --filtering_model_name MODEL"),
        (("--filtering_model_name", "m"), "filtering_model_name is given without model_filtering"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(refused, tmp_path, flags, sentence):
    run = stored_debates(tmp_path / "run", worked_example())
    assert sentence in refused(run, *flags)


NODE = published(worked_example())["data"][1]
TREE = {"data": [NODE], "metadata": {"question_id": "q0", "question": "q0?", "answer": "x"}}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"prompt": [], "chosen": []}, "line 1 is not a tree of PBT: it has no list `data`"),
        ({**TREE, "metadata": None}, "line 1: metadata is None; give an object with question and answer"),
        ({**TREE, "metadata": {"question": "q0?"}}, "line 1: metadata: the question has no gold answer"),
        ({**TREE, "data": [{**NODE, "parent": 7}]}, "line 1 node 0: its parent, 7, must come before it, and once"),
        ({**TREE, "data": [NODE, NODE]}, "line 1 node 1: its parent, -1, must come before it, and once"),
        (
            {**TREE, "data": [{**NODE, "agent_idx": 2}]},
            "line 1 node 0: give agent_idx 0 or 1, and a text as generation",
        ),
        (
            {**TREE, "data": [{**NODE, "agent_idx": 1, "extracted_ans": ["x", None]}]},
            "line 1: node 1 and its parent have the same speaker",
        ),
        ({**TREE, "data": [{**NODE, "extracted_ans": "x"}]}, "line 1 node 0: extracted_ans is 'x'; give a list of two"),
        ({**TREE, "data": [7]}, "line 1 node 0 has no number `node_idx`"),
    ],
)
def test_a_line_that_is_not_a_tree_is_named(refused, tmp_path, row, sentence):
    assert sentence in refused(lines(tmp_path / "trees.jsonl", row), "--slots", "pbt")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("shard_9", "shard_9; give josh's runs, or files of trees as PBT writes them"),
        ("empty", "empty is not a run, and has neither runs nor files of trees (.jsonl)"),
    ],
)
def test_a_folder_that_is_not_there_or_has_no_trees_is_named(refused, tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    assert sentence in refused(tmp_path / name)


def test_of_merged_shards_the_merged_run_alone_is_read(prefs, tmp_path):
    for name in ("shard_0_of_2", "trees"):
        stored_debates(tmp_path / "trees" / name, worked_example())
    config = tmp_path / "trees" / "trees" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "merged_from": ["shard_0_of_2", "shard_1_of_2"]}))
    _, manifest = prefs(tmp_path / "trees")
    assert [run["run"] for run in manifest["runs"]] == ["trees"]


# The model filter


def judge(body):
    """Takes N.Y.C. and New York for the same, and a turn that begins with the partner's answer for agreement."""
    words = body["messages"][-1]["content"]
    if "First answer: " in words:
        names = {words.partition(f"{which} answer: ")[2].split("\n")[0] for which in ("First", "Second")}
        return "Agree." if names == {"x", "ex"} else "disagree"
    heard, said = (words.partition(f"{which}: ")[2].split(",")[0] for which in ("speaker said", "The answer"))
    return "agree" if heard == said else "Disagree"


@pytest.fixture
def endpoint():
    """A chat endpoint with the judge: its flags and its server."""
    server = Loopback(judge)
    with serving(server) as url:
        flags = ("--model_filtering", "--filtering_model_name", "judge", "--filtering_base_url", url)
        yield flags, server


def test_the_model_confirms_labels_and_is_asked_once(prefs, tmp_path, endpoint):
    flags, server = endpoint
    run = stored_debates(tmp_path / "run", worked_example())
    rows, manifest = prefs(run, "--match", "none", *flags)
    assert Counter(row["code"] for row in rows) == {"resist": 3, "agree": 2}
    assert manifest["runs"][0]["filtering_model_name"] == "judge"
    asked = len(server.requests)
    assert 10 < asked < 30
    again, _ = prefs(run, "--match", "none", *flags)
    assert again == rows
    assert len(server.requests) == asked, "the journal has the replies"


def test_answers_that_mean_the_same_are_made_equal_and_pairs_are_labelled_again(prefs, tmp_path, endpoint):
    flags, _ = endpoint
    debate = Debate()
    third = debate.add(debate.add(debate.add(0, "y"), "z"), "x")
    debate.add(third, "ex")
    debate.add(third, "z")
    run = stored_debates(tmp_path / "run", worked_example("q1"), debate)
    _, plain = prefs(run, "--match", "none")
    assert plain["yields"]["none"] == {"both wrong": 2}
    _, manifest = prefs(run, "--match", "none", *flags)
    assert manifest["yields"]["none"] == {"both wrong": 1, "not confirmed by the model filter": 1}


def test_pairs_that_the_model_reads_otherwise_are_counted(prefs, tmp_path, endpoint):
    flags, _ = endpoint
    run = stored_debates(tmp_path / "run", worked_example("q1"), worked_example("q0", words="Hm, {answer} {turn}."))
    _, manifest = prefs(run, "--match", "none", *flags)
    assert manifest["labels"] == {"accept": 2, "resist": 3}
    assert manifest["yields"]["none"] == {"both wrong": 2, "not confirmed by the model filter": 5}


def test_a_filter_without_an_answer_leaves_nothing(refused, tmp_path, endpoint):
    flags, server = endpoint
    server.faults += [401] * 40
    run = stored_debates(tmp_path / "run", worked_example())
    assert "401" in refused(run, *flags, code=1)
