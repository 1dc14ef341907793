"""The prompts of the persuader and of the person, in our own words, and the persuader's view as one message."""

from collections.abc import Sequence
from typing import Final

from josh.envs.ptom.scenarios import CORE, HIDDEN, MODERATE, OPTIONS, PARTIAL, REVEALED, Scenario
from josh.messages import Message

PERSUADER: Final = """\
You talk with a person who has to choose between two options, and you want them to choose Option {goal}. You know \
facts that they do not know. You do not know what matters to them{unless}, and what they care about decides which \
facts count: find it out, tell them the facts that speak to it, and recommend an option when they are ready. Say \
nothing that the facts do not say.

# The choice
{context}Option A: {a}
Option B: {b}

# The facts that you know
{facts}"""

SECTIONS: Final = """

# How you write
Write every turn in four sections, each under its heading. The person hears the last one alone.

BELIEF STATE:
- one line for each thing that may matter to them, as `name: how much`, from 0.00 to 1.00
Confidence: low, mid or high

REASONING:
Why you do next what you do, in a sentence or two.

COUNTERFACTUAL ANALYSIS:
- ASK: the probability that you win them over in the end if you ask now, from 0.00 to 1.00 (why)
- DISCLOSE: the same if you tell a fact now (why)
- ACT: the same if you recommend now (why)

ACTION (ASK), ACTION (DISCLOSE) or ACTION (ACT):
Your words to the person, one to three sentences. With ACT, recommend one option by its name."""

PLAIN: Final = """

# How you write
One message at a time, one to three sentences: ask, tell a fact, or recommend one option by its name. Write only the \
message itself."""

PERSON: Final = """\
You have to choose between two options, and you talk with somebody who knows more about them than you. Be the person \
described here in everything you write. You know nothing about the options beyond their names{described} and what your \
partner tells you.

# The choice
{context}Option A: {a}
Option B: {b}

# Who you are
{who}{values}

# What you may say about this
{may}

# How you decide
Judge by what your partner has told you, weighed by what matters to you; how well they asked and listened counts, \
too. As long as your partner has recommended nothing, just talk. After they recommend an option, decide: put [ACCEPT] \
into your message if you take the option that they recommend, and [DECLINE] if you do not. Either closes the talk. If \
you are not ready yet, say what you still want to know.

# How you write
One message at a time, the way people talk: one to three sentences. Write only the message itself."""

MAY: Final = {
    HIDDEN: "Do not speak of what matters to you by yourself. If you are asked about it, answer truthfully, and about "
    "what you are asked alone.",
    PARTIAL: "You may speak of this by yourself: {stated}. Of the rest speak only if you are asked about it, and then "
    "truthfully.",
    REVEALED: "You may speak of all of it.",
}
NEXT: Final = "What do you do next?"
"""The end of the message that asks for the next turn, where the whole history is one message."""
BEGINS: Final = "Nothing has been said yet."


def persuader_prompt(scenario: Scenario, *, sections: bool = True) -> str:
    """Returns the persuader's system prompt; the preferences are in it under `REVEALED` alone.

    Args:
        scenario: the scenario.
        sections: whether it writes its thoughts in sections.
    """
    revealed = scenario.condition == REVEALED
    facts = "\n".join(
        f"- {fact.id}: {fact.content} "
        f"({f'favors {fact.favors}' if fact.favors in OPTIONS else fact.favors}"
        f"{f'; about {fact.dimension}' if fact.dimension else ''})"
        for fact in scenario.facts
    )
    text = PERSUADER.format(
        goal=scenario.goal, unless=" beyond what is said below" if revealed else "", facts=facts, **_choice(scenario)
    )
    if revealed:
        text += f"\n\n# What matters to them\n{_values(scenario)}"
    return text + (SECTIONS if sections else PLAIN)


def person_prompt(scenario: Scenario) -> str:
    """Returns the person's system prompt, which holds none of the facts, and not the persuader's goal."""
    stated = ", ".join(scenario.stated) or "nothing"
    values = _values(scenario)
    return PERSON.format(
        described=" and descriptions" if any(scenario.descriptions.values()) else "",
        who=f"{scenario.personality or 'an ordinary adult with views of your own'}.",
        values=f"\n\n# What matters to you\n{values}" if values else "",
        may=MAY[scenario.condition].format(stated=stated),
        **_choice(scenario),
    )


def as_row(scenario: Scenario, history: Sequence[tuple[str, str]]) -> list[Message]:
    """Returns what a persuader sees in the form of training rows: the system prompt, and the history as one message.

    Args:
        scenario: the scenario.
        history: what was said: `assistant` or `user`, and the words; the persuader's thoughts are not in it.
    """
    lines = [f"{'You' if role == 'assistant' else 'Person'}: {words}" for role, words in history]
    return [
        {"role": "system", "content": persuader_prompt(scenario)},
        {"role": "user", "content": "\n".join(["The conversation so far:", *(lines or [BEGINS]), "", NEXT])},
    ]


def _choice(scenario: Scenario) -> dict[str, str]:
    options = {
        key.lower(): scenario.names[key] + (f" ({scenario.descriptions[key]})" if scenario.descriptions[key] else "")
        for key in OPTIONS
    }
    context = f"They have to decide {scenario.context}.\n" if scenario.context.startswith("which") else scenario.context
    return {**options, "context": context if not context or context.endswith("\n") else f"{context}\n"}


def _values(scenario: Scenario) -> str:
    kinds = (
        ("Above all", [name for name in scenario.values(CORE) if scenario.strengths[name] > CORE]),
        ("Somewhat", [name for name in scenario.values(MODERATE) if scenario.strengths[name] <= CORE]),
        ("Hardly", list(scenario.values(0.0, MODERATE))),
    )
    lines = [f"{word}: {', '.join(names)}." for word, names in kinds if names]
    if not lines and scenario.preferences:
        lines = [f"Above all: {', '.join(scenario.preferences)}."]
    return "\n".join(lines)
