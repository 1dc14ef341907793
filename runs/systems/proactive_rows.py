"""Trajectories as rows of a file. `proactive_trees.py` makes them of the stored trees of a run.

A row is one branch at one decision point, with the published keys (the README of ProactiveLLM):
    state: the state in which the agent decides.
    action: `Clarify` or `Execute`.
    action_prompt: the instruction of the action.
    assistant_msg: the agent's message at this point.
    persona: the user, with `name`, `domain`, `expertise` and `patience`.
    user_reaction: the user's `user_reply` to this message and its `meta`; the reply is empty where the agent has the
        last word.
    is_mainline: whether it is the main line's turn.
    decision_point: the number of the agent's turns before this one.
    mainline_action: the action of the main line at this point.
    is_variant: whether it repeats the main line's action.
    interactions: the whole conversation that this branch is in, from its first message on, one entry for each message
        of the agent: `interaction_num`, `type`, `assistant_msg`, `user_reaction`, `state_at_this_point`; and of josh
        `rendered`, the text of the state, and `facts`, which the rewards found (`josh.rewards.proactive`).
    version: of this format; rows of the published project have none.

In a plain run there are three rows for each state, all with decision point 0. In a run of several turns there are
three rows for each turn of the main line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from josh.envs.proactive.actions import ACTIONS, CLARIFY, EXECUTE
from josh.envs.proactive.personas import persona_named
from josh.envs.proactive.states import State, render_state, state_from
from josh.errors import UsageError
from josh.messages import dumps
from josh.texts import json_rows

VERSION: Final = 1
"""The version of the rows."""
TYPES: Final[Mapping[str, str]] = MappingProxyType({CLARIFY: "clarify", EXECUTE: "execute"})
"""The type of a message with an action."""

_SIGNALS: Final = ("answered_clarification", "reject_signal", "off_topic_flag")
"""What the price of a message reads of the user's reaction; each 0 or 1, or absent."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the agent, and how the user reacts.

    Attributes:
        text: the message.
        action: its action.
        reply: the user's words; may be empty.
        meta: see `josh.envs.proactive.reactions`.
        state: the state before the message, as a row; None where a published row has none.
        rendered: the text of this state; empty where the row has none.
        facts: what the rewards found when it was played; None in published rows.
    """

    text: str
    action: str
    reply: str
    meta: Mapping[str, Any]
    state: Mapping[str, Any] | None = None
    rendered: str = ""
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A row.

    Attributes:
        where: the row's place, for messages.
        state: the state in which the agent decides.
        action: the action.
        said: the agent's messages in the whole conversation.
        at: the index in `said` of the message that is decided about.
        persona: the user, as the row has it.
        point: the decision point.
        turn: the turn, in rows of the published project that number them; else 0.
        is_mainline: see the head of this file.
        is_variant: see the head of this file.
    """

    where: str
    state: State
    action: str
    said: tuple[Said, ...]
    at: int
    persona: Any
    point: int
    turn: int
    is_mainline: bool
    is_variant: bool

    @property
    def message(self) -> Said:
        """The message that is decided about."""
        return self.said[self.at]

    @property
    def full_text(self) -> str:
        """All messages of the agent from this point on."""
        return "\n\n".join(one.text for one in self.said[self.at :])

    @property
    def rendered(self) -> str:
        """The text of the state, as a policy sees it."""
        return self.message.rendered or render_state(self.state)

    @property
    def place(self) -> bytes:
        """A hash of what siblings share: the state, the user, the decision point, and the conversation before it."""
        before = [[one.text, one.reply] for one in self.said[: self.at]]
        return _digest([self.state.row, self.persona, self.point, self.turn, before])


def read_trajectories(path: Path) -> Iterator[Trajectory]:
    """Yields the rows of a file, of josh or of the published project, whose rows may lack keys.

    Raises:
        UsageError: the file cannot be read, or a row is wrong; the error names the line.
    """
    run = path if path.is_dir() else path.parent
    way = f"write its trajectories with josh proactive generate --run {run} --out FILE"
    if path.is_dir():
        written = way if (path / "config.json").is_file() else "give a file that josh proactive generate writes"
        raise UsageError(f"{path} is a folder; {written}")
    for where, row in json_rows(path):
        if isinstance(row, Mapping) and "nodes" in row:
            raise UsageError(f"{where} is an episode of a run; {way}")
        if not isinstance(row, Mapping):
            raise UsageError(f"{where} is {row!r:.60}; give a trajectory, one JSON object on each line")
        if "action" not in row and "chosen_action" in row:
            raise UsageError(f"{where} is a row of preferences; give the file of trajectories that it was made of")
        if "state" not in row and "query" in row:
            raise UsageError(
                f"{where} is a state; play it first: josh proactive generate --mode dataset --dataset_path {path}"
            )
        yield trajectory_from(row, where)


def trajectory_from(row: Mapping[str, Any], where: str) -> Trajectory:
    """Returns a trajectory from its row. Raises UsageError, which names the place."""
    version = row.get("version")
    if version not in (None, VERSION) or version is True:
        raise UsageError(f"{where}: version is {version!r:.20}; this josh reads {VERSION}, write the file again")
    if not isinstance(row.get("state"), Mapping):
        raise UsageError(f"{where}: state is {row.get('state')!r:.60}; give the state as an object with a query")
    state = state_from(row["state"], where, _digest(row["state"]).hex())
    action = _named(row.get("action"), "action", where)
    if version is not None:
        persona_named(row.get("persona"), where)
    point, turn = (_number(row, name, where) for name in ("decision_point", "turn"))
    said = tuple(_said(row, action, where))
    at = point if version is not None else 0
    if at >= len(said):
        raise UsageError(f"{where}: decision_point is {point}; there are {len(said)} interactions, give a smaller one")
    if said[at].action != action:
        raise UsageError(f"{where}: action is {action!r}, but the type of its message is {said[at].action.lower()!r}")
    mainline = bool(row.get("is_mainline"))
    return Trajectory(
        where, state, action, said, at, row.get("persona"), point, turn, mainline, bool(row.get("is_variant"))
    )


def _said(row: Mapping[str, Any], action: str, where: str) -> Iterator[Said]:
    given = row.get("interactions") or [{**row, "type": None}]
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise UsageError(f"{where}: interactions is {given!r:.60}; give a list of objects with an assistant_msg")
    for one in given:
        text, reaction = one.get("assistant_msg"), one.get("user_reaction") or {}
        if not isinstance(text, str):
            raise UsageError(f"{where}: assistant_msg is {text!r:.60}; give the agent's message as a text")
        meta = reaction.get("meta") or {} if isinstance(reaction, Mapping) else None
        if not isinstance(meta, Mapping):
            raise UsageError(f"{where}: user_reaction is {reaction!r:.60}; give an object with user_reply and meta")
        for name in _SIGNALS:
            if meta.get(name) not in (None, 0, 1):
                raise UsageError(f"{where}: {name} is {meta[name]!r:.40}; give 0 or 1")
        named = {kind: each for each, kind in TYPES.items()}.get(str(one.get("type")), action)
        state, facts = one.get("state_at_this_point"), one.get("facts")
        yield Said(
            text,
            named,
            str(reaction.get("user_reply") or ""),
            meta,
            state if isinstance(state, Mapping) else None,
            str(one.get("rendered") or ""),
            _facts(facts, where),
        )


def _facts(facts: Any, where: str) -> Mapping[str, Any] | None:
    if facts is None:
        return None
    sound = isinstance(facts, Mapping) and {"questions", "words", "delivers", "task"} <= facts.keys()
    if not sound or not all(type(facts[name]) is int for name in ("questions", "words")):
        raise UsageError(f"{where}: facts lack questions or words, as whole numbers, delivers or task; leave them out")
    if facts["task"] is not None and (type(facts["task"]) not in (int, float) or not 0 <= facts["task"] <= 1):
        raise UsageError(f"{where}: task is {facts['task']!r:.40}; give a number from 0 to 1, or null")
    found: Mapping[str, Any] = facts
    return found


def _named(given: Any, name: str, where: str) -> str:
    if given not in ACTIONS:
        raise UsageError(f"{where}: {name} is {given!r:.40}; give {' or '.join(ACTIONS)}")
    return str(given)


def _number(row: Mapping[str, Any], name: str, where: str) -> int:
    given = row.get(name)
    if given is None:
        return 0
    if type(given) is not int or given < 0:
        raise UsageError(f"{where}: {name} is {given!r:.40}; give a whole number from 0 on")
    return given


def _digest(value: Any) -> bytes:
    return blake2b(dumps(value, sort_keys=True).encode("utf-8", "backslashreplace"), digest_size=16).digest()
