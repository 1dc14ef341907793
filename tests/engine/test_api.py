"""The published class: its contract, and the faults of the published code that must not come back."""

import asyncio
import functools
import random
import threading
import time
from collections import Counter

import pytest

from josh import JOSH, BaseJOSHAgent, BaseJOSHUser, BaseRewards, UsageError
from josh.dialogue import Outcome
from josh.tree import leaves


def add_error_message(agent):
    agent.messages.append({"role": "assistant", "content": "Error: Agent ran out of retries."})
    return agent


def step_agent(agent, **kwargs):
    return agent, agent.step(**kwargs)


def step_user(user, agent):
    return user.step(agent)


class Actor(BaseJOSHAgent):
    """Does what `script(turn, path number)` says: a list of steps, each a list of actions."""

    def __init__(self, script):
        super().__init__()
        self.script = script
        self.turn = 0
        self.steps = []

    shared = ("script",)

    def step(self, **kwargs):
        if not self.steps:
            self.steps = [list(step) for step in self.script(self.turn)]
            self.turn += 1
        actions = self.steps.pop(0)
        if "raise" in actions:
            raise ConnectionError("lost")
        self.add_message({"role": "assistant", "content": " ".join(actions) or "..."})
        self.recent_actions = actions
        return not self.steps


def search(goals, script, user=None, beam_size=1, **options):
    agent = script if isinstance(script, BaseJOSHAgent) else Actor(script)
    return JOSH(
        rewards=BaseRewards(goals),
        agent_step=options.pop("agent_step", step_agent),
        user_step=options.pop("user_step", step_user),
        add_error_message=add_error_message,
        root_agent=agent,
        user=user or BaseJOSHUser(),
        beam_size=beam_size,
        **options,
    )


def play(josh, rounds=10):
    reward, done, steps = 0.0, False, 0
    while not done and steps < rounds:
        reward, done = josh.step()
        steps += 1
    return reward, done, steps


def test_the_published_snippet_earns_everything():
    josh = search(["say hello"] * 3, BaseJOSHAgent(), beam_size=8)
    assert play(josh) == (1.0, True, 3)
    hello, hi = {"role": "assistant", "content": "hello!"}, {"role": "user", "content": "hi there!"}
    one, two, three = [hello], [hello, hi, hello], [hello, hi, hello, hi, hello]
    assert josh.training_examples == [
        (messages, True, golden) for messages in (one, two, three) for golden in (True, False)
    ]
    assert josh.golden_agent.messages == three
    assert len(josh.rewards) == 0


def test_a_failed_step_kills_its_leaf_and_tells(caplog):
    josh = search(["x"], lambda turn: [["raise"]], beam_size=2)
    assert play(josh) == (0.0, True, 1)
    assert "ConnectionError: lost" in caplog.text
    assert [josh.tree.nodes[leaf].turn.outcome for leaf in leaves(josh.tree)] == [Outcome.INFRA_ERROR] * 2


def test_ctrl_c_is_not_swallowed():
    def stop(agent, **kwargs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(["x"], BaseJOSHAgent(), agent_step=stop).step()


def test_an_exception_in_a_step_does_not_earn_the_previous_actions_reward():
    josh = search(["x", "x"], lambda turn: [["x"]] if turn == 0 else [["raise"]])
    assert play(josh) == (0.5, True, 2)


def test_a_step_that_does_nothing_does_not_earn_the_previous_actions_reward():
    class Idle(BaseJOSHAgent):
        def step(self, **kwargs):
            if not self.messages:
                self.recent_actions = ["x"]
            self.add_message({"role": "assistant", "content": "..."})
            return True

    assert play(search(["x", "x"], Idle()), rounds=4)[0] == 0.5


def test_two_goals_met_in_one_turn_are_both_consumed():
    assert play(search(["a", "b"], lambda turn: [["a"], ["b"]])) == (1.0, True, 1)
    assert play(search(["a", "b"], lambda turn: [["a", "b"]])) == (1.0, True, 1)


def test_an_action_repeated_in_one_turn_pays_once():
    assert play(search(["a", "b"], lambda turn: [["a", "a"]]), rounds=3)[0] == 0.5
    assert play(search(["a", "b"], lambda turn: [["a"], ["a"]]), rounds=3)[0] == 0.5


class Published:
    """Rewards as the published code writes them: a goal is claimed once for every action that names it."""

    def __init__(self, rewards):
        self.rewards = rewards

    def __len__(self):
        return len(self.rewards)

    def is_reward(self, agent_actions):
        met = [action for action in agent_actions if action in self.rewards]
        return bool(met), met

    def delete_reward(self, rewards_to_delete):
        for reward in rewards_to_delete:
            self.rewards.remove(reward)


def test_rewards_of_the_published_interface_need_no_base_of_ours():
    rewards = Published(["a", "b"])
    josh = JOSH(rewards, step_agent, step_user, add_error_message, Actor(lambda turn: [["a", "a"]]), BaseJOSHUser(), 2)
    assert play(josh, rounds=2)[0] == 0.5
    assert rewards.rewards == ["b"]
    with pytest.raises(UsageError, match="rewards, a list, has no rewards; subclass BaseRewards"):
        JOSH(["a"], step_agent, step_user, add_error_message, BaseJOSHAgent(), BaseJOSHUser())


def test_a_search_that_was_broken_off_says_so():
    def stop(user, agent):
        raise KeyboardInterrupt

    josh = search(["x"], BaseJOSHAgent(), user_step=stop)
    with pytest.raises(KeyboardInterrupt):
        josh.step()
    with pytest.raises(UsageError, match="interrupted in the middle of a turn"):
        josh.step()


def test_another_root_agent_starts_over_for_the_goals_still_open():
    josh = search(["a", "b", "c"], lambda turn: [["a"]])
    josh.step()
    josh.set_root_agent(Actor(lambda turn: [["b"]]))
    assert josh.step() == (2 / 3, False)


def test_a_goal_wanted_twice_is_paid_twice():
    assert play(search(["a", "a"], lambda turn: [["a", "a"]])) == (1.0, True, 1)


def test_the_golden_agent_is_there_when_the_last_goals_fall_together():
    josh = search(["a", "b"], lambda turn: [["a", "b"]])
    play(josh)
    assert josh.golden_agent.messages[-1]["content"] == "a b"


def test_the_error_message_is_only_for_agents_that_did_not_finish():
    josh = search(["x"], lambda turn: [["y"]], max_turn_tries=1)
    josh.step()
    assert [message["content"] for message in josh._search.branches[2].agent.messages] == ["y", "hi there!"]
    josh = search(["x"], lambda turn: [["y"], ["y"], ["y"]], max_turn_tries=2)
    josh.step()
    said = [message["content"] for message in josh._search.branches[2].agent.messages]
    assert said == ["y", "y", "Error: Agent ran out of retries.", "hi there!"]


def test_an_example_has_at_least_one_word_of_the_agent():
    agent = BaseJOSHAgent([{"role": "user", "content": "hi"}])
    josh = search(["say hello"], agent, beam_size=2)
    play(josh)
    assert [len(messages) for messages, _, _ in josh.training_examples] == [2, 2]


class Leaver(BaseJOSHUser):
    """Leaves after `patience` answers; one per branch, if it is isolated."""

    def __init__(self, patience=2):
        self.patience = patience

    def step(self, agent, **kwargs):
        self.patience -= 1
        agent.add_message({"role": "user", "content": "hm"})
        return agent, self.patience < 0


def test_a_user_with_a_memory_is_isolated_between_branches():
    josh = search(["never"], lambda turn: [["y"]], user=Leaver(2), beam_size=8)
    assert play(josh) == (0.0, True, 3)


def test_an_exception_in_the_user_loses_one_leaf_not_the_search():
    def fragile(user, agent):
        if len(agent.messages) == 1 and next(calls) == 0:
            raise ValueError("bad luck")
        return user.step(agent)

    calls = iter(range(100))
    josh = search(["x"], lambda turn: [["x" if turn == 2 else "y"]], user_step=fragile, beam_size=4)
    assert play(josh) == (1.0, True, 3)
    outcomes = Counter(node.turn.outcome for node in josh.tree.nodes)
    assert outcomes[Outcome.INFRA_ERROR] == 1


def test_an_exception_in_the_rewards_loses_one_leaf_not_the_search():
    class Fragile(BaseRewards):
        asked = 0

        def is_reward(self, agent_actions):
            self.asked += 1
            if self.asked == 1:
                raise ValueError("judge is ill")
            return super().is_reward(agent_actions)

    josh = JOSH(
        Fragile(["x"]), step_agent, step_user, add_error_message, Actor(lambda turn: [["x"]]), BaseJOSHUser(), 2
    )
    assert play(josh) == (1.0, True, 1)
    assert [flags for _, *flags in josh.training_examples] == [[True, True]]


def test_a_broken_branch_is_never_a_negative_example():
    class Half(Actor):
        def step(self, **kwargs):
            if next(calls) == 1:
                raise ConnectionError("lost")
            return super().step(**kwargs)

    calls = iter(range(100))
    josh = search(["x"], Half(lambda turn: [["x"]]), beam_size=2)
    josh.step()
    assert [flags for _, *flags in josh.training_examples] == [[True, True]]


def test_an_agent_that_gives_up_is_a_negative_example():
    def give_up(agent, **kwargs):
        agent.step(**kwargs)
        return agent, None if next(calls) == 1 else True

    calls = iter(range(100))
    agent = Actor(lambda turn: [[["y", "x"][turn]]])
    josh = search(["x"], agent, agent_step=give_up, beam_size=2)
    play(josh)
    said = [([message["content"] for message in messages], *flags) for messages, *flags in josh.training_examples]
    assert (["y"], False, False) in said
    assert (["y", "hi there!", "x"], True, True) in said


def test_histories_are_shared_and_everything_else_is_isolated():
    agent = Actor(lambda turn: [["y"]])
    agent.notes = {"seen": []}
    twin = agent.fork()
    agent.add_message({"role": "assistant", "content": "one"})
    third = agent.fork()
    third.notes["seen"].append(1)
    assert twin.messages == []
    assert third.messages[0] is agent.messages[0]
    assert agent.notes == {"seen": []}
    assert third.script is agent.script


def test_what_cannot_be_copied_is_named():
    agent = BaseJOSHAgent()
    agent.client = threading.Lock()
    with pytest.raises(
        UsageError, match=r"BaseJOSHAgent\.client \(name it in BaseJOSHAgent\.shared\) cannot be copied"
    ):
        search(["x"], agent, beam_size=2).step()


def test_a_history_that_was_rewritten_is_an_error(caplog):
    class Forgetful(BaseJOSHAgent):
        def step(self, **kwargs):
            self.messages = []
            return super().step(**kwargs)

    josh = search(["x"], Forgetful([{"role": "user", "content": "hi"}]))
    assert play(josh) == (0.0, True, 1)
    assert "messages was rewritten; only add messages to a history" in caplog.text


def test_deep_conversations_need_no_recursion():
    josh = search(["x"], lambda turn: [["x" if turn == 1500 else "y"]], beam_size=2)
    assert play(josh, rounds=2000) == (1.0, True, 1501)


def test_debug_is_plain_text_on_stderr(capsys):
    play(search(["say hello"], BaseJOSHAgent(), debug=True))
    out, err = capsys.readouterr()
    assert out == ""
    assert "tree collapsed" in err
    assert err.isascii()


def test_callbacks_run_one_after_another_in_leaf_order():
    order = []

    def note(agent, **kwargs):
        order.append(agent.number)
        return step_agent(agent, **kwargs)

    class Numbered(BaseJOSHAgent):
        number = 0

        def fork(self):
            twin = super().fork()
            twin.number = next(numbers)
            return twin

    numbers = iter(range(1, 100))
    josh = search(["never"], Numbered(), agent_step=note, beam_size=4)
    josh.step()
    josh.step()
    assert order == [1, 2, 3, 4, 5, 6]


def sleepy_agent(agent, **kwargs):
    time.sleep(0.02)
    return step_agent(agent, **kwargs)


async def async_agent(agent, **kwargs):
    await asyncio.sleep(0.001)
    return step_agent(agent, **kwargs)


async def async_user(user, agent):
    await asyncio.sleep(0.001)
    return step_user(user, agent)


def test_async_callbacks_are_awaited():
    josh = search(["say hello"] * 2, BaseJOSHAgent(), agent_step=async_agent, user_step=async_user, beam_size=4)
    assert play(josh) == (1.0, True, 2)


def hidden(callback, **kwargs):
    return callback(**kwargs)


def test_an_async_callback_may_hide_in_a_plain_one():
    josh = search(["say hello"], BaseJOSHAgent(), agent_step=functools.partial(hidden, async_agent))
    assert play(josh) == (1.0, True, 1)


def test_a_notebook_awaits_astep_and_may_step_plain_callbacks():
    async def notebook():
        plain = search(["say hello"], BaseJOSHAgent())
        waiting = search(["say hello"], BaseJOSHAgent(), agent_step=async_agent)
        return plain.step(), await waiting.astep()

    assert asyncio.run(notebook()) == ((1.0, True), (1.0, True))


def test_stepping_async_callbacks_in_a_running_loop_says_what_to_do():
    async def notebook():
        search(["say hello"], BaseJOSHAgent(), agent_step=async_agent).step()

    with pytest.raises(UsageError, match=r"await josh\.astep\(\)"):
        asyncio.run(notebook())


@pytest.mark.parametrize("agent_step", [sleepy_agent, async_agent])
def test_max_concurrency_runs_callbacks_side_by_side_up_to_the_limit(agent_step):
    running, most = 0, 0
    lock = threading.Lock()

    def counted(**kwargs):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return step_agent(**kwargs)

    josh = search(["never"], BaseJOSHAgent(), agent_step=counted, beam_size=8, max_concurrency=3)
    for _ in range(3):
        josh.step()
    assert most == 3
    concurrent = search(["say hello"] * 2, BaseJOSHAgent(), agent_step=agent_step, beam_size=8, max_concurrency=8)
    serial = search(["say hello"] * 2, BaseJOSHAgent(), beam_size=8)
    assert play(concurrent) == play(serial)
    assert concurrent.training_examples == serial.training_examples


def test_the_order_of_replies_does_not_change_the_tree():
    def tree_of(delays):
        async def slow(agent, **kwargs):
            await asyncio.sleep(next(delays))
            return step_agent(agent, **kwargs)

        script = {0: [["y"]], 1: [["y"], ["a"]], 2: [["b"]]}
        josh = search(
            ["a", "b"], lambda turn: script.get(turn, [["y"]]), agent_step=slow, beam_size=4, max_concurrency=9
        )
        play(josh)
        return josh.tree, josh.training_examples

    even = tree_of(iter(lambda: 0, 1))
    for seed in range(3):
        draw = random.Random(seed)
        assert tree_of(iter(lambda draw=draw: draw.random() / 100, 2)) == even


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"beam_size": 0}, "beam_size is 0"),
        ({"max_turn_tries": 0}, "max_turn_tries is 0"),
        ({"max_concurrency": 0}, "is 0"),
    ],
)
def test_wrong_numbers_are_refused_at_once(option, text):
    with pytest.raises(UsageError, match=text):
        search(["x"], BaseJOSHAgent(), **option)
