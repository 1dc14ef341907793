"""Tests of a search strategy to inherit: they check what the engine requires (`josh.testing.StrategyConformance`)."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from josh.branch import Branch, TurnContext
from josh.dialogue import Outcome, Speaker
from josh.driver import Search
from josh.roles import BaseJOSHAgent, BaseJOSHUser, BaseRewards
from josh.search import Strategy, child_paths
from josh.seeds import derive
from josh.tree import Tree, conversation, leaves, plant, walk

ROUNDS = 6
MOST_PHASES = 500


class StrategyConformance:
    """Checks what the engine requires of a strategy. Inherit, name your class `Test...`, and define `make`.

    The speakers of these searches say their place in the tree. They earn a goal or leave in some places, by a hash of
    the place and the number of the search.

    Attributes:
        goals: the goals of these searches.
        worlds: number of searches to play.
    """

    goals: Sequence[Any] = ("a", "b")
    worlds: int = 5

    def make(self) -> Any:
        """Returns a strategy, ready to plan."""
        raise NotImplementedError("define make() and return your strategy")

    def _searches(self, *, parallel: bool = False, goals: Sequence[Any] | None = None) -> Iterator[Search]:
        """Yields searches at their root."""
        for luck in range(self.worlds):
            wanted = list(self.goals if goals is None else goals)
            root = Branch(BaseJOSHAgent(), BaseJOSHUser(), None, BaseRewards(wanted))
            tree = plant(wanted, seed=derive("conformance", luck))
            steps = PlaceSpeakers(luck, wanted)
            yield Search(self.make(), steps, tree, root, max_turn_tries=2, parallel=parallel, max_rounds=ROUNDS)

    def test_a_plan_is_pure(self) -> None:
        for search in self._searches():
            for before, going in _phases(search):
                strategy: Strategy = self.make()
                tree = _at(before, going)
                assert list(strategy.plan(tree)) == list(self.make().plan(tree)), "the same tree, another plan"
                assert strategy.update(search.tree) == strategy.update(search.tree), "the same tree, another update"

    def test_places_are_unique(self) -> None:
        for search in self._searches():
            _play(search)
            places = [(node.path, node.depth) for node in search.tree.nodes]
            assert len(set(places)) == len(places)

    def test_every_live_branch_holds_exactly_what_the_tree_says(self) -> None:
        for parallel in (False, True):
            for search in self._searches(parallel=parallel):
                for _ in _phases(search):
                    assert set(search.branches) == set(search.tree.frontier)
                    for leaf, branch in search.branches.items():
                        assert branch.agent.messages == conversation(search.tree, leaf)

    def test_every_live_branch_has_goals_of_its_own(self) -> None:
        for search in self._searches():
            for _ in _phases(search):
                for leaf, branch in search.branches.items():
                    assert sorted(branch.rewards.rewards) == sorted(search.tree.nodes[leaf].open)

    def test_a_phase_adds_what_was_planned_and_changes_nothing_else(self) -> None:
        for search in self._searches():
            for before, going in _phases(search):
                plan = list(self.make().plan(_at(before, going)))
                assert search.tree.nodes[: len(before.nodes)] == before.nodes
                added = search.tree.nodes[len(before.nodes) :]
                wanted = [path for paths in child_paths(before, plan) for path in paths]
                assert [node.path for node in added] == wanted
                assert {node.phase for node in added} <= {before.phase + 1}

    def test_the_order_of_replies_does_not_matter(self) -> None:
        for one, other in zip(self._searches(), self._searches(parallel=True), strict=True):
            _play(one)
            _play(other)
            assert one.tree == other.tree

    def test_a_search_ends(self) -> None:
        for search in self._searches():
            _play(search)
            assert search.done

    def test_no_leaf_goes_on_after_its_last_round(self) -> None:
        for search in self._searches(goals=("never",)):
            _play(search)
            nodes = search.tree.nodes
            for leaf in leaves(search.tree):
                turns = [nodes[index].speaker for index in walk(search.tree, leaf)[1:]]
                assert turns.count(Speaker.AGENT) <= ROUNDS

    def test_a_task_without_goals_is_played_to_its_end(self) -> None:
        for search in self._searches(goals=()):
            _play(search)
            assert len(search.tree.nodes) > 1

    def test_the_result_names_ends_of_conversations(self) -> None:
        for goals in (self.goals, ()):
            for search in self._searches(goals=goals):
                _play(search)
                tree = search.tree
                worth = {leaf: float(tree.is_won(leaf)) for leaf in leaves(tree) if leaf}
                after, found = self.make().result(tree, worth)
                assert found, "a search with an end has a result"
                assert set(found) <= {*worth, tree.root}
                assert after.nodes == tree.nodes


class PlaceSpeakers:
    """The steps of two speakers that say their place in the tree; all they do depends on that place alone."""

    def __init__(self, luck: int, goals: Sequence[Any]) -> None:
        self._luck = luck
        self._goals = list(goals)

    async def agent_step(self, branch: Branch, context: TurnContext) -> Any:
        number = self._dice(context)
        await asyncio.sleep(0)
        branch.agent.add_message({"role": "assistant", "content": self._said(context)})
        branch.agent.recent_actions = (
            [self._goals[number % len(self._goals)]] if self._goals and number % 5 == 0 else []
        )
        return branch.agent, None if number % 29 == 0 else True

    async def user_step(self, branch: Branch, context: TurnContext) -> Any:
        for _ in range(self._dice(context) % 3):
            await asyncio.sleep(0)
        branch.agent.add_message({"role": "user", "content": self._said(context)})
        return branch.agent, self._dice(context) % 11 == 0

    def add_error_message(self, agent: Any, *, silent: bool, tries: int) -> Any:
        return agent

    def _said(self, context: TurnContext) -> str:
        directive = f" [{context.directive}]" if context.directive else ""
        return f"{context.path}@{context.depth}{directive}"

    def _dice(self, context: TurnContext) -> int:
        return derive(self._luck, context.path, context.depth, str(context.speaker))


def _at(tree: Tree, going: Sequence[int]) -> Tree:
    """Returns the tree as the driver shows it to a plan."""
    return replace(tree, frontier=tuple(going))


def _phases(search: Search) -> Iterator[tuple[Tree, Sequence[int]]]:
    """Plays a search; yields the tree before each phase, and the leaves that had rounds left."""
    for _ in range(MOST_PHASES):
        if search.done:
            return
        before, going = search.tree, search.going
        asyncio.run(search.advance())
        yield before, going
    raise AssertionError(f"the search has not ended after {MOST_PHASES} phases of at most {ROUNDS} rounds")


def _play(search: Search) -> None:
    for _ in _phases(search):
        assert all(node.turn.outcome is not Outcome.INFRA_ERROR for node in search.tree.nodes)
