"""A main line with branches: the other action, and the main action once more, at the same place."""

import asyncio

import pytest
from toy_phone import Phone

from josh import BaseJOSHAgent, BaseJOSHUser, BaseRewards, Speaker, play
from josh.dialogue import Outcome
from josh.strategies.mainline import Mainline, main_line
from josh.testing import StrategyConformance
from josh.tree import leaves


class TestMainline(StrategyConformance):
    def make(self):
        return Mainline(actions=("say hello", "wave"))


class TestMainlineWithoutAKnownAction(StrategyConformance):
    def make(self):
        return Mainline()


class TestMainlineThatBranchesEverywhere(StrategyConformance):
    def make(self):
        return Mainline(actions=("say hello", "wave", "bow"), decisions=0, branches=1)


class TestPlainMainline(StrategyConformance):
    def make(self):
        return Mainline(branches=0)


class Decides(BaseJOSHAgent):
    """Obeys a directive; by itself it takes `choices` in turn."""

    shared = ("choices",)
    choices = ("Clarify", "Execute")

    def step(self, *, model, directive=None, **_):
        turn = sum(message["role"] == "assistant" for message in self.messages)
        action = directive or list(self.choices)[turn % len(self.choices)]
        self.add_message({"role": "assistant", "content": f"{action} {model.draw()}"})
        self.recent_actions = [{"name": "not an action"}, action]
        return True


class Silent(Decides):
    """Names no action."""

    def step(self, **given):
        super().step(**given)
        self.recent_actions = []
        return True


class Fails(Decides):
    """Its main turns fail."""

    def step(self, *, directive=None, **given):
        if directive is None:
            raise RuntimeError("no")
        return super().step(directive=directive, **given)


class Stays(BaseJOSHUser):
    def step(self, agent, **_):
        agent.add_message({"role": "user", "content": "go on"})
        return agent, False


def played(strategy, agent=Decides, max_rounds=3):
    env = Phone({})
    task = env.tasks("train")[0]
    how = {"rewards": BaseRewards, "strategy": strategy, "max_rounds": max_rounds}
    return asyncio.run(play(task, env, agent=agent, user=Stays, **how))


def turns_at(tree, parent):
    """The turns after a node, each as its directive and its action."""
    return [
        (node.directive, next(one for one in node.turn.actions[0] if isinstance(one, str)))
        for node in tree.nodes
        if node.parent == parent and node.speaker is Speaker.AGENT
    ]


def test_one_decision_point_gives_three_conversations_that_share_their_start():
    episode = played(Mainline())
    tree = episode.tree
    assert turns_at(tree, 0) == [(None, "Clarify"), ("Execute", "Execute"), ("Clarify", "Clarify")]
    assert [node.path for node in tree.nodes if node.depth == 1] == ["0", "1", "2"]
    assert len(episode.reported) == len(list(leaves(tree))) == 3
    assert tree.nodes[episode.reported[0]].path == "0", "the main line comes first"
    assert all(node.directive is None for node in tree.nodes if node.depth > 1)


@pytest.mark.parametrize(
    ("branches", "directives"), [(0, [None]), (1, [None, "Execute"]), (2, [None, "Execute", "Clarify"])]
)
def test_the_number_of_branches_chooses_which_there_are(branches, directives):
    tree = played(Mainline(branches=branches)).tree
    assert [directive for directive, _ in turns_at(tree, 0)] == directives


def test_the_main_line_has_a_decision_point_at_each_of_its_turns_where_that_is_asked_for():
    tree = played(Mainline(decisions=0)).tree
    line = main_line(tree)
    points = [index for index in line if tree.nodes[index].speaker is Speaker.USER and index != line[-1]]
    assert [len(turns_at(tree, point)) for point in points] == [3, 3, 3]
    others = [index for index in range(len(tree.nodes)) if index not in line and tree.nodes[index].depth > 1]
    assert not any(tree.nodes[index].directive for index in others if tree.nodes[index].parent not in points)
    assert len(list(leaves(tree))) == 1 + 3 * 2


def test_two_decision_points_branch_twice():
    tree = played(Mainline(decisions=2, branches=1)).tree
    assert len(list(leaves(tree))) == 3


def test_a_turn_that_names_no_action_is_compared_with_all_of_them():
    tree = played(Mainline(), agent=Silent).tree
    assert [node.directive for node in tree.nodes if node.parent == 0] == [None, "Clarify", "Execute"]


def test_more_than_two_actions_are_all_tried():
    tree = played(Mainline(actions=("Wave", "Clarify", "Bow"))).tree
    assert [directive for directive, _ in turns_at(tree, 0)] == [None, "Wave", "Bow", "Clarify"]


def test_a_decision_point_whose_main_turn_fails_has_no_branches():
    tree = played(Mainline(), agent=Fails).tree
    assert len(tree.nodes) == 2
    assert tree.nodes[1].turn.outcome is Outcome.INFRA_ERROR


def test_equal_turns_stay_as_they_are():
    assert not Mainline().resamples
    assert Mainline().conversations == 3
    assert Mainline(branches=1).conversations == 2
    assert Mainline(branches=0).conversations == 1


def test_a_run_says_how_its_trees_grow():
    assert Mainline().describe() == "along a main line with 2 branches at 1 decision point"
    assert Mainline(branches=1, decisions=0).describe() == "along a main line with 1 branch at each decision point"
