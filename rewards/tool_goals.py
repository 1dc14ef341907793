"""Goals that are met by calling tools: a search that asks for the right thing, a booking that goes through."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from josh.envs.toolwoz.values import covers, plain, wanted
from josh.errors import UsageError
from josh.roles import BaseEnv, BaseRewards, Task

_TIME = re.compile(r"\d\d:\d\d")


class ToolGoals(BaseRewards):
    """Goals are names of tools; what a call has to ask for, the task's targets say (Lattimer et al., 2024).

    A tool whose name begins with `book_` books, every other searches. A call that was refused meets nothing.

    Attributes:
        targets: by the tool's name `parameters`, the arguments wanted, and of a search `booked`, whether a booking of
            what it finds is wanted as well, and `id`, the row that is then to be booked.
        failures: calls that the task has fail, by `api` and `parameters`; a search that finds nothing for one of them
            meets no goal, even if it asks for all that is wanted, and more.
    """

    def __init__(self, rewards: Sequence[Any], targets: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(rewards)
        self.targets: Mapping[str, Mapping[str, Any]] = {target["api"]: target for target in targets}
        self.failures: Sequence[Mapping[str, Any]] = ()

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the task's targets and failures. Raises UsageError where a goal has no target."""
        self.targets = {target["api"]: target for target in task.data.get("targets", ())}
        self.failures = task.data.get("failures", ())
        for goal in self.rewards:
            if goal not in list(self.targets):
                raise UsageError(f"task {task.id} has no target for its goal {goal!r}; give other --rewards")

    def is_reward(self, agent_actions: Sequence[Any]) -> tuple[bool, list[Any]]:
        """Say which open goals some tool calls meet, in the order of the calls.

        What a call asks for is compared by its `values.py`, and judged by the task and the call's own result alone:
        which goals were met before makes no difference. A booking has to ask for all that is wanted, and to have
        succeeded. A search that asks for all that is wanted has to have found the row to be booked, if there is one. A
        search that asks for a part of it, but for something, has to have found that row, or, where nothing is to be
        booked, a row that is all that is wanted.
        """
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
            return covers(given, asked) and isinstance(result, Mapping) and result.get("success") is True
        row = _first_row(result)
        failing = (each["parameters"] for each in self.failures if each["api"] == target["api"])
        if row is None and any(covers(given, one) for one in failing):
            return False
        if target.get("booked"):
            related = covers(given, asked) or _is_part(given, asked)
            return related and row is not None and plain(target["id"]) in _row_ids(row)
        return covers(given, asked) or (_is_part(given, asked) and row is not None and _is_all_of(row, asked))


def _is_part(given: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether something in particular is given, and nothing that is not asked for."""
    return bool(wanted(given)) and covers(asked, given)


def _first_row(result: Any) -> Mapping[str, Any] | None:
    """The row that a search answered with, if it found any."""
    row = result[0] if isinstance(result, list | tuple) and result else None
    return row if isinstance(row, Mapping) else None


def _row_ids(row: Mapping[str, Any]) -> set[str]:
    """What a row may be known by: its id, or its `trainID`, followed by day and `leaveAt` where trains share one."""
    if "id" in row or "trainID" not in row:
        return {plain(row.get("id"))} - {""}
    return {plain(row["trainID"]), plain(f"{row['trainID']} {row.get('day')} {row.get('leaveAt')}")}


def _is_all_of(row: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return all(_fits(name, plain(row.get(name)), value) for name, value in wanted(asked).items())


def _fits(name: str, has: str, value: str) -> bool:
    """Whether a row's plain value is what is wanted: times are limits, everything else is equal."""
    if name in {"leaveAt", "arriveBy"} and _TIME.fullmatch(has) and _TIME.fullmatch(value):
        return has >= value if name == "leaveAt" else has <= value
    return has == value
