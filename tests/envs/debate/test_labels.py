"""Labels and values of a debate's tree: the worked example, the table, and a thousand random trees."""

from collections import Counter
from dataclasses import replace
from itertools import product
from random import Random

import pytest

from josh.dialogue import Outcome, Speaker, Turn
from josh.envs.debate.labels import label_of, label_pairs, subtree_values
from josh.tree import Node, Tree

GOLD = "x"
AGENT, USER = Speaker.AGENT, Speaker.USER
GONE = object()
"""Instead of an answer: the turn failed."""


class Debate:
    """Builds a tree from the answers of its turns."""

    def __init__(self):
        self.nodes = [Node(-1, USER, "", 0, Turn(), ())]

    def add(self, parent, answer):
        """Adds a turn with an answer, None for an unreadable one; returns its index."""
        node = self.nodes[parent]
        speaker = node.speaker.other
        facts = node.turn.facts or {"answers": {"agent": None, "user": None}}
        answers = {**facts["answers"], str(speaker): answer}
        right = {side: None if said is None else said == GOLD for side, said in answers.items()}
        agree = answers["agent"] is not None and answers["agent"] == answers["user"]
        turn = Turn(facts={"answers": answers, "right": right, "agree": agree})
        if answer is GONE:
            turn = Turn(outcome=Outcome.INFRA_ERROR, error="no network")
        self.nodes.append(Node(parent, speaker, "", node.depth + 1, turn, ()))
        return len(self.nodes) - 1

    @property
    def tree(self):
        return Tree(tuple(self.nodes), ())


def worked_example():
    """A0 says y. B1 says x when it resists, z when it accepts. The partner says y, y, y after x, and x, x, w after z.

    The last turns keep B1's answer, or take the partner's.
    """
    debate = Debate()
    first = debate.add(0, "y")
    seconds = [debate.add(first, "x"), debate.add(first, "z")]
    thirds = [[debate.add(second, said) for said in row] for second, row in zip(seconds, ("yyy", "xxw"), strict=True)]
    leaves = [
        (debate.add(third, own), debate.add(third, said))
        for own, row, answers in zip("xz", thirds, ("yyy", "xxw"), strict=True)
        for third, said in zip(row, answers, strict=True)
    ]
    return debate.tree, first, seconds, leaves


def test_the_worked_example_has_three_resist_two_accept_and_one_unlabelled_pair():
    tree, _, _, _ = worked_example()
    assert len(tree.nodes) - 1 == 21
    pairs = label_pairs(tree)
    assert Counter(pair.label for pair in pairs) == {"resist": 3, "accept": 2, "": 1}
    assert [pair.note for pair in pairs if not pair.label] == ["both wrong"]


def test_the_worked_example_has_the_published_values():
    tree, first, seconds, leaves = worked_example()
    values = subtree_values(tree)
    assert values[first] == values[0] == 15
    assert [values[second] for second in seconds] == [7, 8]
    kept_and_taken = [(values[kept], values[taken]) for kept, taken in leaves]
    assert kept_and_taken == [(1, 0), (1, 0), (1, 0), (1, 2), (1, 2), (0, 0)]
    margins = [pair.values for pair in label_pairs(tree)]
    assert margins == [(1, 0), (1, 0), (1, 0), (2, 1), (2, 1), (0, 0)]


def test_a_preferred_turn_kept_a_right_answer_or_took_one_over():
    tree, _, _, leaves = worked_example()
    pairs = label_pairs(tree)
    assert [(pair.better, pair.worse) for pair in pairs[:3]] == leaves[:3]
    assert [(pair.worse, pair.better) for pair in pairs[3:5]] == leaves[3:5]


@pytest.mark.parametrize(
    ("own_before", "proposed", "first", "second", "label", "note"),
    [
        (True, False, True, False, "resist", ""),
        (False, True, False, True, "accept", ""),
        (True, False, True, True, "", "both right"),
        (True, False, False, False, "", "both wrong"),
        (False, True, True, True, "", "both right"),
        (False, True, False, False, "", "both wrong"),
        (False, False, True, False, "", "fixed alone"),
        (True, True, False, True, "", "agreed before"),
    ],
)
def test_the_table_of_labels(own_before, proposed, first, second, label, note):
    assert label_of(own_before, proposed, first, second)[:2] == (label, note)
    assert label_of(own_before, proposed, second, first)[:2] == (label, note)


def test_the_right_sibling_is_the_better_one():
    for answers in product((True, False), repeat=4):
        elder_first = label_of(*answers)[2]
        assert elder_first == (answers[2] or not answers[3])


def test_a_missing_answer_at_any_of_the_four_places_gives_no_label():
    for place in range(4):
        answers = [True, False, True, False]
        answers[place] = None
        assert label_of(*answers) == ("", "unreadable", True)


def test_a_turn_that_failed_is_not_compared():
    debate = Debate()
    third = debate.add(debate.add(debate.add(0, "y"), "x"), "y")
    debate.add(third, GONE)
    debate.add(third, "x")
    (pair,) = label_pairs(debate.tree)
    assert (pair.label, pair.note) == ("", "failed")


def test_the_first_turns_of_the_learner_are_not_compared():
    debate = Debate()
    first = debate.add(0, "y")
    debate.add(first, "x")
    debate.add(first, "z")
    assert label_pairs(debate.tree) == ()


def test_turns_before_the_search_count_as_the_learners():
    debate = Debate()
    said = Turn(
        messages=({"role": "user", "content": "x"},),
        facts={
            "answers": {"agent": None, "user": "x"},
            "right": {"agent": None, "user": True},
            "agree": False,
        },
    )
    debate.nodes[0] = replace(debate.nodes[0], turn=said)
    first = debate.add(0, "y")
    debate.add(first, "y")
    debate.add(first, "x")
    (pair,) = label_pairs(debate.tree)
    assert (pair.label, pair.better) == ("resist", 3)


def test_the_agent_can_be_the_learner():
    debate = Debate()
    second = debate.add(debate.add(0, "x"), "y")
    kept, taken = debate.add(second, "x"), debate.add(second, "y")
    (pair,) = label_pairs(debate.tree, AGENT)
    assert (pair.label, pair.better, pair.worse) == ("resist", kept, taken)
    assert label_pairs(debate.tree, USER) == ()


def random_debate(rng):
    debate = Debate()
    level = [0]
    for width in (1, 2, 3, rng.choice((2, 3)), rng.choice((0, 2))):
        level = [
            debate.add(parent, rng.choice(("x", "x", "y", "z", None)))
            for parent in level
            if rng.random() < 0.9
            for _ in range(width)
        ]
    return debate.tree


def answer(tree, index, speaker):
    """The last answer of a speaker on the path to a node, and whether it spoke; by walking up, without facts."""
    while index > 0:
        node = tree.nodes[index]
        if node.speaker is speaker:
            return node.turn.facts["answers"][speaker], True
        index = node.parent
    return None, False


def by_brute_force(tree):
    """The label of each pair of siblings of the user, from the four answers themselves."""
    found = {}
    for elder, younger in product(range(1, len(tree.nodes)), repeat=2):
        one, other = tree.nodes[elder], tree.nodes[younger]
        if elder >= younger or one.parent != other.parent or one.speaker is not USER:
            continue
        before, spoke = answer(tree, tree.nodes[one.parent].parent, USER)
        if not spoke:
            continue
        proposed = answer(tree, one.parent, AGENT)[0]
        after = {elder: answer(tree, elder, USER)[0], younger: answer(tree, younger, USER)[0]}
        right = [index for index in after if after[index] == GOLD]
        if None in (before, proposed, *after.values()) or len(right) != 1:
            found[elder, younger] = ""
        elif before == GOLD and proposed != GOLD:
            found[elder, younger] = f"resist {right[0]}"
        elif before != GOLD and proposed == GOLD:
            found[elder, younger] = f"accept {right[0]}"
        else:
            found[elder, younger] = ""
    return found


def value_by_brute_force(tree, index):
    """Right answers in a subtree, by a walk down from its root."""
    both = [answer(tree, index, speaker)[0] for speaker in (AGENT, USER)]
    own = 0 if None in both else sum(said == GOLD for said in both)
    return own + sum(value_by_brute_force(tree, child) for child, node in enumerate(tree.nodes) if node.parent == index)


def test_a_thousand_random_trees_have_the_labels_and_values_of_a_brute_force():
    rng = Random(16)
    seen = Counter()
    for _ in range(1000):
        tree = random_debate(rng)
        pairs = label_pairs(tree)
        found = {
            (min(pair.better, pair.worse), max(pair.better, pair.worse)): pair.label and f"{pair.label} {pair.better}"
            for pair in pairs
        }
        assert found == by_brute_force(tree)
        seen.update(pair.label or pair.note for pair in pairs)
        if len(tree.nodes) < 25:
            assert list(subtree_values(tree)) == [value_by_brute_force(tree, index) for index in range(len(tree.nodes))]
    assert min(seen[kind] for kind in ("resist", "accept", "both right", "both wrong", "fixed alone")) > 100
    assert min(seen[kind] for kind in ("unreadable", "agreed before")) > 100
