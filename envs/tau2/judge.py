"""What a finished conversation earns in τ²-bench.

1. A conversation counts where its user ended it; the benchmark gives 0 to all others.
2. `Judge.claim` decides what can be decided here: the end state (by changed rows), the assertions about it, the words
   that the agent had to say, and the calls it had to make; each where the task's `reward_basis` has it.
3. A claimed win is confirmed by the benchmark's own evaluator, which replays the conversation and the golden actions on
   fresh environments. It skips calls that change nothing, so conversations that differ in them alone share its answer.
4. Assertions in words need the benchmark's own judge, a language model. They are counted and left open.
"""

import gc
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from josh.envs.tau2.domain import Domain, Gold
from josh.envs.tau2.events import ASSISTANT, USER, Event, Said, rows_of
from josh.envs.tau2.overlay import forked, same_state
from josh.envs.tau2.package import tau2
from josh.threads import one_line

log = logging.getLogger("josh")

DB, ENV_ASSERTION, COMMUNICATE, ACTION, NL_ASSERTION = "DB", "ENV_ASSERTION", "COMMUNICATE", "ACTION", "NL_ASSERTION"
"""The parts of a reward, in the benchmark's words."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a finished conversation earns.

    Attributes:
        reward: the product of the parts, 0 or 1.
        parts: the parts of the task's `reward_basis` that are decided here.
        to_judge: how many assertions in words the benchmark's own judge would have to decide besides.
        confirmed: whether the benchmark's own evaluator gives the same reward; None for a loss, which is not asked.
    """

    reward: float
    parts: Mapping[str, bool]
    to_judge: int = 0
    confirmed: bool | None = None

    @property
    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON values, without what does not apply."""
        found: dict[str, Any] = {"reward": self.reward, "parts": dict(self.parts)}
        if self.to_judge:
            found["to_judge"] = self.to_judge
        return found if self.confirmed is None else found | {"confirmed": self.confirmed}


@dataclass(slots=True)
class Judge:
    """Judges the conversations of one task.

    Attributes:
        domain: the task's domain.
        task: the benchmark's task.
        row: the same in the form of the benchmark's files.
        start: the environment at the start of the task; it is only forked.
        gold: the benchmark's own solution.
    """

    domain: Domain
    task: Any
    row: Mapping[str, Any]
    start: Any
    gold: Gold
    _known: dict[str, float] = field(default_factory=dict)

    @property
    def _criteria(self) -> Any:
        return self.task.evaluation_criteria

    @property
    def basis(self) -> frozenset[str]:
        """The parts of the task's reward."""
        return frozenset(part.value for part in self._criteria.reward_basis) if self._criteria else frozenset()

    @property
    def to_judge(self) -> int:
        """How many assertions in words are part of the reward."""
        return len(self._criteria.nl_assertions or ()) if NL_ASSERTION in self.basis else 0

    def claim(self, environment: Any, events: Sequence[Event]) -> Verdict:
        """Returns the verdict on a conversation that its user ended; a win is confirmed.

        Args:
            environment: the environment at its end.
            events: its calls and words after the opening, in order.
        """
        parts = self.parts(environment, events)
        if not all(parts.values()):
            return Verdict(0.0, parts, self.to_judge)
        confirmed = self._confirmed(events)
        return Verdict(1.0 if confirmed else 0.0, parts, self.to_judge, confirmed)

    def parts(self, environment: Any, events: Sequence[Event]) -> dict[str, bool]:
        """Returns the parts of the reward that are decided here, before a win is confirmed; see `claim`.

        The state is compared here; words and calls are judged by the benchmark's own evaluators.
        """
        parts: dict[str, bool] = {}
        criteria, basis = self._criteria, self.basis
        # Without actions and assertions every end state is right; the basis does not matter.
        states = criteria is not None and not (criteria.actions is None and criteria.env_assertions is None)
        if DB in basis:
            parts[DB] = not states or same_state(environment, self.gold.environment)
        if ENV_ASSERTION in basis:
            parts[ENV_ASSERTION] = not states or all(self.holding(environment))
        if {COMMUNICATE, ACTION} & basis:
            messages = self.messages(events)
            if COMMUNICATE in basis:
                parts[COMMUNICATE] = self._said(messages)
            if ACTION in basis:
                actions = tau2("evaluator.evaluator_action").ActionEvaluator
                parts[ACTION] = actions.calculate_reward(task=self.task, full_trajectory=messages).reward == 1
        return parts

    def holding(self, environment: Any) -> list[bool]:
        """Returns whether each assertion about the state holds."""
        asserted = (self._criteria and self._criteria.env_assertions) or ()
        return [_holds(forked(environment), one) for one in asserted]

    def said(self, text: str) -> list[int]:
        """Returns which of the words that the agent has to say are in a text, by index."""
        wanted = (self._criteria and self._criteria.communicate_info) or ()
        return [at for at, words in enumerate(wanted) if words.lower() in text.lower().replace(",", "")]

    def _said(self, messages: Sequence[Any]) -> bool:
        evaluator = tau2("evaluator.evaluator_communicate").CommunicateEvaluator
        return bool(evaluator.calculate_reward(task=self.task, full_trajectory=messages).reward == 1)

    def won_by_nothing(self) -> bool:
        """Returns whether a conversation in which nobody does anything wins."""
        return all(self.parts(self.start, ()).values())

    def messages(self, events: Sequence[Event]) -> list[Any]:
        """Returns a conversation as the benchmark's messages, from its opening to its end."""
        kinds = tau2("data_model.message")
        of = {ASSISTANT: kinds.AssistantMessage, USER: kinds.UserMessage, "tool": kinds.ToolMessage}
        return [of[row["role"]].model_validate(row) for row in rows_of(self.row, events)]

    def evaluated(self, events: Sequence[Event]) -> float:
        """Returns the reward of the benchmark's own evaluator for the state at the end of a conversation."""
        evaluator = tau2("evaluator.evaluator_env").EnvironmentEvaluator
        build = tau2("registry").registry.get_env_constructor(self.domain.name)
        with _without_collections():
            found = evaluator.calculate_reward(
                environment_constructor=build, task=self.task, full_trajectory=self.messages(events), solo_mode=False
            )
        return float(found.reward)

    def _confirmed(self, events: Sequence[Event]) -> bool:
        """Returns whether the benchmark's evaluator agrees on the state; the other parts are its own already."""
        key = json.dumps([_key(event) for event in events if self._changes(event)])
        if key not in self._known:
            try:
                self._known[key] = self.evaluated(events)
            except Exception as error:
                log.warning("task %s: tau2's evaluator fails on a claimed win: %s", self.task.id, one_line(error))
                self._known[key] = 0.0
            if self._known[key] != 1:
                log.warning("task %s: tau2's evaluator does not confirm a claimed win; it counts as lost", self.task.id)
        return self._known[key] == 1

    def _changes(self, event: Event) -> bool:
        """Returns whether the evaluator replays an event."""
        if isinstance(event, Said):
            return False
        kits = (self.start.tools, self.start.user_tools)
        kit = next((kit for kit in kits if kit is not None and kit.has_tool(event.name)), None)
        return kit is not None and bool(kit.tool_mutates_state(event.name))


def _holds(environment: Any, assertion: Any) -> bool:
    try:
        return bool(environment.run_env_assertion(assertion, raise_assertion_error=False))
    except ValueError:  # it asks about a row that does not exist
        return False


def _key(event: Event) -> Sequence[Any]:
    if isinstance(event, Said):
        return event.role, event.text
    return event.caller, event.name, dict(event.arguments), event.text, event.refused


@contextmanager
def _without_collections() -> Iterator[None]:
    """Puts off garbage collections, which take most of the time where whole databases are built."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
