"""The world of a branch in τ²-bench: the benchmark's environment, and what happened on it."""

from collections.abc import Mapping, Sequence
from typing import Any

from josh.dialogue import Outcome, Speaker
from josh.envs.tau2.events import ASSISTANT, Called, Event, Said, role_of
from josh.envs.tau2.judge import Judge
from josh.envs.tau2.overlay import forked
from josh.envs.tau2.package import tau2
from josh.messages import Message, text_of
from josh.roles import ToolError

USER_STOP, MAX_STEPS, TOO_MANY_ERRORS = "user_stop", "max_steps", "too_many_errors"
"""Why a conversation ended, in the benchmark's words."""
END_STATE, WRITES, ALL, COMMUNICATED, ASSERTED = GOALS = ("end_state", "writes", "all", "communicate", "assertions")
"""The values of `--env.goals`."""


class Tau2World:
    """Executes the calls of both sides, and judges the conversation once its user has ended it.

    1. A call of a tool is answered by the benchmark's own environment.
    2. `follow` takes in the words, and ends the conversation by the benchmark's rules: after `max_steps` messages, or
       `max_errors` refused calls. A call and its answer are two messages.
    3. `observe` says what the turn changed for the goals, and the verdict at the end.
    """

    def __init__(self, judge: Judge, goals: str, max_steps: int, max_errors: int) -> None:
        self.environment = forked(judge.start)
        self.events: list[Event] = []
        self._judge, self._goals = judge, goals
        self._limits = (max_steps, max_errors)
        self._steps = self._errors = self._begin = 0
        self._report: dict[str, Any] | None = None

    def fork(self) -> "Tau2World":
        """Returns a world in the same state."""
        twin = object.__new__(Tau2World)
        twin.__dict__.update(self.__dict__)
        twin.environment = forked(self.environment)
        twin.events = self.events.copy()
        return twin

    def call(self, name: str, arguments: Mapping[str, Any], caller: Speaker) -> str:
        """Call a tool of the caller's side. Raises ToolError where the environment refuses the call."""
        role = role_of(caller)
        call = {"id": "josh", "name": name, "arguments": dict(arguments), "requestor": role}
        message = self.environment.get_response(tau2("data_model.message").ToolCall(**call))
        if message.error:
            self.environment.sync_tools()
            self._errors += 1
        text = message.content or ""
        self.events.append(Called(role, name, dict(arguments), text, bool(message.error)))
        self._steps += 2
        if message.error:
            raise ToolError(text.removeprefix("Error: "))
        return text

    def follow(self, speaker: Speaker, messages: Sequence[Message], over: bool) -> Outcome | None:
        """Follow a turn; see `josh.roles.ToolWorld`. Returns how the benchmark's limits end the conversation."""
        said = [Said(role_of(speaker), text) for text in map(text_of, messages) if text]
        self.events += said
        self._steps += len(said)
        self._report = self._progress(said)
        self._begin = len(self.events)
        most_steps, most_errors = self._limits
        if self._errors >= most_errors:
            return self._end(TOO_MANY_ERRORS, Outcome.LOST)
        if over:
            verdict = self._judge.claim(self.environment, self.events)
            self._report = {**self._report, "ended": USER_STOP, **verdict.as_json}
            return None
        return self._end(MAX_STEPS, Outcome.TRUNCATED) if self._steps >= most_steps else None

    def observe(self) -> dict[str, Any] | None:
        """Returns what the latest turn changed for the goals, and the verdict at the end; None for nothing."""
        report, self._report = self._report, None
        return report or None

    def _end(self, reason: str, outcome: Outcome) -> Outcome:
        self._report = {**(self._report or {}), "ended": reason}
        return outcome

    def _progress(self, said: Sequence[Said]) -> dict[str, Any]:
        """Returns what the turn did for partial goals, where there are any."""
        found: Any
        if self._goals in (WRITES, ALL):
            # The rewards see the agent's calls by themselves.
            done = [one for one in self.events[self._begin :] if isinstance(one, Called) and one.caller != ASSISTANT]
            found = [{"name": one.name, "arguments": dict(one.arguments)} for one in done if not one.refused]
            return {"user_calls": found} if found else {}
        if self._goals == COMMUNICATED:
            found = [at for one in said if one.role == ASSISTANT for at in self._judge.said(one.text)]
            return {"said": found} if found else {}
        if self._goals == ASSERTED:
            found = [at for at, holds in enumerate(self._judge.holding(self.environment)) if holds]
            return {"holding": found} if found else {}
        return {}
