"""Selects the winning or losing paths of a tree, and ranks its turns against each other, as pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from josh.dialogue import Outcome, Speaker, Turn
from josh.messages import dumps
from josh.outcomes import Episode
from josh.runs.export.messages import UnexportableError, hashed
from josh.tools import is_refusal
from josh.tree import Collapse, internal_conversation, order

GOLDEN, SUCCESSFUL, LOST, ALL = "golden", "successful", "lost", "all"


@dataclass(frozen=True, slots=True)
class PathSelection:
    """The choice of paths to export.

    Attributes:
        paths: `golden` for the best winning path of every tree, `successful` for all winning paths, or `lost` for the
            paths that ended without a win, as a control of training; or `all` paths that ended without an error, as for
            dialogues of people without rewards.
        top: maximum number of successful paths of one task, those with the highest reward (see `best_of_tasks`), or of
            lost or all paths of one tree, the first in tree order; None for all.
        min_margin: minimum difference between the best rewards below two siblings, at least 0; a difference of 0 never
            counts.
        learner: the speaker whose turns become rows; the rows have the messages that its model is trained on.
        min_confirmed: smallest share of fresh users with whom a winning path won again; None takes unconfirmed paths.
        credit: whether rows have the advantages of turns (`credit.py`), and pairs the difference of their values.
    """

    paths: str
    top: int | None
    min_margin: float
    learner: Speaker = Speaker.AGENT
    min_confirmed: float | None = None
    credit: bool = False


def winning_leaves(episode: Episode, choice: PathSelection) -> list[int]:
    """Returns the leaves that met all goals, best first, ties in tree order; of equal conversations only the first.

    With `min_confirmed` only those that won again with enough fresh users.
    """
    nodes, worth = episode.tree.nodes, episode.worth
    wins = [leaf for leaf, outcome in episode.outcomes.items() if outcome is Outcome.WON]
    if choice.min_confirmed is not None:
        wins = [leaf for leaf in wins if _share(episode, leaf) >= choice.min_confirmed]
    golden = episode.tree.collapses[-1].winner if episode.tree.collapses else None

    def rank(leaf: int) -> tuple[float, bool, tuple[int, ...]]:
        return -worth.get(leaf, 0.0), leaf != golden, order(nodes[leaf].path)

    if choice.paths == GOLDEN and golden is not None:
        return [golden] if golden in wins else []
    best = _distinct(episode, sorted(wins, key=rank), choice.learner)
    return best[: 1 if choice.paths == GOLDEN else choice.top]


def _share(episode: Episode, leaf: int) -> float:
    """Returns the share of fresh users with whom a path won again; below 0 where it was not confirmed."""
    found = episode.tree.nodes[leaf].confirmation
    return found.share if found is not None and found.users else -1.0


def best_of_tasks(
    episodes: Iterable[tuple[int, Episode]], choice: PathSelection
) -> Mapping[tuple[int, str], frozenset[int]]:
    """Returns the winning leaves among the `choice.top` best of their task in all runs together.

    Ties go to the earlier run, then to the order of `winning_leaves`. Equal conversations count once.

    Args:
        episodes: every episode, with the index of its run.
        choice: which paths of their trees.

    Returns:
        The leaves, by index of the run and id of the task.
    """
    of_tasks: dict[str, list[tuple[float, bytes]]] = {}
    of_runs: dict[tuple[int, str], list[tuple[int, bytes]]] = {}
    for run, episode in episodes:
        # A leaf that is not among the best of its tree is not among the best of its task.
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
    """Returns the leaves that ended without a win by themselves, in tree order.

    Leaves that a collapse cut off are left out, because their end is unknown.
    """
    nodes = episode.tree.nodes
    lost = [
        leaf
        for leaf, outcome in episode.outcomes.items()
        if outcome in (Outcome.USER_LEFT, Outcome.TRUNCATED)
        or (outcome is Outcome.LOST and nodes[leaf].turn.outcome is Outcome.LOST)
    ]
    return _distinct(episode, sorted(lost, key=lambda leaf: order(nodes[leaf].path)), choice.learner)[: choice.top]


def every_leaf(episode: Episode, choice: PathSelection) -> list[int]:
    """Returns the leaves that ended by themselves and without an error, in tree order."""
    nodes = episode.tree.nodes
    ended = [
        leaf
        for leaf, outcome in episode.outcomes.items()
        if outcome is not Outcome.INFRA_ERROR
        and not (outcome is Outcome.LOST and nodes[leaf].turn.outcome is Outcome.ALIVE)
    ]
    return _distinct(episode, sorted(ended, key=lambda leaf: order(nodes[leaf].path)), choice.learner)[: choice.top]


def _distinct(episode: Episode, leaves: Sequence[int], learner: Speaker) -> list[int]:
    """Returns the leaves without those whose conversation, as the learner sees it, an earlier leaf has."""
    first: dict[str, int] = {}
    for leaf in leaves:
        first.setdefault(dumps(internal_conversation(episode.tree, leaf, learner)), leaf)
    return list(first.values())


@dataclass(frozen=True, slots=True)
class NodeOutcomes:
    """The results of a tree's nodes, each in the phase that it belongs to.

    Attributes:
        best: the highest reward of the phase's paths through a node, for nodes that a collapse has judged.
        won: nodes with a leaf rewarded in the phase at or below them.
        broken: nodes with an error at or below them.
    """

    best: Mapping[int, float]
    won: frozenset[int]
    broken: frozenset[int]


def node_outcomes(episode: Episode) -> NodeOutcomes:
    """Returns the result of every node, from the leaves below it before the tree was cut or ended."""
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
    """Returns whether a tool refused a call of the learner in a turn.

    Such a call is not a good example, even where the conversation was won. For the agent, a refused call is an action
    with the key `error` (see `BaseJOSHAgent.recent_actions`); for the user, a refusal among the tool results in its
    own view.
    """
    if learner is Speaker.USER:
        results = [message.get("content") for message in turn.view(learner) if message.get("role") == "tool"]
        return any(map(is_refusal, results))
    return any(isinstance(action, Mapping) and "error" in action for step in turn.actions for action in step)


def check_sound(turn: Turn, learner: Speaker) -> None:
    """Raises UnexportableError where a turn of the learner's was cut off, or failed by itself.

    A row of it would teach to stop in the middle of a sentence, or to write what nobody can read.
    """
    if turn.cut:
        raise UnexportableError(f"turns of the {learner}'s that were cut off")
    if turn.failure:
        raise UnexportableError(f"turns that ended by the {learner}'s own failure")


def _cuts(episode: Episode) -> Sequence[Collapse]:
    """Returns a tree's collapses; for a tree without collapses, one that covers the whole tree, if it has wins."""
    tree = episode.tree
    if tree.collapses:
        return tree.collapses
    wins = tuple(leaf for leaf, outcome in episode.outcomes.items() if outcome is Outcome.WON)
    return [Collapse(0, len(tree.nodes), wins[0], wins)] if wins else []
