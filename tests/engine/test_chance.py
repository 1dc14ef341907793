"""Where chance comes from: seeds of a place, seeds that siblings share, and the seed of a tree."""

import asyncio
import json
from random import Random

from toy_phone import Phone

from josh import BaseJOSHAgent, Expand, Strategy, Task, play
from josh.messages import dumps
from josh.runs.record.episode_json import from_json, to_json
from josh.strategies.beam import BeamSearch
from josh.testing import ScriptedUser


class Dice(BaseJOSHAgent):
    """Says what it draws: twice with its siblings, once alone."""

    def step(self, *, model):
        shared = [model.shared_draw(), model.shared_draw()]
        self.add_message({"role": "assistant", "content": json.dumps([*shared, model.draw()])})
        return True


class Wide(Strategy):
    """Three siblings at a time, of a node that is kept for a second plan."""

    def plan(self, tree):
        if tree.phase < 2:
            return (Expand(0, tree.nodes[0].speaker.other, (None,) * 3, keep=True),)
        depths = {leaf: tree.nodes[leaf].depth for leaf in tree.frontier}
        going = [leaf for leaf in tree.frontier if 0 < depths[leaf] < 3]
        return tuple(Expand(leaf, tree.nodes[leaf].speaker.other, (None,) * 2) for leaf in going)


def played(strategy=None, name="phone 0", seed=10):
    how = {"agent": Dice, "user": ScriptedUser, "strategy": strategy or Wide()}
    return asyncio.run(play(Task(name, 0, {}), Phone({}), seed=seed, **how)).tree


def drawn(tree):
    """What was drawn at each agent's turn, by the node that it continues."""
    found = {}
    for node in tree.nodes:
        if node.parent >= 0 and node.turn.messages[-1]["role"] == "assistant":
            found.setdefault(node.parent, []).append(json.loads(node.turn.messages[-1]["content"]))
    return found


def test_siblings_share_the_seeds_of_their_decision_and_no_others():
    decisions = drawn(played())
    assert len(decisions[0]) == 6, "of both plans"
    assert len(decisions) > 10
    for siblings in decisions.values():
        assert len({(first, second) for first, second, _ in siblings}) == 1
        assert len({alone for *_, alone in siblings}) == len(siblings)
    shared = [seed for siblings in decisions.values() for seed in siblings[0][:2]]
    assert len(set(shared)) == len(shared), "each decision, and each draw of it, has its own"


def test_shared_seeds_are_the_same_in_every_run_with_the_same_seed():
    assert drawn(played()) == drawn(played())
    one, other = drawn(played())[0], drawn(played(seed=11))[0]
    assert {tuple(draws[:2]) for draws in one}.isdisjoint(tuple(draws[:2]) for draws in other)


class Drawing(Strategy):
    """Widens by as many turns as its dice say; draws from the tree alone."""

    def plan(self, tree):
        width = Random(tree.seed * 1000 + tree.phase).randrange(1, 4)
        leaf = max(tree.frontier, default=0)
        return (Expand(leaf, tree.nodes[leaf].speaker.other, (None,) * width),) if tree.phase < 6 else ()


def test_a_tree_has_a_seed_that_follows_from_the_run_and_the_task():
    seeds = {(name, seed): played(name=name, seed=seed).seed for name in ("phone 0", "phone 1") for seed in (10, 11)}
    assert len(set(seeds.values())) == 4
    assert all(seeds.values())
    assert seeds["phone 0", 10] == played(BeamSearch(2)).seed


def test_a_strategy_that_draws_gives_the_same_tree_every_time_and_another_for_another_task():
    assert played(Drawing()) == played(Drawing())
    shapes = {tuple(node.parent for node in played(Drawing(), f"phone {index}").nodes) for index in range(4)}
    assert len(shapes) > 1


def test_the_seed_comes_back_from_the_record():
    how = {"agent": Dice, "user": ScriptedUser, "strategy": Wide()}
    episode = asyncio.run(play(Task("phone 0", 0, {}), Phone({}), **how))
    assert from_json(json.loads(dumps(to_json(episode)))).tree == episode.tree
