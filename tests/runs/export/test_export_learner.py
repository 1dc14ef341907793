"""Training files with the user as the learner: its own view, its siblings, its tools."""

import asyncio
import json
from collections import Counter
from functools import cache

import pytest
import toy_phone
from toy_phone import Helper, Owner, Phone, UserBranches, Works

from josh import play
from josh.cli import main
from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.examples import example_at, examples_of
from josh.messages import dumps, with_opener, without_ids
from josh.runs.export.check import wrong_row
from josh.runs.export.export import choose
from josh.runs.export.formats import FORMATS, IN_TOKENS, LABELLED, export_rows
from josh.runs.export.paths import node_outcomes, was_refused, winning_leaves
from josh.runs.export.sharegpt import DATASETS
from josh.runs.record.episode_json import from_json, to_json
from josh.strategies.beam import BeamSearch
from josh.tree import internal_conversation, walk

USER = Speaker.USER


@cache
def episodes(strategy=UserBranches):
    """The toy phone's tasks, as they come back from the disk."""
    env = Phone({})
    played = (
        asyncio.run(play(task, env, agent=Helper, user=Owner, rewards=Works, strategy=strategy()))
        for task in env.tasks("train")
    )
    return tuple(from_json(json.loads(dumps(to_json(episode)))) for episode in played)


def rows(form, episode, paths=None, learner=USER):
    return [each.row for each in export_rows(form, episode, choose(form, paths, None, None, learner), Counter())]


def test_a_row_is_the_conversation_as_the_users_model_is_trained_on_it():
    found = 0
    for episode in episodes():
        wins = winning_leaves(episode, choose("sft", "successful", None, None, USER))
        turns = [node.turn for node in episode.tree.nodes]
        kept = [leaf for leaf in wins if not any(was_refused(turns[at], USER) for at in walk(episode.tree, leaf))]
        for leaf, row in zip(kept, rows("sft", episode, "successful"), strict=True):
            view = internal_conversation(episode.tree, leaf, USER)
            assert [each["role"] for each in row["messages"]] == [each["role"] for each in view]
            assert row["messages"][0]["content"] == f"Your phone, the {episode.task.index}th, has no mobile data."
            assert row["messages"][-1] == view[-1]
            assert row["messages"][-1]["role"] == "assistant"
            assert [each["role"] for each in row["messages"]].count("tool") == len(walk(episode.tree, leaf)) // 2
            found += 1
    assert found > 5


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in IN_TOKENS])
def test_rows_of_every_format_are_sound_and_have_the_users_tools(form):
    made = [row for episode in episodes() for row in rows(form, episode, None if form in LABELLED else "successful")]
    if form == "openai-dpo":
        assert not made, "its turns begin with calls, which this format has no form for"
        return
    assert made
    assert [wrong for row in made if (wrong := wrong_row(form, row))] == []
    if form not in DATASETS:
        assert all(row["tools"] == [toy_phone.TOOLS[USER]] for row in made)


def test_pairs_are_siblings_among_the_users_turns():
    pairs = 0
    for episode in episodes():
        nodes, stand = episode.tree.nodes, node_outcomes(episode)
        for pair in export_rows("dpo", episode, choose("dpo", None, None, None, USER), Counter()):
            better, worse = (nodes[index] for index in pair.nodes)
            assert better.speaker is worse.speaker is USER
            assert better.parent == worse.parent
            assert stand.best[pair.nodes[0]] > stand.best[pair.nodes[1]]
            context = with_opener(internal_conversation(episode.tree, better.parent, USER))
            assert list(map(words, pair.row["prompt"][: len(context)])) == list(map(words, context))
            assert words(pair.row["chosen"][0]) in list(map(words, better.turn.view(USER)))
            assert words(pair.row["rejected"][0]) in list(map(words, worse.turn.view(USER)))
            pairs += 1
    assert pairs > 3


def words(message):
    calls = [json.loads(dumps(call["function"])) for call in without_ids(message).get("tool_calls", ())]
    for call in calls:
        call["arguments"] = json.loads(call["arguments"]) if isinstance(call["arguments"], str) else call["arguments"]
    return message["content"], calls


def test_verdicts_are_about_the_users_messages_alone():
    said = Counter()
    for episode in episodes():
        turns = [node.turn.view(USER) for node in episode.tree.nodes if node.speaker is USER]
        own = {message["content"] for turn in turns for message in turn if message["role"] == "assistant"}
        for row in rows("kto", episode):
            (message,) = row["completion"]
            assert message["content"] in own
            said[row["label"]] += 1
    assert said[True] > 5
    assert said[False] > 2


def test_no_turn_in_which_a_tool_refused_the_user_is_learnt_from():
    refused = 0
    for episode in episodes():
        for row in (*rows("sft", episode, "successful"), *(row for row in rows("kto", episode) if row["label"])):
            assert "Error: the user has no read_signal" not in dumps(row.get("messages", row.get("completion")))
        refused += sum(was_refused(node.turn, USER) for node in episode.tree.nodes)
    assert refused > 3


def test_the_agents_rows_have_its_tools_and_none_of_what_only_the_user_sees():
    made = [row for episode in episodes() for row in rows("sft", episode, "successful", Speaker.AGENT)]
    assert made
    assert not any("switch_data" in dumps(row) or "Your phone" in dumps(row) for row in made)


def test_examples_of_either_side_end_with_its_own_words():
    for episode in episodes(lambda: BeamSearch(4)):
        for collapse in episode.tree.collapses:
            for learner in Speaker:
                for example in examples_of(episode.tree, collapse, learner):
                    assert example.messages[-1]["role"] == "assistant"
                    assert ("Your phone" in example.messages[0]["content"]) == (learner is USER)
        (leaf,) = episode.reported
        (example,) = example_at(episode.tree, leaf, True, True, USER)
        assert list(example.messages) == internal_conversation(episode.tree, leaf, USER)


def test_a_learner_of_another_name_is_refused():
    with pytest.raises(UsageError, match="learner is 'judge'; give agent or user"):
        choose("sft", None, None, None, "judge")


@pytest.mark.usefixtures("elsewhere")
def test_the_command_exports_either_side_and_the_manifest_says_which(tmp_path, capsys):
    flags = ["--env", "toy_phone:Phone", "--josh", "--log_dir", "records"]
    assert main(["run", *flags]) == 0
    (folder,) = (tmp_path / "records").iterdir()
    for learner, given in (("agent", []), ("agent", ["--learner", "agent"]), ("user", ["--learner", "user"])):
        out = tmp_path / f"{learner}{len(given)}.jsonl"
        assert main(["export", str(folder), "--format", "sft", "--out", str(out), *given]) == 0
        assert main(["export", "--check", str(out)]) == 0
        assert json.loads((tmp_path / f"{out.name}.manifest.json").read_text())["settings"]["learner"] == learner
    assert (tmp_path / "agent0.jsonl").read_bytes() == (tmp_path / "agent2.jsonl").read_bytes()
    assert "switch_data" in (tmp_path / "user2.jsonl").read_text()
    assert main(["export", str(folder), "--format", "sft", "--out", "x", "--learner", "judge"]) == 2
    assert "learner is 'judge'; give agent or user" in capsys.readouterr().err
