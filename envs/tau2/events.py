"""A conversation as τ²-bench sees it: calls of tools and words, in order, and its form in the benchmark's files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from josh.dialogue import Speaker
from josh.envs.tau2.words import GREETING
from josh.messages import dumps, text_of
from josh.tools import is_refusal
from josh.transcript import PastTurn

ASSISTANT, USER = "assistant", "user"
"""The two sides, in the benchmark's words."""
_ROLES: Final = {Speaker.AGENT: ASSISTANT, Speaker.USER: USER}
_UNREAD: Final = "the arguments are no JSON"
"""How the refusal of a call begins that never reached the environment."""


@dataclass(frozen=True, slots=True)
class Called:
    """A call of a tool: who called it (`assistant` or `user`), and the text that came back."""

    caller: str
    name: str
    arguments: Mapping[str, Any]
    text: str
    refused: bool


@dataclass(frozen=True, slots=True)
class Said:
    """Words of the `assistant` or the `user`."""

    role: str
    text: str


Event = Called | Said


def role_of(speaker: Speaker) -> str:
    """Returns the benchmark's word for a speaker."""
    return _ROLES[speaker]


def events_of(turns: Sequence[PastTurn]) -> Iterator[Event]:
    """Yields the calls and words of recorded turns; calls that never reached the environment are left out.

    Args:
        turns: the turns after the opening.
    """
    for turn in turns:
        yield from _calls_of_agent(turn) if turn.speaker is Speaker.AGENT else _calls_of_user(turn)
        for message in turn.messages:
            if text := text_of(message):
                yield Said(role_of(turn.speaker), text)


def _calls_of_agent(turn: PastTurn) -> Iterator[Called]:
    """Yields the calls among the turn's actions, which every agent records, however its model writes a call."""
    for action in (one for step in turn.actions for one in step):
        if not isinstance(action, Mapping) or not action.get("name"):
            continue
        refusal, result = action.get("error"), action.get("result")
        if refusal is not None and str(refusal).startswith(_UNREAD):
            continue
        text = f"Error: {str(refusal).removeprefix('Error: ')}" if refusal is not None else result
        shown = text if isinstance(text, str) else dumps(text)
        yield Called(ASSISTANT, str(action["name"]), action.get("arguments") or {}, shown, refusal is not None)


def _calls_of_user(turn: PastTurn) -> Iterator[Called]:
    """Yields the calls among the messages that the user's model is trained on."""
    answers = {message.get("tool_call_id"): text_of(message) for message in turn.internal if message["role"] == "tool"}
    for message in turn.internal:
        for call in message.get("tool_calls") or ():
            try:
                arguments = json.loads(call["function"]["arguments"] or "{}")
            except ValueError:
                continue
            text = answers.get(call["id"], "")
            if isinstance(arguments, dict):
                yield Called(USER, call["function"]["name"], arguments, text, is_refusal(text))


def rows_of(task: Mapping[str, Any], events: Sequence[Event]) -> list[dict[str, Any]]:
    """Returns a conversation as the messages of the benchmark's files, from its opening to its end.

    Args:
        task: the task in the benchmark's form.
        events: the calls and words after the opening.
    """
    history = (task.get("initial_state") or {}).get("message_history")
    found: list[dict[str, Any]] = [dict(one) for one in history or [{"role": ASSISTANT, "content": GREETING}]]
    for number, event in enumerate(events):
        if isinstance(event, Said):
            found.append({"role": event.role, "content": event.text})
            continue
        name, caller = f"josh_{number}", event.caller
        call = {"id": name, "name": event.name, "arguments": dict(event.arguments), "requestor": caller}
        found.append({"role": caller, "tool_calls": [call]})
        answer = {"content": event.text, "requestor": caller, "error": event.refused}
        found.append({"id": name, "role": "tool", **answer})
    return found
