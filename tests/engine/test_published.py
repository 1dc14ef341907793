"""What ran with the package josh-train (0.1.4) runs here with its import line changed, and decides alike.

The expected values were taken from that package, with the same scripted callbacks.
"""

import asyncio
import random

import pytest

from josh import JOSH, AsyncJOSH, BaseJOSHAgent, BaseJOSHUser, BaseRewards

GOALS = ["search hotel", "book hotel", "search train"]


class Script:
    """Callbacks that act by a random number for each call, in the order of the calls."""

    def __init__(self, seed):
        self.draw = random.Random(seed).random
        self.calls = []

    def agent_step(self, agent, model, tokenizer, env):
        assert (model, tokenizer, env) == ("model", "tokenizer", "env")
        number = self.draw()
        self.calls.append("agent")
        if number < 0.1:
            agent.recent_actions = []
            return agent, None
        agent.recent_actions = [GOALS[int(number * 100) % 3]] if number < 0.4 else []
        agent.messages_internal.append({"role": "assistant", "content": f"call {number:.3f}"})
        if number > 0.7:
            return agent, False
        agent.messages.append({"role": "assistant", "content": f"say {number:.3f}"})
        return agent, True

    def user_step(self, user, agent):
        number = self.draw()
        self.calls.append("user")
        agent.add_message({"role": "user", "content": f"reply {number:.3f}"})
        return agent, number < 0.1

    def add_error_message(self, agent):
        self.calls.append("error")
        agent.messages.append({"role": "assistant", "content": "Error: Agent ran out of retries."})
        return agent

    async def agent_step_async(self, agent, model, tokenizer, env):
        return self.agent_step(agent, model, tokenizer, env)

    async def user_step_async(self, user, agent):
        return self.user_step(user, agent)


class AsyncRewards(BaseRewards):
    async def is_reward_async(self, agent_actions):
        await asyncio.sleep(0)
        return self.is_reward(agent_actions)


def searched(kind, script, rewards, root, user, beam_size):
    """The search, with callbacks as the kind wants them."""
    waits = kind.__name__ == "AsyncJOSH"
    return kind(
        rewards=rewards,
        agent_step=script.agent_step_async if waits else script.agent_step,
        user_step=script.user_step_async if waits else script.user_step,
        add_error_message=script.add_error_message,
        root_agent=root,
        user=user,
        beam_size=beam_size,
        max_turn_tries=3,
        agent_model="model",
        agent_tokenizer="tokenizer",
        agent_env="env",
    )


async def played(josh, rounds=8):
    """The rewards after each round."""
    rewards, done = [], False
    while not done and len(rewards) < rounds:
        stepped = josh.step()
        reward, done = await stepped if asyncio.iscoroutine(stepped) else stepped
        rewards.append(round(reward, 3))
    return rewards


def both(rewards, said, agent_calls, user_calls):
    """What both classes of the package do, where they do the same."""
    return [(kind, rewards, said, agent_calls, user_calls) for kind in (JOSH, AsyncJOSH)]


EXPECTED = {
    (0, 1): both([0.0, 0.0, 0.333, 0.333, 0.333, 0.333, 0.333, 0.667], None, 14, 8),
    (3, 1): both([0.333, 0.667, 0.667], None, 3, 3),
    (0, 4): both([0.333, 0.667, 0.667, 0.667, 1.0], ["0.259", "0.511", "0.303", "0.477", "0.505", "0.756"], 25, 8),
    # None from an agent's step ends the conversation in one class, and the turn in the other.
    (1, 4): [
        (JOSH, [0.333] * 5, None, 15, 6),
        (AsyncJOSH, [*[0.333] * 4, 0.667, 0.667, 1.0], ["0.134", "0.495", "0.449", "0.789", "0.762", "0.229"], 23, 10),
    ],
    (6, 8): both([0.333], None, 4, 1),
    (11, 8): [
        (JOSH, [0.0, 0.333, 0.333], None, 9, 4),
        (
            AsyncJOSH,
            [0.0, *[0.333] * 5, 0.667, 1.0],
            ["0.560", "0.466", "0.185", "0.630", "0.810", "0.693"],
            34,
            18,
        ),
    ],
}
"""By seed and beam: the rewards by round, the first words of the golden conversation, and the numbers of calls."""


@pytest.mark.parametrize(
    ("seed", "beam_size", "expected"), [(*key, one) for key, several in EXPECTED.items() for one in several]
)
def test_a_search_decides_as_the_package(seed, beam_size, expected):
    kind, rewards, said, agent_calls, user_calls = expected
    script, own = Script(seed), (AsyncRewards if kind is AsyncJOSH else BaseRewards)(list(GOALS))
    josh = searched(kind, script, own, BaseJOSHAgent(), BaseJOSHUser(), beam_size)
    assert asyncio.run(played(josh)) == rewards
    golden = josh.golden_agent and [message["content"].split()[-1] for message in josh.golden_agent.messages][:6]
    assert golden == said
    assert (script.calls.count("agent"), script.calls.count("user")) == (agent_calls, user_calls)


@pytest.mark.parametrize("kind", [JOSH, AsyncJOSH])
def test_without_goals_the_first_step_is_the_last(kind):
    josh = searched(kind, Script(0), BaseRewards([]), BaseJOSHAgent(), BaseJOSHUser(), 4)
    assert asyncio.run(played(josh)) == [0.0]
    assert josh.training_examples == []


@pytest.mark.parametrize("kind", [JOSH, AsyncJOSH])
def test_the_root_has_the_conversation_so_far(kind):
    root = BaseJOSHAgent([{"role": "user", "content": "hi"}])
    josh = searched(kind, Script(0), BaseRewards(list(GOALS)), root, BaseJOSHUser(), 4)
    assert josh.root.agent is root
    asyncio.run(played(josh))
    assert josh.root.agent is josh.golden_agent
    assert josh.root.agent.messages[0] == {"role": "user", "content": "hi"}


def test_rewards_that_wait_are_asked_at_the_same_time():
    class Slow(BaseRewards):
        asked = most = 0

        async def is_reward_async(self, agent_actions):
            Slow.asked += 1
            Slow.most = max(Slow.most, Slow.asked)
            await asyncio.sleep(0.01)
            Slow.asked -= 1
            return self.is_reward(agent_actions)

    josh = searched(AsyncJOSH, Script(0), Slow(list(GOALS)), BaseJOSHAgent(), BaseJOSHUser(), 8)
    asyncio.run(played(josh, rounds=3))
    assert Slow.most > 1


def test_an_exception_in_a_callback_costs_its_branch():
    class Fails(Script):
        async def agent_step_async(self, agent, **kwargs):
            if len(self.calls) == 1:
                self.calls.append("agent")
                raise ConnectionError("lost")
            return self.agent_step(agent, **kwargs)

    josh = searched(AsyncJOSH, Fails(3), BaseRewards(list(GOALS)), BaseJOSHAgent(), BaseJOSHUser(), 4)
    rewards = asyncio.run(played(josh))
    assert len(rewards) > 1
