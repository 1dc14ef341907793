"""A domain of τ²-bench: its environment, tools, policy and tasks, as the package has them."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from josh.envs.tau2.overlay import forked, same_state
from josh.envs.tau2.package import reading_data, tau2
from josh.errors import UsageError

SPLITS: Final[Mapping[str, tuple[str, ...]]] = {
    "mock": ("base",),
    "retail": ("train", "test", "base"),
    "airline": ("train", "test", "base"),
    "telecom": ("train", "test", "base", "small", "full"),
}
"""The splits of each domain; the first is the default."""


class Domain:
    """One domain. Nothing is read until it is asked for.

    Attributes:
        name: its name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._schemas: dict[tuple[str, ...] | None, list[dict[str, Any]]] = {}

    @cached_property
    def pristine(self) -> Any:
        """The environment before any task; it is only forked. Raises UsageError where it cannot be read."""
        build = tau2("registry").registry.get_env_constructor(self.name)
        with reading_data(f"domain {self.name}"):
            return build()

    @cached_property
    def tools(self) -> list[dict[str, Any]]:
        """The schemas of the agent's tools."""
        return [tool.openai_schema for tool in self.pristine.get_tools()]

    def user_tools(self, names: Sequence[str] | None) -> list[dict[str, Any]]:
        """Returns the schemas of the user's tools: those with the given names, or all."""
        if self.pristine.user_tools is None:
            return []
        key = None if names is None else tuple(names)
        if key not in self._schemas:
            found = self.pristine.get_user_tools(include=None if names is None else list(names))
            self._schemas[key] = [tool.openai_schema for tool in found]
        return self._schemas[key]

    @cached_property
    def agent_prompt(self) -> str:
        """The system prompt of the benchmark's own agent, with the policy."""
        agent = tau2("agent.llm_agent")
        policy = self.pristine.get_policy()
        text: str = agent.SYSTEM_PROMPT.format(domain_policy=policy, agent_instruction=agent.AGENT_INSTRUCTION)
        return text

    def user_prompt(self, task: Any) -> str:
        """Returns the system prompt of the benchmark's own user simulator for a task."""
        tools = self.user_tools(task.user_tools) or None
        with reading_data("the guidelines of the user simulator"):
            simulator = tau2("user.user_simulator").UserSimulator(
                llm="none", instructions=str(task.user_scenario), tools=tools
            )
            text: str = simulator.system_prompt
        return text

    def tasks(self, split: str) -> list[Any]:
        """Returns the tasks of a split. Raises UsageError where they cannot be read."""
        loader = tau2("registry").registry.get_tasks_loader(self.name)
        with reading_data(f"the tasks of {self.name}"):
            try:
                found: list[Any] = loader(split)
            except FileNotFoundError as error:
                # The small tasks of telecom have a file of their own, which some checkouts have instead of all tasks.
                alone = Path(error.filename or "").with_name(f"tasks_{split}.json")
                if split != "small" or not alone.is_file():
                    raise
                rows = json.loads(alone.read_text(encoding="utf-8"))
                found = list(map(task_of, rows["tasks"] if isinstance(rows, dict) else rows))
        return found

    def start(self, task: Any) -> Any:
        """Returns the environment at the start of a task."""
        environment, state = forked(self.pristine), task.initial_state
        environment.set_state(
            initialization_data=state and state.initialization_data,
            initialization_actions=state and state.initialization_actions,
            message_history=(state and state.message_history) or [],
        )
        return environment


def task_of(row: Mapping[str, Any]) -> Any:
    """Returns the benchmark's task of a row in its format. Raises UsageError where the row has another form."""
    try:
        return tau2("data_model.tasks").Task.model_validate(row)
    except ValueError as error:
        raise UsageError(f"task {row.get('id')!r:.60} is not a task of tau2: {str(error).splitlines()[0]}") from None


def row_of(task: Any) -> dict[str, Any]:
    """Returns a task as JSON values, the same every time: its old messages lose the time at which they were read."""
    row: dict[str, Any] = task.model_dump(mode="json", exclude_none=True)
    history = (row.get("initial_state") or {}).get("message_history") or []
    for message in history:
        message.pop("timestamp", None)
    return row


class Gold:
    """The benchmark's own solution of a task: its golden actions, done on a fork of the task's start.

    Attributes:
        environment: the environment after them.
        succeeds: which actions succeed, by index.
        changes: which of these change the state.
    """

    def __init__(self, task: Any, start: Any) -> None:
        """Do the actions as the evaluator does: without the checks between the two sides that follow a live call."""
        self.environment = forked(start)
        succeeds, changes = [], []
        for index, action in enumerate((task.evaluation_criteria and task.evaluation_criteria.actions) or ()):
            before = forked(self.environment)
            try:
                self.environment.make_tool_call(tool_name=action.name, requestor=action.requestor, **action.arguments)
            except Exception:  # noqa: S112 - some golden actions are meant to fail
                continue
            succeeds.append(index)
            if not same_state(before, self.environment):
                changes.append(index)
        self.succeeds, self.changes = tuple(succeeds), tuple(changes)
