"""Calls a task's agent and user as the steps of a search."""

import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from josh.branch import Branch, TurnContext
from josh.calls import ContractError, keyword_parameters, not_a_message
from josh.dialogue import Outcome
from josh.errors import TurnError
from josh.roles import AgentError, TurnModel
from josh.threads import in_thread


class PluginSteps:
    """Calls the `step` of a task's agent and user with the chat model of the turn.

    Attributes:
        waits: whether a step of either speaker waits for something, so that concurrent turns save time.
    """

    def __init__(
        self,
        agent_type: Any,
        user_type: Any,
        model_of: Callable[[TurnContext, bool], TurnModel],
        slot: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        """Set the steps up.

        Args:
            agent_type: the agent's class.
            user_type: the user's class.
            model_of: returns the chat model of a turn; the flag is True where it must add the directive to requests.
            slot: returns a slot for a step that blocks a thread.
        """
        self._model_of = model_of
        self._slot = slot
        self._agent_takes = keyword_parameters(agent_type.step)
        self._user_takes = keyword_parameters(user_type.step)
        types = (agent_type, user_type)
        self.waits = any(inspect.iscoroutinefunction(kind.step) or getattr(kind, "blocking", False) for kind in types)

    def agent_step(self, branch: Branch, context: TurnContext) -> Any:
        """Make the agent act once; see `Steps`."""
        given = self._given(branch, context, self._agent_takes)
        agent = branch.agent
        if getattr(agent, "blocking", False):
            return _paired(agent, self._in_slot(agent.step, **given))
        passed = agent.step(**given)
        return _paired(agent, passed) if inspect.isawaitable(passed) else (agent, _spoken(agent, passed))

    def user_step(self, branch: Branch, context: TurnContext) -> Any:
        """Make the user answer; see `Steps`."""
        given = self._given(branch, context, self._user_takes)
        if getattr(branch.user, "blocking", False):
            return self._in_slot(branch.user.step, branch.agent, **given)
        return branch.user.step(branch.agent, **given)

    def add_error_message(self, agent: Any, *, silent: bool, tries: int) -> Any:
        """Mark an agent that used up its tries; see `Steps`. Raises AgentError where it added no message."""
        if silent:
            raise AgentError(f"said nothing in {tries} steps")
        agent.messages.append({"role": "assistant", "content": "Error: Agent ran out of retries."})
        return agent

    async def _in_slot(self, step: Callable[..., Any], *args: Any, **given: Any) -> Any:
        async with self._slot():
            return await in_thread(step, *args, **given)

    def _given(self, branch: Branch, context: TurnContext, takes: frozenset[str] | None) -> dict[str, Any]:
        directed = takes is None or "directive" not in takes
        given = {"model": self._model_of(context, directed), "env": branch.world, "tokenizer": None}
        if context.directive is not None:
            given["directive"] = context.directive
        return given if takes is None else {name: value for name, value in given.items() if name in takes}


async def _paired(agent: Any, passed: Any) -> tuple[Any, Any]:
    return agent, _spoken(agent, await passed)


def _spoken(agent: Any, passed: Any) -> Any:
    """Returns the step's result.

    Raises:
        TurnError: the turn is over, and its last message is not the agent's.
        ContractError: the last message's content is not text, it is not a message, or the step returned a
            text, a list or an iterator.
    """
    last = agent.messages[-1] if agent.messages else {}
    if isinstance(passed, Collection | Iterator) and not isinstance(passed, Outcome):
        kind = "the text " if isinstance(passed, str) else ""
        raise ContractError(
            f"{type(agent).__name__}.step() returned {kind}{passed!r:.60}; add words with add_message, and return "
            "True (the turn is over), False (call again) or None (give up)"
        )
    if not isinstance(last, dict):
        raise ContractError(not_a_message(agent, "messages", last))
    if passed and passed is not Outcome.TRUNCATED and last.get("role") != "assistant":
        raise TurnError("the agent ended its turn without a message to the user")
    if not isinstance(last.get("content"), str | list | None):
        raise ContractError(f"the agent said {last['content']!r:.80}, which is not text")
    return passed
