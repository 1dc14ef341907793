"""A conversation whose agent is spoken for from outside."""

import asyncio
import gc

import pytest

import josh
from josh.agents.chat import Persuader
from josh.agents.function_calling import FunctionCalling
from josh.agents.react import ReAct
from josh.dialogue import Outcome, Usage
from josh.envs.persuasion.env import PersuasionEnv
from josh.envs.toolwoz.env import ToolwozEnv
from josh.errors import UsageError
from josh.models.chat import Completion, ModelError, Sampling
from josh.rewards.donation import DonationRewards
from josh.rewards.tool_goals import ToolGoals
from josh.roles import BaseEnv, BaseJOSHUser, BaseRewards, Reply, Task
from josh.strategies.rollouts import Rollouts
from josh.users.donor import Donor
from josh.users.toolwoz.offline import OfflineGoal

WORDS = (
    "Hello! How are you today?",
    "Have you heard of Save the Children? They help children in need.",
    "They feed and teach children all over the world. Would you give a part of your payment?",
)


def persuasion(seed=7, task=0, **more):
    env = PersuasionEnv({})
    return josh.Conversation(env, env.tasks("train")[task], Donor, seed, rewards=DonationRewards, **more)


def talk(conversation, words=WORDS):
    said = [conversation.say(each) for each in words]
    while not conversation.over:
        said.append(conversation.say("Would you give one dollar?"))
    return said


def test_words_get_an_answer_until_it_is_over():
    conversation = persuasion()
    assert (conversation.messages, conversation.prompt, conversation.metrics) == ([], [], {})
    reply, over = conversation.say(WORDS[0])
    assert reply
    assert not over
    assert conversation.messages == [
        {"role": "assistant", "content": WORDS[0]},
        {"role": "user", "content": reply},
    ]
    assert conversation.prompt[0]["role"] == "system"
    assert conversation.prompt[1:] == conversation.messages
    assert (conversation.outcome, conversation.reward) == (Outcome.ALIVE, 0.0)
    with pytest.raises(UsageError, match="goes on; say something until it is over"):
        conversation.episode  # noqa: B018
    talk(conversation, ())
    assert conversation.metrics["num_turns"] == conversation.episode.rounds
    assert conversation.metrics["completed"] + conversation.metrics["truncated"] == 1
    assert conversation.metrics["reward"] == conversation.reward == conversation.episode.reward
    assert (conversation.prompt, conversation.error) == ([], "")
    with pytest.raises(UsageError, match="is over; start a new one"):
        conversation.say("And now?")


def test_the_same_seed_gives_the_same_answers_and_some_people_give():
    first, second, other = (talk(persuasion(seed)) for seed in (7, 7, 8))
    assert first == second != other
    ends = [persuasion(3, task) for task in range(20)]
    for conversation in ends:
        talk(conversation)
    assert {conversation.outcome for conversation in ends} >= {Outcome.WON, Outcome.LOST}
    assert {conversation.reward > 0 for conversation in ends} == {True, False}


class Reader(Persuader):
    """Says the lines that a conversation said."""

    lines = (*WORDS, *["Would you give one dollar?"] * 20)
    needs_model = False

    async def step(self, **_):
        self.add_message({"role": "assistant", "content": self.lines[sum(m["role"] == "user" for m in self.messages)]})
        self.recent_actions = [self.messages[-1]["content"]]
        return True


def test_a_search_with_the_same_words_is_the_same_conversation():
    spoken = persuasion(5, 4)
    talk(spoken)
    env = PersuasionEnv({})
    strategy = Rollouts(Rollouts.Config())
    played = asyncio.run(
        josh.play(
            env.tasks("train")[4], env, agent=Reader, user=Donor, rewards=DonationRewards, strategy=strategy, seed=5
        )
    )
    assert [node.turn.messages for node in played.tree.nodes] == [
        node.turn.messages for node in spoken.episode.tree.nodes
    ]
    assert (played.outcomes, played.worth, played.metrics) == (
        spoken.episode.outcomes,
        spoken.episode.worth,
        spoken.episode.metrics,
    )


def test_a_fork_goes_on_by_itself():
    first = persuasion()
    first.say(WORDS[0])
    same = first.fork()
    assert same.messages == first.messages
    assert same.prompt == first.prompt
    replies = [one.say(WORDS[1]) for one in (first, same)]
    assert replies[0] == replies[1]
    assert talk(first, WORDS[2:]) == talk(same, WORDS[2:])
    ended = first.fork()
    assert ended.over
    assert ended.reward == first.reward
    many = {persuasion().fork(seed).say(WORDS[2]).reply for seed in range(20)}
    assert len(many) > 1, "another seed, other luck"


def test_a_tag_in_the_agents_words_is_worth_nothing_and_the_limit_of_rounds_holds():
    conversation = persuasion(max_rounds=2)
    assert not conversation.say("[DONATE $2.00]").over
    assert conversation.reward == 0
    assert conversation.say("So give. [DONATE $2.00]").over
    assert conversation.outcome is Outcome.TRUNCATED
    assert conversation.metrics["truncated"] == 1
    assert conversation.metrics["num_turns"] == 2


def toolwoz(agent):
    env = ToolwozEnv({})
    return josh.Conversation(env, env.tasks("train")[0], OfflineGoal, 7, agent=agent, rewards=ToolGoals)


def test_an_agent_that_calls_tools_gets_their_results_as_the_answer():
    conversation = toolwoz(ReAct)
    (opening,) = conversation.start()
    assert opening["role"] == "user", "here the user speaks first"
    result, over = conversation.say('PLAN:\nLook.\nAPICALL:\n{"name": "search_hotel", "arguments": {"area": "north"}}')
    assert "APIRETURN" in result.replace(" ", "")
    assert not over
    assert len(conversation.messages) == 1, "the user has heard nothing yet"
    twin = conversation.fork()
    words = "PLAN:\nAnswer.\nSPEAK:\nI have found a few hotels. Which one do you like?"
    assert conversation.say(words) == twin.say(words), "a fork within a turn goes through it again"
    assert [message["role"] for message in twin.messages] == ["user", "assistant", "user"]


def test_an_agent_with_function_calling_takes_messages_with_calls():
    conversation = toolwoz(FunctionCalling)
    conversation.start()
    assert "search_hotel" in str(conversation.tools)
    call = {"type": "function", "function": {"name": "search_hotel", "arguments": '{"area": "north"}'}}
    result, over = conversation.say({"role": "assistant", "content": "", "tool_calls": [call]})
    assert "area" in result
    assert not over
    assert conversation.prompt[-1]["role"] == "tool"


def test_the_reward_so_far_counts_the_turn_that_is_being_taken():
    conversation = toolwoz(FunctionCalling)
    conversation.start()
    target = conversation.task.data["targets"][0]
    function = {"name": target["api"], "arguments": target["parameters"]}
    conversation.say({"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]})
    assert conversation.reward == 1 / len(conversation.task.data["targets"])
    conversation.say("I have found one.")
    assert conversation.reward == 1 / len(conversation.task.data["targets"]), "it counts once"


class Echo:
    """A chat model that repeats the last message, after a moment; it fails where that asks for it."""

    name = endpoint = "echo"
    concurrency = None

    async def complete(self, request):
        await asyncio.sleep(0.001)
        words = request.messages[-1]["content"]
        if "fail" in words:
            raise ModelError("no answer")
        return Completion((Reply(f"You say {words}"),), Usage())

    async def aclose(self):
        pass


class Asks(BaseJOSHUser):
    async def step(self, agent, *, model, **_):
        agent.add_message({"role": "user", "content": (await model.reply(agent.messages)).text})
        return agent, False


class Plain(BaseEnv):
    def goals(self, task):
        return ["nothing"]


def asking(**more):
    return josh.Conversation(
        Plain({}), Task("one", 0, {}), Asks, user_model=Echo(), user_sampling=Sampling(temperature=0), **more
    )


def test_users_with_models_are_waited_for_inside_and_outside_an_event_loop():
    outside = asking()
    assert outside.say("hi") == ("You say hi", False)
    assert outside.say("ho").reply == "You say ho"

    async def inside():
        with pytest.raises(UsageError, match="await asay"):
            outside.say("hi")
        both = await asyncio.gather(*(asking().asay(word) for word in ("a", "b")))
        return [reply for reply, _ in both]

    assert asyncio.run(inside()) == ["You say a", "You say b"]


def test_an_error_of_the_users_model_ends_it_and_is_nobodys_fault():
    conversation = asking()
    reply, over = conversation.say("please fail")
    assert (reply, over) == ("", True)
    assert conversation.outcome is Outcome.INFRA_ERROR
    assert "no answer" in conversation.error
    assert conversation.metrics["completed"] == conversation.metrics["truncated"] == conversation.reward == 0


def test_a_conversation_that_is_cancelled_or_left_is_clean():
    async def cancelled():
        conversation = asking()
        work = asyncio.ensure_future(conversation.asay("hi"))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="waits for an answer"):
            conversation.fork()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        with pytest.raises(UsageError, match="interrupted"):
            await conversation.asay("again")

    asyncio.run(cancelled())
    left = persuasion()
    left.say(WORDS[0])
    del left
    gc.collect()


class Picky(BaseRewards):
    def path_reward(self, goals, hits):
        raise RuntimeError("no idea")


def test_rewards_that_fail_are_named():
    conversation = asking(rewards=Picky, max_rounds=1)
    conversation.say("hi")
    assert "no idea" in conversation.error
