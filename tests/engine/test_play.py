"""`josh.play`: one task played and scored from Python, as a run plays it."""

import asyncio
import json

import pytest
from playing import run
from toy_phone import Helper, Owner, Phone, UserBranches

from josh import BaseRewards, Episode, Outcome, Task, UsageError, play
from josh.agents.persuasion.offline import OfflinePersuader
from josh.envs.persuasion.env import PersuasionEnv
from josh.messages import dumps, trim_user_messages
from josh.rewards.donation import DonationRewards
from josh.runs.record.episode_json import from_json, to_json
from josh.runs.record.examples import examples
from josh.runs.record.stored import stored_episodes
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.tree import internal_conversation
from josh.users.persuasion.donor import Donor


class Bare(Phone):
    """A phone with nothing to earn: its conversations are labelled afterwards."""

    max_rounds = 2

    def goals(self, task):
        return []


class Digits(BaseRewards):
    """Scores a conversation by the digits in it."""

    def score(self, task, conversation):
        return {"digits": sum(int(each) for each in dumps(conversation.messages) if each.isdigit())}

    def path_reward(self, goals, hits, scores):
        return scores["digits"]


def played(rewards, strategy):
    return asyncio.run(
        play(Task("phone 0", 0, {}), Bare({}), agent=Helper, user=Owner, rewards=rewards, strategy=strategy)
    )


@pytest.mark.parametrize("strategy", [UserBranches(), Rollouts(3), BeamSearch(4)])
def test_a_task_without_goals_is_played_to_its_end(strategy):
    episode = played(BaseRewards, strategy)
    assert set(episode.outcomes.values()) == {Outcome.TRUNCATED}
    assert {episode.tree.nodes[leaf].depth for leaf in episode.outcomes} == {4}
    assert (episode.reward, episode.success, episode.error) == (0.0, 0.0, "")
    assert episode.scored


@pytest.mark.parametrize("strategy", [UserBranches(), Rollouts(3)])
def test_its_conversations_are_labelled_afterwards_and_the_first_of_the_result_is_golden(strategy):
    episode = played(Digits, strategy)
    assert episode.rewards == tuple(episode.scores[leaf]["digits"] for leaf in episode.reported)
    found = list(examples(episode, strategy.collapses))
    texts = {leaf: trim_user_messages(internal_conversation(episode.tree, leaf)) for leaf in episode.outcomes}
    assert {dumps(example.messages) for example in found} == {dumps(text) for text in texts.values()}
    (golden,) = [example for example in found if example.is_golden_path]
    assert list(golden.messages) == texts[episode.reported[0]]
    assert not any(example.is_successful for example in found)


def test_the_result_of_a_search_is_the_leaf_whose_scores_are_worth_most():
    episode = played(Digits, UserBranches())
    (leaf,) = episode.reported
    assert episode.worth[leaf] == max(episode.worth.values()) > min(episode.worth.values())


def test_an_episode_comes_back_from_the_record():
    episode = played(Digits, Rollouts(3))
    again = from_json(json.loads(dumps(to_json(episode))))
    assert isinstance(again, Episode)
    assert dumps(to_json(again)) == dumps(to_json(episode))
    assert (again.scores, again.user_tools, again.tree.seed) == (episode.scores, episode.user_tools, episode.tree.seed)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("flags", "strategy"),
    [
        (("--josh", "--beam_size", 4), BeamSearch(4)),
        (("--josh", "--stop", "best"), BeamSearch(8, "best")),
        (("--rollouts", 3, "--temperature", 1), Rollouts(3)),
    ],
)
def test_it_plays_as_the_command_line_does(flags, strategy):
    folder = run("runs", "--synthetic_tasks", 3, *flags)
    stored = {episode.task.id: episode for _, episode in stored_episodes(folder / "episodes.jsonl", [])}
    env = PersuasionEnv({"synthetic_tasks": 3, "seed": 10})
    tasks = env.tasks("train")
    assert {task.id for task in tasks} == stored.keys()
    for task in tasks:
        how = {"agent": OfflinePersuader, "user": Donor, "rewards": DonationRewards, "strategy": strategy}
        episode = asyncio.run(play(task, env, **how))
        assert json.loads(dumps(to_json(episode))) == json.loads(dumps(to_json(stored[task.id])))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("agent", "agent is 'persuader'; give a class, or a function that makes one"),
        ("user", "user is 'persuader'; give a class, or a function that makes one"),
        ("rewards", "rewards is 'persuader'; give a class, or a function that makes one"),
        ("env", "env is 'persuader'; give an environment, such as"),
        ("task", "task is 'persuader'; give a Task, such as one of"),
    ],
)
def test_a_name_in_place_of_what_it_names_is_refused(what, said):
    given = {"task": Task("phone 0", 0, {}), "env": Phone({}), "agent": Helper, "user": Owner, what: "persuader"}
    with pytest.raises(UsageError, match=said):
        asyncio.run(play(**given))
