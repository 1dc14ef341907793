"""Asks a rewards class about conversations: for scores of finished ones, for values and facts of unfinished ones.

All read a record of the conversation (`transcript.py`), never a live world, so that scores can be computed again from
a stored tree. All may ask a judge: a third speaker, whose seeds and journal entries follow from the place in the tree.
"""

import asyncio
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from josh.branch import Branch, TurnContext
from josh.calls import alone, awaited, keyword_parameters
from josh.dialogue import NO_USAGE, Outcome, Turn, Usage
from josh.roles import BaseRewards, Task, TurnModel
from josh.transcript import Transcript, transcript
from josh.tree import Expand, Node, Tree

JUDGE = "judge"
"""The judge's name as a speaker, in the journal and in the account of calls and costs."""


class Scorer:
    """Scores and values the conversations of one task, and finds their facts.

    Attributes:
        task: the task.
    """

    def __init__(self, task: Task, judge: Callable[[TurnContext], TurnModel] | None = None) -> None:
        """Args: task: the task; judge: returns the judge's model for a place in the tree, None for no judge."""
        self.task = task
        self._judge = judge
        self._contexts: list[TurnContext] = []

    @property
    def usage(self) -> Usage:
        """The cost of the judge's calls so far."""
        return sum((context.usage for context in self._contexts), NO_USAGE)

    async def value(self, branch: Branch, tree: Tree, expand: Expand, path: str, turn: Turn) -> float | None:
        """Returns the rewards' value of a conversation after a turn that is not in the tree yet; see `Search`.

        Raises:
            ValueError: the value is neither a finite number nor None.
        """
        parent = tree.nodes[expand.node]
        node = Node(expand.node, expand.speaker, path, parent.depth + 1, turn, parent.open)
        conversation = transcript(tree, expand.node, turn.outcome, node)
        found = await self._ask(branch.rewards.value, conversation, path, node.depth)
        if found is not None and not _is_finite(found):
            raise ValueError(f"{type(branch.rewards).__name__}.value() is {found!r}; give a finite number or None")
        return None if found is None else float(found)

    async def facts(self, rewards: BaseRewards, tree: Tree, node: Node) -> Turn:
        """Returns the turn of a node that is not in the tree yet, with the rewards' facts and the outcome they give.

        Args:
            rewards: a rewards object of the task.
            tree: the tree, which has the node's parent.
            node: the node; its turn ended without an error.

        Raises:
            ValueError: the facts are not JSON values by name, or they end the conversation with something else than an
                outcome.
        """
        what = f"{type(rewards).__name__}.facts()"
        conversation = transcript(tree, node.parent, node.turn.outcome, node)
        found = await self._ask(rewards.facts, conversation, node.path, node.depth)
        if found is None:
            return replace(node.turn, facts=None)
        try:
            plain = json.loads(json.dumps(found, allow_nan=False)) if isinstance(found, Mapping) else None
        except (TypeError, ValueError):
            plain = None
        if not isinstance(plain, dict):
            raise ValueError(f"{what} is {found!r:.80}; give JSON values by name, or None")
        outcome = node.turn.outcome
        if outcome is Outcome.ALIVE:
            ended = rewards.ended(plain)
            if not isinstance(ended, Outcome | None):
                raise ValueError(f"{type(rewards).__name__}.ended() is {ended!r:.80}; give a josh.Outcome or None")
            outcome = ended or outcome
        return replace(node.turn, facts=plain, outcome=outcome)

    async def scores(
        self, tree: Tree, leaves: Sequence[int], outcomes: Mapping[int, Outcome], rewards: BaseRewards
    ) -> dict[int, dict[str, float]]:
        """Returns the scores of finished conversations, by node index and name; empty where the rewards have none.

        Args:
            tree: the tree.
            leaves: the last nodes of the conversations.
            outcomes: the outcome of each of these leaves.
            rewards: a rewards object that was started on the task.

        Raises:
            ValueError: the scores are not finite numbers by name.
        """
        if getattr(type(rewards), "score", BaseRewards.score) is BaseRewards.score:
            return {}

        async def score(leaf: int) -> dict[str, float]:
            node = tree.nodes[leaf]
            conversation = transcript(tree, leaf, outcomes[leaf])
            found = await self._ask(rewards.score, conversation, node.path, node.depth)
            if not isinstance(found, Mapping) or not all(map(_is_finite, found.values())):
                raise ValueError(f"{type(rewards).__name__}.score() is {found!r:.80}; give finite numbers by name")
            return {str(name): float(number) for name, number in found.items()}

        if not _waits(rewards.score):
            return {leaf: await score(leaf) for leaf in leaves}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(score(leaf)) for leaf in leaves]
        return {leaf: task.result() for leaf, task in zip(leaves, tasks, strict=True)}

    async def _ask(self, method: Callable[..., Any], conversation: Transcript, path: str, depth: int) -> Any:
        takes = keyword_parameters(method)
        given: dict[str, Any] = {}
        if takes is None or "judge" in takes:
            context = TurnContext(path, depth, JUDGE)
            self._contexts.append(context)
            given["judge"] = None if self._judge is None else self._judge(context)
        return await alone(_called(method, self.task, conversation, **given))


def has_facts(rewards: Any) -> bool:
    """Returns whether a rewards object finds facts: its class defines `facts`."""
    return getattr(type(rewards), "facts", BaseRewards.facts) is not BaseRewards.facts


async def _called(method: Callable[..., Any], *arguments: Any, **given: Any) -> Any:
    return await awaited(method(*arguments, **given))


def _waits(method: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(method)


def _is_finite(number: Any) -> bool:
    return isinstance(number, int | float) and math.isfinite(number)
