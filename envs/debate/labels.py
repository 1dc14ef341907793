"""Labels of a debate's tree: which of two sibling turns of the learner is better, and what the preference teaches.

A pair of siblings is labelled by four answers: the learner's before (`own_before`), the partner's in the parent
(`proposed`), and the learner's in each sibling. Answers are those of a speaker, never of a place in a list:

    | own_before | proposed       | siblings             | label  | note            |
    |------------|----------------|----------------------|--------|-----------------|
    | right      | wrong          | one right, one wrong | resist |                 |
    | wrong      | right          | one right, one wrong | accept |                 |
    | wrong      | wrong          | one right, one wrong | (none) | fixed alone     |
    | right      | right          | one right, one wrong | (none) | agreed before   |
    | any        | any            | both right           | (none) | both right      |
    | any        | any            | both wrong           | (none) | both wrong      |
    | one of the four answers is missing or unreadable      | (none) | unreadable      |
    | one of the siblings failed                            | (none) | failed          |

The first turn of the learner has no `own_before`, and is not compared. The published filter differs: it read the
partner's answer instead of the learner's, and dropped accept pairs by a strict margin (Stengel-Eskin et al., NAACL
2025). Here the margin decides nothing; it is stored with the pair (`Pair.values`).
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

from josh.dialogue import Outcome, Speaker
from josh.tree import Node, Pair, Tree

RESIST: Final = "resist"
ACCEPT: Final = "accept"
FIXED_ALONE: Final = "fixed alone"
AGREED_BEFORE: Final = "agreed before"
BOTH_RIGHT: Final = "both right"
BOTH_WRONG: Final = "both wrong"
UNREADABLE: Final = "unreadable"
FAILED: Final = "failed"


def label_of(
    own_before: bool | None, proposed: bool | None, first: bool | None, second: bool | None
) -> tuple[str, str, bool]:
    """Labels two siblings by whether the four answers are right; None stands for a missing or unreadable answer.

    Args:
        own_before: the learner's answer before.
        proposed: the partner's answer in the parent.
        first: the learner's answer in the elder sibling.
        second: the same in the younger one.

    Returns:
        The label, `resist`, `accept` or empty; the note, which says why there is no label; and whether the elder
        sibling is the better one. Where both are alike, it counts as the better one.
    """
    if own_before is None or proposed is None or first is None or second is None:
        return "", UNREADABLE, True
    if first == second:
        return "", BOTH_RIGHT if first else BOTH_WRONG, True
    if own_before != proposed:
        return RESIST if own_before else ACCEPT, "", first
    return "", AGREED_BEFORE if own_before else FIXED_ALONE, first


def label_pairs(tree: Tree, learner: Speaker = Speaker.USER) -> tuple[Pair, ...]:
    """Returns the pairs of sibling turns of the learner, except for its first turn, in the order of the tree.

    A pair that is `fixed alone` or `agreed before` has the right sibling as its better one, though it has no label.

    Args:
        tree: a tree whose turns have the facts of `josh.rewards.debate`.
        learner: the speaker that learns.
    """
    worth = subtree_values(tree)
    spoken = _spoke_before(tree, learner)
    families: dict[int, list[int]] = {}
    for index, node in enumerate(tree.nodes):
        if index and node.speaker is learner and spoken[node.parent]:
            families.setdefault(node.parent, []).append(index)
    return tuple(
        _pair(tree, parent, elder, younger, learner, worth)
        for parent, siblings in families.items()
        for elder, younger in combinations(siblings, 2)
    )


def subtree_values(tree: Tree) -> tuple[int, ...]:
    """Returns the value of each node: the number of right answers in its subtree, both speakers' in every turn.

    A turn after which an answer is missing counts as 0. The value of a leaf is 0, 1 or 2.
    """
    values = [_right_answers(node) for node in tree.nodes]
    for index in range(len(tree.nodes) - 1, 0, -1):  # children come after their parents
        values[tree.nodes[index].parent] += values[index]
    return tuple(values)


def facts_of(node: Node) -> Mapping[str, Any]:
    """Returns the facts of a turn; without answers where it has none."""
    nobody = {"agent": None, "user": None}
    return node.turn.facts or {"answers": nobody, "right": nobody, "agree": False}


def _pair(tree: Tree, parent: int, elder: int, younger: int, learner: Speaker, worth: tuple[int, ...]) -> Pair:
    before, partner = facts_of(tree.nodes[parent])["right"], learner.other
    siblings = tree.nodes[elder], tree.nodes[younger]
    first, second = (facts_of(node)["right"][learner] for node in siblings)
    label, note, elder_first = label_of(before[learner], before[partner], first, second)
    if any(node.turn.outcome is Outcome.INFRA_ERROR for node in siblings):
        label, note, elder_first = "", FAILED, True
    better, worse = (elder, younger) if elder_first else (younger, elder)
    return Pair(better, worse, label, (float(worth[better]), float(worth[worse])), note)


def _right_answers(node: Node) -> int:
    right = list(facts_of(node)["right"].values())
    return 0 if None in right else sum(right)


def _spoke_before(tree: Tree, learner: Speaker) -> list[bool]:
    """Returns for each node whether the learner has spoken there, in the turns before the search too."""
    role = "user" if learner is Speaker.USER else "assistant"
    spoken = [any(message.get("role") == role for message in tree.nodes[0].turn.messages)]
    for node in tree.nodes[1:]:
        spoken.append(spoken[node.parent] or node.speaker is learner)
    return spoken
