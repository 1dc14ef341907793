"""What agents of the proactive world share: how they begin, and how they choose between asking and delivering.

The first of these that applies chooses the action of a turn:
    1. the directive of a search, `Clarify` or `Execute`;
    2. in the agent's first turn `mainline_action`;
    3. the agent's policy: the published rule, the probabilities of the two labels, a model's structured reply, or one
       of the fixed policies of the baselines.
An action is never read out of the words that the agent says.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from josh.agents.prompted import PromptedAgent
from josh.dialogue import Speaker
from josh.envs.proactive.actions import ACTIONS, CLARIFY, DIRECTIVE, EXECUTE, LABELS, MAINLINE, REPLY, RULE, rule
from josh.envs.proactive.dialogue import StateWorld
from josh.envs.proactive.env import state_of
from josh.envs.proactive.prompts import AS_JSON, ONE_WORD, SYSTEM, decision, request_of
from josh.envs.proactive.reactions import ANSWERED, CONTINUES, meta_of
from josh.errors import UsageError
from josh.messages import text_of
from josh.models.hf_loading import is_local
from josh.reading import read_text
from josh.roles import AgentError, BaseEnv, Reply, Task, TurnModel

OFFLINE: Final = "offline"
TOP: Final = 20
"""How many of the likeliest tokens an endpoint is asked for."""


class Deciding(PromptedAgent):
    """Chooses an action by field, and says so to its world (`StateWorld.act`)."""

    needs_model: ClassVar[bool] = False
    shared: ClassVar[tuple[str, ...]] = ("unread", "chosen")  # tuples never change
    calls_tools: ClassVar[bool] = False
    name: ClassVar[str] = ""
    policy: ClassVar[str | None] = None
    """The policy, where no setting chooses it."""

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the request. Raises UsageError where the task has no state, or a model is missing."""
        state = state_of(task)
        if env.opens is not Speaker.AGENT:
            raise UsageError(f"agent {self.name} speaks first; give a world that the agent opens")
        self.domain = state.domain
        self.asked_before = False
        self.chosen: tuple[str, str] | None = None
        model = str(options.get("model") or OFFLINE)
        self.local, self.modelled = is_local(model), model != OFFLINE
        self.policy_name = self.policy or str(getattr(self.config, "decide", RULE))
        if self.policy_name in (LABELS, REPLY) and not self.modelled and "model" in options:
            raise UsageError(f"agent.decide is {self.policy_name!r}, but model is 'offline'; give --model")
        self.messages = [request_of(state)]
        self.messages_internal = [{"role": "system", "content": SYSTEM[state.domain]}, *self.messages]

    async def choose(self, world: Any, model: TurnModel, directive: str | None) -> tuple[str, str]:
        """Returns the action of this turn, and who chose it; the same as long as the turn has no words.

        Raises:
            UsageError: the world has no state, the directive is none of the actions, or the endpoint gives no
                probabilities.
            AgentError: the model names no action.
        """
        if not isinstance(world, StateWorld):
            raise UsageError(f"agent {self.name} needs a world with a state; give --env proactive")
        if world.action is not None and self.chosen is None:
            self._take_answer(world)
        if self.chosen is None:
            self.chosen = await self._choose(world, model, directive)
        return self.chosen

    def say(self, world: StateWorld, words: str) -> bool:
        """Adds the words of a turn, and notes its action. Returns True: the user reacts."""
        assert self.chosen is not None, "the action is chosen before the words"
        action, by = self.chosen
        self.chosen, self.asked_before = None, True
        world.act(action, by)
        self.add_message({"role": "assistant", "content": words})
        self.recent_actions = [action]
        return True

    async def _choose(self, world: StateWorld, model: TurnModel, directive: str | None) -> tuple[str, str]:
        if directive is not None:
            if directive not in ACTIONS:
                raise UsageError(f"agent {self.name} got the directive {directive!r:.60}; give {' or '.join(ACTIONS)}")
            return directive, DIRECTIVE
        given = getattr(self.config, "mainline_action", None)
        if given is not None and not self.asked_before:
            return given, MAINLINE
        if self.policy_name == LABELS:
            return await self._by_labels(world.rendered, model), LABELS
        if self.policy_name == REPLY:
            return await self._by_reply(world.rendered, model), REPLY
        return self.by_policy(world), RULE

    def _take_answer(self, world: StateWorld) -> None:
        """Takes the last message as the answer to the agent's own, where the user did not say how it reacts."""
        question, answer = map(text_of, self.messages[-2:])
        world.react(answer, meta_of(ANSWERED if world.action == CLARIFY else CONTINUES, world.persona), question)

    def by_policy(self, world: StateWorld) -> str:
        """Returns the action of a policy that asks no model; by default the published rule's."""
        return rule(world.state, world.persona)

    async def _by_labels(self, rendered: str, model: TurnModel) -> str:
        """Returns the label with the higher probability; of two equal ones the first."""
        if self.local:
            found = {label: await _weight(model, rendered, label) for label in ACTIONS}
        else:
            options = {"temperature": 0.0, "max_tokens": 4, "logprobs": True, "top_logprobs": TOP}
            reply = await model.reply(decision(rendered, ONE_WORD), **options)
            if not reply.likely:
                raise UsageError(
                    "agent.decide is 'labels', but the endpoint gives no top_logprobs; give --agent.decide reply"
                )
            found = label_weights(reply)
        if max(found.values()) == -math.inf:
            raise AgentError("gave no probability to Clarify or Execute")
        return max(ACTIONS, key=lambda label: found[label])

    async def _by_reply(self, rendered: str, model: TurnModel) -> str:
        """Returns the action in a model's JSON."""
        reply = await model.reply(decision(rendered, AS_JSON), temperature=0.0, max_tokens=1000)
        found = action_of(read_text(reply.text).speech)
        if found is None:
            raise AgentError("named no action in JSON", "give --agent.decide rule, or another model")
        return found


async def _weight(model: TurnModel, rendered: str, label: str) -> float:
    """Returns the log-probability of a label that a local model is trained to give for a state."""
    reply = await model.reply(decision(rendered), logprobs_of={"after": "", "text": label})
    return sum(reply.logprobs) if reply.logprobs else -math.inf


def label_weights(reply: Reply) -> dict[str, float]:
    """Returns the log-probability with which a reply's first word begins each label; minus infinity for none.

    Args:
        reply: a reply with its likeliest tokens.
    """
    found = dict.fromkeys(ACTIONS, -math.inf)
    place = next((tokens for tokens in reply.likely or () if _letters(next(iter(tokens), ""))), {})
    for label in ACTIONS:
        pieces = [number for token, number in place.items() if (piece := _letters(token)) and _begins(label, piece)]
        if pieces:
            found[label] = math.log(sum(map(math.exp, pieces)))
    return found


def action_of(text: str) -> str | None:
    """Returns the action in a structured reply; None where it has none, or two.

    Args:
        text: JSON with `action`, with or without words or a fence around it.
    """
    found = []
    for piece in re.findall(r"\{[^{}]*\}", text):
        try:
            given = json.loads(piece)
        except ValueError:
            continue
        named = given.get("action")
        found += [action for action in ACTIONS if isinstance(named, str) and named.strip().lower() == action.lower()]
    return found[0] if len(set(found)) == 1 else None


def fixed(asks: bool) -> str:
    """Returns `Clarify` or `Execute`."""
    return CLARIFY if asks else EXECUTE


def _letters(token: str) -> str:
    return "".join(letter for letter in token if letter.isalpha()).lower()


def _begins(label: str, piece: str) -> bool:
    return label.lower().startswith(piece) or piece.startswith(label.lower())
