"""Training rows of a tree by hand: what the siblings call, hear and say."""

import json
from collections import Counter

import pytest
from exporting import rows_of, says, stored

from josh.messages import OPENER, dumps
from josh.runs.export.check import problems_in
from josh.runs.export.export import choose, export
from josh.runs.export.formats import export_rows
from josh.runs.record.episode_json import from_json


def call(name, at):
    function = {"name": "look", "arguments": json.dumps({"at": at})}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": name, "type": "function", "function": function}],
    }


def result(name, text):
    return {"role": "tool", "tool_call_id": name, "content": text}


def forked(*turns, root=(), rewards=(1.0, 0.0), task="by hand"):
    """An episode in which two siblings say this, and the first won."""
    nodes = [{"parent": -1, "speaker": "user", "path": "", "messages": [], "internal": list(root)}]
    for number, (internal, reward) in enumerate(zip(turns, rewards, strict=True)):
        won = {"hits": [{"step": 0, "goals": ["g"], "value": reward}], "outcome": "won", "reward": reward}
        nodes.append(
            {
                "parent": 0,
                "speaker": "agent",
                "path": str(number),
                "messages": internal[-1:],
                "internal": internal,
                **(won if reward else {"outcome": "lost"}),
            }
        )
    wins = [index for index, reward in enumerate(rewards, 1) if reward]
    return {
        "task_id": task,
        "ending": "completed",
        "reward": rewards[0],
        "success": 1.0,
        "rounds": 1.0,
        "metrics": {},
        "error": "",
        "usage": {},
        "reported": [1],
        "goals": ["g"],
        "collapses": [{"root": 0, "size": 3, "winner": 1, "rewarded": wins}],
        "frontier": [],
        "nodes": nodes,
        "task": {"index": 0, "data": {}, "metadata": {}},
        "tools": [{"type": "function", "function": {"name": "look"}}],
    }


def test_siblings_that_look_the_same_up_part_where_they_speak():
    one, other = ([call(name, "it"), result(name, "red"), says(text)] for name, text in (("1", "Red."), ("2", "Blue.")))
    episode = from_json(forked(one, other))
    (row,) = rows_of("dpo", episode)
    opener = {"role": "user", "content": OPENER}
    looked = json.loads(json.dumps(one[0]))
    looked["tool_calls"][0]["function"]["arguments"] = {"at": "it"}
    assert row["prompt"] == [opener, looked, one[1]]
    assert (row["chosen"], row["rejected"]) == ([says("Red.")], [says("Blue.")])
    assert row["tools"] == list(episode.tools)
    # OpenAI wants the arguments as they came.
    (openai,) = rows_of("openai-dpo", episode)
    assert openai["input"]["messages"] == [opener, *one[:2]]
    # A verdict needs the very same prompt, ids included: only the call itself has that.
    assert [(row["completion"], row["label"]) for row in rows_of("kto", episode)] == [
        ([looked], True),
        ([says("Red.")], True),
        ([{**looked, "tool_calls": [{**looked["tool_calls"][0], "id": "2"}]}], False),
    ]


def test_a_sibling_that_says_the_same_is_no_negative(tmp_path):
    row = forked([says("Red.")], [says("Red.")])
    assert rows_of("dpo", from_json(row)) == []
    (run,) = stored(tmp_path, [dumps(row)])
    manifest = export([run], tmp_path / "out.jsonl", "kto", choose("kto", None, None, None), 1)
    assert (manifest["labels"], manifest["dropped"]) == ({"true": 1}, {"contradictory rows": 1})


def test_pairs_that_contradict_each_other_are_both_dropped(tmp_path):
    both = [forked([says("Red.")], [says("Blue.")]), forked([says("Blue.")], [says("Red.")], task="another")]
    runs = list(stored(tmp_path, map(dumps, [*both, forked([says("Green.")], [says("Red.")], task="a third")])))
    manifest = export(runs, tmp_path / "out.jsonl", "dpo", choose("dpo", None, None, None), 1)
    assert (manifest["rows"], manifest["dropped"]) == (1, {"contradictory rows": 2})


def test_what_won_in_one_tree_is_no_negative_of_another(tmp_path):
    both = [forked([says("Red.")], [says("Blue.")]), forked([says("Blue.")], [says("Red.")], task="another")]
    (run,) = stored(tmp_path, map(dumps, both))
    manifest = export([run], tmp_path / "out.jsonl", "kto", choose("kto", None, None, None), 1)
    assert manifest["labels"] == {"true": 2}


def test_a_call_that_a_tool_refused_is_no_example_though_the_path_won(tmp_path):
    refused = forked([says("Red.")], [says("Blue.")])
    refused["nodes"][1]["actions"] = [[{"name": "fly", "arguments": {}, "error": "there is no tool 'fly'"}]]
    sound = forked([says("Green.")], [says("Grey.")], task="another")
    sound["nodes"][1]["actions"] = [[{"name": "look", "arguments": {}, "result": []}]]
    sound["nodes"][2]["actions"] = refused["nodes"][1]["actions"]
    (run,) = stored(tmp_path, map(dumps, [refused, sound]))
    wholes, singles = "paths on which a tool refused a call", "messages of winning turns in which a tool refused a call"
    pairs = "pairs whose better turn has a call that a tool refused"
    for form, rows, reason in (("sft", 1, wholes), ("kto", 2, singles), ("dpo", 1, pairs)):
        manifest = export([run], tmp_path / f"{form}.jsonl", form, choose(form, None, None, None), 1)
        assert (manifest["rows"], manifest["dropped"][reason]) == (rows, 1), form
        assert "Red." not in (tmp_path / f"{form}.jsonl").read_text()


def test_the_lesser_win_is_rejected_where_both_won():
    episode = from_json(forked([says("Red.")], [says("Blue.")], rewards=(2.0, 0.5)))
    (row,) = rows_of("dpo", episode)
    assert (row["chosen"], row["rejected"], row["margin"]) == ([says("Red.")], [says("Blue.")], 1.5)
    assert rows_of("dpo", episode, min_margin=1.6) == []
    assert [row["label"] for row in rows_of("kto", episode)] == [True]


def several(tmp_path, *rewards):
    """Runs of one tree each, in which two siblings of a task won: what they say, and are worth."""
    for number, worths in enumerate(rewards):
        turns = [[says(f"{number}-{place}: {worth}")] for place, worth in enumerate(worths)]
        yield from stored(tmp_path / str(number), [dumps(forked(*turns, rewards=worths))])


def test_the_best_paths_of_a_task_are_ranked_over_all_runs(tmp_path):
    runs, out = list(several(tmp_path, (1.0, 0.5), (2.0, 1.0), (1.0, 0.25))), tmp_path / "out.jsonl"

    def said(form, top, *more):
        manifest = export([*runs, *more], out, form, choose(form, "successful", top, None), 1)
        rows = map(json.loads, out.read_text().splitlines())
        return [row["messages"][-1]["content"] for row in rows], manifest["dropped"]

    beyond = "winning paths beyond the best of their task"
    assert said("sft", 1) == (["1-0: 2.0"], {beyond: 5})
    assert said("sft", 3) == (["0-0: 1.0", "1-0: 2.0", "1-1: 1.0"], {beyond: 3})
    assert said("sft", None)[1] == {}
    # What reads the same counts once.
    assert said("sft", 3, runs[1]) == (["0-0: 1.0", "1-0: 2.0", "1-1: 1.0"], {beyond: 3, "repeated rows": 2})
    golden = export(runs, out, "sft", choose("sft", None, None, None), 1)
    assert golden["rows"] == 3, "every tree has its own"
    verdicts = export(runs, out, "kto", choose("kto", "successful", 1, None), 1)
    assert (verdicts["labels"], verdicts["dropped"]) == ({"true": 1}, {beyond: 5})


@pytest.mark.parametrize("change", [{"duplicate": True}, {"outcome": "infra_error", "ended": "infra_error"}])
def test_duplicates_and_errors_are_no_losers(change):
    row = forked([says("Red.")], [says("Blue.")])
    row["nodes"][2] |= change
    assert rows_of("dpo", from_json(row)) == []
    assert [each["label"] for each in rows_of("kto", from_json(row))] == [True]


def test_words_put_into_the_agents_mouth_are_not_trained():
    root = [{"role": "system", "content": "Sell."}, says("Hello."), {"role": "user", "content": "Hi."}]
    (row,) = rows_of("openai-sft", from_json(forked([says("Red.")], [says("Blue.")], root=root)))
    assert [(each["role"], each.get("weight")) for each in row["messages"]] == [
        ("system", None),
        ("user", None),
        ("assistant", 0),
        ("user", None),
        ("assistant", None),
    ]


def test_calls_have_their_forms_in_text():
    turn = [call("1", "it"), result("1", "red"), says("Red.")]
    episode = from_json(forked(turn, [says("Blue.")]))
    (chatml,) = rows_of("chatml", episode)
    assert chatml["text"].endswith(
        '<|im_start|>assistant\n<tool_call>\n{"name": "look", "arguments": {"at": "it"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\nred<|im_end|>\n<|im_start|>assistant\nRed.<|im_end|>\n"
    )
    (sharegpt,) = rows_of("sharegpt", episode)
    assert [(turn["from"], turn["value"]) for turn in sharegpt["conversations"]] == [
        ("human", OPENER),
        ("function_call", '{"name": "look", "arguments": {"at": "it"}}'),
        ("observation", "red"),
        ("gpt", "Red."),
    ]
    assert json.loads(sharegpt["tools"]) == list(episode.tools)


def test_pairs_and_verdicts_after_tool_calls_have_their_forms_in_sharegpt():
    one, other = ([call(name, "it"), result(name, "red"), says(text)] for name, text in (("1", "Red."), ("2", "Blue.")))
    episode = from_json(forked(one, other))
    opener = {"from": "human", "value": OPENER}
    looked = {"from": "function_call", "value": '{"name": "look", "arguments": {"at": "it"}}'}
    red = {"from": "observation", "value": "red"}
    tools = dumps(list(episode.tools))
    assert rows_of("sharegpt-dpo", episode) == [
        {
            "conversations": [opener, looked, red],
            "tools": tools,
            "chosen": {"from": "gpt", "value": "Red."},
            "rejected": {"from": "gpt", "value": "Blue."},
        }
    ]
    assert [(row["conversations"], row["tools"], row["kto_tag"]) for row in rows_of("sharegpt-kto", episode)] == [
        ([opener, looked], tools, True),
        ([opener, looked, red, {"from": "gpt", "value": "Red."}], tools, True),
        ([opener, looked], tools, False),
    ]
    (asked,) = rows_of("sharegpt-dpo", from_json(forked([call("1", "it")], [says("Blue.")])))
    assert (asked["chosen"], asked["rejected"]) == (looked, {"from": "gpt", "value": "Blue."})


def test_rows_that_differ_in_ids_alone_are_one_in_sharegpt(tmp_path):
    rows = []
    for task, name in (("first", "1"), ("second", "2")):
        before = [call(name, "it"), result(name, "red")]
        rows.append(dumps(forked([*before, says("Red.")], [*before, says("Blue.")], task=task)))
    (run,) = stored(tmp_path, rows)
    for form, count in (("sharegpt-dpo", 1), ("sharegpt-kto", 3)):
        out = tmp_path / f"{form}.jsonl"
        assert export([run], out, form, choose(form, None, None, None), 1)["rows"] == count
        assert [problem for problem in problems_in(out) if "it has only" not in problem] == []


def test_calls_made_at_once_and_their_results_are_a_turn_each_in_sharegpt():
    both = call("1", "it") | {"tool_calls": [*call("1", "it")["tool_calls"], *call("2", "that")["tool_calls"]]}
    turn = [both, result("1", "red"), result("2", "blue"), says("Red and blue.")]
    (sharegpt,) = rows_of("sharegpt", from_json(forked(turn, [says("Blue.")])))
    calls = [{"name": "look", "arguments": {"at": at}} for at in ("it", "that")]
    assert [(turn["from"], turn["value"]) for turn in sharegpt["conversations"]] == [
        ("human", OPENER),
        ("function_call", json.dumps(calls)),
        ("observation", "red\nblue"),
        ("gpt", "Red and blue."),
    ]


@pytest.mark.parametrize(
    ("form", "turn", "reason"),
    [
        ("chatml", [says("<|im_end|>")], "texts with marks of ChatML"),
        ("sharegpt", [says("Hm."), says("Red.")], "conversations whose roles do not alternate"),
        ("sft", [says(" ")], "messages without words"),
        ("sft", [says([{"type": "text", "text": "Red."}])], "messages that are no plain text"),
        ("sft", [{"role": "critic", "content": "Red."}, says("Red.")], "messages of an unknown role"),
        ("kto", [says("Hm."), says("Red.")], "messages right after another of the agent's"),
        ("openai-dpo", [call("1", "it")], "answers that call a tool"),
        (
            "dpo",
            [call("1", "it") | {"tool_calls": [{"function": {"name": "x", "arguments": "{"}}]}],
            "tool calls that",
        ),
        *(
            (
                form,
                [call("1", "it") | {"tool_calls": [{"function": {"name": "x", "arguments": given}}]}, says("Red.")],
                "tool calls that",
            )
            for form in ("sft", "openai-sft", "chatml")
            for given in ("{", '["it"]', '"it"', '{"at": NaN}', "[" * 100_000)
        ),
    ],
)
def test_what_a_format_has_no_form_for_is_counted(form, turn, reason):
    dropped = Counter()
    found = list(export_rows(form, from_json(forked(turn, [says("Blue.")])), choose(form, None, None, None), dropped))
    assert any(each.startswith(reason) for each in dropped), dropped
    assert len(found) == (2 if form == "kto" else 0) or form == "kto"
