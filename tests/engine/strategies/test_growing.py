"""Searches that grow conversation by conversation: `mcts`, `adaptive` and `halving`, with every value."""

import asyncio

import pytest

from josh import BaseJOSHAgent, BaseJOSHUser, BaseRewards, Outcome, Search, Speaker, UsageError
from josh.branch import Branch
from josh.conformance import PlaceSpeakers
from josh.dialogue import Hit, Turn
from josh.strategies.adaptive import Adaptive
from josh.strategies.growing import statistics, worths
from josh.strategies.halving import Halving
from josh.strategies.mcts import MCTS
from josh.testing import StrategyConformance
from josh.tree import Expand, Node, Tree, plant


class TestMCTS(StrategyConformance):
    def make(self):
        return MCTS(turns=30)


class TestMCTSByTheMean(StrategyConformance):
    def make(self):
        return MCTS(turns=30, value="reward", backup="mean", at_once=3, until="spent")


class TestMCTSByTheJudge(StrategyConformance):
    def make(self):
        return MCTS(turns=30, value="judge", replies=2.0)


class TestAdaptive(StrategyConformance):
    def make(self):
        return Adaptive(turns=30)


class TestAdaptiveByTheReward(StrategyConformance):
    def make(self):
        return Adaptive(turns=30, value="reward", at_once=4, until="spent", skip=False)


class TestHalving(StrategyConformance):
    def make(self):
        return Halving()


class TestHalvingByRollouts(StrategyConformance):
    def make(self):
        return Halving(width=5, rounds=2, value="rollout")


class TestHalvingByTheJudge(StrategyConformance):
    def make(self):
        return Halving(width=8, value="judge")


def turn(said, goals=(), outcome=Outcome.ALIVE, value=None):
    hits = (Hit(0, tuple(goals), float(len(goals))),) if goals else ()
    return Turn(messages=({"role": "assistant", "content": said},), hits=hits, outcome=outcome, value=value)


def grown(rows, goals, frontier=None):
    """A tree of (parent, speaker, turn) rows under the root; all nodes are in the frontier, unless they ended."""
    nodes = list(plant(goals).nodes)
    for number, (parent, speaker, taken) in enumerate(rows):
        above = nodes[parent]
        left = tuple(goal for goal in above.open if goal not in [met for hit in taken.hits for met in hit.goals])
        nodes.append(Node(parent, speaker, f"{above.path}/{number}".strip("/"), above.depth + 1, taken, left))
    alive = [index for index, node in enumerate(nodes) if node.turn.outcome is Outcome.ALIVE]
    return Tree(tuple(nodes), tuple(alive if frontier is None else frontier), tuple(goals))


A, U = Speaker.AGENT, Speaker.USER
FAILED = [
    (0, A, turn("hello")),
    (1, U, turn("hi")),
    (2, A, turn("booked", ["a"])),
    (3, U, turn("thanks")),
    (4, A, turn("what?")),
    (5, U, turn("bye", outcome=Outcome.USER_LEFT)),
]
"""A conversation that met the first of two goals, and then failed."""


def test_a_search_by_mcts_goes_on_from_what_the_path_has_earned():
    (one,) = MCTS(explore=0.0).plan(grown(FAILED, ["a", "b"]))
    assert one == Expand(4, A, keep=True)


def test_mcts_begins_conversations_at_once_in_different_places():
    planned = MCTS(at_once=3, explore=0.5).plan(grown(FAILED, ["a", "b"]))
    assert len({one.node for one in planned}) == 3
    assert all(one.speaker is A for one in planned)


def test_mcts_meets_a_turn_with_several_answers_only_where_replies_allow():
    def answers(replies):
        playing = searched(MCTS(turns=60, replies=replies, value="reward"), goals=("never",))
        parents = [node.parent for node in playing.tree.nodes if node.speaker is U and node.parent > 0]
        return max(map(parents.count, parents))

    assert answers(0) == 1
    assert answers(3.0) > 1


def test_mcts_takes_no_more_turns_in_a_place_than_widen_and_power_allow():
    playing = searched(MCTS(turns=40, widen=2, power=0.0, value="reward"), goals=("never",))
    parents = [node.parent for node in playing.tree.nodes[1:] if node.speaker is A]
    assert max(map(parents.count, parents)) == 2


def test_adaptive_tries_each_turn_first_and_then_the_one_that_decides():
    untried = Adaptive(keep=0.0).places(grown(FAILED, ["a", "b"]), 1)
    assert untried == [0]
    won = [
        (2, A, turn("other")),
        (7, U, turn("no", outcome=Outcome.USER_LEFT)),
        (4, A, turn("booked", ["b"])),
        (0, A, turn("hello")),
        (10, U, turn("no", outcome=Outcome.USER_LEFT)),
    ]
    tree = grown(FAILED + won, ["a", "b"])
    assert Adaptive(keep=0.0).places(tree, 1) == [2], "its siblings earned 1 and 0; after node 4 they earned 1 and 0.5"


def test_adaptive_skips_a_turn_after_which_all_siblings_say_the_same():
    same = [
        (0, A, turn("hello")),
        (1, U, turn("bye", outcome=Outcome.USER_LEFT)),
        (0, A, turn("hello")),
        (3, U, turn("deal", ["a"], Outcome.WON)),
        (0, A, turn("hello")),
        (5, U, turn("bye")),
    ]
    tree = grown(same, ["a", "b"])
    assert Adaptive(value="reward", keep=0.0).places(tree, 2) == [6, 0], "a turn that decides nothing comes last"
    assert Adaptive(value="reward", keep=0.0, skip=False).places(tree, 2) == [6, 0]
    told = grown([*same[:2], (0, A, turn("good day")), *same[3:]], ["a", "b"])
    assert Adaptive(value="reward", keep=2.0).places(told, 1) == [6]


def test_halving_keeps_the_better_half_and_ends_with_one():
    rows = [(0, A, turn(str(number), ["a"] if number in (1, 3) else ())) for number in range(4)]
    rows += [(number + 1, U, turn("go on")) for number in range(4)]
    tree = grown(rows, ["a", "b"], frontier=(5, 6, 7, 8))
    kept = Halving(width=4, rounds=1).update(tree)
    assert kept.frontier == (6, 8)
    assert Halving(width=4, rounds=2).update(tree).frontier == tree.frontier


def test_halving_by_rollouts_plays_each_to_its_end_before_it_compares():
    playing = searched(Halving(width=4, rounds=1, value="rollout"), goals=("never",))
    first = [index for index, node in enumerate(playing.tree.nodes) if node.parent == 0]
    assert len(first) == 4
    children = [sum(node.parent == each for node in playing.tree.nodes) for each in range(len(playing.tree.nodes))]
    assert children.count(2) >= 1, "a conversation that was kept goes on beside its rollout"


def test_values_are_the_reward_so_far_and_the_judges_where_it_has_one():
    rows = [(0, A, turn("a", ["a"], value=0.25)), (1, U, turn("b")), (2, A, turn("won", outcome=Outcome.WON))]
    tree = grown(rows, ["a", "b"])
    assert worths(tree, "reward") == [0, 1, 1, 1]
    assert worths(tree, "judge") == [0, 0.25, 1, 1]
    told = statistics(tree, "rollout")
    assert (told.visits[0], told.sums[0], told.worth[1]) == (1, 0.5, 0.5)


@pytest.mark.parametrize("make", [MCTS, Adaptive, Halving])
def test_a_value_that_is_none_is_refused(make):
    with pytest.raises(UsageError, match="value is 'luck'; give reward, rollout or judge"):
        make(value="luck")


LUCKY = 4


def test_a_search_stops_at_the_first_win_or_uses_all_turns():
    def turns(until):
        playing = searched(MCTS(turns=25, until=until), goals=("a",), luck=LUCKY)
        return sum(node.speaker is A for node in playing.tree.nodes[1:]), playing.tree

    first, tree = turns("win")
    assert any(tree.is_won(node) for node in range(1, len(tree.nodes)))
    assert turns("spent")[0] >= 25 > first


def searched(strategy, goals, luck=1, **rules):
    root = Branch(BaseJOSHAgent(), BaseJOSHUser(), None, BaseRewards(goals))
    steps = PlaceSpeakers(luck, goals)
    playing = Search(strategy, steps, plant(goals), root, max_turn_tries=2, parallel=True, max_rounds=6, **rules)

    async def go():
        while not playing.done:
            await playing.advance()

    asyncio.run(go())
    return playing
