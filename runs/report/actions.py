"""What the agent did on winning and losing branches, with siblings as the control.

1. `done_by` names what a turn did: instructions (directives), tools and acts.
2. `ActionTally` collects the turns of a run, episode by episode.
3. `ActionTally.rows` measures every instruction, tool and act.

Two siblings continue the same words. So the difference of their rewards is due to what they did, and to chance, but
not to the person, nor to what was said before. A mean over all turns with an act mixes all of these.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Final

from josh.dialogue import Speaker
from josh.messages import text_of
from josh.outcomes import Episode
from josh.roles import BaseEnv, Task
from josh.runs.evaluate.scores import Metrics
from josh.runs.evaluate.table import format_interval
from josh.runs.export.credit import values
from josh.runs.intervals import mean, ratio
from josh.runs.report.tree_data import GOLDEN_PATH, LOST, WON, standings
from josh.terminal import align_columns, shortened, visible
from josh.tree import Node

INSTRUCTION, TOOL, ACT = KINDS = ("instruction", "tool", "act")
"""The kinds of what a turn does: the directive that it got, the tools that it called, what it said."""
REFUSED: Final = " (refused)"
_LONGEST: Final = 120
_NAME: Final = 40

Done = tuple[str, str]
"""A kind, and a name."""


def done_by(node: Node, task: Task, env: BaseEnv) -> tuple[Done, ...]:
    """Returns what an agent's turn did, each thing once.

    Acts are the names in the turn's recorded actions. An agent whose only recorded action is its text, such as a chat
    model, has none there: then the acts are those that the environment finds in its words (`BaseEnv.acts`).

    Args:
        node: the turn.
        task: its task.
        env: the task's environment.
    """
    turn = node.turn
    spoken = {text_of(message) for message in turn.messages}
    found = [(INSTRUCTION, _short(node.directive))] if node.directive else []
    acts = []
    for action in (action for step in turn.actions for action in step):
        if isinstance(action, Mapping) and isinstance(action.get("name"), str):
            name = action["name"] or "(unreadable)"
            found.append((TOOL, name + (REFUSED if "error" in action else "")))
        elif isinstance(action, str) and action not in spoken:
            acts.append((ACT, _short(action)))
    if not acts and turn.messages:
        acts = [(ACT, _short(name)) for name in sorted(env.acts(task, turn.messages))]
    return tuple(dict.fromkeys([*found, *acts]))


def done_in(episode: Episode, env: BaseEnv) -> Mapping[int, tuple[Done, ...]]:
    """Returns what each agent turn of an episode did, by node; see `done_by`."""
    nodes = enumerate(episode.tree.nodes[1:], 1)
    return {index: done_by(node, episode.task, env) for index, node in nodes if node.speaker is Speaker.AGENT}


def name_acts(shown: Sequence[dict[str, Any]], episode: Episode, done: Mapping[int, Sequence[Done]]) -> None:
    """Add `did`, the acts that the environment found, to the turns that record no acts of their own.

    Args:
        shown: the nodes of the episode's tree for the page; this function changes them.
        episode: the episode.
        done: what each of its agent turns did.
    """
    for index, each in done.items():
        recorded = {
            action for step in episode.tree.nodes[index].turn.actions for action in step if isinstance(action, str)
        }
        acts = [name for kind, name in each if kind == ACT]
        if acts and not recorded & set(acts):
            shown[index]["did"] = acts


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


@dataclass
class _Use:
    """What is known of one instruction, tool or act.

    Attributes:
        standings: its turns, by the standing of their branch.
        below: the mean reward below each of its turns that has one, by task.
        contrasts: for every parent with siblings that differ in it: the sum of the differences, their number, the task.
    """

    standings: Counter[str] = field(default_factory=Counter)
    below: list[tuple[float, str]] = field(default_factory=list)
    contrasts: list[tuple[float, int, str]] = field(default_factory=list)


class ActionTally:
    """The instructions, tools and acts of a run's agent."""

    def __init__(self) -> None:
        self._uses: dict[Done, _Use] = {}
        self._turns = self._tasks = self._unknown = 0

    def add(self, episode: Episode, done: Mapping[int, Sequence[Done]]) -> None:
        """Add an episode.

        Args:
            episode: a finished task; one that an error ended is not counted.
            done: what each of its agent turns did, by node.
        """
        if not episode.scored:
            return
        self._tasks += 1
        nodes, task = episode.tree.nodes, episode.task.id
        stands, below = standings(episode), values(episode)
        families: dict[int, list[int]] = {}
        for index, node in enumerate(nodes[1:], 1):
            if node.speaker is not Speaker.AGENT:
                continue
            self._turns += 1
            self._unknown += index not in below
            families.setdefault(node.parent, []).append(index)
            for one in done.get(index, ()):
                use = self._uses.setdefault(one, _Use())
                use.standings[stands[index]] += 1
                if index in below:
                    use.below.append((below[index], task))
        for siblings in families.values():
            known = [index for index in siblings if index in below]
            if len(known) < 2:
                continue
            for one in dict.fromkeys(one for index in known for one in done.get(index, ())):
                having = [below[index] for index in known if one in done.get(index, ())]
                lacking = [below[index] for index in known if one not in done.get(index, ())]
                if lacking:
                    count = len(having) * len(lacking)
                    self._uses[one].contrasts.append((count * (fmean(having) - fmean(lacking)), count, task))

    def figures(self) -> Metrics:
        """Returns the numbers of `rows`, with the numbers of tasks, of agent turns, and of turns without a reward."""
        return {"tasks": self._tasks, "turns": self._turns, "unknown": self._unknown, "rows": self.rows()}

    def rows(self) -> list[Metrics]:
        """Returns the measures of every instruction, tool and act, by kind, the most frequent ones first.

        Returns:
            `kind` and `name`;
            `turns`: the agent's turns with it, in all branches;
            `golden`, `won`, `lost`: how many of them are on golden paths, on any rewarded path (golden ones included),
            and on paths that ended without a win;
            `reward`: the mean over its turns of the mean reward of the leaves below;
            `siblings`: the mean difference of that reward between a sibling with it and a sibling without it, over all
            such pairs;
            `pairs`: the number of these pairs.
            Intervals are 95 % bootstrap intervals over tasks.
        """
        found = []
        for (kind, name), use in self._uses.items():
            values, tasks = [value for value, _ in use.below], [task for _, task in use.below]
            sums, counts = ([float(each[place]) for each in use.contrasts] for place in (0, 1))
            parents = [each[2] for each in use.contrasts]
            found.append(
                {
                    "kind": kind,
                    "name": name,
                    "turns": use.standings.total(),
                    "golden": use.standings[GOLDEN_PATH],
                    "won": use.standings[GOLDEN_PATH] + use.standings[WON],
                    "lost": use.standings[LOST],
                    "reward": _plain(asdict(mean(values, tasks))),
                    "siblings": _plain(asdict(ratio(sums, counts, parents))),
                    "pairs": sum(each[1] for each in use.contrasts),
                }
            )
        return sorted(found, key=lambda row: (KINDS.index(str(row["kind"])), -int(row["turns"]), row["name"]))


def _plain(estimate: Mapping[str, Any]) -> Metrics:
    return {
        name: None if estimate[name] is None else round(float(estimate[name]), 6) + 0.0
        for name in ("value", "low", "high")
    }


def actions_text(figures: Metrics, unit: str, width: int) -> list[str]:
    """Returns the table of `ActionTally.figures` as lines for the terminal."""
    rows = figures["rows"]
    if not rows:
        return ["the record names no acts, tools or instructions of the agent"]
    head = ["turns", "golden", "won", "lost", "reward below", "less a sibling's", "pairs"]
    table = []
    for kind in KINDS:
        of_kind = [row for row in rows if row["kind"] == kind]
        table += [[kind, *head]] if of_kind else []
        for row in of_kind:
            shares = [f"{row[name] / row['turns']:.2f}" for name in ("golden", "won", "lost")]
            plus = "+" if (row["siblings"]["value"] or 0) > 0 else ""
            less = plus + format_interval(row["siblings"], unit) if row["pairs"] else ""
            name = shortened(visible(row["name"]).replace("\n", " "), _NAME)
            table.append(
                [name, str(row["turns"]), *shares, format_interval(row["reward"], unit), less, str(row["pairs"])]
            )
    return align_columns(table, width)


EXPLAINED: Final = (
    "golden, won, lost: the share of its turns on golden paths, on any rewarded path, on paths without a win",
    "reward below: the mean reward of the leaves below its turns",
    "less a sibling's: that reward less the one of a sibling without it, after the same words; the mean of all pairs",
    "95 % intervals over tasks, without correction for the number of rows: take small differences as hints",
)
"""What the columns of the table mean."""
