"""What a search may spend on one task, in turns of the agent, calls or tokens, as pure functions of the tree.

A turn of the agent is known before it is taken, so the limit in turns holds exactly. Calls and tokens are known after
the turn: a plan begins as many turns as fit at the mean cost of the turns so far, and the last phase may end above the
limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from josh.dialogue import Speaker
from josh.tree import Expand, Tree

TURNS, CALLS, TOKENS = "turns", "calls", "tokens"
UNITS: Final = (TURNS, CALLS, TOKENS)
"""The units of a budget: turns of the agent, calls of both speakers' models, and tokens of these calls."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The budget of one task.

    Attributes:
        most: the most that a search spends, at least 1.
        unit: one of `UNITS`.
    """

    most: int
    unit: str = TURNS

    def __str__(self) -> str:
        return f"{self.most} {self.unit}"

    def spent(self, tree: Tree) -> int:
        """Returns what the turns of a tree cost, in the budget's unit."""
        if self.unit == TURNS:
            return agent_turns(tree)
        usages = [node.turn.usage for node in tree.nodes[1:]]
        if self.unit == CALLS:
            return sum(usage.calls for usage in usages)
        return sum(usage.prompt_tokens + usage.completion_tokens for usage in usages)

    def turns_left(self, tree: Tree) -> int:
        """Returns how many turns of the agent a plan may begin: all that fit at the mean cost of the turns so far."""
        spent, turns = self.spent(tree), agent_turns(tree)
        left = max(0, self.most - spent)
        if self.unit == TURNS or not spent:
            return left
        return ceil(left * turns / spent)

    def fitting(self, tree: Tree, plan: Sequence[Expand]) -> tuple[Expand, ...]:
        """Returns the part of a plan that the budget allows.

        Each node gets its first turn before any gets its second, in the order of the plan. The user's turns are not
        limited while turns of the agent are left. After that, only nodes without an answer get one.
        """
        left = self.turns_left(tree)
        if not left:
            answered = {node.parent for node in tree.nodes}
            return tuple([one for one in plan if one.speaker is Speaker.USER and one.node not in answered])
        wanted = {place: len(one.directives) for place, one in enumerate(plan) if one.speaker is Speaker.AGENT}
        if sum(wanted.values()) <= left:
            return tuple(plan)
        given = dict.fromkeys(wanted, 0)
        while left:
            for place in [place for place in wanted if given[place] < wanted[place]][:left]:
                given[place] += 1
                left -= 1
        shorter = [
            replace(one, directives=tuple(one.directives[: given[place]])) if place in given else one
            for place, one in enumerate(plan)
        ]
        return tuple([one for one in shorter if one.directives])


def agent_turns(tree: Tree) -> int:
    """Returns the number of turns of the agent in a tree."""
    return sum([node.speaker is Speaker.AGENT for node in tree.nodes[1:]])
