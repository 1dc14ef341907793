"""Debates played: the shape of their trees, what each speaker sees, and that either speaker may be any model."""

import asyncio
import json
from collections import Counter

import pytest

import josh
from josh.agents.debate.debater import Debater
from josh.agents.debate.offline import Keeper as AgentKeeper
from josh.agents.debate.offline import OfflineDebater as OfflineAgent
from josh.agents.debate.offline import Oracle as AgentOracle
from josh.cli import main
from josh.dialogue import Outcome, Speaker
from josh.envs.debate.env import DebateEnv
from josh.envs.debate.prompts import DIRECTIVES
from josh.rewards.debate import DebateRewards
from josh.strategies.fan_out import FanOut
from josh.strategies.rollouts import Rollouts
from josh.testing import EnvConformance, ScriptedModel
from josh.tree import internal_conversation, leaves
from josh.users.debate.debater import Debater as UserDebater
from josh.users.debate.offline import Keeper, Yielder
from josh.users.debate.offline import OfflineDebater as OfflineUser


class TestDebateEnv(EnvConformance):
    def make(self):
        env = DebateEnv({"synthetic_tasks": 3})
        env.splits = ("train", "valid", "test")  # `all` has the tasks of the others again
        return env


def played(agent, user, task=None, env=None, **more):
    env = env or DebateEnv({"synthetic_tasks": 1})
    task = task or env.tasks("train")[0]
    more = {"strategy": FanOut(), "rewards": DebateRewards, **more}
    return asyncio.run(josh.play(task, env, agent=agent, user=user, **more))


def shape(episode):
    return [number for _, number in sorted(Counter(node.depth for node in episode.tree.nodes[1:]).items())]


def replying(by_directive, usual="Final answer: red."):
    """A chat model that replies by the directive in its system message."""

    def script(messages, _seed):
        directed = messages[0]["content"] if messages[0]["role"] == "system" else ""
        return next((reply for name, reply in by_directive.items() if directed == DIRECTIVES[name]), usual)

    return ScriptedModel(script)


def test_speakers_that_never_agree_take_21_turns():
    episode = played(AgentKeeper, Keeper)
    assert shape(episode) == [1, 2, 6, 12]
    assert len(episode.pairs) == 6


@pytest.mark.parametrize(
    ("replies", "turns"),
    [
        ({"resist": "Final answer: blue.", "accept": "Final answer: green."}, [1, 2, 6, 12]),
        ({"resist": "Final answer: blue.", "accept": "Final answer: red."}, [1, 2, 3, 6]),
        ({"resist": "Final answer: red.", "accept": "Final answer: red."}, [1, 2]),
    ],
)
def test_a_branch_ends_where_both_answers_agree(replies, turns):
    episode = played(Debater, UserDebater, model=replying({}), user_model=replying(replies))
    assert shape(episode) == turns


def test_agreement_wins_where_it_is_right():
    env = DebateEnv({"synthetic_tasks": 1})
    gold = env.tasks("train")[0].data["gold"][0]
    for said, outcome in ((gold, Outcome.WON), ("purple", Outcome.LOST)):
        model = replying({}, f"Final answer: {said}")
        episode = played(Debater, UserDebater, env=env, model=model, user_model=model)
        assert set(episode.outcomes.values()) == {outcome}
        assert episode.reward == (outcome is Outcome.WON)


@pytest.mark.parametrize("agent", [Debater, OfflineAgent, AgentKeeper])
@pytest.mark.parametrize("user", [UserDebater, OfflineUser, Keeper])
def test_either_speaker_may_be_any_model(agent, user):
    episode = played(agent, user, model=replying({}), user_model=replying({}, "Final answer: blue"))
    assert not episode.owed
    for leaf in leaves(episode.tree):
        for speaker in Speaker:
            roles = [message["role"] for message in internal_conversation(episode.tree, leaf, speaker)]
            assert roles == [("user", "assistant")[place % 2] for place in range(len(roles))]


def test_a_view_begins_with_the_question_and_has_no_directive():
    model = replying({"resist": "Never. Final answer: blue."})
    episode = played(Debater, UserDebater, model=model, user_model=model)
    question = episode.task.data["question"]
    for leaf in leaves(episode.tree):
        for speaker in Speaker:
            view = internal_conversation(episode.tree, leaf, speaker)
            assert question in view[0]["content"]
            assert not any(text in message["content"] for text in DIRECTIVES.values() for message in view)
    assert {node.directive for node in episode.tree.nodes[1:]} <= DIRECTIVES.keys()
    directed = [request.messages[0]["content"] for request in model.requests if request.messages[0]["role"] == "system"]
    assert len(directed) == len(model.requests)
    assert set(directed) <= set(DIRECTIVES.values())


@pytest.mark.parametrize(("both_first", "hears"), [(True, False), (False, True)])
def test_both_speakers_answer_once_before_they_hear_each_other(both_first, hears):
    env = DebateEnv({"synthetic_tasks": 1, "env.both_first": both_first})
    user_model = replying({}, "Final answer: blue")
    played(Debater, UserDebater, env=env, model=replying({}), user_model=user_model, strategy=Rollouts())
    first, second = user_model.requests
    assert ("Final answer: red." in first.messages[-1]["content"]) is hears
    assert len(first.messages) == 1
    assert "Your partner says: Final answer: red." in second.messages[0]["content"]
    assert [message["role"] for message in second.messages] == ["user", "assistant", "user"]


def test_turns_before_the_search_are_in_both_views():
    said = [
        {"role": "user", "content": "Final answer: blue."},
        {"role": "assistant", "content": "Final answer: green."},
        {"role": "user", "content": "Are you sure?"},
    ]
    env = DebateEnv({"synthetic_tasks": 1})
    task = env.tasks("train")[0]
    task = josh.Task(task.id, 0, {**task.data, "history": said})
    episode = played(AgentKeeper, Yielder, task=task, env=env, strategy=Rollouts(), max_rounds=1)
    first, second = episode.tree.nodes[1:]
    assert first.turn.facts["answers"] == {"agent": "green", "user": "blue"}
    assert second.turn.facts["answers"]["user"] == "green"
    agent, user = (internal_conversation(episode.tree, 2, speaker) for speaker in Speaker)
    assert [message["role"] for message in agent] == ["user", "assistant", "user", "assistant", "user"]
    assert [message["role"] for message in user] == ["user", "assistant", "user", "assistant", "user", "assistant"]


def test_a_speaker_who_speaks_first_as_the_user_has_the_question_too():
    class UserOpens(DebateEnv):
        opens = Speaker.USER

    env = UserOpens({"synthetic_tasks": 1})
    episode = played(Debater, UserDebater, env=env, model=replying({}), user_model=replying({}), strategy=Rollouts())
    for speaker in Speaker:
        view = internal_conversation(episode.tree, len(episode.tree.nodes) - 1, speaker)
        assert episode.task.data["question"] in view[0]["content"]
        assert [message["role"] for message in view][:2] == ["user", "assistant"]


def test_two_keepers_begin_with_different_answers_to_every_question(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [{"question": f"What is {n}?", "answers": [f"number {n}", f"no {n}"]} for n in range(40)]
    path.write_text("\n".join(map(json.dumps, rows)))
    right = Counter()
    for env in (DebateEnv({"synthetic_tasks": 40}), DebateEnv({"env.questions": str(path)})):
        for task in env.tasks("all"):
            episode = played(AgentKeeper, Keeper, task=task, env=env, strategy=Rollouts())
            facts = episode.tree.nodes[-1].turn.facts
            assert len(episode.tree.nodes) == 5
            assert facts["answers"]["agent"] != facts["answers"]["user"]
            assert sorted(facts["right"].values()) == [False, True]
            right[facts["right"]["user"]] += 1
    assert min(right.values()) > 25


def test_an_oracle_against_a_keeper_gives_labels_of_both_kinds():
    labels = Counter()
    env = DebateEnv({"synthetic_tasks": 10})
    for task in env.tasks("train"):
        labels.update(pair.label for pair in played(OfflineAgent, OfflineUser, task=task, env=env).pairs)
        assert played(AgentOracle, Keeper, task=task, env=env).tree.nodes[1].turn.facts["right"]["agent"]
    assert labels["accept"]
    assert labels["resist"]


def test_the_command_line_plays_trees_of_21_turns_and_says_who_is_no_question(tmp_path, capsys):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({"question": "Who?", "answer": "Ann"}))
    keepers = ["--strategy", "fan_out", "--agent", "keeper", "--user", "keeper", "--log_dir", str(tmp_path)]
    assert main(["--env", "debate", "--questions", str(path), "--task_split", "all", *keepers]) == 0
    assert "turns played    21" in capsys.readouterr().out
    assert main(["--env", "debate", "--questions", str(path), "--synthetic_tasks", "3", *keepers]) == 2
    assert "the questions are not made up" in capsys.readouterr().err
    assert main(["--env", "persuasion", *keepers]) == 2
    assert "keeper needs tasks with a question; give --env debate" in capsys.readouterr().err
