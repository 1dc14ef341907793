"""Debaters without a model that speak first: the offline debater, and the scripted ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from josh.agents.debate.debater import add, begin
from josh.envs.debate.answers import standing
from josh.envs.debate.prompts import answers_unheard
from josh.envs.debate.speech import SCRIPTS, Opening, Position, Traits, offline_turn, scripted_text
from josh.messages import Message
from josh.roles import BaseEnv, BaseJOSHAgent, Task, TurnModel


class Unmodelled(BaseJOSHAgent):
    """What agents without a model share: they read the answers so far in the conversation."""

    shared: ClassVar[tuple[str, ...]] = ("task",)
    name: ClassVar[str] = ""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the question, and the turns that the task begins with. Raises UsageError where it has no question."""
        begin(self, task, env, f"agent {self.name}")
        self.task = task
        self.both_first = answers_unheard(task, env)

    def add_message(self, message: Message) -> None:
        """Adds a message; see `Debater.add_message`."""
        add(self, message)

    def position(self) -> Position:
        """Returns what the agent knows."""
        answers = standing(self.messages, self.task.data, both_first=self.both_first)
        return Position(self.task, "agent", answers["agent"], answers["user"])

    def say(self, text: str) -> bool:
        """Adds a turn; its action is its text, as that of a chat model. Returns True: the partner speaks next."""
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = [text]
        return True


class OfflineDebater(Unmodelled):
    """Knows some answers, follows directives, and says how sure it is; see `josh.envs.debate.speech`."""

    Config = Traits
    config: Traits
    name = "offline_debater"

    def step(self, *, model: TurnModel, directive: str | None = None, **_: Any) -> bool:
        """Says one turn. Returns True: the partner speaks next."""
        return self.say(offline_turn(self.position(), directive, self.config, model)[1])


class Scripted(Unmodelled):
    """Answers by one of `SCRIPTS`, whatever the directive."""

    def step(self, **_: Any) -> bool:
        """Says one turn. Returns True: the partner speaks next."""
        position = replace(self.position(), knows=getattr(self.config, "knows", None))
        answer = SCRIPTS[self.name](position)
        return self.say(scripted_text(position, answer))


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
