"""An agent for τ²-bench without a model, which reads the golden actions and makes mistakes.

It is no measure of anything but the search: it knows the answer. It exists so that searches, exports and trainings on
the benchmark can be tried without a key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Final

from josh.config import setting
from josh.envs.tau2.words import AGREED, ANYTHING_ELSE, TRANSFERRED
from josh.messages import Message, dumps
from josh.roles import BaseEnv, BaseJOSHAgent, Task, TurnModel
from josh.tools import use

SKIP, WRONG, LEAVE = SLIPS = ("skip", "wrong", "leave")
"""The mistakes: an action is skipped, made with a wrong argument, or the agent says that all is done."""
LOOKING: Final = (SKIP, WRONG)
"""The mistakes in actions that change nothing."""


class Tau2Solver(BaseJOSHAgent):
    """Makes the task's golden actions in their order, and says what it has to say at the end.

    One step is one call of a tool, or the words that end the turn. It asks before it changes something, and waits where
    the next golden action is the user's. Each action goes wrong with the probability `slip` times the temperature, in
    one of three ways (`SLIPS`); a call that is refused for its wrong argument is made again. Words that it has to say
    are left out with the same probability.
    """

    @dataclass(frozen=True)
    class Config:
        """The settings."""

        slip: float = setting(0.45, "probability that an action goes wrong at temperature 1", least=0, most=1)

    shared: ClassVar[tuple[str, ...]] = ("tools", "_actions", "_changes", "_words")

    def __init__(self, messages: Sequence[Message] | None = None) -> None:
        super().__init__(messages)
        self._actions: Sequence[Mapping[str, Any]] = ()
        self._changes: frozenset[int] = frozenset()
        self._words: Sequence[str] = ()
        self._at = 0
        self._agreed = -1
        self._asked_user = self._transferred = False

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the system prompt, the opening and the tools, and reads the golden actions."""
        super().start(task, env, options)
        self.tools = list(env.tools(task))
        criteria = task.data["task"].get("evaluation_criteria") or {}
        self._actions = criteria.get("actions") or ()
        self._changes = frozenset(task.data.get("changes", ()))
        self._words = criteria.get("communicate_info") or ()

    async def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool:
        """Calls a tool and returns False, or speaks and returns True."""
        chance = Random(model.draw())
        slip = min(1.0, self.config.slip * model.temperature)
        if self._asked_user:  # the user has done it meanwhile
            self._asked_user, self._at = False, self._at + 1
        while self._at < len(self._actions):
            action = self._actions[self._at]
            if action.get("requestor") == "user":
                self._asked_user = True
                return self._say(f"Please do this on your side: {action['name'].replace('_', ' ')}.")
            if self._at in self._changes and self._agreed < self._at:
                self._agreed = self._at
                return self._say(f"I am going to {_in_words(action)}. {AGREED}")
            slips = SLIPS if self._at in self._changes else LOOKING
            mistake = chance.choice(slips) if chance.random() < slip else ""
            if mistake == LEAVE:
                break
            if mistake == SKIP:
                self._at += 1
                continue
            wrong = _wrong(action["arguments"], chance) if mistake == WRONG else None
            refused = await self._call(action["name"], action["arguments"] if wrong is None else wrong, env)
            if not (refused and wrong is not None):
                self._at += 1
            return False
        said = [words for words in self._words if chance.random() >= slip]
        return self._say(" ".join([*said, TRANSFERRED if self._transferred else f"That is done. {ANYTHING_ELSE}"]))

    async def _call(self, name: str, arguments: Mapping[str, Any], world: Any) -> bool:
        """Calls a tool. Returns whether it refused."""
        used = await use(world, name, arguments)
        number = f"call{sum(message['role'] == 'tool' for message in self.messages_internal):05}"
        call = {"id": number, "type": "function", "function": {"name": name, "arguments": dumps(arguments)}}
        self.messages_internal.append({"role": "assistant", "content": "", "tool_calls": [call]})
        self.messages_internal.append({"role": "tool", "tool_call_id": number, "content": used.text})
        self.recent_actions = [used.action]
        self._transferred = self._transferred or name.startswith("transfer")
        return used.error is not None

    def _say(self, text: str) -> bool:
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = [text]
        return True


def _in_words(action: Mapping[str, Any]) -> str:
    return f"{action['name'].replace('_', ' ')} with {dumps(action['arguments'])}"


_SHORTER: Final = 2
"""The smallest number of items of a list from which one can be left out."""


def _wrong(arguments: Mapping[str, Any], chance: Random) -> Mapping[str, Any] | None:
    """Returns arguments of which one is wrong; None where there are none."""
    if not arguments:
        return None
    name = chance.choice(sorted(arguments))
    return {**arguments, name: _other(arguments[name], chance)}


def _other(value: Any, chance: Random) -> Any:
    """Returns a value of the same kind that is not the given one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list) and len(value) >= _SHORTER:
        left = chance.randrange(len(value))
        return [one for at, one in enumerate(value) if at != left]
    if isinstance(value, list):
        return [_other(one, chance) for one in value] or ["1"]
    text = str(value)
    digits = [at for at, sign in enumerate(text) if sign.isdigit()]
    if not digits:
        return f"{text}2"
    at = chance.choice(digits)
    return f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}"
