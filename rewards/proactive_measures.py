"""What the evaluation of proactive help measures of each conversation.

Every conversation has every measure but `action_accuracy`, so all tasks are in the denominator of a mean: a task that
was never solved, or whose solution nothing scores, counts as not solved.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from josh.envs.proactive.actions import CLARIFY
from josh.envs.proactive.cost import Weights
from josh.envs.proactive.optimum import best_action
from josh.envs.proactive.preferences import CHOSEN
from josh.rewards.proactive import ProactiveRewards
from josh.rewards.proactive_worth import Told, told_in
from josh.roles import Task
from josh.transcript import Transcript

MANY = 2
"""From so many questions on, a conversation that is not solved is over-clarified, as published."""


class ProactiveMeasures(ProactiveRewards):
    """The rewards of proactive help, with the measures of an evaluation; see `measured`."""

    rate: ClassVar[str] = "task success"

    async def score(self, task: Task, conversation: Transcript) -> Mapping[str, float]:
        """Returns the scores of the rewards, and the measures."""
        found = await super().score(task, conversation)
        told = told_in([(turn.speaker, turn.facts, turn.observed) for turn in conversation.turns[1:]])
        return {**found, **measured(task, told, found, self.path_reward((), (), scores=found), self.config)}


def measured(
    task: Task, told: Sequence[Told], scores: Mapping[str, float], utility: float, weights: Weights
) -> dict[str, float]:
    """Returns the measures of a conversation.

    Args:
        task: the task.
        told: the agent's turns, each with the meta of the user's reaction.
        scores: the scores of the rewards.
        utility: the reward.
        weights: the weights.

    Returns:
        `success`: 1 where R_task is 1; `task_score`: R_task, 0 where it has none;
        `clarify`: 1 where the agent clarifies at least once; `clarify_turns`, `turns`: numbers of its turns;
        `rejected`: 1 where the user rejects a question;
        `over`: 1 where it clarifies twice or more and does not solve the task; `under`: 1 where it never clarifies and
        does not solve it;
        `action_accuracy`: 1 where the first action is the best one; missing where nobody knows the best one;
        `cost`: C_interrupt; `utility`.
    """
    actions = [facts.get("action") for facts, _ in told]
    asked = actions.count(CLARIFY)
    solved = scores.get("task") == 1
    found = {
        "success": float(solved),
        "task_score": scores.get("task", 0.0),
        "clarify": float(asked > 0),
        "clarify_turns": float(asked),
        "turns": float(len(told)),
        "rejected": float(any(meta.get("reject_signal") for _, meta in told)),
        "over": float(asked >= MANY and not solved),
        "under": float(asked == 0 and not solved),
        "cost": scores["interrupt"],
        "utility": utility,
    }
    best = task.data["state"].get(CHOSEN) or best_action(task, weights)
    return found if best is None or not actions else {**found, "action_accuracy": float(actions[0] == best)}
