"""The best first action in a made-up state, under given weights.

One question costs its price, answered or rejected. In an unclear state only an answer makes the task solvable, and in a
clear state nothing changes. With p = P(answer), t the weight of the task, and a and r the weighted costs of an answered
and of a rejected question, a question gains over delivering at once:

    unclear: p (t - a) - (1 - p) r        clear: -p a - (1 - p) r

Under the default weights (v1) a clear request is never worth a question, and an unclear one is where p > .525.
"""

from josh.envs.proactive.actions import CLARIFY, EXECUTE
from josh.envs.proactive.cost import Message, Weights, message_cost
from josh.envs.proactive.env import persona_of, state_of
from josh.envs.proactive.personas import Persona
from josh.roles import Task


def gain(unclear: bool, persona: Persona, weights: Weights) -> float:
    """Returns how much more reward one question brings than delivering at once, in the mean."""
    answered, rejected = _prices(weights)
    p = persona.answers
    return p * ((weights.w_task if unclear else 0.0) - answered) - (1 - p) * rejected


def break_even(weights: Weights) -> float:
    """Returns the probability of an answer from which a question is worth its price in an unclear state.

    It is above 1 where no user is patient enough, and infinite where an answer is not worth its price either.
    """
    answered, rejected = _prices(weights)
    whole = weights.w_task - answered + rejected
    return rejected / whole if whole > 0 else float("inf")


def best_action(task: Task, weights: Weights) -> str | None:
    """Returns the first action with the higher mean reward; None for a task of which nobody knows what it lacks."""
    state = state_of(task)
    if "needs" not in task.data or state.dialogue_turn or state.prev_reject:
        return None
    return CLARIFY if gain(bool(task.data.get("hidden")), persona_of(task), weights) > 0 else EXECUTE


def _prices(weights: Weights) -> tuple[float, float]:
    """Returns the weighted costs of one question, answered and rejected."""
    costs = (message_cost(Message(1, answered=one, rejected=not one), weights) for one in (True, False))
    answered, rejected = (weights.interrupt * cost for cost in costs)
    return answered, rejected
