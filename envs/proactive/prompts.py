"""The prompts of the agent and of the user, and what a model is asked for a decision."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from josh.envs.proactive.actions import CLARIFY, EXECUTE
from josh.envs.proactive.personas import Persona
from josh.envs.proactive.states import CODING, PLANNING, State
from josh.messages import Message

SYSTEM: Final[Mapping[str, str]] = MappingProxyType(
    {
        CODING: "You help a user with Python. In each message you either ask for what you have to know, or you write "
        "the code, in one block.",
        PLANNING: "You help a user to plan. In each message you either ask for what you have to know, or you write the "
        "whole plan.",
    }
)
"""The agent's system prompt, by domain."""
INSTRUCTIONS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        CODING: {
            CLARIFY: "In this message, write no code. Ask one or two short questions, about those details alone "
            "without which the code may be wrong.",
            EXECUTE: "In this message, ask nothing. Write the whole code in one block, and decide by yourself what the "
            "request leaves open.",
        },
        PLANNING: {
            CLARIFY: "In this message, write no plan. Ask one or two short questions, about those details alone "
            "without which the plan may be wrong.",
            EXECUTE: "In this message, ask nothing. Write the whole plan, step by step, in more than 50 words, and "
            "decide by yourself what the request leaves open.",
        },
    }
)
"""The instructions of the actions, by domain. An instruction is for one message, and no view has it."""
DIRECTIVES: Final[Mapping[str, str]] = MappingProxyType(
    {
        CLARIFY: "In this message, ask one or two short questions about what the request leaves open, nothing else.",
        EXECUTE: "In this message, ask nothing, and deliver the whole solution.",
    }
)
"""The same for agents that know no domain."""
DECIDE: Final = """\
You decide how an assistant goes on in a conversation with a user. Clarify: it asks the user a question. Execute: it \
delivers the solution now. [Task Uncertainty] is 0 where the request is unclear, and 1 where it is clear. A question \
that the user does not want costs more than one that helps."""
ONE_WORD: Final = "Reply with one word: Clarify or Execute."
AS_JSON: Final = 'Reply with JSON and nothing else: {"action": "Clarify"} or {"action": "Execute"}.'
ANSWER_CLARITY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "low": "You know little about such things, so your answers are vague, though you want to help.",
        "mid": "You know your way around, so your answers are clear.",
        "high": "You are an expert, so your answers are precise and complete.",
    }
)
USER: Final = """\
You asked an assistant for help with this {domain} task:

{query}

The assistant asks you something. Answer its question in one or two short sentences, as the user, and ask nothing. \
{clarity}"""
FACT: Final = "You know this, and your answer says it in these words: {fact}"
JUDGE: Final = """\
How well does this plan solve the request? Reply with a whole number from 0 (not at all) to 10 (completely), and \
nothing else.

The request:
{query}

The plan:
{plan}"""


def request_of(state: State) -> Message:
    """Returns the user's request as the first message of a conversation."""
    return {"role": "user", "content": state.query}


def decision(rendered: str, wanted: str = "") -> list[Message]:
    """Returns the messages with which a model is asked for an action; training rows of actions have the same.

    Args:
        rendered: the text of the state.
        wanted: `ONE_WORD` or `AS_JSON` for models that are not trained on states; empty for the text alone.
    """
    asked: list[Message] = [{"role": "user", "content": rendered}]
    return [{"role": "system", "content": f"{DECIDE} {wanted}"}, *asked] if wanted else asked


def user_prompt(data: Mapping[str, Any], persona: Persona) -> str:
    """Returns the system prompt of a user that a chat model plays.

    Args:
        data: the task's data.
        persona: the user's persona.
    """
    state = data["state"]
    text = USER.format(domain=state["domain"], query=state["query"], clarity=ANSWER_CLARITY[persona.expertise])
    return f"{text}\n\n{FACT.format(fact=data['hidden'])}" if data.get("hidden") else text
