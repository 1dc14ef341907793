"""Debaters without a model that answer: the offline debater, and the scripted ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from josh.envs.debate.answers import standing
from josh.envs.debate.speech import SCRIPTS, Opening, Position, Traits, offline_turn, scripted_text
from josh.roles import BaseEnv, Task, TurnModel
from josh.users.debate.debater import DebatingUser


class Unmodelled(DebatingUser):
    """What users without a model share: they read the answers so far in the conversation."""

    shared: ClassVar[tuple[str, ...]] = ("task",)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the question. Raises UsageError where the task has none."""
        super().start(task, env, options)
        self.task = task

    def position(self, agent: Any) -> Position:
        """Returns what the user knows; with `both_first` it does not hear its partner before its own first turn."""
        answers = standing(agent.messages, self.task.data, both_first=self.both_first)
        spoke = any(message.get("role") == "user" for message in agent.messages)
        heard = answers["agent"] if spoke or not self.both_first else None
        return Position(self.task, "user", answers["user"], heard)


class OfflineDebater(Unmodelled):
    """Knows some answers, follows directives, and says how sure it is; see `josh.envs.debate.speech`."""

    Config = Traits
    config: Traits
    name = "offline_debater"

    def step(self, agent: Any, *, model: TurnModel, directive: str | None = None, **_: Any) -> tuple[Any, bool]:
        """Says one turn."""
        _answer, words = offline_turn(self.position(agent), directive, self.config, model)
        agent.add_message({"role": "user", "content": words})
        return agent, False


class Scripted(Unmodelled):
    """Answers by one of `SCRIPTS`, whatever the directive."""

    def step(self, agent: Any, **_: Any) -> tuple[Any, bool]:
        """Says one turn."""
        position = replace(self.position(agent), knows=getattr(self.config, "knows", None))
        words = scripted_text(position, SCRIPTS[self.name](position))
        agent.add_message({"role": "user", "content": words})
        return agent, False


class Keeper(Scripted):
    """Keeps its first answer."""

    Config = Opening
    name = "keeper"


class Yielder(Scripted):
    """Takes over the partner's last answer."""

    Config = Opening
    name = "yielder"


class Oracle(Scripted):
    """Gives the right answer."""

    name = "oracle"


class Doubter(Scripted):
    """Changes its answer in every turn, to a wrong one."""

    Config = Opening
    name = "doubter"
