"""Playing a plan: the driver asks a strategy what to do, has the turns taken, and tells it what happened.

This is the one place where an exception of a plug-in is caught: it ends its own leaf as `infra_error` and nothing
else. Only `JoshError` (a wrong setting, a refused key) ends the whole search.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from josh.branch import Branch, Steps, TurnContext
from josh.errors import JoshError, UsageError
from josh.search import Strategy, child_paths, grow
from josh.threads import explain
from josh.tree import Expand, Speaker, Tree, spend
from josh.turns import AgentTurnRunner, TurnRunner, UserTurnRunner

log = logging.getLogger("josh")


class Search:
    """One search on one task: a tree, the branches at its frontier, and the rules to grow it by.

    Attributes:
        strategy: the rules.
        tree: the tree so far.
        branches: what the live leaves carry, by node index.
        winner: the branch of the latest collapse; None before the first.
    """

    def __init__(
        self,
        strategy: Strategy,
        cast: Steps,
        tree: Tree,
        root: Branch,
        *,
        max_turn_tries: int,
        parallel: bool,
        resample: bool = False,
        name: str = "",
    ) -> None:
        """Start a search.

        Args:
            strategy: the rules.
            cast: the plug-ins' steps.
            tree: a tree whose frontier is its root.
            root: what the root carries.
            max_turn_tries: steps that an agent turn may take, at least 1.
            parallel: take the turns of a phase at the same time, instead of step by step in leaf order.
            resample: take a turn that repeats its elder sibling's a second time, with other seeds, and flag it where
                that changes nothing.
            name: what the log calls it.
        """
        self.tree = tree
        self.branches = dict.fromkeys(tree.frontier, root)
        self.winner: Branch | None = None
        self.strategy = strategy
        self._cast = cast
        self._max_turn_tries = max_turn_tries
        self._parallel = parallel
        self._resample = resample
        self._name = name
        self._advancing = False

    @property
    def done(self) -> bool:
        """Whether nothing is left to play."""
        return not self.tree.frontier

    def check_whole(self) -> None:
        """Raises UsageError where an interrupt has left a phase half played."""
        if self._advancing:
            raise UsageError("the search was broken off in the middle of a turn; start a new one")

    async def advance(self) -> None:
        """Play one phase: a turn of the same speaker on every live leaf. Does nothing when the search is done."""
        self.check_whole()
        self._advancing = True
        plan = self.strategy.plan(self.tree)
        families = [self._takers(expand) for expand in plan]
        await self._take([taker for family in families for taker in family])
        if self._resample:
            families = await self._without_copies(families)
        takers = [taker for family in families for taker in family]
        before, size = self.tree, len(self.tree.nodes)
        self.tree = self.strategy.settle(grow(before, plan, [taker.turn() for taker in takers]))
        self.branches = {leaf: takers[leaf - size].branch for leaf in self.tree.frontier}
        if len(self.tree.collapses) > len(before.collapses):
            winner = self.tree.root
            self.winner = takers[winner - size].branch
            self._spend(self.winner, winner)
        else:
            for leaf, branch in self.branches.items():
                if self.tree.nodes[leaf].turn.hits:
                    branch.rewards = branch.rewards.fork()
                    self._spend(branch, leaf)
        self._advancing = False

    def _takers(self, expand: Expand) -> list["TurnRunner"]:
        parent = self.tree.nodes[expand.node]
        kind = AgentTurnRunner if expand.speaker is Speaker.AGENT else UserTurnRunner
        paths = child_paths(parent, expand)
        shared: dict[str, Any] = {"siblings": paths, "common": {}} if expand.copies > 1 else {}
        return [
            kind(
                self.branches[expand.node],
                expand.copies > 1,
                TurnContext(path, parent.depth + 1, expand.speaker, expand.directive, **shared),
                self._cast,
                self._max_turn_tries,
                self._name,
            )
            for path in paths
        ]

    async def _without_copies(self, families: Sequence[list["TurnRunner"]]) -> list[list["TurnRunner"]]:
        """Take turns that repeat an elder sibling's once more; what still repeats one is flagged."""
        again = {
            taker: taker.second_try()
            for family in families
            for place, taker in enumerate(family)
            if taker.can_differ and any(taker.repeats(elder) for elder in family[:place])
        }
        await self._take(list(again.values()))
        settled = []
        for family in families:
            kept: list[TurnRunner] = []
            for taker in family:
                second = again.get(taker)
                if second is not None:
                    taker.account_for(second)
                if second is not None and second.sound and not any(map(second.repeats, kept)):
                    kept.append(second)
                else:
                    taker.is_duplicate = any(map(taker.repeats, kept))
                    kept.append(taker)
            settled.append(kept)
        return settled

    async def _take(self, takers: Sequence["TurnRunner"]) -> None:
        if not self._parallel or len(takers) < 2:
            # Step by step over all leaves, the order in which the published JOSH calls back.
            going = takers
            while going:
                going = [taker for taker in going if not await taker.step()]
            return
        tasks = [asyncio.ensure_future(taker.run()) for taker in takers]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _spend(self, branch: Branch, leaf: int) -> None:
        node = self.tree.nodes[leaf]
        met, _ = spend(self.tree.nodes[node.parent].open, node.turn.hits)
        try:
            branch.rewards.delete_reward(list(met))
        except JoshError:
            raise
        except Exception as error:
            # The tree keeps its own account of open goals, so the search stays right.
            log.warning("delete_reward failed: %s", explain(error), exc_info=log.isEnabledFor(logging.DEBUG))
