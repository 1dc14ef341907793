"""Reads results of τ²-bench for `josh import --format tau2`: one file, or a folder's `results.json`.

A simulation is a dialogue, with the reward that the benchmark gave. The greeting, or the conversation that the task
continues, stands before its first turn. Where the benchmark's package is installed, the agent gets its prompt and the
schemas of its tools, so that training rows are complete; without it, the policy in the file is the prompt.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from josh.dialogue import Speaker, Turn
from josh.envs.tau2.domain import Domain
from josh.envs.tau2.env import as_chat
from josh.envs.tau2.events import USER
from josh.errors import UsageError
from josh.imported import DialogueLeftOut, ImportedDialogue
from josh.messages import Message
from josh.runs.imports.rows import Found, ReadOptions, object_in
from josh.texts import json_of, read_text
from josh.tools import is_refusal

SIMULATIONS = "simulations"
VOICE = "spoken, without a list of messages"


def read_results(path: Path, _: ReadOptions) -> Iterator[Found]:
    """Yields the simulations of results. Raises UsageError where the file holds none."""
    results = json_of(read_text(path), str(path))
    rows = results.get(SIMULATIONS) if isinstance(results, dict) else None
    if not isinstance(results, dict) or not isinstance(results.get("tasks"), list):
        raise UsageError(f"{path} is not results of tau2: it has no list `tasks`; give the file that tau2 wrote")
    domain = str(object_in(object_in(results, "info"), "environment_info").get("domain_name") or "")
    if not domain:
        raise UsageError(f"{path} is not results of tau2: it names no domain")
    tasks = {str(task.get("id")): task for task in results["tasks"] if isinstance(task, dict)}
    known = _Agent(domain, str(object_in(object_in(results, "info"), "environment_info").get("policy") or ""))
    for number, (place, row) in enumerate(_rows(path, rows), 1):
        where = place or f"{path} simulation {number}"
        try:
            yield _dialogue(row, tasks, known, where)
        except UsageError as error:
            yield error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            yield UsageError(f"{where} is not a simulation of tau2 ({type(error).__name__}: {error})")


def _rows(path: Path, rows: Any) -> Iterator[tuple[str, Any]]:
    """Yields the simulations, of the file itself or of the folder beside it, with their place if they have one."""
    folder = path.parent / SIMULATIONS
    if isinstance(rows, list) and (rows or not folder.is_dir()):
        yield from (("", row) for row in rows)
    elif folder.is_dir():
        for file in sorted(folder.glob("*.json")):
            yield str(file), json_of(read_text(file), str(file))
    else:
        raise UsageError(f"{path} has no simulations, and there is no folder {SIMULATIONS} beside it")


class _Agent:
    """What the agent of a domain is shown."""

    def __init__(self, domain: str, policy: str) -> None:
        self.domain = domain
        try:
            known = Domain(domain)
            self.prompt, self.tools = known.agent_prompt, known.tools
        except UsageError:
            self.prompt, self.tools = f"<policy>\n{policy}\n</policy>" if policy else "", []


def _dialogue(
    row: Mapping[str, Any], tasks: Mapping[str, Any], agent: _Agent, place: str
) -> ImportedDialogue | DialogueLeftOut:
    task = tasks.get(str(row["task_id"]))
    if task is None:
        raise UsageError(f"{place} is about task {row['task_id']!r}, which the results do not have")
    messages = row.get("messages")
    if not isinstance(messages, list):
        return DialogueLeftOut(place, VOICE)
    reward = object_in(row, "reward_info").get("reward")
    history = (task.get("initial_state") or {}).get("message_history") or []
    before = _opening(messages, len(history))
    turns = list(_turns(messages[before:]))
    if not any(speaker is Speaker.AGENT for speaker, _ in turns):
        return DialogueLeftOut(place, "without a turn of the agent")
    system: list[Message] = [{"role": "system", "content": agent.prompt}] if agent.prompt else []
    chats = [as_chat(message) for message in messages[:before]]
    words = tuple(chat for chat in chats if chat["role"] != "tool" and chat["content"])
    return ImportedDialogue(
        place,
        str(row["task_id"]),
        turns,
        Turn(messages=words, internal=(*system, *chats)),
        None if reward is None else float(reward),
        None if reward is None else float(reward) >= 1,
        {"domain": agent.domain, "task": _lasting(task)},
        tools=agent.tools,
    )


def _lasting(task: Mapping[str, Any]) -> Any:
    """Returns a task without null values, as a run on the benchmark has it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if one is not None}
        return [plain(one) for one in value] if isinstance(value, list) else value

    found = plain(json.loads(json.dumps(task)))
    for message in (found.get("initial_state") or {}).get("message_history") or []:
        message.pop("timestamp", None)
    return found


def _opening(messages: Sequence[Mapping[str, Any]], history: int) -> int:
    """Returns how many messages were there before the first turn: the task's own, or the agent's greeting."""
    if history:
        return history
    first = messages[0] if messages else {}
    return int(first.get("role") == "assistant" and not first.get("tool_calls"))


def _turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Speaker, Turn]]:
    group: list[Mapping[str, Any]] = []
    for message in messages:
        if group and _side(message) is not _side(group[0]):
            yield _side(group[0]), _turn(group)
            group = []
        group.append(message)
    if group:
        yield _side(group[0]), _turn(group)


def _side(message: Mapping[str, Any]) -> Speaker:
    """Returns whose turn a message belongs to; the result of a call belongs to the turn of its caller."""
    caller = message.get("requestor", "assistant") if message["role"] == "tool" else message["role"]
    return Speaker.USER if caller == USER else Speaker.AGENT


def _turn(group: Sequence[Mapping[str, Any]]) -> Turn:
    chats = list(map(as_chat, group))
    words = tuple(chat for chat in chats if chat["role"] != "tool" and chat["content"] and "tool_calls" not in chat)
    if _side(group[0]) is Speaker.AGENT:
        return Turn(words, tuple(chats), tuple(_steps(group)))
    flipped = tuple(chat if chat["role"] == "tool" else {**chat, "role": "assistant"} for chat in chats)
    return Turn(words, words, user_internal=flipped if len(flipped) > len(words) else None)


def _steps(group: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Yields the actions of an agent's turn, a step for each of its messages."""
    answers = {message["id"]: str(message.get("content") or "") for message in group if message["role"] == "tool"}
    for message in group:
        if message["role"] == "tool":
            continue
        if message.get("tool_calls"):
            yield tuple(_action(call, answers.get(call["id"], "")) for call in message["tool_calls"])
        elif message.get("content"):
            yield (message["content"],)


def _action(call: Mapping[str, Any], text: str) -> dict[str, Any]:
    outcome = {"error": text.removeprefix("Error: ")} if is_refusal(text) else {"result": text}
    return {"name": call["name"], "arguments": call["arguments"], **outcome}
