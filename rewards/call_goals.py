"""Goals that are calls of tools, and a judge for what no call shows; for any world with tools."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.config import NOTHING
from josh.dialogue import Hit
from josh.errors import UsageError
from josh.messages import dumps, text_of
from josh.roles import BaseEnv, BaseRewards, Task, TurnModel
from josh.transcript import Transcript

JUDGED = "judged"
"""The name of the judge's score: 1 where the conversation meets the task's criterion, else 0."""
_QUESTION = """\
Below is a conversation between a user and an assistant, with the assistant's tool calls. Decide whether this holds:

{criterion}

The conversation:

{conversation}

Give your reasons in one or two sentences. Then write one word on the last line: YES if it holds, else NO."""
_VERDICT = re.compile(r"\b(YES|NO)\b")


class CallGoals(BaseRewards):
    """A goal is a call, `{"name": ..., "arguments": {...}}`. The goals of a task can be met in any order.

    A successful call of the tool meets a goal if it has every argument that the goal names, with the same value.
    Numbers and texts are compared as people read them: `2`, `2.0`, `"2"` and `" 2"` are the same, and so are upper and
    lower case. Further arguments are allowed. A refused call meets no goal.

    Where the task's data has a `judge` (a criterion in words), a judge's model decides at the end of the conversation
    whether it holds, and the score `judged` is 1 or 0. The reward is the share of the goals that were met; with a
    criterion it is the mean of that share and `judged`, and `judged` alone where there are no goals.
    """

    needs_calls: ClassVar[bool] = True

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the task's criterion. Raises UsageError where a goal is not a call, or the criterion has no judge."""
        self.criterion = str(task.data.get("judge") or "")
        for goal in self.rewards:
            if not isinstance(goal, Mapping) or not isinstance(goal.get("name"), str):
                raise UsageError(f'task {task.id}: the goal {goal!r:.80} is not a call; give {{"name": ...}}')
            if not isinstance(goal.get("arguments", {}), Mapping):
                raise UsageError(f"task {task.id}: the arguments of {goal['name']} are not an object")
        if self.criterion and not options.get("judge_model"):
            raise UsageError(f"task {task.id} has a criterion for a judge; give --judge_model")

    def is_reward(self, agent_actions: Sequence[Any]) -> tuple[bool, list[Any]]:
        """Returns whether the calls meet open goals, and which, in the order of the calls."""
        left, met = list(self.rewards), []
        for action in agent_actions:
            found = next((goal for goal in left if _meets(action, goal)), None)
            if found is not None:
                left.remove(found)
                met.append(found)
        return bool(met), met

    async def score(
        self, task: Task, conversation: Transcript, *, judge: TurnModel | None = None
    ) -> Mapping[str, float]:
        """Returns the judge's score where the task has a criterion.

        Raises:
            ValueError: the judge's answer has no verdict, or there is no judge.
        """
        criterion = task.data.get("judge")
        if not criterion:
            return {}
        if judge is None:
            raise ValueError(f"task {task.id} has a criterion for a judge; give --judge_model")
        asked = _QUESTION.format(criterion=criterion, conversation="\n".join(_lines(conversation)))
        answer = (await judge.reply([{"role": "user", "content": asked}])).text
        verdicts = _VERDICT.findall(answer)
        if not verdicts:
            raise ValueError(f"the judge answers neither YES nor NO: {answer!r:.80}")
        return {JUDGED: float(verdicts[-1] == "YES")}

    def path_reward(self, goals: Sequence[Any], hits: Sequence[Hit], *, scores: Mapping[str, float] = NOTHING) -> float:
        """Returns the reward of a finished path, in [0, 1]; see the class."""
        share = super().path_reward(goals, hits)
        if JUDGED not in scores:
            return share
        return (share + scores[JUDGED]) / 2 if goals else scores[JUDGED]


def _meets(action: Any, goal: Mapping[str, Any]) -> bool:
    if not isinstance(action, Mapping) or action.get("name") != goal["name"] or "error" in action:
        return False
    given = action.get("arguments") or {}
    wanted = goal.get("arguments") or {}
    return all(name in given and comparable(given[name]) == comparable(value) for name, value in wanted.items())


def comparable(value: Any) -> Any:
    """Returns a value in a form in which equal forms mean the same value of an argument."""
    if isinstance(value, str):
        text = " ".join(value.split()).casefold()
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) else text
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Mapping):
        return {str(name): comparable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(each) for each in value]
    return value


def _lines(conversation: Transcript) -> list[str]:
    """Returns the conversation with the agent's calls and their results, a line for each."""
    lines = []
    for turn in conversation.turns:
        done = [action for step in turn.actions for action in step]
        # An action without a name is a call that could not be read.
        calls = [action for action in done if isinstance(action, Mapping) and action.get("name")]
        for call in calls:
            lines.append(f"assistant calls {call['name']}({dumps(call.get('arguments') or {})})")
            lines.append(f"result: {dumps(call.get('result'))}" if "error" not in call else f"refused: {call['error']}")
        lines += [f"{message['role']}: {text_of(message)}" for message in turn.messages if text_of(message)]
    return lines
