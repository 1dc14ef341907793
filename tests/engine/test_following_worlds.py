"""Worlds that follow the conversation: they hear it, end it, open it, and say which tasks nobody learns from."""

import asyncio
import json
from pathlib import Path

import pytest
from playing import run
from toy_phone import Handset, Helper, Owner, Phone, Works

from josh import BaseRewards, Outcome, Speaker, play
from josh.cli import main
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts

GREETING = {"role": "assistant", "content": "Hi! How can I help?"}
ASKED = {"id": "call00000", "type": "function", "function": {"name": "read_signal", "arguments": "{}"}}
BEFORE = [
    {"role": "user", "content": "My phone is broken."},
    {"role": "assistant", "content": "", "tool_calls": [ASKED]},
    {"role": "tool", "tool_call_id": "call00000", "content": "no bars"},
    {"role": "assistant", "content": "There is no signal."},
]


class Listening(Handset):
    """Keeps what it heard, and ends the conversation once it has heard enough."""

    def __init__(self, enough=None, outcome=Outcome.TRUNCATED):
        super().__init__()
        self.heard = ()
        self.enough, self.outcome = enough, outcome

    async def follow(self, speaker, messages, over):
        self.heard = (*self.heard, [str(speaker), [message["content"] for message in messages], over])
        return self.outcome if self.enough and len(self.heard) >= self.enough else None

    def observe(self):
        return {"data": False, "heard": self.heard}


class Leaving(Owner):
    async def step(self, agent, *, model, env):
        agent, _ = await super().step(agent, model=model, env=env)
        return agent, True


class Opened(Phone):
    opens = Speaker.USER

    def opening(self, task):
        return [GREETING] if task.index else BEFORE

    def no_rows(self, task):
        return "" if task.index else "won by doing nothing"


def listening(*how):
    class Heard(Phone):
        def world(self, task):
            return Listening(*how)

    return Heard({})


def played(env, user=Owner, strategy=None, index=0):
    task, rewards = env.tasks("train")[index], BaseRewards
    return asyncio.run(play(task, env, agent=Helper, user=user, rewards=rewards, strategy=strategy or Rollouts(1)))


def test_a_world_hears_the_turns_of_both_speakers_before_it_says_how_it_stands():
    nodes = played(listening()).tree.nodes
    assert len(nodes) == 7
    words = [[message["content"] for message in node.turn.messages] for node in nodes]
    assert nodes[-1].turn.observed["heard"] == [
        [str(node.speaker), words[number], False] for number, node in enumerate(nodes) if number
    ]
    assert nodes[1].turn.observed["heard"] == [["agent", words[1], False]]


def test_a_world_hears_that_the_user_ended_the_conversation():
    nodes = played(listening(), Leaving).tree.nodes
    assert [over for _, _, over in nodes[-1].turn.observed["heard"]] == [False, True]
    assert nodes[-1].turn.outcome is Outcome.USER_LEFT


@pytest.mark.parametrize("outcome", [Outcome.TRUNCATED, Outcome.LOST])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_world_can_end_a_conversation_after_a_turn_of_either_speaker(outcome, turns):
    episode = played(listening(turns, outcome))
    assert len(episode.tree.nodes) == turns + 1
    assert list(episode.outcomes.values()) == [outcome]


def test_each_branch_has_a_world_that_heard_its_own_turns():
    episode = played(listening(), strategy=BeamSearch(4))
    ends = [node for node in episode.tree.nodes if node.depth == 6]
    assert len({json.dumps(node.turn.observed) for node in ends}) == len(ends) == 4


def test_a_world_that_ends_a_conversation_with_something_else_costs_the_branch_alone(caplog):
    episode = played(listening(1, "enough"))
    assert list(episode.outcomes.values()) == [Outcome.INFRA_ERROR]
    assert "Listening.follow() is 'enough'; give a josh.Outcome or None" in caplog.text


def test_words_from_before_the_first_turn_are_seen_by_both_sides_and_calls_by_the_agent_alone():
    (greeted, continued) = (played(Opened({}), index=index).tree.nodes[0].turn for index in (1, 0))
    assert list(greeted.messages) == list(greeted.internal) == [GREETING]
    assert list(continued.internal) == BEFORE
    assert [message["content"] for message in continued.messages] == ["My phone is broken.", "There is no signal."]


@pytest.mark.usefixtures("elsewhere")
def test_a_task_that_nobody_learns_from_is_played_and_counted_and_gives_no_rows(capsys):
    Path("mine.py").write_text(
        "from toy_phone import Phone\n\n\nclass Mine(Phone):\n    def no_rows(self, task):\n"
        "        return '' if task.index else 'won by doing nothing'\n"
    )
    folder = run("runs", "--env", "./mine.py:Mine", "--rollouts", 2)
    rows = [json.loads(line) for line in (folder / "training_examples.jsonl").read_text().splitlines()]
    assert {row["task_id"] for row in rows} == {f"phone {index}" for index in range(1, 6)}
    assert json.loads((folder / "summary.json").read_text())["tasks"] == 6
    assert main(["export", str(folder), "--format", "sft", "--paths", "all", "--out", "sft.jsonl"]) == 0
    assert "trees won by doing nothing" in capsys.readouterr().out
    assert main(["report", str(folder)]) == 0
    assert "1 task won by doing nothing, and no training rows" in (folder / "report.html").read_text()


def test_the_rewards_still_judge_what_a_following_world_says():
    class Fixed(Listening):
        def observe(self):
            return {"data": len(self.heard) > 2}

    class Env(Phone):
        def world(self, task):
            return Fixed()

    task = Env({}).tasks("train")[0]
    episode = asyncio.run(play(task, Env({}), agent=Helper, user=Owner, rewards=Works, strategy=BeamSearch(2)))
    assert Outcome.WON in episode.outcomes.values()
