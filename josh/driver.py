"""The driver plays a search: it asks a strategy for a plan, takes the planned turns, and adds them to the tree.

The life of a phase:
    1. The driver hides leaves that used up their rounds; the strategy plans with the others. Turns of the agent beyond
       the task's budget are cut from the plan (`allowance.py`).
    2. Each expansion becomes a group of siblings, each with its own branch, path and seeds.
    3. The driver takes all turns, concurrently or step by step in their order (`turns.py`).
    4. It resamples turns that repeat an elder sibling, where the search asks for that.
    5. The rewards find the facts of the turns, and value them where the plan asks for that.
    6. `grow` adds the turns to the tree. Where a win has to be confirmed before it counts, fresh users hear the paths
       that won (`confirming.py`).
    7. `update` shrinks the frontier, and the branches that continue spend the goals that they met.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from josh.allowance import Allowance
from josh.branch import Branch, Steps, TurnContext
from josh.calls import contained, gathered
from josh.dialogue import Hit, Outcome, Speaker, Turn
from josh.errors import FatalError, JoshError, UsageError
from josh.messages import Message
from josh.search import Strategy, check_plan, child_paths, grow
from josh.threads import one_line
from josh.tree import Confirmation, Expand, Node, Tree, hits, spend, walk
from josh.turns import AgentTurnRunner, Rules, TurnRunner, UserTurnRunner

log = logging.getLogger("josh")

Facts = Callable[[Any, Tree, Node], Awaitable[Turn]]
"""Returns the turn of a node that is not in the tree yet, with its facts; gets the rewards, the tree and the node."""
Value = Callable[[Branch, Tree, Expand, str, Turn], Awaitable[float | None]]
"""Values a turn before it is added to the tree; it gets the branch, the tree, the expansion, the path and the turn."""
Confirm = Callable[[Tree, int], Awaitable[Confirmation]]
"""Plays the winning path to a node of a tree again with fresh users."""


class Search:
    """One search on one task: a tree, the branches at its frontier, and the strategy that grows it.

    Attributes:
        strategy: the strategy.
        tree: the tree so far.
        start: the branch that the search began with.
        branches: the branch of each node of the frontier, by node index.
        winner: the branch of the latest collapse; None before the first.
        allowance: the budget of the task; None for no limit.
        short: whether the budget kept the search from turns that its strategy planned.
    """

    def __init__(
        self,
        strategy: Strategy,
        steps: Steps,
        tree: Tree,
        root: Branch,
        *,
        max_turn_tries: int,
        parallel: bool,
        resample: bool = False,
        name: str = "",
        max_rounds: int | None = None,
        value: Value | None = None,
        facts: Facts | None = None,
        directives: Mapping[str, str] = MappingProxyType({}),
        allowance: Allowance | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        """Start a search.

        Args:
            strategy: plans the turns and names the result.
            steps: the plug-ins' steps.
            tree: a tree whose frontier is its root.
            root: the branch of the root.
            max_turn_tries: most steps of an agent turn, at least 1.
            parallel: take the turns of a phase concurrently, instead of step by step in leaf order.
            resample: take a turn that repeats an elder sibling's a second time, with other seeds, and flag it as a
                duplicate where it repeats one again.
            name: the search's name in the log.
            max_rounds: agent turns after which a leaf does not continue; None for no limit.
            value: values turns for plans that ask for it.
            facts: finds the facts of each turn; None where the rewards have none.
            directives: the world's texts of instructions, by name.
            allowance: what the search may spend; None for no limit.
            confirm: confirms each win before the strategy sees it; None where wins count as they are.
        """
        self.tree = tree
        self.start = root
        self.branches = dict.fromkeys(tree.frontier, root)
        self.winner: Branch | None = None
        self.allowance = allowance
        self.short = False
        self.strategy = strategy
        self._rules = Rules(steps, max_turn_tries, name)
        self._parallel = parallel
        self._resample = resample
        self._max_rounds = max_rounds
        self._value, self._facts, self._confirm = value, facts, confirm
        self._texts = {**strategy.directives, **directives}
        self._rounds = dict.fromkeys(tree.frontier, 0)
        self._most_rounds = 0
        self._noted: list[tuple[Message, Message]] = []
        self._over = False
        self._advancing = False
        self._under_way: Sequence[TurnRunner] = ()

    def go_on(self, tree: Tree, branch: Branch) -> None:
        """Go on from another tree on the same task.

        Args:
            tree: a tree with one node in its frontier.
            branch: the branch of that node.
        """
        (leaf,) = tree.frontier
        self.tree, self.branches = tree, {leaf: branch}
        self._most_rounds = sum(tree.nodes[node].speaker is Speaker.AGENT for node in walk(tree, leaf)[1:])
        self._rounds = {leaf: self._most_rounds}

    @property
    def going(self) -> tuple[int, ...]:
        """The nodes of the frontier that have rounds left."""
        if self._max_rounds is None or self._most_rounds < self._max_rounds:
            return self.tree.frontier
        return tuple(leaf for leaf in self.tree.frontier if not self._used_up(leaf, self._max_rounds))

    @property
    def done(self) -> bool:
        """Whether the search has no turn left to play."""
        return self._over or not self.going

    def note(self, live: Sequence[Message], turn: Turn) -> None:
        """Note a turn's messages as the speakers hold them, each with its copy in the tree."""
        internal = () if turn.internal is turn.messages else turn.internal
        self._noted += zip(live, (*turn.messages, *internal, *(turn.user_internal or ())), strict=False)

    @property
    def rewritten(self) -> tuple[Message, Message] | None:
        """The first message that a speaker changed after its turn, as it was and as it is now; None where none is."""
        return next(((copy, live) for live, copy in self._noted if live != copy), None)

    def check_whole(self) -> None:
        """Raises UsageError where an interrupt stopped the search in the middle of a phase."""
        if self._advancing:
            raise UsageError("the search was interrupted in the middle of a turn; start a new one")

    @property
    def met(self) -> list[Hit]:
        """The reward events of the turns that are being taken, which the tree does not have yet."""
        return [hit for runner in self._under_way for hit in runner.hits]

    async def advance(self) -> None:
        """Play one phase. Does nothing when the search is done.

        Raises:
            UsageError: the strategy breaks a rule of `josh.search`.
            FatalError: the strategy fails.
        """
        self.check_whole()
        self._advancing = True
        before, size = self.tree, len(self.tree.nodes)
        plan = self._planned()
        if not plan:
            self._advancing = False
            return
        paths = child_paths(before, plan)
        groups = [self._runners(expand, places) for expand, places in zip(plan, paths, strict=True)]
        self._under_way = [runner for group in groups for runner in group]
        await self._take(self._under_way)
        self._under_way = ()
        if self._resample:
            groups = await self._without_copies(plan, groups)
        runners = [runner for group in groups for runner in group]
        turns = [runner.turn() for runner in runners]
        if self._facts is not None or any(expand.value for expand in plan):
            turns = await self._examined(plan, paths, groups)
        for runner, turn in zip(runners, turns, strict=True):
            self.note(runner.live, turn)
        grown = grow(before, plan, turns, paths)
        self.tree = self._updated(grown if self._confirm is None else await confirmed(grown, size, self._confirm))
        self._carry(before, plan, [runner.branch for runner in runners], size)
        self._advancing = False

    def _planned(self) -> Sequence[Expand]:
        going = self.going
        tree = self.tree if going == self.tree.frontier else replace(self.tree, frontier=going)
        plan = self._asked("plan", tree) if going else ()
        try:
            check_plan(tree, plan)
        except UsageError as error:
            raise UsageError(f"strategy {type(self.strategy).__name__}: {error}") from None
        if self.allowance is not None and plan:
            fitting = self.allowance.fitting(self.tree, plan)
            self.short = self.short or fitting != tuple(plan)
            plan = fitting
        self._over = not plan
        return tuple(plan)

    def _updated(self, tree: Tree) -> Tree:
        updated = self._asked("update", tree)
        if not isinstance(updated, Tree):
            name = type(self.strategy).__name__
            raise UsageError(f"strategy {name}: update() gives {updated!r:.60}; give the tree, changed or not")
        strange = set(updated.frontier) - set(tree.frontier)
        if strange:
            raise UsageError(
                f"strategy {type(self.strategy).__name__}: update() puts node {min(strange)} into the frontier; "
                "keep a node there by Expand(..., keep=True)"
            )
        return updated

    def _asked(self, method: str, tree: Tree) -> Any:
        """Returns the result of one of the strategy's methods on a tree."""
        try:
            with contained():
                return getattr(self.strategy, method)(tree)
        except JoshError:
            raise
        except Exception as error:
            raise FatalError(f"strategy {type(self.strategy).__name__}.{method}() failed: {one_line(error)}") from error

    def _carry(self, before: Tree, plan: Sequence[Expand], branches: Sequence[Branch], size: int) -> None:
        """Give the branches to the nodes of the new frontier, and spend the goals that their turns met."""
        tree = self.tree
        held = dict(enumerate(branches, size))
        if not all(map(held.__contains__, tree.frontier)):
            held = self.branches | held
        self.branches = {leaf: held[leaf] for leaf in tree.frontier}
        if self._max_rounds is not None:
            self._count_rounds(size)
        if len(tree.collapses) > len(before.collapses) and set(tree.frontier) <= {tree.root}:
            # No other branch needs the goals that the winner met, so the shared rewards object spends them.
            self.winner = held.get(tree.root)
            if tree.root >= size:
                self._spend(held[tree.root], tree.root)
            return
        if len(tree.collapses) > len(before.collapses):
            self.winner = held.get(tree.root)
        for leaf, branch in self.branches.items():
            if leaf >= size and tree.nodes[leaf].turn.hits:
                branch.rewards = branch.rewards.fork()
                self._spend(branch, leaf)

    def _count_rounds(self, size: int) -> None:
        """Count the agent turns on the way to each node of the new frontier; those below `size` were counted before."""
        nodes, counted, agent = self.tree.nodes, self._rounds, Speaker.AGENT
        self._rounds = {
            leaf: counted[leaf] if leaf < size else counted[nodes[leaf].parent] + (nodes[leaf].speaker is agent)
            for leaf in self.tree.frontier
        }
        self._most_rounds = max(self._rounds.values(), default=0)

    def _used_up(self, leaf: int, most: int) -> bool:
        rounds = self._rounds[leaf]
        return rounds > most or (rounds == most and self.tree.nodes[leaf].speaker is Speaker.USER)

    def _runners(self, expand: Expand, paths: Sequence[str]) -> list[TurnRunner]:
        """The turns of one expansion. Those under the same directive ask the same, and may share a request."""
        tree, index, speaker = self.tree, expand.node, expand.speaker
        parent, branch, directives = tree.nodes[index], self.branches[index], expand.directives
        kind = AgentTurnRunner if speaker is Speaker.AGENT else UserTurnRunner
        several = len(directives) > 1
        sequence = branch.sequences.get(speaker, ()) if branch.sequences else ()
        thoughts = branch.thoughts.get(speaker, ()) if branch.thoughts else ()
        runners: list[TurnRunner] = []
        shared: dict[str | None, tuple[tuple[str, ...], dict[str, Any]]] = {}
        for path, directive in zip(paths, directives, strict=True):
            context = TurnContext(path, parent.depth + 1, speaker, directive, decision=parent.path, sequence=sequence)
            context.thoughts = thoughts
            if directive is not None:
                context.instruction = self._texts.get(directive, directive)
            if several:
                if directive not in shared:
                    alike = [one for one, other in zip(paths, directives, strict=True) if other == directive]
                    shared[directive] = tuple(alike), {}
                context.siblings, context.common = shared[directive]
            runners.append(
                kind(branch, several or expand.keep, context, self._rules, parent, lambda: hits(tree, index))
            )
        return runners

    async def _without_copies(
        self, plan: Sequence[Expand], groups: Sequence[list[TurnRunner]]
    ) -> list[list[TurnRunner]]:
        """Resample the turns that repeat an elder sibling's; flag a turn that repeats one again as a duplicate."""
        elders = [self._elders(expand) for expand in plan]
        resampled = {
            runner: runner.resampled()
            for group, before in zip(groups, elders, strict=True)
            for place, runner in enumerate(group)
            if runner.can_differ and any(map(runner.repeats, [*before, *(elder.said for elder in group[:place])]))
        }
        await self._take(list(resampled.values()))
        settled = []
        for group, before in zip(groups, elders, strict=True):
            kept: list[TurnRunner] = []
            for runner in group:
                said = [*before, *(elder.said for elder in kept)]
                second = resampled.get(runner)
                if second is not None:
                    runner.account_for(second)
                if second is not None and second.sound and not any(map(second.repeats, said)):
                    kept.append(second)
                else:
                    runner.is_duplicate = any(map(runner.repeats, said))
                    kept.append(runner)
            settled.append(kept)
        return settled

    def _elders(self, expand: Expand) -> list[Any]:
        """Returns the messages (`TurnRunner.said`) of the turns that already follow a kept node."""
        if not expand.keep:
            return []
        later = self.tree.nodes[expand.node + 1 :]
        turns = [node.turn for node in later if node.parent == expand.node and node.speaker is expand.speaker]
        sound = (turn for turn in turns if turn.outcome is not Outcome.INFRA_ERROR)
        return [(turn.messages, turn.internal, turn.user_internal or ()) for turn in sound]

    async def _examined(
        self,
        plan: Sequence[Expand],
        paths: Sequence[tuple[str, ...]],
        groups: Sequence[list[TurnRunner]],
    ) -> list[Turn]:
        """The turns of a phase with their facts, valued where the plan asks for it.

        A turn whose examination fails ends in that error.
        """

        async def examined(expand: Expand, path: str, runner: TurnRunner) -> Turn:
            turn = runner.turn()
            if turn.outcome is Outcome.INFRA_ERROR:
                return turn
            parent = self.tree.nodes[expand.node]
            try:
                if self._facts is not None:
                    node = Node(expand.node, expand.speaker, path, parent.depth + 1, turn, parent.open)
                    turn = await self._facts(runner.branch.rewards, self.tree, node)
                if expand.value and self._value is not None:
                    turn = replace(turn, value=await self._value(runner.branch, self.tree, expand, path, turn))
                return turn
            except JoshError:
                raise
            except Exception as error:
                runner.fail(error)
                return runner.turn()

        return await self._gathered(
            [
                examined(expand, path, runner)
                for expand, places, group in zip(plan, paths, groups, strict=True)
                for path, runner in zip(places, group, strict=True)
            ]
        )

    async def _take(self, runners: Sequence[TurnRunner]) -> None:
        if self._parallel and len(runners) > 1:
            await self._gathered([runner.run() for runner in runners])
            return
        # Step by step over all leaves: the published JOSH calls its callbacks in this order.
        going = runners
        while going:
            going = [runner for runner in going if not await runner.step()]

    async def _gathered(self, work: Sequence[Any]) -> list[Any]:
        """Runs coroutines, at the same time where plug-ins wait, and returns their results in order."""
        if not self._parallel or len(work) < 2:
            return [await one for one in work]
        return await gathered(work)

    def _spend(self, branch: Branch, leaf: int) -> None:
        node = self.tree.nodes[leaf]
        met, _ = spend(self.tree.nodes[node.parent].open, node.turn.hits)
        try:
            with contained():
                branch.rewards.delete_reward(list(met))
        except JoshError:
            raise
        except Exception as error:
            # The tree counts the open goals by itself, so the search stays correct.
            log.warning("delete_reward failed: %s", one_line(error), exc_info=log.isEnabledFor(logging.DEBUG))


async def confirmed(tree: Tree, first: int, confirm: Confirm) -> Tree:
    """Returns a tree with a confirmation at each node from `first` on whose path has won."""
    nodes = list(tree.nodes)
    for index in range(first, len(nodes)):
        if tree.met_all(index) and nodes[index].turn.outcome is not Outcome.INFRA_ERROR:
            nodes[index] = replace(nodes[index], confirmation=await confirm(tree, index))
    return replace(tree, nodes=tuple(nodes))
