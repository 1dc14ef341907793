"""Messages and calls."""

from typing import Any, Literal

from pydantic import BaseModel


class ToolCall(BaseModel):
    """A call of a tool."""

    id: str = ""
    name: str
    arguments: dict[str, Any]
    requestor: Literal["assistant", "user"] = "assistant"


class _Spoken(BaseModel):
    content: str | None = None
    tool_calls: list[ToolCall] | None = None
    timestamp: str | None = "just now"

    @property
    def calls(self):
        return self.tool_calls or []


class AssistantMessage(_Spoken):
    """Words or calls of the agent."""

    role: Literal["assistant"]


class UserMessage(_Spoken):
    """Words or calls of the user."""

    role: Literal["user"]


class ToolMessage(BaseModel):
    """The answer to a call."""

    id: str
    role: Literal["tool"]
    content: str | None = None
    requestor: Literal["assistant", "user"] = "assistant"
    error: bool = False
    timestamp: str | None = "just now"


Message = AssistantMessage | UserMessage | ToolMessage
