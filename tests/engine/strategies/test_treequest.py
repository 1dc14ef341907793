"""Algorithms of treequest grow trees, the same in every run; skipped where treequest is not installed."""

import asyncio
import random
from importlib.util import find_spec

import pytest

from josh import BaseJOSHAgent, BaseJOSHUser, BaseRewards, Search, Speaker, UsageError
from josh.branch import Branch
from josh.conformance import PlaceSpeakers
from josh.strategies import treequest
from josh.strategies.treequest import TreeQuest
from josh.testing import StrategyConformance
from josh.tree import plant

needed = pytest.mark.skipif(find_spec("treequest") is None, reason="treequest is not installed")


@needed
class TestAdaptiveBranching(StrategyConformance):
    def make(self):
        return TreeQuest(turns=25)


@needed
class TestStandardMCTSByTheReward(StrategyConformance):
    def make(self):
        return TreeQuest(turns=25, algorithm="StandardMCTS", value="reward", until="spent")


@needed
class TestBestFirstAtOnce(StrategyConformance):
    def make(self):
        return TreeQuest(turns=25, algorithm="TreeOfThoughtsBFSAlgo", at_once=3)


def played(strategy, goals=("a", "b"), seed=5):
    root = Branch(BaseJOSHAgent(), BaseJOSHUser(), None, BaseRewards(list(goals)))
    playing = Search(
        strategy,
        PlaceSpeakers(1, goals),
        plant(goals, seed=seed),
        root,
        max_turn_tries=2,
        parallel=True,
        max_rounds=6,
    )

    async def go():
        while not playing.done:
            await playing.advance()

    asyncio.run(go())
    return playing.tree


@needed
@pytest.mark.parametrize("value", ["rollout", "reward"])
def test_the_tree_does_not_depend_on_what_is_remembered_or_on_other_random_numbers(value):
    strategy = TreeQuest(turns=30, value=value, until="spent")
    first = played(strategy)
    treequest._MEMORY.clear()
    random.seed(3)
    state = random.getstate()
    assert played(strategy) == first
    assert random.getstate() == state, "the program's own random numbers are left alone"
    forgetful = TreeQuest(turns=30, value=value, until="spent")
    plan = forgetful.plan

    def plans(tree):
        treequest._MEMORY.clear()
        return plan(tree)

    forgetful.plan = plans
    assert played(forgetful) == first


@needed
def test_rounds_branch_where_the_algorithm_asks_for_them():
    tree = played(TreeQuest(turns=60, until="spent"), goals=("never", "ever", "again"))
    parents = [node.parent for node in tree.nodes[1:] if node.speaker is Speaker.AGENT]
    assert max(map(parents.count, parents)) > 1
    assert any(parent and parents.count(parent) > 1 for parent in parents), "it goes deeper, too"


@needed
def test_another_seed_asks_otherwise():
    shapes = {
        tuple(node.parent for node in played(TreeQuest(turns=40, until="spent"), seed=seed).nodes) for seed in range(4)
    }
    assert len(shapes) > 1


@needed
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"algorithm": "Luck"}, "algorithm is 'Luck'; give StandardMCTS, TreeOfThoughtsBFSAlgo, ABMCTSA, ABMCTSM"),
        ({"algorithm": "top_k"}, "algorithm is 'top_k'; give"),
        ({"options": {"speed": 3}}, "ABMCTSA does not take {'speed': 3}"),
    ],
)
def test_an_unknown_algorithm_or_option_is_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        TreeQuest(**settings)


@pytest.mark.skipif(find_spec("treequest") is not None, reason="treequest is installed")
def test_without_the_package_the_way_to_install_it_is_named():
    with pytest.raises(UsageError, match=r"needs treequest: pip install -e '\.\[treequest\]'"):
        TreeQuest()
