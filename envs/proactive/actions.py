"""The two actions, and the published rule that chooses between them."""

from collections.abc import Iterable
from typing import Any, Final

from josh.envs.proactive.personas import Persona
from josh.envs.proactive.states import State

CLARIFY, EXECUTE = "Clarify", "Execute"
ACTIONS: Final = (CLARIFY, EXECUTE)
UNCLEAR_BELOW: Final = 0.5
"""A patient user is asked where the clarity is below this number."""
MOST_TURNS: Final = 2
"""From this turn on, counted from 0, the agent delivers."""

RULE, MAINLINE, DIRECTIVE, LABELS, REPLY = "rule", "mainline_action", "directive", "labels", "reply"
"""Who chose an action: the rule, the setting `mainline_action`, the directive of a search, the probabilities of the two
labels, or a model's structured reply."""


def rule(state: State, persona: Persona) -> str:
    """Returns the action that the published rule chooses; the first line that fits counts.

    | prev_reject > 0 | dialogue_turn >= 2 | patience | clarity | action |
    |---|---|---|---|---|
    | yes | | | | Execute |
    | no | yes | | | Execute |
    | no | no | low or mid | | Execute |
    | no | no | high | < 0.5 | Clarify |
    | no | no | high | >= 0.5 | Execute |
    """
    asks = (
        not state.prev_reject
        and state.dialogue_turn < MOST_TURNS
        and persona.patience == "high"
        and state.clarity < UNCLEAR_BELOW
    )
    return CLARIFY if asks else EXECUTE


def action_in(steps: Iterable[Iterable[Any]]) -> str | None:
    """Returns the action among the actions of a turn (`Turn.actions`); None where there is none."""
    return next((one for step in steps for one in step if isinstance(one, str) and one in ACTIONS), None)
