"""How the learner of a debate responds to an answer of its partner, by who was right before: tables for reports."""

from collections.abc import Iterator
from typing import Final

from josh.dialogue import Outcome, Speaker
from josh.envs.debate.answers import same
from josh.envs.debate.labels import facts_of
from josh.roles import TurnTable
from josh.tree import Tree

KEPT, TOOK, DRIFTED, UNREADABLE = DOES = ("kept", "took", "drifted", "unreadable")
RIGHT_ALONE, WRONG_ALONE, BOTH_RIGHT, BOTH_WRONG = BEFORE = (
    "right, partner wrong",
    "wrong, partner right",
    "both right",
    "both wrong",
)
TABLE: Final = TurnTable(
    "Acceptance and resistance, by who was right",
    BEFORE,
    DOES,
    "What the learner does after it has heard an answer of its partner: keep its own, take the partner's, or drift to "
    "a third one. It should keep in the first row, and take in the second.",
)


def responses(tree: Tree, gold: frozenset[str], learner: Speaker) -> Iterator[tuple[int, str, str]]:
    """Yields each turn of the learner before which both had an answer: its node, who was right before, what it does.

    Args:
        tree: a tree whose turns have the facts of `josh.rewards.debate`.
        gold: the right answer's names in normal form.
        learner: the speaker.
    """
    for index, node in enumerate(tree.nodes[1:], 1):
        if node.speaker is not learner or node.turn.outcome is Outcome.INFRA_ERROR:
            continue
        before, after = facts_of(tree.nodes[node.parent]), facts_of(node)["answers"][learner]
        own, proposed = before["answers"][learner], before["answers"][learner.other]
        if own is None or proposed is None:
            continue
        right = before["right"][learner], before["right"][learner.other]
        if after is None:
            does = UNREADABLE
        elif same(after, own, gold):
            does = KEPT
        else:
            does = TOOK if same(after, proposed, gold) else DRIFTED
        yield index, _BEFORE[right], does


_BEFORE: Final = {
    (True, False): RIGHT_ALONE,
    (False, True): WRONG_ALONE,
    (True, True): BOTH_RIGHT,
    (False, False): BOTH_WRONG,
}
