"""What training rows are, for the trees of any search."""

import hashlib
import json

from exporting import WAYS, WORLDS, episodes, rows_of, stored
from hypothesis import given, settings
from hypothesis import strategies as st

from josh.dialogue import Outcome, Speaker
from josh.messages import dumps, with_opener, without_ids
from josh.runs.export.check import problems_in
from josh.runs.export.export import choose, export
from josh.runs.export.formats import FORMATS, IN_TOKENS
from josh.runs.export.paths import node_outcomes, winning_leaves
from josh.tree import internal_conversation, walk


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
        nodes, found, stand = episode.tree.nodes, moves(episode), node_outcomes(episode)
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
        found, stand = moves(episode), node_outcomes(episode)
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


def stated(row, *names):
    """The prompt of a row and these answers as texts, whichever way its format has them."""
    if "prompt" in row:
        return dumps(row["prompt"]), *(words(row[name][0]) for name in names)
    *before, last = row.get("system"), *row["conversations"]
    return (
        (dumps(before), dumps(last)) if "kto_tag" in row else (dumps([*before, last]), *map(dumps, map(row.get, names)))
    )


IN_TEXT = [form for form in FORMATS if form not in IN_TOKENS]


@settings(max_examples=40, deadline=None)
@given(runs=st.lists(trees, min_size=1, max_size=3), form=st.sampled_from(IN_TEXT), data=st.data())
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
    few = ("needs 10 or more", "KTO needs rows with label true and rows with label false")
    problems = [problem for problem in problems_in(out) if not problem.endswith(few)]
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
        {stated(row, "completion") for row in rows if label in (row.get("label"), row.get("kto_tag"))}
        for label in (True, False)
    )
    assert not good & bad
    pairs = {stated(row, "chosen", "rejected") for row in rows if "chosen" in row}
    assert not pairs & {(prompt, rejected, chosen) for prompt, chosen, rejected in pairs}
