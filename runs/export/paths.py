"""Which parts of a tree won, and how its turns stand to one another; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from josh.dialogue import Outcome, Speaker, Turn
from josh.messages import dumps
from josh.outcomes import Episode
from josh.runs.export.messages import hashed
from josh.tools import is_refusal
from josh.tree import Collapse, internal_conversation, order

GOLDEN, SUCCESSFUL, LOST = "golden", "successful", "lost"


@dataclass(frozen=True, slots=True)
class PathSelection:
    """Which parts of a tree are exported.

    Attributes:
        paths: `golden`, the best winning path of every tree, `successful`, all of them, or `lost`, those that came to
            an end without a win: a control, from which nothing good should be learnt.
        top: most successful paths of one task, those worth most (see `best_of_tasks`), or most lost paths of one tree,
            the first in tree order; None for all.
        min_margin: least difference in reward between the best that was reached from two siblings, above 0.
        learner: the speaker whose turns become rows; the rows are the conversation as its model is trained on it.
    """

    paths: str
    top: int | None
    min_margin: float
    learner: Speaker = Speaker.AGENT


def winning_leaves(episode: Episode, choice: PathSelection) -> list[int]:
    """The leaves that met all goals, best first, ties in tree order; of those that read the same, the first."""
    nodes, worth = episode.tree.nodes, episode.worth
    wins = [leaf for leaf, outcome in episode.outcomes.items() if outcome is Outcome.WON]
    golden = episode.tree.collapses[-1].winner if episode.tree.collapses else None

    def rank(leaf: int) -> tuple[float, bool, tuple[int, ...]]:
        return -worth.get(leaf, 0.0), leaf != golden, order(nodes[leaf].path)

    if choice.paths == GOLDEN and golden is not None:
        return [golden] if golden in wins else []
    best = _told_apart(episode, sorted(wins, key=rank), choice.learner)
    return best[: 1 if choice.paths == GOLDEN else choice.top]


def best_of_tasks(
    episodes: Iterable[tuple[int, Episode]], choice: PathSelection
) -> Mapping[tuple[int, str], frozenset[int]]:
    """The winning leaves that are among the `choice.top` best of their task in all runs together.

    Ties go to the earlier run, then to the order of `winning_leaves`. Conversations that read the same count once.

    Args:
        episodes: every episode, with the number of its run.
        choice: which parts of their trees.

    Returns:
        The leaves, by run and task.
    """
    of_tasks: dict[str, list[tuple[float, bytes]]] = {}
    of_runs: dict[tuple[int, str], list[tuple[int, bytes]]] = {}
    for run, episode in episodes:
        # What is not among its own tree's best is not among its task's.
        leaves = [] if episode.error else winning_leaves(episode, choice)
        read = [(leaf, hashed(internal_conversation(episode.tree, leaf, choice.learner))) for leaf in leaves]
        of_tasks.setdefault(episode.task.id, []).extend((episode.worth.get(leaf, 0.0), text) for leaf, text in read)
        of_runs[run, episode.task.id] = read
    best = {
        task: set(list(dict.fromkeys(text for _, text in sorted(ranked, key=lambda each: -each[0])))[: choice.top])
        for task, ranked in of_tasks.items()
    }
    return {
        (run, task): frozenset(leaf for leaf, text in read if text in best[task])
        for (run, task), read in of_runs.items()
    }


def losing_leaves(episode: Episode, choice: PathSelection) -> list[int]:
    """The leaves that ended without a win by themselves, in tree order; those that a collapse cut off are not known."""
    nodes = episode.tree.nodes
    lost = [
        leaf
        for leaf, outcome in episode.outcomes.items()
        if outcome in (Outcome.USER_LEFT, Outcome.TRUNCATED)
        or (outcome is Outcome.LOST and nodes[leaf].turn.outcome is Outcome.LOST)
    ]
    return _told_apart(episode, sorted(lost, key=lambda leaf: order(nodes[leaf].path)), choice.learner)[: choice.top]


def _told_apart(episode: Episode, leaves: Sequence[int], learner: Speaker) -> list[int]:
    """Returns the first of the leaves whose conversations read the same to the learner."""
    first: dict[str, int] = {}
    for leaf in leaves:
        first.setdefault(dumps(internal_conversation(episode.tree, leaf, learner)), leaf)
    return list(first.values())


@dataclass(frozen=True, slots=True)
class NodeOutcomes:
    """How the nodes of a tree stand in the phase that each belongs to.

    Attributes:
        best: the reward of the best path of the phase through a node; of nodes that a collapse has judged.
        won: nodes on the way to a leaf rewarded in the phase.
        broken: nodes with an error on them or below.
    """

    best: Mapping[int, float]
    won: frozenset[int]
    broken: frozenset[int]


def node_outcomes(episode: Episode) -> NodeOutcomes:
    """Judge every node by what came of it before the tree was cut, or ended."""
    nodes = episode.tree.nodes
    best: dict[int, float] = {}
    won: set[int] = set()
    broken: set[int] = set()
    for cut in _cuts(episode):
        inside = {cut.root}
        for index in range(cut.root + 1, cut.size):
            if nodes[index].parent in inside:
                inside.add(index)
        won.update(cut.rewarded)
        for index in sorted(inside - {cut.root}, reverse=True):
            if nodes[index].turn.outcome is Outcome.INFRA_ERROR:
                broken.add(index)
            elif index not in best:
                best[index] = episode.worth.get(index, 0.0)
            parent = nodes[index].parent
            if parent == cut.root:
                continue
            if index in best:
                best[parent] = max(best.get(parent, best[index]), best[index])
            for marked in (won, broken):
                if index in marked:
                    marked.add(parent)
    return NodeOutcomes(best, frozenset(won), frozenset(broken))


def was_refused(turn: Turn, learner: Speaker = Speaker.AGENT) -> bool:
    """Whether a tool refused a call of the learner's in a turn.

    That the conversation was won all the same makes no example of such a call. The agent's calls are known by the
    custom of `BaseJOSHAgent.recent_actions`, the user's by what its own view says of their results.
    """
    if learner is Speaker.USER:
        results = [message.get("content") for message in turn.view(learner) if message.get("role") == "tool"]
        return any(map(is_refusal, results))
    return any(isinstance(action, Mapping) and "error" in action for step in turn.actions for action in step)


def _cuts(episode: Episode) -> Sequence[Collapse]:
    """A tree's collapses; plain conversations are judged together at their end."""
    tree = episode.tree
    if tree.collapses:
        return tree.collapses
    wins = tuple(leaf for leaf, outcome in episode.outcomes.items() if outcome is Outcome.WON)
    return [Collapse(0, len(tree.nodes), wins[0], wins)] if wins else []
