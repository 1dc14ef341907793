"""The persuasion world, and the persuader, persuadee and rewards that play in it."""

import asyncio
import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p4g_small import CHATS, FORMS, real_corpus, write_original

from josh.agents.chat import Persuader
from josh.config import create
from josh.dialogue import Hit, Speaker
from josh.envs.persuasion.corpus import RULES
from josh.envs.persuasion.env import PersuasionEnv
from josh.errors import UsageError
from josh.messages import OPENER
from josh.rewards.donation import DonationRewards
from josh.roles import BaseRewards, Reply, Task, fork
from josh.users.persuasion.persuadee import Persuadee


class Script:
    """A chat model that says its lines in turn and keeps what it was asked."""

    temperature = 1.0

    def __init__(self, *lines):
        self.lines = list(lines)
        self.asked = []

    def draw(self):
        return 1

    async def reply(self, messages, **options):
        self.asked.append([dict(message) for message in messages])
        return Reply(self.lines[len(self.asked) - 1])


def made_up(**options):
    return PersuasionEnv({"seed": 3, **options})


def seated(env, task):
    agent, user = Persuader(), Persuadee()
    agent.start(task, env, env.options)
    user.start(task, env, env.options)
    return agent, user


def play(env, task, persuader, persuadee, rounds=10):
    agent, user = seated(env, task)
    over = False
    for _ in range(rounds):
        assert asyncio.run(agent.step(model=persuader))
        agent, over = asyncio.run(user.step(agent, model=persuadee))
        if over:
            break
    return agent, over


def said(*pairs):
    return [{"role": role, "content": text} for role, text in pairs]


class TestTasks:
    def test_without_a_corpus_people_are_made_up(self):
        tasks = made_up().tasks("train")
        assert [task.id for task in tasks[:2]] == ["synthetic-train-0000", "synthetic-train-0001"]
        assert [task.index for task in tasks] == list(range(20))

    def test_nobody_made_up_for_train_is_in_test(self):
        env = made_up(synthetic_tasks=30)
        ids = Counter(task.data[side]["id"] for split in env.splits for task in env.tasks(split) for side in SIDES)
        assert len(ids) == 120
        assert set(ids.values()) == {1}

    def test_more_tasks_leave_the_first_ones_as_they_were(self):
        assert made_up(synthetic_tasks=50).tasks("test")[:20] == made_up().tasks("test")

    def test_another_seed_makes_other_people(self):
        assert made_up(seed=4).tasks("train")[0].data != made_up().tasks("train")[0].data

    @pytest.mark.parametrize("form", FORMS)
    def test_with_a_corpus_its_conversations_are_played(self, tmp_path, form):
        env = PersuasionEnv({"corpus": str(FORMS[form](tmp_path))})
        assert [task.id for task in env.tasks("test")] == [f"p4g-{CHATS[0][0]}", f"p4g-{CHATS[2][0]}"]
        assert [task.data["conversation_id"] for task in env.tasks("train")] == [CHATS[at][0] for at in (1, 4, 5)]
        assert [task.index for task in env.tasks("train")] == [0, 1, 2]

    def test_spoilt_dialogues_are_played_only_when_asked_for(self, tmp_path):
        env = PersuasionEnv({"corpus": write_original(tmp_path), "include_bad": True})
        assert f"p4g-{CHATS[3][0]}" in [task.id for task in env.tasks("train")]

    def test_the_split_rule_can_be_chosen(self, tmp_path):
        env = PersuasionEnv({"corpus": write_original(tmp_path), "split_rule": "annotated"})
        assert len(env.tasks("test")) == 3

    def test_an_empty_split_is_refused(self, tmp_path):
        corpus = FORMS["new ConvoKit"](tmp_path)
        text = (corpus / "conversations.json").read_text(encoding="utf-8")
        (corpus / "conversations.json").write_text(text.replace("false", "true"), encoding="utf-8")
        with pytest.raises(UsageError, match=r"the train split of .* is empty"):
            PersuasionEnv({"corpus": corpus}).tasks("train")

    @pytest.mark.parametrize("corpus", [None, "a corpus"])
    def test_a_task_is_plain_json(self, tmp_path, corpus):
        env = PersuasionEnv({"corpus": corpus and write_original(tmp_path)})
        for task in env.tasks("train"):
            assert json.loads(json.dumps(task.data, allow_nan=False)) == task.data
            assert set(task.data) == {"conversation_id", "persuader", "persuadee"}
            assert all(set(task.data[side]) == {"id", "traits"} for side in SIDES)

    @pytest.mark.parametrize(
        ("options", "split", "problem"),
        [
            ({}, "dev", "no split named 'dev'; known: train, test"),
            ({"synthetic_tasks": 0}, "train", "synthetic_tasks is 0; give 1 to 100000"),
            ({"corpus": "nowhere"}, "train", "no Persuasion for Good corpus in nowhere"),
            ({"corpus": "nowhere.jsonl"}, "train", "cannot read nowhere.jsonl"),
        ],
    )
    def test_wrong_settings_are_refused(self, options, split, problem):
        with pytest.raises(UsageError, match=problem):
            PersuasionEnv(options).tasks(split)

    @pytest.mark.parametrize("rule", RULES)
    def test_the_real_corpus_gives_tasks_under_every_rule(self, rule):
        env = PersuasionEnv({"corpus": real_corpus(), "split_rule": rule})
        tasks = [*env.tasks("train"), *env.tasks("test")]
        assert len(tasks) == 1017 - 27
        assert len({task.id for task in tasks}) == len(tasks)
        assert all("None" not in env.agent_prompt(task) + env.user_prompt(task) for task in tasks)


SIDES = ("persuader", "persuadee")


class TestPrompts:
    def test_each_side_sees_its_own_persona_only(self):
        data = {
            "conversation_id": "c",
            "persuader": {"id": "a", "traits": {"religion": "Catholic"}},
            "persuadee": {"id": "b", "traits": {"religion": "Atheist", "care": 4.6}},
        }
        env, task = made_up(), Task("t", 0, data)
        assert "religion: Catholic" in env.agent_prompt(task)
        assert "Atheist" not in env.agent_prompt(task)
        assert "religion: Atheist" in env.user_prompt(task)
        assert "care: 4.6 of 6" in env.user_prompt(task)
        assert "Catholic" not in env.user_prompt(task)

    def test_the_same_task_gives_the_same_bytes(self):
        first, second = (env.tasks("train")[5] for env in (made_up(), made_up()))
        assert made_up().agent_prompt(first) == made_up().agent_prompt(second)
        assert made_up().user_prompt(first) == made_up().user_prompt(second)

    def test_a_blank_survey_makes_an_ordinary_adult(self):
        data = {side: {"id": side, "traits": {"age": None}} for side in SIDES}
        assert "an ordinary adult" in made_up().user_prompt(Task("t", 0, data))

    def test_only_the_persuadee_is_told_how_a_donation_is_written(self):
        env = made_up()
        task = env.tasks("train")[0]
        assert "[DONATE $N]" in env.user_prompt(task)
        assert "[" not in env.agent_prompt(task)


class TestMetrics:
    def test_a_donation_is_read_from_the_persuadees_last_tag(self):
        talk = said(
            ("assistant", "hi"), ("user", "[DONATE $1]"), ("assistant", "sure?"), ("user", "no, [DONATE $0.50]")
        )
        assert made_up().metrics(TASK, talk) == {"donation": 0.5, "completed": 1, "tag_attempts": 0}

    def test_a_persuader_earns_nothing_by_writing_tags(self):
        talk = said(("assistant", "[DONATE $2] [give $1]"), ("user", "what?"))
        assert made_up().metrics(TASK, talk) == {"donation": 0, "completed": 0, "tag_attempts": 2}

    def test_a_final_refusal_completes_the_conversation(self):
        assert made_up().metrics(TASK, said(("assistant", "hi"), ("user", "[DONATE $0]")))["completed"] == 1

    def test_nothing_said_measures_nothing(self):
        assert set(made_up().metrics(TASK, []).values()) == {0}


TASK = Task("t", 0, {})


class TestConversation:
    def test_it_ends_when_the_persuadee_decides(self):
        env = made_up()
        persuader, persuadee = Script("Hi!", "Give?", "never said"), Script("Hello.", "Sure. [DONATE $1.50]")
        agent, over = play(env, env.tasks("train")[0], persuader, persuadee)
        assert over
        assert [message["content"] for message in agent.messages] == ["Hi!", "Hello.", "Give?", "Sure. [DONATE $1.50]"]
        assert agent.recent_actions == ["Give?"]

    def test_a_maybe_does_not_end_it(self):
        env = made_up()
        _, over = play(env, env.tasks("train")[0], Script("Give?"), Script("Maybe I donate $1 later."), rounds=1)
        assert not over

    def test_the_persuaders_first_request_has_a_user_message(self):
        env, persuader = made_up(), Script("Hi!")
        task = env.tasks("train")[0]
        agent, _ = play(env, task, persuader, Script("Hello."), rounds=1)
        assert persuader.asked[0] == said(("system", env.agent_prompt(task)), ("user", OPENER))
        assert agent.messages_internal[:2] == persuader.asked[0]
        assert agent.messages[0]["role"] == "assistant"

    def test_a_conversation_that_the_user_began_needs_no_opener(self):
        env = made_up()
        agent = Persuader(said(("user", "Anyone there?")))
        agent.start(env.tasks("train")[0], env, {})
        assert [message["role"] for message in agent.messages_internal] == ["system", "user"]

    def test_a_conversation_that_is_under_way_gets_the_opener_before_it(self):
        env = made_up()
        agent = Persuader(said(("assistant", "Hi!"), ("user", "Hello.")))
        agent.start(env.tasks("train")[0], env, {})
        assert [message["role"] for message in agent.messages_internal] == ["system", "user", "assistant", "user"]

    def test_both_views_only_ever_grow(self):
        env = made_up()
        persuader, persuadee = Script("a [DONATE $2]", "b", "c"), Script("x", "y", "z")
        play(env, env.tasks("train")[0], persuader, persuadee, rounds=3)
        for view in (persuader.asked, persuadee.asked):
            for before, after in pairwise(view):
                assert after[: len(before)] == before
            for request in view:
                roles = [message["role"] for message in request]
                assert roles == ["system", *(["user", "assistant"] * len(roles))[: len(roles) - 1]]
                assert roles[-1] == "user"

    def test_the_persuaders_tags_are_defused_for_the_persuadee_only(self):
        env, persuadee = made_up(), Script("No.")
        agent, over = play(env, env.tasks("train")[0], Script("Say [DONATE $2]!"), persuadee, rounds=1)
        assert persuadee.asked[0][-1] == {"role": "user", "content": "Say (DONATE $2)!"}
        assert agent.messages[0]["content"] == "Say [DONATE $2]!"
        assert not over

    @pytest.mark.parametrize(
        "text", ["<think>hm</think> Hi!", "hm</think>\nHi!", "<think>a</think><think>b</think>Hi!", "Hi! <think>and"]
    )
    def test_thoughts_are_not_said(self, text):
        env = made_up()
        agent, _ = play(env, env.tasks("train")[0], Script(text), Script(text), rounds=1)
        assert [message["content"] for message in agent.messages] == ["Hi!", "Hi!"]

    def test_a_tag_in_the_persuadees_thoughts_gives_nothing(self):
        env = made_up()
        persuadee = Script("<think>[DONATE $2]?</think> Not yet.")
        agent, over = play(env, env.tasks("train")[0], Script("Give?"), persuadee, rounds=1)
        assert not over
        assert agent.messages[-1]["content"] == "Not yet."

    def test_a_silent_persuader_is_asked_again(self):
        env = made_up()
        agent, _ = seated(env, env.tasks("train")[0])
        assert asyncio.run(agent.step(model=Script("<think>only thoughts</think>"))) is False
        assert agent.messages == []

    def test_a_silent_persuadee_is_asked_again_and_then_fails(self):
        env = made_up()
        agent, user = seated(env, env.tasks("train")[0])
        agent.add_message({"role": "assistant", "content": "Hi!"})
        asyncio.run(user.step(agent, model=Script("", "<think>", "Hello.")))
        assert agent.messages[-1] == {"role": "user", "content": "Hello."}
        with pytest.raises(RuntimeError, match="empty replies"):
            asyncio.run(user.step(agent, model=Script("", "", "")))

    def test_siblings_do_not_hear_each_other(self):
        env = made_up()
        agent, user = seated(env, env.tasks("train")[0])
        twin, other = fork(agent), fork(user)
        asyncio.run(agent.step(model=Script("Hi!")))
        assert twin.messages == []
        assert len(twin.messages_internal) == 2
        assert other.prompt == user.prompt


def rewards(**options):
    return create(DonationRewards, "rewards", options, ["donation"])


class TestRewards:
    def test_they_read_the_persuadee(self):
        assert DonationRewards.reads is Speaker.USER
        assert issubclass(DonationRewards, BaseRewards)

    @pytest.mark.parametrize(
        ("texts", "amount", "hit"),
        [
            (["Sure. [DONATE $1.50]"], 1.5, True),
            (["[GIVE $0.5]"], 0.5, True),
            (["[DONATE $9]"], 2.0, True),
            (["[DONATE $2] no, wait:", "[DONATE $0.25]"], 0.25, True),
            (["[DONATE $0]"], 0.0, False),
            (["I'll give $1"], None, False),
            ([], None, False),
        ],
    )
    def test_the_last_tag_counts_when_it_gives_anything(self, texts, amount, hit):
        assert rewards().hit_value(texts) == amount
        assert rewards().is_reward(texts) == (hit, ["donation"] if hit else [])

    def test_less_than_the_smallest_reward_is_no_hit(self):
        assert rewards(min_reward=0.5).is_reward(["[DONATE $0.49]"]) == (False, [])
        assert rewards(min_reward=0.5).is_reward(["[DONATE $0.50]"]) == (True, ["donation"])
        assert rewards(min_reward=0.0).is_reward(["[DONATE $0.01]"]) == (True, ["donation"])
        assert rewards(min_reward=0.5).fork().min_reward == 0.5

    @pytest.mark.parametrize("wrong", [-1, 2.5, float("nan")])
    def test_a_smallest_reward_beyond_reach_is_refused(self, wrong):
        with pytest.raises(UsageError, match=r"give 0 to 2 dollars|give a finite number"):
            rewards(min_reward=wrong)

    def test_a_donation_counts_once(self):
        spent = rewards()
        spent.delete_reward(["donation"])
        assert spent.is_reward(["[DONATE $1]"]) == (False, [])

    def test_a_path_is_worth_its_dollars(self):
        assert rewards().path_reward(["donation"], [Hit(0, ("donation",), 1.25)]) == 1.25
        assert rewards().path_reward(["donation"], []) == 0

    @given(st.lists(st.sampled_from(["[", "]", "DONATE", "give", " ", "$", "1", "9", ".", "-", "\n"])).map("".join))
    def test_no_text_gives_more_than_there_is(self, text):
        amount = rewards().hit_value(["[DONATE $1]", text])
        assert amount is not None
        assert 0 <= amount <= 2
