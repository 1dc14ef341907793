"""The search strategies, on trees alone."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from josh.dialogue import Hit, Outcome, Speaker, Turn
from josh.errors import UsageError
from josh.examples import distinct, examples_of
from josh.search import grow
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.tree import hits, leaves, order, plant, walk

SPOKEN = Turn(messages=({"role": "assistant", "content": "hm"},), internal=({"role": "assistant", "content": "hm"},))
LEFT = Turn(outcome=Outcome.USER_LEFT)


def hit(*goals, value=1.0, step=0):
    return Turn(messages=SPOKEN.messages, internal=SPOKEN.internal, hits=(Hit(step, goals, value),))


def play(strategy, tree, turns):
    """One phase; `turns` is one turn for all, or a list."""
    plan = strategy.plan(tree)
    count = sum(len(expand.directives) for expand in plan)
    return strategy.update(grow(tree, plan, [turns] * count if isinstance(turns, Turn) else turns))


@pytest.mark.parametrize(
    ("beam_size", "live"),
    [(1, [1, 1, 1]), (2, [2, 2, 2]), (3, [2, 2, 2]), (5, [2, 4, 4, 4]), (8, [2, 4, 8, 8, 8]), (16, [2, 4, 8, 16, 16])],
)
def test_live_leaves_double_while_the_beam_has_room_for_all(beam_size, live):
    strategy, tree, seen = BeamSearch(beam_size), plant(["g"]), []
    for _ in live:
        tree = play(strategy, tree, SPOKEN)
        seen.append(len(tree.frontier))
        tree = play(strategy, tree, SPOKEN)
    assert seen == live


def test_branching_resumes_when_leaves_die():
    strategy, tree = BeamSearch(4), plant(["g"])
    for _ in range(4):
        tree = play(strategy, tree, SPOKEN)
    assert len(tree.frontier) == 4
    tree = play(strategy, tree, SPOKEN)
    tree = play(strategy, tree, [LEFT, SPOKEN, SPOKEN, LEFT])
    assert len(tree.frontier) == 2
    assert len(play(strategy, tree, SPOKEN).frontier) == 4


def test_a_turn_without_siblings_keeps_its_path():
    tree = plant(["g"])
    for _ in range(6):
        tree = play(BeamSearch(2), tree, SPOKEN)
    assert [tree.nodes[leaf].path for leaf in tree.frontier] == ["0", "1"]
    assert [tree.nodes[leaf].depth for leaf in tree.frontier] == [6, 6]


def test_the_first_leaf_in_tree_order_wins_among_equals():
    tree = play(BeamSearch(4), plant(["a", "b"]), [hit("b"), hit("a")])
    assert tree.frontier == (1,)
    assert tree.nodes[1].open == ("a",)
    assert tree.collapses[0].rewarded == (1, 2)


def test_an_earlier_step_beats_an_elder_sibling():
    tree = play(BeamSearch(4), plant(["a", "b"]), [hit("b", step=1), hit("a", step=0)])
    assert tree.collapses[0].winner == 2


def test_the_most_valuable_hit_wins_and_tree_order_breaks_ties():
    tree = play(BeamSearch(4), plant(["donation"]), SPOKEN)
    tree = play(BeamSearch(4), tree, SPOKEN)
    tree = play(BeamSearch(4), tree, SPOKEN)
    gifts = [hit("donation", value=value) for value in (0.5, 2.0, 2.0, 1.0)]
    tree = play(BeamSearch(4), tree, gifts)
    assert tree.nodes[tree.collapses[0].winner].path == "0/1"
    assert tree.frontier == ()


def test_goals_met_twice_in_one_turn_are_both_spent():
    tree = play(BeamSearch(1), plant(["a", "b", "a"]), [hit("a", "b")])
    assert tree.nodes[1].open == ("a",)


def test_a_goal_claimed_more_often_than_it_is_open_is_spent_once():
    turn = Turn(hits=(Hit(0, ("a",), 1.0), Hit(1, ("a",), 1.0)))
    tree = play(BeamSearch(1), plant(["a", "b"]), [turn])
    assert tree.nodes[1].open == ("b",)


def test_a_winner_whose_user_left_ends_the_search():
    turn = Turn(hits=(Hit(0, ("a",), 1.0),), outcome=Outcome.LOST)
    tree = play(BeamSearch(1), plant(["a", "b"]), [turn])
    assert tree.frontier == ()
    assert tree.collapses


def test_rollouts_start_side_by_side_and_never_branch_again():
    strategy, tree = Rollouts(3), plant(["g"])
    for _ in range(4):
        tree = play(strategy, tree, SPOKEN)
    assert [tree.nodes[leaf].path for leaf in tree.frontier] == ["0", "1", "2"]
    assert not tree.collapses


def test_a_win_leaves_the_beam_to_later_splits_when_all_is_played_to_the_end():
    strategy, tree = BeamSearch(4, "best"), plant(["g"])
    tree = play(strategy, tree, [hit("g"), SPOKEN])
    assert [tree.nodes[leaf].path for leaf in tree.frontier] == ["1"]
    tree = play(strategy, tree, SPOKEN)
    tree = play(strategy, tree, [SPOKEN, hit("g")])
    for _ in range(2):
        tree = play(strategy, tree, SPOKEN)
    assert [tree.nodes[leaf].path for leaf in tree.frontier] == ["1/0/0", "1/0/1"]
    assert not tree.collapses


def test_a_leaf_that_earned_a_part_spends_it_on_its_own_path_and_goes_on():
    tree = play(BeamSearch(4, "best"), plant(["a", "b"]), [hit("a"), SPOKEN])
    assert [tree.nodes[leaf].open for leaf in tree.frontier] == [("b",), ("a", "b")]


def worth(tree):
    """Every sound leaf, with the sum of what its hits are worth."""
    sound = [leaf for leaf in leaves(tree) if leaf and tree.nodes[leaf].turn.outcome is not Outcome.INFRA_ERROR]
    return {leaf: sum(hit.value for hit in hits(tree, leaf)) for leaf in sound}


def test_wins_are_ranked_by_reward_with_ties_in_tree_order():
    tree = play(BeamSearch(4, "best"), plant(["g"]), [SPOKEN, SPOKEN])
    tree = play(BeamSearch(4, "best"), tree, [SPOKEN, hit("g", value=1.0)])
    tree = play(BeamSearch(4, "best"), tree, [hit("g", value=1.0), hit("g", value=2.0)])
    tree, result = BeamSearch(4, "best").result(tree, worth(tree))
    assert [tree.nodes[leaf].path for leaf in result] == ["0/1"]
    assert [tree.nodes[leaf].path for leaf in tree.collapses[0].rewarded] == ["0/1", "0/0", "1"]


def test_without_a_win_the_result_is_the_leaf_that_earned_most_and_nothing_is_golden():
    tree = play(BeamSearch(2, "best"), plant(["a", "b"]), [SPOKEN, hit("a")])
    tree, result = BeamSearch(2, "best").result(tree, worth(tree))
    assert [tree.nodes[leaf].path for leaf in result] == ["1"]
    (collapse,) = tree.collapses
    assert collapse.rewarded == ()
    found = list(examples_of(tree, collapse))
    assert [(each.is_successful, each.is_golden_path) for each in found] == [(False, False)] * 2


def test_every_rollout_earns_its_own_goals():
    tree = play(Rollouts(2), plant(["a", "b"]), [hit("a"), SPOKEN])
    assert [tree.nodes[leaf].open for leaf in tree.frontier] == [("b",), ("a", "b")]
    tree = play(Rollouts(2), tree, [hit("b"), SPOKEN])
    assert [tree.nodes[leaf].path for leaf in tree.frontier] == ["1"]


@pytest.mark.parametrize("make", [BeamSearch, Rollouts])
def test_a_width_below_one_is_refused(make):
    with pytest.raises(UsageError, match="is 0; give 1 "):
        make(0)


turn_kinds = st.sampled_from(["spoken", "spoken", "spoken", "a", "b", "ab", "aa", "left", "error"])
TURNS = {
    "spoken": SPOKEN,
    "a": hit("a"),
    "b": hit("b", value=2.0),
    "ab": hit("a", "b"),
    "aa": hit("a", "a"),
    "left": LEFT,
    "error": Turn(outcome=Outcome.INFRA_ERROR, error="boom"),
}


@settings(max_examples=300, deadline=None)
@given(
    beam_size=st.integers(1, 16),
    goals=st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
    data=st.data(),
)
def test_what_holds_of_every_search(beam_size, goals, data):
    strategy, tree = BeamSearch(beam_size), plant(goals)
    for _ in range(12):
        plan = strategy.plan(tree)
        if not plan:
            break
        count = sum(len(expand.directives) for expand in plan)
        turns = [TURNS[kind] for kind in data.draw(st.lists(turn_kinds, min_size=count, max_size=count))]
        before = tree
        tree = strategy.update(grow(tree, plan, turns))
        # Nodes are only added, and a node is never changed.
        assert tree.nodes[: len(before.nodes)] == before.nodes
        # The frontier are leaves, alive, in tree order, all waiting for the same speaker, and fit in the beam.
        assert set(tree.frontier) <= set(leaves(tree))
        assert all(tree.nodes[leaf].turn.outcome is Outcome.ALIVE for leaf in tree.frontier)
        assert list(tree.frontier) == sorted(tree.frontier)
        assert len({tree.nodes[leaf].speaker for leaf in tree.frontier}) <= 1
        assert len(tree.frontier) <= beam_size
        # Goals are only ever spent, copy by copy.
        for node in tree.nodes[1:]:
            assert not Counter(node.open) - Counter(tree.nodes[node.parent].open)
        # Places are unique.
        places = [(node.path, node.depth) for node in tree.nodes]
        assert len(places) == len(set(places))
    spent = Counter()
    for collapse in tree.collapses:
        # Winners lie below each other: together they are one path.
        assert collapse.root in walk(tree, collapse.winner)
        node = tree.nodes[collapse.winner]
        spent += Counter(tree.nodes[node.parent].open) - Counter(node.open)
        golden = [example.node for example in examples_of(tree, collapse) if example.is_golden_path]
        assert all(a in walk(tree, b) for a, b in pairwise(golden))
        assert golden[-1] == collapse.winner
    assert spent + Counter(tree.nodes[tree.root].open) == Counter(goals)


@settings(max_examples=100, deadline=None)
@given(beam_size=st.integers(1, 8), data=st.data())
def test_golden_implies_successful_and_errors_are_no_examples(beam_size, data):
    strategy, tree = BeamSearch(beam_size), plant("ab")
    for _ in range(10):
        plan = strategy.plan(tree)
        if not plan:
            break
        count = sum(len(expand.directives) for expand in plan)
        tree = strategy.update(grow(tree, plan, [TURNS[data.draw(turn_kinds)] for _ in range(count)]))
    for collapse in tree.collapses:
        for example in examples_of(tree, collapse):
            assert example.is_successful or not example.is_golden_path
            errors = [index for index in range(collapse.size) if tree.nodes[index].turn.error]
            assert example.is_successful or not any(example.node in walk(tree, index) for index in errors)
            assert example.messages[-1]["role"] == "assistant"


@settings(max_examples=200, deadline=None)
@given(beam_size=st.integers(1, 8), goals=st.lists(st.sampled_from("ab"), min_size=1, max_size=3), data=st.data())
def test_what_holds_of_every_search_that_is_played_to_its_end(beam_size, goals, data):
    strategy, tree = BeamSearch(beam_size, "best"), plant(goals)
    for _ in range(10):
        plan = strategy.plan(tree)
        if not plan:
            break
        before, count = tree, sum(len(expand.directives) for expand in plan)
        tree = strategy.update(grow(tree, plan, [TURNS[data.draw(turn_kinds)] for _ in range(count)]))
        assert len(tree.frontier) <= beam_size
        # Nobody is left behind: whoever is alive and has goals left goes on.
        going = [leaf for leaf in range(len(before.nodes), len(tree.nodes)) if tree.nodes[leaf].open]
        assert list(tree.frontier) == [leaf for leaf in going if tree.nodes[leaf].turn.outcome is Outcome.ALIVE]
    found = worth(tree)
    if not found:
        return
    tree, (best,) = strategy.result(tree, found)
    (collapse,) = tree.collapses
    wins = [leaf for leaf in found if not tree.nodes[leaf].open]
    assert sorted(collapse.rewarded) == wins
    ranks = [(-found[leaf], order(tree.nodes[leaf].path)) for leaf in collapse.rewarded]
    assert ranks == sorted(ranks)
    assert best == collapse.winner == (collapse.rewarded or (best,))[0]
    examples = list(examples_of(tree, collapse))
    # Every branch once, by the leaves that lie on or below it.
    assert len({tree.nodes[example.node].path for example in examples}) == len(examples)
    on_or_below = {leaf: set(walk(tree, leaf)) for leaf in wins}
    for example in examples:
        assert example.is_successful == any(example.node in path for path in on_or_below.values())
        assert example.is_golden_path == (best in wins and example.node in on_or_below[best])


def test_a_branch_that_only_errors_came_after_is_no_negative():
    search = BeamSearch(4)
    tree = play(search, plant(["a"]), [SPOKEN, SPOKEN])
    tree = play(search, tree, [SPOKEN, SPOKEN])
    tree = play(search, tree, [hit("a"), SPOKEN, TURNS["error"], TURNS["error"]])
    (collapse,) = tree.collapses
    found = [(tree.nodes[each.node].path, each.is_successful) for each in examples_of(tree, collapse)]
    assert found == [("0", True), ("0/0", True), ("0/1", False)]


def test_equal_texts_with_equal_labels_are_one_example():
    tree = play(BeamSearch(4), plant(["a"]), [hit("a"), hit("a")])
    found = list(examples_of(tree, tree.collapses[0]))
    assert [(example.is_successful, example.is_golden_path) for example in found] == [(True, True), (True, False)]
    assert len(list(distinct([*found, *found]))) == 2


def test_the_speaker_after_the_agent_is_the_user():
    tree = plant(["a"])
    assert BeamSearch(1).plan(tree)[0].speaker is Speaker.AGENT
    assert BeamSearch(1).plan(play(BeamSearch(1), tree, SPOKEN))[0].speaker is Speaker.USER
    assert BeamSearch(1).plan(plant(["a"], Speaker.USER))[0].speaker is Speaker.USER
