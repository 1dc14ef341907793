"""Wins that fresh users confirm: deterministic, stored, resumed, replayed and rescored."""

import asyncio
import json

import pytest
from playing import lines, run

from josh.cli import main
from josh.confirming import SaidAgain
from josh.dialogue import Outcome, Speaker, Turn
from josh.outcomes import golden_leaf
from josh.runs.record.episode_json import to_json
from josh.runs.record.stored import stored_episodes

SEARCH = ("--josh", "--synthetic_tasks", 8, "--confirm", 5)


def played(folder):
    return [episode for _, episode in stored_episodes(folder / "episodes.jsonl", [])]


def texts(folder):
    return [(folder / name).read_bytes() for name in ("episodes.jsonl", "training_examples.jsonl")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(str(tmp_path_factory.mktemp("plain")), *SEARCH)


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    return run(str(tmp_path_factory.mktemp("strict")), *SEARCH, "--stop", "best", "--confirm_first", 0.6)


def test_every_golden_path_is_said_again_word_for_word(plain):
    confirmed = 0
    for episode in played(plain):
        leaf = golden_leaf(episode)
        if leaf is None:
            assert not episode.again
            continue
        found = episode.tree.nodes[leaf].confirmation
        assert len(found.replays) == 5
        said = [node.turn.messages for node in episode.tree.nodes if node.speaker is Speaker.AGENT]
        for replay in found.replays:
            turns = [node for node in replay.tree.nodes[1:] if node.speaker is Speaker.AGENT]
            assert all(node.turn.messages in said for node in turns)
            assert replay.won == (replay.reward > 0)
        assert found.share == sum(replay.won for replay in found.replays) / 5
        confirmed += 1
    assert confirmed


def replays_in(folder):
    found = [node.confirmation for episode in played(folder) for node in episode.tree.nodes if node.confirmation]
    return [replay for confirmation in found for replay in confirmation.replays]


def test_fresh_users_have_other_luck(plain):
    words = {json.dumps([node.turn.messages for node in replay.tree.nodes]) for replay in replays_in(plain)}
    assert len(words) > len(replays_in(plain)) / 2


def test_the_summary_counts_what_it_took(plain):
    found = json.loads((plain / "summary.json").read_text(encoding="utf-8"))["confirmed"]
    episodes = played(plain)
    assert found["conversations"] == 5 * found["golden"] == 5 * found["wins"]
    assert found["turns"] == sum(len(episode.again) for episode in episodes)
    assert 0 <= found["in_most"] <= 1


def test_a_line_is_read_and_written_with_the_same_bytes(plain, strict):
    for folder in (plain, strict):
        for row, episode in zip(lines(folder / "episodes.jsonl"), played(folder), strict=True):
            assert json.loads(json.dumps(to_json(episode))) == row


def test_concurrency_does_not_change_a_byte(plain, tmp_path):
    assert texts(run(str(tmp_path / "one"), *SEARCH, "--max_concurrency", 1)) == texts(plain)


def test_a_replay_and_a_rescored_run_are_the_same(plain, strict, tmp_path, capsys):
    for number, folder in enumerate((plain, strict)):
        assert main(["replay", str(folder), "--log_dir", str(tmp_path / f"replayed-{number}")]) == 0
        assert main(["rescore", str(folder), "--log_dir", str(tmp_path / f"rescored-{number}")]) == 0
        (again,) = (tmp_path / f"rescored-{number}").iterdir()
        assert texts(again) == texts(folder)


def test_another_reward_judges_the_confirmations_again(plain, tmp_path):
    assert main(["rescore", str(plain), "--min_reward", "1", "--log_dir", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    for episode in played(folder):
        for node in episode.tree.nodes:
            for replay in node.confirmation.replays if node.confirmation else ():
                assert replay.won == (replay.reward >= 1)


def test_a_win_that_too_few_confirm_does_not_count(strict):
    doubtful = 0
    for episode in played(strict):
        tree = episode.tree
        for leaf, outcome in episode.outcomes.items():
            found = tree.nodes[leaf].confirmation
            if found is not None:
                assert (outcome is Outcome.WON) == (found.share >= 0.6)
                doubtful += found.doubtful
        if episode.success:
            assert tree.nodes[episode.reported[0]].confirmation.share >= 0.6
    assert doubtful


def test_other_users_take_turns(tmp_path):
    folder = run(str(tmp_path), *SEARCH, "--confirm_users", "donor_mild, donor_firm")
    turns = ["donor_mild", "donor_firm", "donor_mild", "donor_firm", "donor_mild"]
    assert [replay.user for replay in replays_in(folder)][:5] == turns


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--confirm_first", "0.8"], "confirm_first is 0.8, but no win is confirmed; give --confirm K too"),
        (["--confirm", "2", "--confirm_users", "human"], "confirm is 2 with a person for the user"),
        (["--confirm", "2", "--confirm_users", "donor,"], "one of the names is empty"),
        (["--confirm", "2", "--confirm_users", "persuadee"], "asks a chat model, but user_model is 'offline'"),
        (["--confirm", "-1"], "confirm is -1; give 0"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(tmp_path, capsys, flags, words):
    assert main(["run", "--josh", "--synthetic_tasks", "2", "--log_dir", str(tmp_path / "no"), *flags]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "no").exists()


def test_show_says_who_was_won_again(plain, capsys):
    number = next(at for at, episode in enumerate(played(plain), 1) if golden_leaf(episode) is not None)
    assert main(["show", str(plain)]) == 0
    assert "wins again" in capsys.readouterr().out
    assert main(["show", str(plain), str(number)]) == 0
    assert "wins again with" in " ".join(capsys.readouterr().out.split())


class Counter:
    """A world with one tool, which counts its calls."""

    def __init__(self):
        self.calls = 0

    def call(self, name, arguments):
        self.calls += 1
        return self.calls


def test_calls_of_tools_are_made_again_in_the_new_world():
    message = {"role": "assistant", "content": "Done."}
    call = {"name": "count", "arguments": {}, "result": 7}
    agent, world = SaidAgain([Turn((message,), (message,), ((call,), ("speak",)))]), Counter()
    assert asyncio.run(agent.step(env=world)) is False
    assert agent.recent_actions == [{"name": "count", "arguments": {}, "result": 1}]
    assert asyncio.run(agent.step(env=world)) is True
    assert agent.messages == [message]
    assert agent.recent_actions == ["speak"]
