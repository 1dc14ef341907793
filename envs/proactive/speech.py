"""What speakers without a model say; together they use about 150 words besides those of the requests."""

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Final

from josh.envs.proactive.actions import CLARIFY
from josh.envs.proactive.personas import Persona
from josh.envs.proactive.states import CODING, State
from josh.envs.proactive.synthetic import FAMILIES, Request, read_request

ASK: Final = ("One question first. {question}", "Before I begin: {question}", "Please say this first. {question}")
CODE: Final = ("Here is the code.", "This does it.", "This is the function.")
PLAN: Final = ("Here is the plan.", "This is my plan.", "I have a plan for you.")
ANYTHING_ELSE: Final = "Is there anything else that I have to know?"
WHAT: Final = "What exactly do you want?"
BODIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sort": "def work(things):\n    return sorted(things, key=lambda one: {need})",
        "keep": "def work(things):\n    found = []\n    for one in things:\n        if {need}\n"
        "            found.append(one)\n    return found",
        "join": "def work(things):\n    {need}\n    return mark.join(things)",
        "round": "def work(things):\n    return [{need} for one in things]",
    }
)  # fmt: skip
"""Solutions of coding requests, with a place for what a right one contains."""
GUESSES: Final[Mapping[str, str]] = MappingProxyType(
    {"sort": "one", "keep": "one:", "join": 'mark = ""', "round": "round(one)"}
)
"""What stands there without the fact; none of them is right."""
STEPS: Final = (
    "First we make a list of all that we need, and we ask who can help us. Then we set a day and a place, and we write "
    "to all guests. One week before, we buy what is missing. On the day itself we begin early, so that there is time "
    "left. At the end we thank all who came and helped."
)
"""A plan of more than 50 words without the fact."""
ANSWERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "low": ("I think {fact}.", "Maybe {fact}, I guess."),
        "mid": ("Please do it {fact}.", "Do it {fact}."),
        "high": ("Exactly {fact}, nothing else.", "It has to be {fact}."),
    }
)
"""Answers that disclose the fact, by expertise."""
NOTHING_MORE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "low": ("I do not know more.", "I think that is all."),
        "mid": ("I have said it all.", "Do what you think is best."),
        "high": ("My request says it all.", "There is nothing to add."),
    }
)
"""Answers where there is nothing to disclose."""


def offline_words(state: State, action: str, rng: Random) -> str:
    """Returns the words of an agent without a model.

    It asks for the fact that the request lacks, and solves the request with the fact if it has it. To requests that are
    not made up it gives general words.

    Args:
        state: the state.
        action: `Clarify` or `Execute`.
        rng: draws the words.
    """
    request = read_request(state.query)
    if action == CLARIFY:
        return rng.choice(ASK).format(question=_question(request))
    if state.domain == CODING:
        return f"{rng.choice(CODE)}\n\n```python\n{_code(request)}\n```"
    how = f" We do it {request.detail}." if request is not None and request.detail else ""
    return f"{rng.choice(PLAN)}{how} {STEPS}"


def offline_answer(hidden: str, disclosed: bool, persona: Persona, rng: Random) -> str:
    """Returns the answer of a user without a model.

    Args:
        hidden: the fact that the user has; empty for none.
        disclosed: whether the user has said it already.
        persona: the user.
        rng: draws the words.
    """
    tells = bool(hidden) and not disclosed
    return rng.choice((ANSWERS if tells else NOTHING_MORE)[persona.expertise]).format(fact=hidden)


def _question(request: Request | None) -> str:
    if request is None:
        return WHAT
    return ANYTHING_ELSE if request.detail else FAMILIES[request.family].question.format(thing=request.thing)


def _code(request: Request | None) -> str:
    if request is None:
        return "def work(things):\n    return things"
    details = FAMILIES[request.family].details
    need = details[request.detail] if request.detail else GUESSES[request.family]
    return BODIES[request.family].format(need=need)
