"""Whole searches against trees written down by hand (golden/*.json).

A file gives what every place (`path@depth`) says and does, and what the search has to make of it: its collapses, and
the examples of each in order.
"""

import asyncio
import json
from pathlib import Path

import pytest

from josh.branch import Branch
from josh.driver import Search
from josh.examples import examples_of
from josh.roles import BaseJOSHAgent, BaseJOSHUser, BaseRewards
from josh.strategies.beam import BeamSearch
from josh.tree import plant

FILES = sorted((Path(__file__).parent / "golden").glob("*.json"))


class ByPlace:
    """A cast that plays what the file says for the place."""

    def __init__(self, golden):
        self.golden = golden

    def at(self, place):
        return self.golden["script"].get(f"{place.path}@{place.depth}", self.golden["default"])

    def agent_step(self, branch, place):
        part = self.at(place)
        branch.agent.add_message({"role": "assistant", "content": part["say"]})
        branch.agent.recent_actions = part.get("do", [])
        return branch.agent, True

    def user_step(self, branch, place):
        branch.agent.add_message({"role": "user", "content": "so?"})
        return branch.agent, self.at(place).get("leave", False)


def place(tree, index):
    return f"{tree.nodes[index].path}@{tree.nodes[index].depth}"


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_search_grows_the_tree_in_the_file(path, parallel):
    golden = json.loads(path.read_text())
    rewards = BaseRewards(golden["goals"])
    root = Branch(BaseJOSHAgent(), BaseJOSHUser(), None, rewards)
    search = Search(
        BeamSearch(golden["beam_size"]),
        ByPlace(golden),
        plant(golden["goals"]),
        root,
        max_turn_tries=1,
        parallel=parallel,
    )
    while not search.done and len(search.tree.nodes) < 200:
        asyncio.run(search.advance())
    tree = search.tree
    found = [
        {"winner": place(tree, one.winner), "rewarded": [place(tree, leaf) for leaf in one.rewarded], "nodes": one.size}
        for one in tree.collapses
    ]
    assert found == golden["collapses"]
    examples = [
        [
            place(tree, example.node),
            " | ".join(message["content"] for message in example.messages),
            example.is_successful,
            example.is_golden_path,
        ]
        for collapse in tree.collapses
        for example in examples_of(tree, collapse)
    ]
    assert examples == golden["examples"]
    assert len(rewards) == 0
