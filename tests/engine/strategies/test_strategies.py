"""Every strategy keeps the engine's rules: ours, and strategies of other kinds than a beam."""

import asyncio
from dataclasses import replace
from typing import ClassVar

import pytest

from josh import (
    BaseJOSHAgent,
    BaseJOSHUser,
    BaseRewards,
    Expand,
    FatalError,
    Outcome,
    Search,
    Speaker,
    Strategy,
    UsageError,
)
from josh.branch import Branch
from josh.conformance import PlaceSpeakers
from josh.strategies.beam import BeamSearch
from josh.strategies.mcts import MCTS
from josh.strategies.rollouts import Rollouts
from josh.testing import StrategyConformance
from josh.tree import conversation, plant


class TestBeam(StrategyConformance):
    def make(self):
        return BeamSearch(8)


class TestBeamToTheEnd(StrategyConformance):
    def make(self):
        return BeamSearch(4, "best")


class TestRollouts(StrategyConformance):
    def make(self):
        return Rollouts(3)


class TwoTones(Strategy):
    """Both speakers branch by a table of directives."""

    table: ClassVar = {Speaker.AGENT: ("warmly", "coldly"), Speaker.USER: ("gladly", "angrily")}

    def plan(self, tree):
        others = [(leaf, tree.nodes[leaf].speaker.other) for leaf in tree.frontier if tree.nodes[leaf].depth < 4]
        return tuple(Expand(leaf, speaker, self.table[speaker]) for leaf, speaker in others)


class TestTwoTones(StrategyConformance):
    def make(self):
        return TwoTones()


class BestFirst(Strategy):
    """One leaf a phase; the others stay in the frontier."""

    def plan(self, tree):
        leaf = min(tree.frontier, key=lambda each: (tree.nodes[each].depth, each))
        return (Expand(leaf, tree.nodes[leaf].speaker.other, (None, None)),) if len(tree.nodes) < 40 else ()


class TestBestFirst(StrategyConformance):
    def make(self):
        return BestFirst()


def search(strategy, goals=("g",), **rules):
    root = Branch(BaseJOSHAgent(), BaseJOSHUser(), None, BaseRewards(goals))
    return Search(strategy, PlaceSpeakers(1, ()), plant(goals), root, max_turn_tries=2, parallel=True, **rules)


def advance(playing, phases):
    async def go():
        for _ in range(phases):
            await playing.advance()

    asyncio.run(go())
    return playing.tree


def test_siblings_by_directive_are_forks_with_places_and_words_of_their_own():
    playing = search(TwoTones())
    tree = advance(playing, 2)
    assert [(node.path, node.directive) for node in tree.nodes[1:3]] == [("0", "warmly"), ("1", "coldly")]
    assert len({(node.path, node.depth) for node in tree.nodes}) == 7
    for leaf in tree.frontier:
        assert playing.branches[leaf].agent.messages == conversation(tree, leaf)


def test_the_children_of_a_kept_node_are_numbered_on():
    class Wider(Strategy):
        def plan(self, tree):
            return (Expand(0, Speaker.AGENT, (None, None), keep=True),)

    tree = advance(search(Wider()), 3)
    assert [node.path for node in tree.nodes[1:]] == ["0", "1", "2", "3", "4", "5"]
    assert [node.phase for node in tree.nodes[1:]] == [1, 1, 2, 2, 3, 3]
    assert 0 in tree.frontier


def test_a_single_child_of_a_kept_node_is_numbered_too():
    class OneByOne(Strategy):
        def plan(self, tree):
            return (Expand(0, Speaker.AGENT, keep=len(tree.nodes) < 3),)

    tree = advance(search(OneByOne()), 3)
    assert [node.path for node in tree.nodes[1:]] == ["0", "1", "2"]
    assert 0 not in tree.frontier


def test_mcts_mixes_depths_and_speakers_in_a_phase():
    playing, mixed = search(MCTS(value="reward", turns=80, at_once=4)), 0
    while not playing.done:
        before = len(playing.tree.nodes)
        advance(playing, 1)
        new = playing.tree.nodes[before:]
        mixed += len({node.speaker for node in new}) > 1 and len({node.depth for node in new}) > 1
    assert mixed > 3
    assert max(node.depth for node in playing.tree.nodes) > 4


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ((Expand(0, Speaker.AGENT), Expand(0, Speaker.AGENT)), "a plan names node 0 twice"),
        ((Expand(3, Speaker.AGENT),), "names node 3, which is not in the frontier"),
        ((Expand(0, Speaker.AGENT, ()),), "expands node 0 by 0 turns"),
    ],
)
def test_a_plan_that_breaks_a_rule_is_refused_with_the_strategys_name(plan, words):
    class Careless(Strategy):
        def plan(self, tree):
            return plan

    with pytest.raises(UsageError, match=f"strategy Careless: .*{words}"):
        advance(search(Careless()), 1)


def test_an_update_that_brings_a_node_back_is_refused():
    class Returner(BeamSearch):
        def update(self, tree):
            return replace(tree, frontier=(0,))

    with pytest.raises(UsageError, match=r"strategy Returner: update\(\) puts node 0 into the frontier"):
        advance(search(Returner(2)), 1)


def test_a_strategy_that_fails_ends_the_search_in_one_line():
    class Broken(Strategy):
        def plan(self, tree):
            return tree.nodes[7]

    with pytest.raises(FatalError, match=r"strategy Broken\.plan\(\) failed: IndexError"):
        advance(search(Broken()), 1)


def test_rounds_belong_to_a_leaf():
    class Lopsided(Strategy):
        """The first path is played on alone, then the second."""

        def plan(self, tree):
            if len(tree.nodes) == 1:
                return (Expand(0, Speaker.AGENT, (None, None)),)
            return (Expand(tree.frontier[0], tree.nodes[tree.frontier[0]].speaker.other),)

        def update(self, tree):
            return replace(tree, frontier=tuple(sorted(tree.frontier, key=lambda each: tree.nodes[each].path)))

    playing = search(Lopsided(), max_rounds=3)
    while not playing.done:
        advance(playing, 1)
    depths = {path: max(node.depth for node in playing.tree.nodes if node.path == path) for path in ("0", "1")}
    alive = [leaf for leaf in playing.tree.frontier if playing.tree.nodes[leaf].turn.outcome is Outcome.ALIVE]
    assert all(playing.tree.nodes[leaf].depth == 6 for leaf in alive)
    assert max(depths.values()) == 6
