"""Credit: which turns of a tree earned its rewards, as pure functions of the tree.

- A turn's value is the mean reward of all whole paths through it. A path is whole if it ended by itself and without an
  error; a leaf that another branch's win cut off has no known reward, and counts for nothing.
- A turn's advantage is its value less the mean of the values of its siblings, the other turns of the speaker after the
  same node. Its own value is not in that mean, so that luck of its own does not hide it (leave-one-out, as in Kool et
  al., 2019, and RLOO: Ahmadian et al., 2024, arXiv:2402.14740).
- A turn without siblings of a known value has the advantage of the speaker's turn before it, because it follows from
  that decision; it is 0 where there was no decision before.

Siblings continue the same words, so what was said before, and who heard it, does not count as their merit. Nothing is
stored: the trees in `episodes.jsonl` give the same numbers at any time, also after they were scored again.
"""

from collections import defaultdict
from collections.abc import Mapping

from josh.dialogue import Outcome, Speaker
from josh.outcomes import Episode
from josh.tree import order, walk

DIGITS = 6
"""Decimals of an advantage, so that equal trees give equal bytes on any machine."""


def whole_leaves(episode: Episode) -> list[int]:
    """Returns the leaves that ended by themselves and have a reward, in tree order.

    A leaf whose win too few fresh users confirmed ended by itself, too.
    """
    tree = episode.tree
    ended = [
        leaf
        for leaf, outcome in episode.outcomes.items()
        if leaf in episode.worth
        and not (
            outcome is Outcome.LOST and tree.nodes[leaf].turn.outcome is Outcome.ALIVE and not tree.is_doubtful(leaf)
        )
    ]
    return sorted(ended, key=lambda leaf: order(tree.nodes[leaf].path))


def values(episode: Episode) -> Mapping[int, float]:
    """Returns the value of each node that leads to a whole path, by node index."""
    sums: dict[int, tuple[float, int]] = {}
    for leaf in whole_leaves(episode):
        for node in walk(episode.tree, leaf):
            total, count = sums.get(node, (0.0, 0))
            sums[node] = total + episode.worth[leaf], count + 1
    return {node: total / count for node, (total, count) in sums.items()}


def sibling_groups(episode: Episode, learner: Speaker, known: Mapping[int, float]) -> Mapping[int, list[int]]:
    """Returns a speaker's turns with a known value by the node that they follow, both in the order of the nodes."""
    groups: dict[int, list[int]] = defaultdict(list)
    for node in sorted(known):
        if node and episode.tree.nodes[node].speaker is learner:
            groups[episode.tree.nodes[node].parent].append(node)
    return dict(sorted(groups.items()))


def credit(episode: Episode, learner: Speaker) -> Mapping[int, float]:
    """Returns the advantage of each of a speaker's turns that leads to a whole path, by node index, in rewards."""
    known, found = values(episode), dict[int, float]()
    for parent, group in sibling_groups(episode, learner, known).items():
        if len(group) > 1:
            total = sum(known[node] for node in group)
            for node in group:
                found[node] = round(known[node] - (total - known[node]) / (len(group) - 1), DIGITS) + 0.0
        else:
            before = next((at for at in reversed(walk(episode.tree, parent)) if at in found), None)
            found[group[0]] = 0.0 if before is None else found[before]
    return found
