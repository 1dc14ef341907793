"""A search that begins again: every pass is a whole search of its own, in one tree."""

import asyncio
from itertools import pairwise

import pytest

from josh import BaseJOSHAgent, BaseJOSHUser, BaseRewards, Outcome, Search, Speaker, UsageError
from josh.allowance import Allowance
from josh.branch import Branch
from josh.conformance import PlaceSpeakers
from josh.examples import examples_of
from josh.strategies.beam import BeamSearch
from josh.strategies.halving import Halving
from josh.strategies.mcts import MCTS
from josh.strategies.restarts import Restarts, passes, restarted
from josh.strategies.rollouts import Rollouts
from josh.testing import StrategyConformance
from josh.tree import leaves, plant, walk


class TestBeamAgain(StrategyConformance):
    def make(self):
        return Restarts(BeamSearch(4), 3)


class TestBeamToTheEndAgain(StrategyConformance):
    def make(self):
        return Restarts(BeamSearch(4, "best"), 2)


class TestRolloutsAgain(StrategyConformance):
    def make(self):
        return Restarts(Rollouts(2), 3)


class TestHalvingAgain(StrategyConformance):
    def make(self):
        return Restarts(Halving(value="rollout"), 2)


def played(strategy, goals=("a", "b"), luck=1, allowance=None):
    root = Branch(BaseJOSHAgent(), BaseJOSHUser(), None, BaseRewards(list(goals)))
    steps = PlaceSpeakers(luck, goals)
    tree = plant(goals, seed=5)
    playing = Search(strategy, steps, tree, root, max_turn_tries=2, parallel=True, max_rounds=6, allowance=allowance)

    async def go():
        while not playing.done:
            await playing.advance()

    asyncio.run(go())
    return playing


def test_each_pass_begins_at_the_root_with_numbers_and_so_seeds_of_its_own():
    tree = played(Restarts(Rollouts(1), 3)).tree
    assert [tree.nodes[start].path for start in passes(tree)] == ["0", "1", "2", "3"]
    assert all(tree.nodes[start].parent == 0 for start in passes(tree))


def test_the_first_pass_plays_what_the_search_plays_without_restarts():
    def shape(tree, until):
        return [(node.parent, node.speaker, node.depth, node.turn.outcome) for node in tree.nodes[:until]]

    alone = played(BeamSearch(4)).tree
    again = played(Restarts(BeamSearch(4), 2)).tree
    assert shape(again, 4) == shape(alone, 4)


def test_passes_follow_each_other():
    tree = played(Restarts(BeamSearch(4), 4)).tree
    starts = [*passes(tree), len(tree.nodes)]
    assert len(starts) == 6
    for start, end in pairwise(starts):
        assert all(start <= walk(tree, node)[1] < end for node in range(start, end))


def test_the_best_pass_counts_and_all_conversations_do_where_each_counts():
    playing = played(Restarts(BeamSearch(4), 5))
    tree = playing.tree
    worth = {leaf: float(len(tree.goals) - len(tree.nodes[leaf].open)) for leaf in leaves(tree) if leaf}
    _, named = playing.strategy.result(tree, worth)
    assert worth[named[0]] == max(worth[leaf] for leaf in worth)
    playing = played(Restarts(Rollouts(1), 3))
    _, named = playing.strategy.result(playing.tree, dict.fromkeys((leaf for leaf in leaves(playing.tree)), 0.0))
    assert len(named) == 4


def test_the_examples_of_a_pass_are_of_that_pass_alone():
    trees = (played(Restarts(BeamSearch(4), 3), luck=luck).tree for luck in range(40))
    tree = next(tree for tree in trees if sum(cut.root == 0 for cut in tree.collapses) > 1)
    starts = passes(tree)
    for cut in tree.collapses:
        own = max(start for start in starts if start < cut.size)
        rows = list(examples_of(tree, cut))
        successful = [row for row in rows if row.is_successful]
        assert successful
        earlier = [row.node for row in rows if 0 < row.node < own]
        won = {leaf for other in tree.collapses if other.size <= own for leaf in other.rewarded}
        assert not won & set(earlier)


def test_a_search_that_keeps_its_root_is_refused():
    with pytest.raises(UsageError, match="MCTS keeps the start of a task, and spends any budget by itself"):
        played(Restarts(MCTS(), 2))


def test_no_restarts_leave_a_strategy_as_it_is():
    beam = BeamSearch(4)
    assert restarted(beam, 0) is beam
    assert restarted(beam, 2) == Restarts(BeamSearch(4), 2) != Restarts(BeamSearch(4), 3)
    assert Restarts(Rollouts(2), 3).conversations == 8
    assert Restarts(BeamSearch(4), 1).describe() == "searched with a beam of 4, again up to 1 time"


@pytest.mark.parametrize("most", [1, 2, 7, 40])
@pytest.mark.parametrize(
    "strategy", [BeamSearch(8), Restarts(BeamSearch(4), 90), Rollouts(3), MCTS(turns=90, until="spent", replies=3.0)]
)
def test_no_search_begins_more_turns_than_its_budget(strategy, most):
    playing = played(strategy, goals=("never",), allowance=Allowance(most))
    turns = [node for node in playing.tree.nodes[1:] if node.speaker is Speaker.AGENT]
    assert len(turns) <= most
    assert playing.short or len(turns) < most
    tree, answered = playing.tree, {node.parent for node in playing.tree.nodes}
    waiting = [leaf for leaf in tree.frontier if tree.nodes[leaf].turn.outcome is Outcome.ALIVE and leaf]
    unanswered = [leaf for leaf in waiting if tree.nodes[leaf].speaker is Speaker.AGENT and leaf not in answered]
    assert not unanswered, "the user still answers the last turns"


def test_a_search_with_restarts_spends_the_whole_budget():
    playing = played(Restarts(BeamSearch(4), 90), allowance=Allowance(33))
    assert sum(node.speaker is Speaker.AGENT for node in playing.tree.nodes[1:]) == 33
    assert playing.short
