"""The persuader, played by a chat model that writes its belief, reasoning, counterfactuals and action as sections."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from josh.agents.prompted import PromptedAgent
from josh.config import setting
from josh.envs.ptom.dialogue import GameWorld
from josh.envs.ptom.env import scenario_of
from josh.envs.ptom.prompts import as_row, persuader_prompt
from josh.envs.ptom.sections import Planned, read_sections
from josh.errors import UsageError
from josh.messages import text_of
from josh.reading import without_thoughts
from josh.roles import BaseEnv, Task, TurnModel

CHAT, ROW = "chat", "row"
NOT_SECTIONS: Final = "give --agent persuader for a model that writes no sections"


class Planner(PromptedAgent):
    """Says the words of the section ACTION; the other sections are in its own view, and in `recent_actions`."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """How the model is asked."""

        view: str = setting(
            CHAT,
            "how the model sees the conversation: chat, turn by turn with its own sections; row, the history of words "
            "as one message, as in the rows of `josh ptom prepare`",
            choices=(CHAT, ROW),
        )

    config: Config
    calls_tools: ClassVar[bool] = False
    shared: ClassVar[tuple[str, ...]] = ("unread", "scenario")  # neither changes

    def prompt(self, task: Task, env: BaseEnv) -> str:
        """Returns the prompt with the form of the sections."""
        return persuader_prompt(self.scenario)

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the scenario. Raises UsageError where the task has none."""
        self.scenario = scenario_of(task)
        super().start(task, env, options)

    async def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool:
        """Says one message and returns True. Returns False, to be asked again, when there are no words to say.

        Raises:
            UsageError: the world has no scenario.
            AgentError: nothing could be said several times in a row.
        """
        reply = await model.reply(self.view())
        text = without_thoughts(reply.text)
        planned = read_sections(text)
        if not planned.words:
            self.count_unread(text, model, "wrote no words under ACTION" if text else "said nothing", NOT_SECTIONS)
            return False
        self.unread = ()
        return self.say(planned, text, env)

    def view(self) -> list[Any]:
        """Returns the messages that the model gets."""
        if self.config.view == CHAT:
            return self.messages_internal
        return as_row(self.scenario, [(str(message["role"]), text_of(message)) for message in self.messages])

    def say(self, planned: Planned, text: str, world: Any) -> bool:
        """Adds a turn to both histories, and notes what it recommends. Returns True: the person answers."""
        if not isinstance(world, GameWorld):
            raise UsageError("agent planner needs a world with a scenario; give --env ptom")
        world.say(planned.words, planned.kind)
        self.messages_internal.append({"role": "assistant", "content": text})
        self.messages.append({"role": "assistant", "content": planned.words})
        self.recent_actions = planned.actions
        return True
