"""Goals that tool calls meet: a search for the right thing, a booking that succeeds."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.envs.toolwoz.server import TOO_MANY
from josh.envs.toolwoz.values import constraints, normalize, satisfies
from josh.errors import UsageError
from josh.roles import BaseEnv, BaseRewards, Task

_TIME = re.compile(r"\d\d:\d\d")


class ToolGoals(BaseRewards):
    """Goals are names of tools. The task's targets say which arguments a call needs (Lattimer et al., 2024).

    A tool whose name begins with `book_` books, and every other tool searches. A refused call meets no goal.

    Attributes:
        targets: by the tool's name: `parameters`, the wanted arguments; for a search also `booked`, whether the task
            wants a booking of the row found, and `id`, the row to book.
    """

    needs_calls: ClassVar[bool] = True

    def __init__(self, rewards: Sequence[Any], targets: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(rewards)
        self.targets: Mapping[str, Mapping[str, Any]] = {target["api"]: target for target in targets}

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the task's targets. Raises UsageError where a goal has no target."""
        self.targets = {target["api"]: target for target in task.data.get("targets", ())}
        for goal in self.rewards:
            if goal not in list(self.targets):
                raise UsageError(f"task {task.id} has no target for its goal {goal!r}; give other --rewards")

    def is_reward(self, agent_actions: Sequence[Any]) -> tuple[bool, list[Any]]:
        """Returns whether the tool calls meet open goals, and which, in the order of the calls.

        Values are compared as `josh.envs.toolwoz.values` defines it. Only the task and the call's own result count, not
        the goals met before.

        - A booking meets its goal if it asks for everything that is wanted, and succeeded.
        - A search that asks for everything that is wanted meets its goal if it found a row; where the task has a row to
          book, the search must have found that row.
        - A search that asks only for a part of it (at least one value) must have found the row to book or, where the
          task has none, a row that has all the wanted values.
        - A step in which the server refused calls because they were too many meets no goal: its agent tries out calls.
        """
        if any(isinstance(each, Mapping) and str(each.get("error", "")).startswith(TOO_MANY) for each in agent_actions):
            return False, []
        left = list(self.rewards)
        met = []
        for action in agent_actions:
            if isinstance(action, Mapping) and action.get("name") in left and self._meets(action):
                left.remove(action["name"])
                met.append(action["name"])
        return bool(met), met

    def _meets(self, action: Mapping[str, Any]) -> bool:
        target, given = self.targets.get(action["name"]), action.get("arguments")
        if target is None or not isinstance(given, Mapping) or "result" not in action or "error" in action:
            return False
        asked, result = target["parameters"], action["result"]
        if target["api"].startswith("book_"):
            return satisfies(given, asked) and isinstance(result, Mapping) and result.get("success") is True
        row = _first_row(result)
        if row is None:
            return False
        if target.get("booked"):
            related = satisfies(given, asked) or _is_part(given, asked)
            return related and normalize(target["id"]) in _row_ids(row)
        return satisfies(given, asked) or (_is_part(given, asked) and _is_all_of(row, asked))


def _is_part(given: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Returns whether a call asks for at least one value, and for no value beyond the wanted ones."""
    return bool(constraints(given)) and satisfies(asked, given)


def _first_row(result: Any) -> Mapping[str, Any] | None:
    """Returns the row that a search found; None where it found nothing."""
    row = result[0] if isinstance(result, list | tuple) and result else None
    return row if isinstance(row, Mapping) else None


def _row_ids(row: Mapping[str, Any]) -> set[str]:
    """Returns the normalized ids of a row: its `id`; or its `trainID`, alone and followed by day and `leaveAt`."""
    if "id" in row or "trainID" not in row:
        return {normalize(row.get("id"))} - {""}
    return {normalize(row["trainID"]), normalize(f"{row['trainID']} {row.get('day')} {row.get('leaveAt')}")}


def _is_all_of(row: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return all(_fits(name, normalize(row.get(name)), value) for name, value in constraints(asked).items())


def _fits(name: str, has: str, value: str) -> bool:
    """Returns whether a row's normalized value fits the wanted one: a time is a limit, other values must be equal."""
    if name in {"leaveAt", "arriveBy"} and _TIME.fullmatch(has) and _TIME.fullmatch(value):
        return has >= value if name == "leaveAt" else has <= value
    return has == value
