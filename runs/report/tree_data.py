"""One task's tree for the report's page: its line of `episodes.jsonl`, and what explains it."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isclose, isfinite, nan
from typing import Any, Final, TypeVar

from josh.calls import contained, has_parameter
from josh.dialogue import Hit, Outcome, Speaker
from josh.messages import Message
from josh.outcomes import Episode
from josh.roles import BaseEnv, BaseRewards, Task
from josh.runs.export.export import MIN_MARGIN
from josh.runs.export.formats import ExportRow, export_rows
from josh.runs.export.paths import SUCCESSFUL, PathSelection, node_outcomes
from josh.runs.report.annotations import Annotator, pair_words
from josh.runs.report.tree_text import again_words, was_cut_off
from josh.threads import one_line
from josh.transcript import Transcript
from josh.tree import hits, spend, walk

T = TypeVar("T")
_NONE: Final[Sequence[dict[str, Any]]] = ()

GOLDEN_PATH, WON, LOST, DEAD, ERROR = STANDINGS = ("golden", "successful", "lost", "dead", "error")
"""The standings of a branch, best first: on the golden path; on a path to another win; ended without a win; cut off
before its end, because another branch won; ended by an error."""
ATTEMPTS: Final = "tag_attempts"
"""The environment's metric that counts reward tags in the agent's words."""

Times = Mapping[tuple[str, int, str], float]
Total = Callable[[Sequence[Any], Sequence[Hit]], float]
"""Gives the reward of a path with some goals and some hits: `BaseRewards.total`."""


class CarefulEnv(BaseEnv):
    """An environment whose errors are caught and kept; an error gives the answer of `BaseEnv`.

    Attributes:
        tagged: whether reward tags in the agent's words are made harmless.
        failed: the first error of every task, by the task's id.
    """

    def __init__(self, env: BaseEnv) -> None:
        """Args: env: the environment."""
        super().__init__({})
        self.max_rounds = env.max_rounds
        self.tagged = env.tag is not None
        self.speakers = {"agent": "agent", "user": "user"} | {
            str(side): str(name) for side, name in env.speakers.items()
        }
        self.failed: dict[str, str] = {}
        self._env = env

    def ask(self, task: Task, make: Callable[[], T], instead: T) -> T:
        """Returns what `make` returns; `instead` if it raises."""
        try:
            with contained():
                return make()
        except Exception as error:
            self.failed.setdefault(task.id, one_line(error))
            return instead

    def metrics(
        self, task: Task, messages: Sequence[Message], conversation: Transcript | None = None
    ) -> Mapping[str, float]:
        """The environment's."""
        wants = conversation is not None and has_parameter(self._env.metrics, "conversation")
        whole = {"conversation": conversation} if wants else {}
        return self.ask(
            task, lambda: {name: float(n) for name, n in self._env.metrics(task, messages, **whole).items()}, {}
        )

    def people(self, task: Task) -> Sequence[str]:
        """The environment's."""
        return self.ask(task, lambda: list(self._env.people(task)), [])

    def groups(self, task: Task) -> Mapping[str, str]:
        """The environment's."""
        return self.ask(task, lambda: {str(kind): str(name) for kind, name in self._env.groups(task).items()}, {})

    def acts(self, task: Task, messages: Sequence[Message]) -> Collection[str]:
        """The environment's."""
        return self.ask(task, lambda: [str(name) for name in self._env.acts(task, messages)], ())

    def user_prompt(self, task: Task) -> str:
        """The environment's."""
        return self.ask(task, lambda: str(self._env.user_prompt(task)), "")


@dataclass(frozen=True, slots=True)
class Viewer:
    """The environment and the rewards that explain a tree on the page.

    Attributes:
        env: the environment; an empty one if the run's cannot be loaded.
        rewards: makes the rewards object of a task, started on it.
        annotator: gives the words for the facts of turns.
        unit: the unit of rewards.
    """

    env: CarefulEnv
    rewards: Callable[[Task, Sequence[Any]], BaseRewards]
    annotator: Annotator
    unit: str = ""

    def tree(
        self, row: dict[str, Any], episode: Episode, times: Times, earned: "Mapping[int, Sequence[Earned]]"
    ) -> dict[str, Any]:
        """Returns a task for the page.

        Args:
            row: its line of `episodes.jsonl`, parsed; this method changes it.
            episode: the same task as a value.
            times: the seconds that the endpoints took for its turns, see `journal.answer_times`.
            earned: the rewards of its hits, see `earned`.
        """
        task, nodes = episode.task, row["nodes"]
        best, labels = node_outcomes(episode).best, pair_words(episode)
        for index, (shown, stands) in enumerate(zip(nodes, standings(episode), strict=True)):
            node = episode.tree.nodes[index]
            shown["standing"] = stands
            shown.pop("samples", None)  # tokens are for trainers
            shown.pop("confirmed", None)  # the words below say what came of it
            if node.confirmation is not None:
                labels = {**labels, index: [*labels.get(index, ()), again_words(node.confirmation, self.unit)]}
            if index in best:
                shown["best"] = best[index]
            if shown.pop("hits", None):
                shown["hits"] = [asdict(each) for each in earned[index]]
            if node.speaker is Speaker.USER:
                shown.pop("actions", None)  # they repeat its words
            elif attempts := self.env.metrics(task, node.turn.messages).get(ATTEMPTS) if node.turn.messages else 0:
                shown["attempts"] = int(attempts)
            if node.turn.facts is not None:
                shown["known"] = self.annotator.words(node)
            if index in labels:
                shown["labels"] = labels[index]
            if (spent := times.get((node.path, node.depth, str(node.speaker)))) is not None:
                shown["seconds"] = round(spent, 3)
        kept = ("task_id", "ending", "reward", "success", "rounds", "metrics", "error", "reported", "goals", "tools")
        return {name: row[name] for name in kept if name in row} | {
            "data": row["task"]["data"],
            "metadata": row["task"]["metadata"],
            "groups": dict(self.env.groups(task)),
            "user_prompt": self.env.user_prompt(task),
            "nodes": nodes,
            "pairs": labelled_pairs(episode) or self.env.ask(task, lambda: pairs(episode), _NONE),
            "unlabelled": unlabelled_pairs(episode),
        }

    def earned(self, episode: Episode) -> "Mapping[int, Sequence[Earned]]":
        """Returns the rewards of an episode's hits, by node."""

        def priced() -> Mapping[int, Sequence[Earned]]:
            return earnings(episode, self.rewards(episode.task, episode.tree.goals).path_reward)

        return self.env.ask(episode.task, priced, None) or earnings(episode)


def standings(episode: Episode) -> list[str]:
    """Returns the standing of every node: the best standing among the leaves below it."""
    tree = episode.tree
    best = [len(STANDINGS)] * len(tree.nodes)

    def mark(leaf: int, stands: str) -> None:
        rank = STANDINGS.index(stands)
        while leaf >= 0 and best[leaf] > rank:
            best[leaf] = rank
            leaf = tree.nodes[leaf].parent

    for leaf in golden_leaves(episode):
        mark(leaf, GOLDEN_PATH)
    for leaf in (leaf for collapse in tree.collapses for leaf in collapse.rewarded):
        mark(leaf, WON)
    for leaf, outcome in episode.outcomes.items():
        mark(leaf, _of_leaf(episode, leaf, outcome))
    return [STANDINGS[min(rank, len(STANDINGS) - 1)] for rank in best]


def golden_leaves(episode: Episode) -> list[int]:
    """Returns the rewarded winners of the collapses; without collapses, the first won leaf of the highest reward."""
    tree = episode.tree
    if tree.collapses:
        return [collapse.winner for collapse in tree.collapses if collapse.winner in collapse.rewarded]
    won = [leaf for leaf in episode.reported if tree.is_won(leaf)]
    return [max(won, key=lambda leaf: episode.worth[leaf])] if won else []


def _of_leaf(episode: Episode, leaf: int, outcome: Outcome) -> str:
    if outcome is Outcome.WON:
        return WON
    if outcome is Outcome.INFRA_ERROR:
        return ERROR
    return DEAD if was_cut_off(episode, leaf) else LOST


def pairs(episode: Episode) -> Sequence[dict[str, Any]]:
    """Returns the preference pairs of `josh export --format dpo` from this tree, by the indices of their turns."""
    first: dict[bytes, ExportRow] = {}
    for candidate in export_rows("dpo", episode, PathSelection(SUCCESSFUL, None, MIN_MARGIN), Counter()):
        first.setdefault(candidate.key, candidate)
    kept = (candidate for candidate in first.values() if candidate.contradicts not in first)
    return [{"chosen": one.nodes[0], "rejected": one.nodes[1], "margin": one.row["margin"]} for one in kept]


def labelled_pairs(episode: Episode) -> Sequence[dict[str, Any]]:
    """Returns the pairs of the record with a label, as `pairs` does, with `label`, and the `values` of both turns."""
    return [
        {"chosen": one.better, "rejected": one.worse, "label": one.label, "values": list(one.values)}
        for one in episode.pairs
        if one.label
    ]


def unlabelled_pairs(episode: Episode) -> dict[str, int]:
    """Returns the numbers of the record's pairs without a label, by note."""
    return dict(sorted(Counter(one.note for one in episode.pairs if not one.label).items()))


@dataclass(frozen=True, slots=True)
class Earned:
    """The reward of a hit.

    Attributes:
        goals: the goals that it met.
        again: its goals that were met before; a goal is rewarded once.
        value: see `Hit`.
        worth: its share of the reward of the path; None if unknown.
    """

    goals: tuple[Any, ...]
    again: tuple[Any, ...]
    value: float
    worth: float | None = None


def earnings(episode: Episode, total: Total | None = None) -> Mapping[int, Sequence[Earned]]:
    """Returns the rewards of an episode's hits, by node; `worth` only if `total` agrees with the recorded rewards."""
    tree = episode.tree
    found: dict[int, list[Earned]] = {}
    if total is not None and not all(
        isclose(total(tree.goals, hits(tree, leaf)), worth, abs_tol=1e-9) for leaf, worth in episode.worth.items()
    ):
        total = None
    for index, node in enumerate(tree.nodes):
        if node.turn.hits:
            left, before = tree.nodes[node.parent].open, hits(tree, node.parent)
            found[index] = []
            for hit in node.turn.hits:
                met, left = spend(left, [hit])
                again = spend(hit.goals, [replace(hit, goals=met)])[1]
                worth = total(tree.goals, [*before, hit]) - total(tree.goals, before) if total else nan
                before.append(hit)
                found[index].append(Earned(met, again, hit.value, round(worth, 6) if isfinite(worth) else None))
    return found


def rewards_by_round(episode: Episode, earned: Mapping[int, Sequence[Earned]]) -> list[tuple[int, float]]:
    """Returns the round and the reward of every event of the reported conversations; they sum to the paths' rewards."""
    found = []
    for leaf, reward in zip(episode.reported, episode.rewards, strict=True):
        events, rounds = [], 0
        for index in walk(episode.tree, leaf)[1:]:
            rounds += episode.tree.nodes[index].speaker is Speaker.AGENT
            events += [(rounds, one) for one in earned.get(index, ()) if one.goals]
        parts = [one.value if one.worth is None else one.worth for _, one in events]
        whole = sum(parts)
        shares = [part / whole if whole else 1 / len(parts) for part in parts]
        found += [(at, reward * share) for (at, _), share in zip(events, shares, strict=True)]
    return found
