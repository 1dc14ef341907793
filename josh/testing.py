"""Tools to test your own plug-ins: scripted models, agents and users, and conformance tests to inherit.

    from josh.testing import AgentConformance, FixedModel

    class TestMyAgent(AgentConformance):
        def make(self):
            return MyAgent()

        def line(self):
            return FixedModel(["Hello. How are you?"])

pytest then runs the inherited tests, which check what the search requires.
"""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from josh.conformance import StrategyConformance
from josh.dialogue import Usage
from josh.messages import Message
from josh.models.chat import Completion, Request, Sampling
from josh.roles import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards, Reply, Task, TurnModel, fork
from josh.turns import ask

__all__ = [
    "AgentConformance",
    "EnvConformance",
    "FixedLine",
    "FixedModel",
    "RewardsConformance",
    "ScriptedAgent",
    "ScriptedModel",
    "ScriptedUser",
    "StrategyConformance",
    "UserConformance",
]

Script = Callable[[Sequence[Message], int], str | Reply]
"""A function of a request's messages and seed that returns the reply, or the reply's text alone."""


class ScriptedModel:
    """A chat model whose replies come from a script.

    Attributes:
        requests: every request, in order, each with a copy of its list of messages.
    """

    endpoint = "scripted"
    concurrency: int | None = None

    def __init__(self, script: Script | Sequence[str | Reply], name: str = "scripted", latency: float = 0.0) -> None:
        """Set up a model.

        Args:
            script: a function of messages and seed, or a list of replies (or their texts), which the model gives in
                turn and repeats from the start.
            name: the model's name.
            latency: seconds that every request takes.
        """
        self.name = name
        self.requests: list[Request] = []
        self._latency = latency
        if callable(script):
            self._script = script
        else:
            lines, turn = list(script), count()
            self._script = lambda _messages, _seed: lines[next(turn) % len(lines)]

    async def complete(self, request: Request) -> Completion:
        """Reply by the script; see `ChatModel.complete`."""
        self.requests.append(replace(request, messages=list(request.messages)))
        if self._latency:
            await asyncio.sleep(self._latency)
        given = [self._script(request.messages, request.seed + number) for number in range(request.n)]
        replies = tuple(Reply(one) if isinstance(one, str) else one for one in given)
        words = sum(len(reply.text.split()) for reply in replies)
        prompt = sum(len(str(message.get("content")).split()) for message in request.messages)
        return Completion(replies, Usage(prompt_tokens=prompt, completion_tokens=words))

    async def aclose(self) -> None:
        """Does nothing: the model has no connections."""


class FixedModel:
    """A `TurnModel` with scripted replies, to call an agent's or user's `step` by hand."""

    def __init__(
        self, script: Script | Sequence[str | Reply] = ("Yes.",), temperature: float = 1.0, seed: int = 1
    ) -> None:
        self.sampling = Sampling(temperature=temperature)
        self.model = ScriptedModel(script)
        self._seeds = count(seed)

    @property
    def temperature(self) -> float:
        """See `TurnModel.temperature`."""
        return self.sampling.temperature

    def draw(self) -> int:
        """Returns the next seed; seeds count up by one."""
        return next(self._seeds)

    def shared_draw(self) -> int:
        """Returns the next seed; seeds count up by one."""
        return next(self._seeds)

    async def reply(self, messages: Sequence[Message], **options: Any) -> Reply:
        """Returns the script's next reply."""
        request = Request(list(messages), self.sampling, self.draw(), options=options)
        completion = await self.model.complete(request)
        return completion.replies[0]

    async def hear(self, messages: Sequence[Message], ask: Callable[[], Awaitable[str | None]]) -> str | None:
        """Returns the result of `ask`."""
        return await ask()


FixedLine = FixedModel
"""The former name of `FixedModel`."""


class ScriptedAgent(BaseJOSHAgent):
    """An agent whose text and actions come from a function of the conversation and a seed."""

    shared = ("script",)

    def __init__(self, script: Callable[[Sequence[Message], int], tuple[str, Sequence[Any]]] | None = None) -> None:
        super().__init__()
        self.script = script or (lambda messages, seed: (f"line {len(messages)}", ()))

    def step(self, *, model: TurnModel, **_: Any) -> bool:
        """Add the script's message and actions; the turn is over."""
        text, actions = self.script(self.messages, model.draw())
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = list(actions)
        return True


class ScriptedUser(BaseJOSHUser):
    """A user whose text comes from a function of the conversation and a seed; the user leaves at None."""

    shared = ("script",)

    def __init__(self, script: Callable[[Sequence[Message], int], str | None] | None = None) -> None:
        self.script = script or (lambda messages, seed: "I see.")

    def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Answer with the script's text, or leave."""
        text = self.script(agent.messages, model.draw())
        if text is not None:
            agent.add_message({"role": "user", "content": text})
        return agent, text is None


class AgentConformance:
    """Checks what a search requires of an agent. Inherit, name your class `Test...`, and define `make`."""

    def make(self) -> Any:
        """Returns an agent before its first step, started on a task where it needs one."""
        raise NotImplementedError("define make() and return your agent")

    def line(self) -> TurnModel:
        """Returns the agent's chat model."""
        return FixedModel()

    def take_step(self, agent: Any) -> Any:
        """Make the agent act once; override it where `step` needs more arguments."""
        return _wait(agent.step(model=self.line(), env=None, tokenizer=None))

    def test_a_step_returns_true_false_or_none(self) -> None:
        assert self.take_step(self.make()) in (True, False, None)

    def test_a_step_adds_a_message_and_changes_none(self) -> None:
        agent = self.make()
        before, texts = list(agent.messages_internal), json.dumps(agent.messages_internal, default=repr)
        self.take_step(agent)
        assert len(agent.messages_internal) > len(before)
        assert json.dumps(agent.messages_internal[: len(before)], default=repr) == texts

    def test_a_fork_goes_its_own_way_and_shares_the_messages(self) -> None:
        agent = self.make()
        self.take_step(agent)
        twin = fork(agent)
        assert twin is not agent
        assert all(a is b for a, b in zip(agent.messages_internal, twin.messages_internal, strict=True))
        histories = ("messages", "messages_internal", "recent_actions")
        before = [list(getattr(agent, name)) for name in histories]
        self.take_step(twin)
        assert [getattr(agent, name) for name in histories] == before
        assert all(getattr(agent, name) is not getattr(twin, name) for name in histories)

    def test_recent_actions_is_a_list(self) -> None:
        agent = self.make()
        self.take_step(agent)
        assert isinstance(agent.recent_actions, list)


class UserConformance:
    """Checks what a search requires of a user. Inherit, name your class `Test...`, and define `make`."""

    def make(self) -> Any:
        """Returns a user, started on a task where it needs one."""
        raise NotImplementedError("define make() and return your user")

    def line(self) -> TurnModel:
        """Returns the user's chat model."""
        return FixedModel()

    def agent(self) -> BaseJOSHAgent:
        """Returns an agent that has just spoken."""
        return BaseJOSHAgent([{"role": "assistant", "content": "Hello, how are you today?"}])

    def take_turn(self, user: Any, agent: Any) -> Any:
        """Make the user answer; override it where `step` needs more arguments."""
        return _wait(user.step(agent, model=self.line(), env=None))

    def test_a_step_returns_the_agent_and_whether_it_is_over(self) -> None:
        agent = self.agent()
        returned, over = self.take_turn(self.make(), agent)
        assert returned is agent
        assert over in (True, False)

    def test_a_user_speaks_or_leaves(self) -> None:
        agent = self.agent()
        _, over = self.take_turn(self.make(), agent)
        assert over or agent.messages[-1]["role"] == "user"

    def test_a_fork_answers_without_touching_the_other(self) -> None:
        user, agent = self.make(), self.agent()
        twin, before = fork(user), repr(sorted(vars(user).items(), key=str))
        self.take_turn(twin, agent)
        assert repr(sorted(vars(user).items(), key=str)) == before


class RewardsConformance:
    """Checks what a search requires of a rewards class. Inherit, name it `Test...`, define `make` and `winning`."""

    def make(self) -> BaseRewards:
        """Returns rewards with at least one open goal."""
        raise NotImplementedError("define make() and return your rewards")

    def winning(self) -> Sequence[Any]:
        """Returns actions, or user texts, that meet a goal."""
        raise NotImplementedError("define winning() and return actions or texts that meet a goal")

    def test_nothing_earns_nothing(self) -> None:
        met, goals = _asked(self.make(), [])
        assert not met
        assert not goals

    def test_asking_spends_no_goal(self) -> None:
        rewards = self.make()
        assert _asked(rewards, self.winning())[0]
        assert _asked(rewards, self.winning())[0]
        assert len(rewards) == len(self.make())

    def test_a_met_goal_is_one_of_the_open_goals(self) -> None:
        rewards = self.make()
        _, goals = _asked(rewards, self.winning())
        assert all(goal in rewards.rewards for goal in goals)

    def test_deleting_spends_goals_and_does_so_once(self) -> None:
        rewards = self.make()
        _, goals = _asked(rewards, self.winning())
        rewards.delete_reward(goals)
        left = len(rewards)
        assert left == len(self.make()) - len(goals)
        if not left:
            rewards.delete_reward(goals)
            assert len(rewards) == 0
            assert not _asked(rewards, self.winning())[0]

    def test_a_fork_spends_goals_of_its_own(self) -> None:
        rewards = self.make()
        twin = rewards.fork()
        twin.delete_reward(_asked(twin, self.winning())[1])
        assert len(rewards) == len(self.make())

    def test_values_can_be_compared(self) -> None:
        value = self.make().hit_value(self.winning())
        assert value is None or value == float(value)


class EnvConformance:
    """Checks what a run requires of an environment. Inherit, name your class `Test...`, and define `make`."""

    def make(self) -> BaseEnv:
        """Returns the environment."""
        raise NotImplementedError("define make() and return your environment")

    def _tasks(self) -> list[Task]:
        env = self.make()
        return [task for split in env.splits for task in env.tasks(split)]

    def test_task_ids_are_unique_and_stable(self) -> None:
        ids = [task.id for task in self._tasks()]
        assert len(ids) == len(set(ids))
        assert ids == [task.id for task in self._tasks()]

    def test_the_goals_of_a_task_are_the_same_every_time(self) -> None:
        env = self.make()
        assert all(list(env.goals(task)) == list(env.goals(task)) for task in self._tasks())

    def test_tasks_can_be_written_as_json(self) -> None:
        for task in self._tasks():
            json.dumps([task.id, task.index, dict(task.data), dict(task.metadata)])

    def test_prompts_are_the_same_every_time(self) -> None:
        once, twice = self.make(), self.make()
        for task in self._tasks():
            assert once.agent_prompt(task) == twice.agent_prompt(task)
            assert once.user_prompt(task) == twice.user_prompt(task)


def _asked(rewards: BaseRewards, actions: Sequence[Any]) -> Any:
    """What `is_reward` says, with nothing observed where it takes `observed`."""
    return _wait(ask(rewards, actions, None))


def _wait(result: Any) -> Any:
    if not inspect.isawaitable(result):
        return result

    async def waiting() -> Any:
        return await result

    return asyncio.run(waiting())
