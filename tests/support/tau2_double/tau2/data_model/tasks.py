"""Tasks."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel
from tau2.data_model.message import Message


class RewardType(StrEnum):
    """The parts of a reward."""

    DB = "DB"
    ENV_ASSERTION = "ENV_ASSERTION"
    NL_ASSERTION = "NL_ASSERTION"
    ACTION = "ACTION"
    COMMUNICATE = "COMMUNICATE"


class Action(BaseModel):
    """A golden action."""

    action_id: str
    requestor: Literal["assistant", "user"] = "assistant"
    name: str
    arguments: dict[str, Any]
    compare_args: list[str] | None = None


class EnvFunctionCall(BaseModel):
    """A call of a function of one side's tools that is no tool."""

    env_type: Literal["user", "assistant"]
    func_name: str
    arguments: dict[str, Any]


class EnvAssertion(EnvFunctionCall):
    """Such a call, with the value that it has to give."""

    assert_value: bool = True


class EvaluationCriteria(BaseModel):
    """What a conversation has to reach."""

    actions: list[Action] | None = None
    env_assertions: list[EnvAssertion] | None = None
    communicate_info: list[str] | None = None
    nl_assertions: list[str] | None = None
    reward_basis: list[RewardType] = [RewardType.DB, RewardType.COMMUNICATE]


class InitializationData(BaseModel):
    """Changes of the databases."""

    agent_data: dict[str, Any] | None = None
    user_data: dict[str, Any] | None = None


class InitialState(BaseModel):
    """Where a task begins."""

    initialization_data: InitializationData | None = None
    initialization_actions: list[EnvFunctionCall] | None = None
    message_history: list[Message] | None = None


class Scenario(BaseModel):
    """What the user knows and wants."""

    persona: str | None = None
    instructions: dict[str, str] | str

    def __str__(self):
        told = self.instructions
        return told if isinstance(told, str) else "\n".join(f"{key}: {text}" for key, text in told.items())


class Task(BaseModel):
    """A task."""

    id: str
    user_scenario: Scenario
    initial_state: InitialState | None = None
    evaluation_criteria: EvaluationCriteria | None = None
    user_tools: list[str] | None = None
