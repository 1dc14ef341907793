"""How the user reacts to a message of the agent: a rule, the persona's numbers, and the luck of the round."""

from random import Random
from types import MappingProxyType
from typing import Any, Final

from josh.envs.proactive.actions import CLARIFY
from josh.envs.proactive.code import code_in
from josh.envs.proactive.personas import Persona
from josh.envs.proactive.questions import question_acts
from josh.envs.proactive.states import CODING, State
from josh.seeds import derive

ANSWERED, REJECTED, SILENT, CONTINUES = "answered", "rejected", "silent", "continues"
SATISFACTION: Final = MappingProxyType({ANSWERED: 0.85, REJECTED: 0.3, SILENT: 0.5, CONTINUES: 0.6})
PLAN_WORDS: Final = 50
"""A plan has more words than this."""
LONG_WORDS: Final = 200
"""An impatient user is silent after more words than this that neither ask nor deliver."""
REJECTIONS: Final = MappingProxyType(
    {CODING: "No more questions, just write the code.", "planning": "No more questions, just write the plan."}
)
CONTINUE: Final = "Continue."
SILENCE: Final = "..."


def delivers(text: str, domain: str) -> bool:
    """Returns whether a message delivers: it has code or, in planning, more than 50 words."""
    return code_in(text) is not None if domain == CODING else len(text.split()) > PLAN_WORDS


def luck_of(seed: int, task_id: str, round_number: int) -> float:
    """Returns the user's luck in a round, in [0, 1); the same in all branches of a task.

    Args:
        seed: the run's seed.
        task_id: the task's id.
        round_number: number of the user's turns before.
    """
    return Random(derive(seed, task_id, round_number)).random()


def kind_of(message: str, action: str | None, domain: str, persona: Persona, luck: float) -> str:
    """Returns how the user reacts: answered, rejected, silent or continues.

    A question is answered where the luck is below the persona's patience, else rejected. A question counts where the
    agent says that it clarifies, or where the message delivers nothing.

    Args:
        message: the agent's message.
        action: its action, where the agent names one.
        domain: the state's domain.
        persona: the user.
        luck: see `luck_of`.
    """
    delivered = delivers(message, domain)
    if question_acts(message) and (action == CLARIFY or not delivered):
        return ANSWERED if luck < persona.answers else REJECTED
    long = len(message.split()) > LONG_WORDS
    return SILENT if long and persona.patience == "low" and not delivered else CONTINUES


def meta_of(kind: str, persona: Persona, *, off_topic: bool = False) -> dict[str, Any]:
    """Returns the meta of a reaction, with the published names."""
    return {
        "answered_clarification": int(kind == ANSWERED),
        "reject_signal": int(kind == REJECTED),
        "answer_clarity": persona.answer_clarity if kind == ANSWERED else 0.0,
        "silence": int(kind == SILENT),
        "off_topic_flag": int(off_topic),
        "satisfaction": SATISFACTION[kind],
    }


def is_off_topic(message: str, query: str, domain: str) -> bool:
    """Returns whether a message neither asks nor delivers, and has no word of the request of four letters or more."""
    if question_acts(message) or delivers(message, domain):
        return False
    words = _words(query)
    return bool(words) and not words & _words(message)


def fixed_words(kind: str, domain: str) -> str:
    """Returns the user's words where it does not answer a question."""
    return {REJECTED: REJECTIONS[domain], SILENT: SILENCE}.get(kind, CONTINUE)


def closes(before: State, action: str | None, *, multi_turn: bool) -> bool:
    """Returns whether a turn of the agent is its last one, also where it solves nothing.

    It is so after a rejection and, unless conversations have several tries (`multi_turn`), where the agent executes.

    Args:
        before: the state in which the agent chose.
        action: its action.
        multi_turn: the world's setting.
    """
    return bool(before.prev_reject) or (action is not None and action != CLARIFY and not multi_turn)


def _words(text: str) -> set[str]:
    return {word.strip(".,:;!?\"'()`").lower()[:5] for word in text.split() if len(word.strip(".,:;!?\"'()`")) > 3}
