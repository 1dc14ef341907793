"""A world with a seat for an agent from outside: a trainer's model, or a harness that asks it.

Trainers on policy use it (`runs/train`): a run's settings give the world, its tasks, the user and the rewards, and the
trainer gives the model of each conversation. Nothing is written.
"""

from collections.abc import Mapping
from typing import Any

from josh.clock import TaskClock
from josh.conversation import Conversation
from josh.episode import USUAL, Table, play_search
from josh.errors import UsageError
from josh.models.chat import ChatModel, Sampling
from josh.outcomes import Episode
from josh.roles import Task
from josh.runs.play.runtime import Runtime, Seat
from josh.runs.registry import OFFLINE, default_of, env_class, label_of
from josh.runs.resolve import defaults_of, resolve
from josh.runs.settings import core
from josh.search import Strategy
from josh.strategies.rollouts import Rollouts

ALONE = Rollouts(Rollouts.Config())
"""One conversation."""


class Seats:
    """The world, tasks, users and rewards of a run, for agents from outside.

    Attributes:
        runtime: the run's plug-ins, models and gateway.
        tasks: its tasks by id.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Set the world up.

        Args:
            given: settings of `josh run`, by flag. Without `agent` it is the world's agent for the given model, or for
                chat models; no model is loaded for the agent.

        Raises:
            UsageError: a setting is wrong, or the world cannot be set up.
        """
        env = env_class(given.get("env") or core()["env"].default)
        agent = given.get("agent") or label_of(default_of(env, "agent", given.get("model") or "a chat model"))
        if not agent:
            raise UsageError(f"env {given.get('env')!r} has no agent for chat models; give agent")
        whole = {**given, "agent": agent, "model": OFFLINE}
        self.runtime = Runtime(resolve(whole, defaults_of(whole)), agent_to_come=True)
        self.tasks: Mapping[str, Task] = {task.id: task for task in self.runtime.tasks}

    def task(self, name: str) -> Task:
        """Returns a task by its id, or by its index as a number. Raises UsageError where there is none."""
        found = self.tasks.get(name)
        if found is None and name.isdecimal():
            found = next((task for task in self.runtime.tasks if task.index == int(name)), None)
        if found is None:
            raise UsageError(f"there is no task {name!r}; known: {', '.join(list(self.tasks)[:3])}, ...")
        return found

    async def play(
        self,
        task: Task,
        model: ChatModel,
        seed: int,
        *,
        sampling: Sampling = USUAL,
        strategy: Strategy = ALONE,
        user: int | None = None,
        user_seed: int | None = None,
    ) -> Episode:
        """Play a task with a model in the agent's seat; its tokens are kept (`josh.token_rows`).

        Args:
            task: one of the tasks.
            model: the agent's chat model, which stays open.
            seed: every random choice follows from it, the task's id and the place in the tree.
            sampling: sampling of the agent's replies.
            strategy: how the tree grows; by default one conversation.
            user: which of the user's models answers, from 0; None to let them take turns.
            user_seed: the seed of the user's random choices; None for `seed`.
        """
        runtime = self.runtime
        clock = TaskClock(runtime.settings.limits.task_timeout)
        scorer = runtime.scorer(task, clock)
        search = runtime.search(
            task, clock, scorer, Seat(strategy, seed, model, sampling, user=user, user_seed=user_seed)
        )
        return await play_search(search, task, runtime.env, clock=clock, scorer=scorer)

    def conversation(self, task: Task, seed: int, *, user: int | None = None) -> Conversation:
        """Returns a conversation on a task, whose agent is spoken for from outside; see `play`."""
        runtime = self.runtime

        def table_of(seed: int, voice: Any) -> Table:
            clock = TaskClock(runtime.settings.limits.task_timeout)
            scorer = runtime.scorer(task, clock)
            search = runtime.search(task, clock, scorer, Seat(ALONE, seed, voice=voice, user=user))
            return Table(search, scorer, clock)

        return Conversation.at(table_of, task, runtime.env, seed)

    async def aclose(self) -> None:
        """Close the models' connections."""
        await self.runtime.aclose()
