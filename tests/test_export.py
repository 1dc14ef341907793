"""Training files from stored trees."""

import asyncio
import hashlib
import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from josh.cli import main
from josh.episode import TaskClock, play
from josh.messages import OPENER, dumps, with_opener, without_ids
from josh.runs.export.check import check
from josh.runs.export.export import choose, export, manifest_of, replace_all
from josh.runs.export.formats import FORMATS, PAIRED, candidates
from josh.runs.export.paths import standing, winning_leaves
from josh.runs.play.runtime import Runtime
from josh.runs.record.episode_json import from_json, to_json
from josh.runs.resolve import resolve
from josh.tree import Outcome, Speaker, internal_conversation, walk

WHOLE = ("sft", "openai-sft", "chatml", "sharegpt")
WORLDS = ("persuasion", "toy_world:World", "toy_world:Tools", "toy_world:OneGoal")
WAYS = (
    {"josh": True},
    {"josh": True, "stop": "best"},
    {"josh": True, "stop": "best", "beam_size": 3},
    {"rollouts": 4, "temperature": 1.0},
)


@cache
def episodes(world, way, seed, reads="goals"):
    """Three tasks of a run, as they come back from the disk."""
    rewards = {} if world == "persuasion" else {"rewards": reads}
    given = {**WAYS[way], **rewards, "env": world, "seed": seed, "end_index": 3}
    casting = Runtime(resolve(given, {}))

    async def each(task):
        return await play(
            casting.search(task), task, casting.env, max_rounds=casting.max_rounds(task), clock=TaskClock(60)
        )

    lines = [dumps(to_json(asyncio.run(each(task)))) for task in casting.tasks]
    return tuple(lines), tuple(from_json(json.loads(line)) for line in lines)


def stored(folder, *runs):
    """Runs' folders with these lines."""
    for number, lines in enumerate(runs):
        run = folder / f"run{number}"
        run.mkdir(parents=True)
        (run / "config.json").write_text('{"settings": {"josh": true}}')
        (run / "episodes.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        yield run


def rows_of(form, episode, **choice):
    chosen = choose(form, choice.get("paths"), choice.get("top"), choice.get("min_margin"))
    return [candidate.row for candidate in candidates(form, episode, chosen, Counter())]


def moves(episode):
    """Every message of the agent's in a tree: (prompt, the message without ids) -> the nodes it stands in."""
    found = {}
    for index, node in enumerate(episode.tree.nodes):
        if node.parent >= 0 and node.speaker is Speaker.AGENT:
            before = with_opener(internal_conversation(episode.tree, node.parent))
            for at, message in enumerate(node.turn.internal):
                if message["role"] == "assistant":
                    key = dumps(as_objects([*before, *node.turn.internal[:at]])), words(message)
                    found.setdefault(key, []).append(index)
    return found


def as_objects(messages):
    """Messages with the arguments of their calls read."""
    messages = json.loads(dumps(list(messages)))
    for message in messages:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def words(message):
    message = without_ids(message)
    calls = message.get("tool_calls")
    if calls and isinstance(calls[0]["function"]["arguments"], str):
        (message,) = as_objects([message])
    return dumps(message)


trees = st.builds(
    episodes,
    st.sampled_from(WORLDS),
    st.integers(0, len(WAYS) - 1),
    st.integers(0, 40),
    st.sampled_from(["goals", "donation"]),
)
QUICK = settings(max_examples=60, deadline=None)


def opens_well(messages, episode):
    """Whether a conversation holds what the agent saw, from the system prompt on, and has the user speak first."""
    prompt = [message for message in episode.tree.nodes[0].turn.internal if message["role"] == "system"]
    assert messages[: len(prompt)] == prompt
    return messages[len(prompt)]["role"] == "user"


@QUICK
@given(trees)
def test_whole_conversations_end_with_the_agents_last_words_and_have_all_it_saw(played):
    for episode in played[1]:
        for row in rows_of("sft", episode, paths="successful", top=9):
            assert row["messages"][-1]["role"] == "assistant"
            assert opens_well(row["messages"], episode)
            assert row.get("tools", []) == list(episode.tools)
        wins = winning_leaves(episode, choose("sft", "successful", 9, None))
        assert [episode.worth[leaf] for leaf in wins] == sorted((episode.worth[leaf] for leaf in wins), reverse=True)
        assert all(episode.outcomes[leaf] is Outcome.WON for leaf in wins)
        assert len(rows_of("sft", episode)) <= 1
        assert rows_of("sft", episode, paths="successful") == rows_of("sft", episode, paths="successful", top=99)
        assert winning_leaves(episode, choose("sft", None, None, None)) in ([], list(episode.reported), wins[:1])


@QUICK
@given(trees)
def test_chosen_and_rejected_follow_the_same_node_and_differ(played):
    for episode in played[1]:
        nodes, found, stand = episode.tree.nodes, moves(episode), standing(episode)
        for row in rows_of("dpo", episode):
            (chosen,), (rejected,) = row["chosen"], row["rejected"]
            assert opens_well(row["prompt"], episode)
            assert row["prompt"][-1]["role"] in ("user", "tool")
            assert words(chosen) != words(rejected)
            prompt = dumps(row["prompt"])
            better = [index for index in found[prompt, words(chosen)] if not nodes[index].turn.duplicate]
            # The loser's calls may have other ids, so it is looked up by what it says after the siblings' shared words.
            worse = [
                index
                for (_, said), indices in found.items()
                for index in indices
                if said == words(rejected) and not nodes[index].turn.duplicate
            ]
            pairs = [(a, b) for a in better for b in worse if nodes[a].parent == nodes[b].parent and a != b]
            margins = [round(stand.best[a] - stand.best[b], 6) for a, b in pairs if {a, b} <= stand.best.keys()]
            assert row["margin"] >= 0.01
            assert row["margin"] in margins


@QUICK
@given(trees)
def test_positives_are_of_the_winning_path_and_negatives_lost_after_the_same_prompt(played):
    for episode in played[1]:
        found, stand = moves(episode), standing(episode)
        labels = {}
        for row in rows_of("kto", episode):
            (said,) = row["completion"]
            assert opens_well(row["prompt"], episode)
            assert row["prompt"][-1]["role"] in ("user", "tool")
            labels.setdefault((dumps(row["prompt"]), words(said)), set()).add(row["label"])
            places = set(found[dumps(row["prompt"]), words(said)])
            if row["label"]:
                wins = winning_leaves(episode, choose("kto", None, None, None))
                assert places & {index for leaf in wins for index in walk(episode.tree, leaf)}
            else:
                assert places - stand.won - stand.broken
        positive = {prompt for (prompt, _), verdicts in labels.items() if True in verdicts}
        assert positive >= {prompt for prompt, _ in labels}


@settings(max_examples=40, deadline=None)
@given(runs=st.lists(trees, min_size=1, max_size=3), form=st.sampled_from(list(FORMATS)), data=st.data())
def test_every_file_passes_the_check_and_comes_out_the_same_again(runs, form, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    folders = list(stored(folder, *(lines for lines, _ in runs)))
    paths = data.draw(st.sampled_from([None, "golden", "successful"]))
    top = data.draw(st.sampled_from([None, 1, 3] if paths == "successful" else [None, 1]))
    choice = choose(form, paths, top, None)
    out = folder / "out.jsonl"
    try:
        manifest = export(folders, out, form, choice, 10)
    except Exception as error:
        assert f"no row for {form}" in str(error)
        assert {path.name for path in folder.iterdir()} == {path.name for path in folders}
        return
    problems = [problem for problem in check(out) if "needs 10 or more" not in problem]
    assert problems == []
    before = out.read_bytes()
    assert manifest["sha256"] == hashlib.sha256(before).hexdigest()
    assert manifest["rows"] == before.count(b"\n")
    export(folders, out, form, choice, 10)
    assert out.read_bytes() == before
    rows = list(map(json.loads, before.splitlines()))
    # Nothing is said twice, and nothing is both good and bad after the same prompt.
    assert len(set(map(dumps, rows))) == manifest["rows"]
    good, bad = (
        {
            (dumps(row["prompt"]), words(row[name][0]))
            for row in rows
            if name in row and row.get("label", label) is label
        }
        for label, name in ((True, "completion"), (False, "completion"))
    )
    assert not good & bad
    pairs = {
        (dumps(row["prompt"]), words(row["chosen"][0]), words(row["rejected"][0])) for row in rows if "chosen" in row
    }
    assert not pairs & {(prompt, rejected, chosen) for prompt, chosen, rejected in pairs}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a search on twelve tasks."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--josh", "--stop", "best", "--synthetic_tasks", "12", "--beam_size", "4"]) == 0
    (folder,) = Path("records").iterdir()
    return folder


def exported(run, form, *flags):
    out = Path(f"{form}.jsonl")
    assert main(["export", str(run), "--format", form, "--out", str(out), *flags]) == 0
    return out, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_every_format_comes_with_a_manifest_and_passes_its_check(run, capsys):
    for form in FORMATS:
        out, rows = exported(run, form, *(("--paths", "successful", "--top", "3") if form not in PAIRED else ()))
        manifest = json.loads(manifest_of(out).read_text())
        assert (manifest["format"], manifest["rows"]) == (form, len(rows))
        assert [each["run"] for each in manifest["runs"]] == [run.name]
        assert manifest["runs"][0]["settings"]["strategy"]["stop"] == "best"
        assert manifest["settings"]["seed"] == 10
        capsys.readouterr()
        assert main(["export", "--check", str(out)]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out == f"{out}: sound\n"
    assert {path.suffix for path in Path().iterdir()} == {"", ".jsonl", ".json"}


def test_the_formats_say_the_same(run):
    (_, trl), (_, openai), (_, chatml), (_, sharegpt) = (exported(run, form) for form in WHOLE)
    assert openai == trl
    for conversation, text, shared in zip(trl, chatml, sharegpt, strict=True):
        messages = conversation["messages"]
        assert messages[1] == {"role": "user", "content": OPENER}
        assert text["text"] == "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
        assert shared["system"] == messages[0]["content"]
        assert [turn["value"] for turn in shared["conversations"]] == [m["content"] for m in messages[1:]]
        assert {turn["from"] for turn in shared["conversations"]} == {"human", "gpt"}
    (_, pairs), (_, theirs) = (exported(run, form) for form in PAIRED)
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in pairs] == [
        (row["input"]["messages"], row["preferred_output"], row["non_preferred_output"]) for row in theirs
    ]


def test_the_best_paths_of_a_tree_are_the_first(run):
    _, golden = exported(run, "sft")
    _, best = exported(run, "sft", "--paths", "successful", "--top", "1")
    _, three = exported(run, "sft", "--paths", "successful", "--top", "3")
    _, every = exported(run, "sft", "--paths", "successful")
    assert golden == best
    assert len(golden) < len(three) <= 3 * len(golden)
    assert [row for row in three if row in golden] == golden
    assert len(three) < len(every)
    assert [row for row in every if row in three] == three
    _, lost = exported(run, "sft", "--paths", "lost")
    _, first = exported(run, "sft", "--paths", "lost", "--top", "1")
    assert len(first) < len(lost)


def test_verdicts_are_shuffled_by_the_seed_alone(run):
    orders = [exported(run, "kto", "--seed", seed)[1] for seed in ("10", "10", "11")]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(map(dumps, orders[0])) == sorted(map(dumps, orders[2]))
    labels = [row["label"] for row in orders[0]]
    assert sorted(labels) != labels != sorted(labels, reverse=True)


def test_a_greater_margin_leaves_fewer_pairs(run):
    _, all_of_them = exported(run, "dpo", "--min_margin", "0")
    out, clear = exported(run, "dpo", "--min-margin", "0.75")
    assert clear == [row for row in all_of_them if row["margin"] >= 0.75]
    assert 0 < len(clear) < len(all_of_them)
    assert json.loads(manifest_of(out).read_text())["dropped"]["pairs with too small a margin"] > 0


def test_pairs_can_be_kept_to_the_golden_path(run):
    _, golden = exported(run, "dpo", "--paths", "golden")
    _, every = exported(run, "dpo")
    assert len(golden) < len(every)
    assert all(row in every for row in golden)


def test_rows_from_the_same_run_twice_count_once(run):
    for form in FORMATS:
        _, once = exported(run, form)
        assert main(["export", str(run), str(run), "--format", form, "--out", "twice.jsonl"]) == 0
        twice = [json.loads(line) for line in Path("twice.jsonl").read_text(encoding="utf-8").splitlines()]
        assert twice == once
        assert json.loads(manifest_of(Path("twice.jsonl")).read_text())["dropped"]["repeated rows"] >= len(once)


# A tree by hand: what the siblings call, hear and say.


def call(name, at):
    function = {"name": "look", "arguments": json.dumps({"at": at})}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": name, "type": "function", "function": function}],
    }


def result(name, text):
    return {"role": "tool", "tool_call_id": name, "content": text}


def says(text):
    return {"role": "assistant", "content": text}


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
    found = list(candidates(form, from_json(forked(turn, [says("Blue.")])), choose(form, None, None, None), dropped))
    assert any(each.startswith(reason) for each in dropped), dropped
    assert len(found) == (2 if form == "kto" else 0) or form == "kto"


# Damage


def changed(row, way, value):
    """A row with another value at a place; a function makes it of the old one."""
    *path, last = way
    place = row
    for step in path:
        place = place[step]
    place[last] = value(place[last]) if callable(value) else value


DAMAGE = [
    ("sft", ["messages", 0, "role"], "critic", "messages[0]: role is 'critic'; known: system, user"),
    ("sft", ["messages"], lambda old: [*old, {"role": "user", "content": "hm"}], "messages: the last message is"),
    ("sft", ["messages"], lambda old: [old[0], *old[2:]], "messages: the assistant speaks first"),
    ("sft", ["messages"], lambda old: [*old, old[0], old[-1]], "a system prompt after the start"),
    ("sft", ["messages", 2, "content"], " ", "messages[2]: the assistant says nothing"),
    ("sft", ["messages", 2, "content"], 3, "messages[2]: content is 3, which is no text"),
    ("sft", ["messages"], [], "messages is empty, or no list"),
    ("sft", ["tools"], "look", "tools is no list of schemas"),
    ("kto", ["label"], 1, "label is 1; give true or false"),
    ("kto", ["completion"], [], "completion is not one message"),
    ("kto", ["completion", 0, "role"], "user", "completion is from the user; give the assistant's"),
    ("kto", ["prompt"], lambda old: [*old, says("Hm.")], "prompt: the last message is from the assistant"),
    ("dpo", ["rejected"], [], "rejected is not one message"),
    ("dpo", ["margin"], -1, "margin is -1; give a number above 0"),
    ("dpo", ["prompt"], lambda old: old[:1], "prompt: the system speaks first"),
    ("openai-sft", ["messages", 1, "weight"], 1, "messages[1]: weight is for the assistant, and 0 or 1"),
    ("openai-sft", ["margin"], 1, "margin has no place in this format"),
    ("openai-dpo", ["input", "messages"], None, "input is empty, or no list"),
    ("openai-dpo", ["preferred_output", 0, "content"], "", "preferred_output: the assistant says nothing"),
    ("chatml", ["text"], lambda old: old.replace("<|im_end|>", "", 1), "text is not made of <|im_start|>role"),
    ("chatml", ["text"], lambda old: f"{old}<|im_start|>user\nhm<|im_end|>\n", "text: the last message is from the"),
    ("sharegpt", ["conversations"], lambda old: old[1:], "human or observation and gpt or function_call do not"),
    ("sharegpt", ["conversations", 1, "value"], "", "conversations[1]: gpt says nothing"),
    ("sharegpt", ["tools"], "{", "tools is no JSON in a text"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A sound file of every format, without its manifest."""
    folder = tmp_path_factory.mktemp("sound")
    runs = list(stored(folder, *(episodes("persuasion", 1, seed)[0] for seed in range(7))))
    files = {}
    for form in FORMATS:
        files[form] = folder / f"{form}.jsonl"
        export(runs, files[form], form, choose(form, "successful", 9, None), 10)
        assert list(check(files[form])) == []
    return files


def problems(file, lines, form, tmp_path):
    """What is found in these lines, as a file of the format."""
    path = tmp_path / file.name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    manifest = json.loads(manifest_of(file).read_text())
    manifest["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest_of(path).write_text(json.dumps(manifest))
    return list(check(path)), path


@pytest.mark.parametrize(("form", "way", "value", "text"), DAMAGE)
def test_a_damaged_row_is_named_by_line(form, way, value, text, sound, tmp_path):
    lines = sound[form].read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[2])
    changed(row, way, value)
    found, path = problems(sound[form], [*lines[:2], dumps(row), *lines[3:]], form, tmp_path)
    assert found[0].startswith(f"{path}:3: ")
    assert text in found[0]


def test_a_pair_of_the_same_text_is_found(sound, tmp_path):
    for form, one, other in (("dpo", "chosen", "rejected"), ("openai-dpo", "preferred_output", "non_preferred_output")):
        lines = sound[form].read_text(encoding="utf-8").splitlines()
        row = json.loads(lines[0])
        row[one] = row[other]
        found, path = problems(sound[form], [dumps(row), *lines[1:]], form, tmp_path)
        assert found == [f"{path}:1: {one} and {other} are the same"]


def test_rows_that_repeat_or_contradict_others_are_found(sound, tmp_path):
    for form in FORMATS:
        lines = sound[form].read_text(encoding="utf-8").splitlines()
        found, path = problems(sound[form], [*lines, lines[1]], form, tmp_path)
        assert found == [f"{path}:{len(lines) + 1}: it repeats line 2"]
    lines = sound["dpo"].read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    found, path = problems(sound["dpo"], [*lines, dumps(row)], "dpo", tmp_path)
    assert found == [f"{path}:{len(lines) + 1}: it contradicts line 2"]
    lines = sound["kto"].read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    row["label"] = not row["label"]
    found, path = problems(sound["kto"], [*lines, dumps(row)], "kto", tmp_path)
    assert found[0] == f"{path}:{len(lines) + 1}: it contradicts line 2"
    negatives = [line for line in lines if not json.loads(line)["label"]]
    found, path = problems(sound["kto"], negatives, "kto", tmp_path)
    assert found[0] == f"{path}:1: a negative whose prompt no positive row has"


def test_torn_foreign_missing_and_too_few_lines_are_found(sound, tmp_path):
    lines = sound["openai-sft"].read_text(encoding="utf-8").splitlines()
    found, path = problems(sound["openai-sft"], lines[:3], "openai-sft", tmp_path)
    assert found == [f"{path}: 3 rows; openai-sft needs 10 or more"]
    found, path = problems(sound["openai-sft"], [lines[0][:-9], *lines[1:]], "openai-sft", tmp_path)
    assert found[0].startswith(f"{path}:1: no JSON: ")
    found, path = problems(sound["sft"], [], "sft", tmp_path)
    assert found == [f"{path}: 0 rows; sft needs 1 or more"]
    path.write_text(f"{lines[0]}\n")
    assert list(check(path)) == [
        f"{path}: it is not the file that {manifest_of(path).name} was written with (other sha256)"
    ]
    manifest_of(path).unlink()
    assert list(check(path)) == []
    path.write_text(lines[0])
    assert list(check(path)) == [f"{path}:1: no JSON: the line is torn"]
    path.write_text("[" * 100_000 + "\n")
    (problem,) = check(path)
    assert problem.startswith(f"{path}:1: no JSON: maximum recursion depth exceeded")
    path.write_text('{"rows": 3}\n')
    (problem,) = check(path)
    assert problem.startswith(f"{path}:1: a row of no known format; known: sft, kto, dpo")
    manifest_of(path).write_text("{}")
    assert next(check(path)) == f"{manifest_of(path)}: it is no manifest: it names no format or no sha256"


def test_the_check_says_five_problems_and_fails(tmp_path, capsys):
    path = tmp_path / "out.jsonl"
    path.write_text("".join(f'{{"messages": [{number}]}}\n' for number in range(9)))
    assert main(["export", "--check", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [f"{path}:{line}: messages[0] is no JSON object" for line in range(1, 6)]


# Bad input


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("", "josh: no runs given; as in: josh export records/<run> --format sft --out sft.jsonl"),
        ("RUN --format sft", "josh: no out given"),
        ("RUN --out x.jsonl", "josh: no format given"),
        ("RUN --format csv --out x.jsonl", "josh: no format named 'csv'; known: sft, kto, dpo"),
        ("RUN --format sft --out x.jsonl --top 0", "josh: top is 0; give 1 or more"),
        ("RUN --format sft --out x.jsonl --top 3", "josh: top is 3, but a tree has one golden path; leave it out, or"),
        ("RUN --format dpo --out x.jsonl --paths golden --top 5", "josh: top is 5, but a tree has one golden path"),
        ("RUN --format sft --out x.jsonl --paths all", "josh: paths is 'all'; give golden, successful or lost"),
        ("RUN --format sft --out x.jsonl --min_margin 1", "josh: min_margin is given, but sft has no pairs"),
        ("RUN --format dpo --out x.jsonl --min_margin nan", "josh: min_margin is nan; give 0 or more"),
        ("RUN --format dpo --out x.jsonl --min_margin 99", "josh: RUN: no row for dpo; left out: "),
        ("none --format sft --out x.jsonl", "josh: none is no run: cannot read none/config.json"),
        ("RUN --format sft --out none/x.jsonl", "josh: cannot write none/x.jsonl: No such file or directory"),
        ("RUN --format sft --out RUN", "josh: cannot write RUN: Is a directory"),
        (
            "RUN --format sft --out RUN/episodes.jsonl",
            "josh: RUN/episodes.jsonl is there and is no export, for it has no",
        ),
        ("EMPTY --format sft --out x.jsonl", "josh: EMPTY: no row for sft; it holds no whole episode"),
        ("--check none.jsonl", "josh: cannot read none.jsonl: No such file or directory"),
        ("RUN --check x.jsonl", "josh: --check takes a file alone"),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(flags, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run, empty = stored(Path("runs"), episodes("persuasion", 1, 1)[0], [])
    before = sorted(Path().rglob("*"))
    arguments = flags.replace("RUN", str(run)).replace("EMPTY", str(empty)).split()
    assert main(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith(text.replace("RUN", str(run)).replace("EMPTY", str(empty)))
    assert sorted(Path().rglob("*")) == before


def test_a_manifest_that_cannot_be_replaced_leaves_the_file_as_it_was(tmp_path, capsys):
    (run,) = stored(tmp_path, episodes("persuasion", 1, 1)[0])
    out = tmp_path / "x.jsonl"
    manifest_of(out).mkdir()
    for before in (None, "old"):
        if before:
            out.write_text(before)
        assert main(["export", str(run), "--format", "sft", "--out", str(out)]) == 2
        assert capsys.readouterr().err == f"josh: cannot write {manifest_of(out)}: Is a directory\n"
        assert (out.read_text() if out.exists() else None) == before
        assert not list(tmp_path.glob("*.part"))


def test_files_are_replaced_all_or_none(tmp_path):
    one, other, new = (tmp_path / name for name in ("one", "other", "new"))
    parts = {path: path.with_suffix(".part") for path in (one, new, other)}
    for path in (one, other):
        path.write_text("old")
    for path in (one, new):
        parts[path].write_text("new")
    with pytest.raises(FileNotFoundError):
        replace_all(parts)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"one": "old", "other": "old"}
    for part in parts.values():
        part.write_text("new")
    replace_all(parts)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(("one", "other", "new"), "new")


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path, capsys):
    (run,) = stored(tmp_path, episodes("persuasion", 1, 1)[0])
    out = tmp_path / "x.jsonl"
    command = ["export", str(run), "--format", "sft", "--out", str(out)]
    assert main(command) == main(command) == 0
    out.with_name("x.jsonl.manifest.json").unlink()
    out.write_text("mine")
    assert main(command) == 2
    assert "give another --out, or take it away" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_damaged_lines_are_counted(tmp_path, capsys):
    lines = episodes("persuasion", 1, 1)[0]
    (run,) = stored(tmp_path, [*lines, "{"])
    assert main(["export", str(run), "--format", "sft", "--out", str(tmp_path / "x.jsonl")]) == 0
    assert "left out        damaged lines: 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "x.jsonl.manifest.json").read_text())["dropped"]["damaged lines"] == 1
