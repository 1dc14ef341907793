"""`josh acts`: which acts and which choices of a search pay, and on which people, from siblings of the recorded trees.

1. A `Lens` reads what a turn does: the world's own reader of acts (`BaseEnv.acts`), or an instrument that `--lens`
   names. Tools and instructions (the strategy's directives) are read from the record.
2. `sibling_contrasts` compares siblings: the value of the one that does more of something less the value of the one
   that does less of it. Siblings continue the same words to the same person, so only what they did, and chance, differ.
   A value is the mean reward of the whole paths below (`runs/export/credit.py`).
3. `Contrasts` collects them for everybody and for every group of people, and `figures` gives each comparison a mean
   over all pairs, a bootstrap interval clustered by task, an exact or sampled sign-flip test by task, and a p-value
   that is corrected for the number of comparisons (Holm, 1979).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, Protocol

from josh.calls import contained
from josh.dialogue import Speaker
from josh.errors import JoshError, UsageError
from josh.loading import load
from josh.messages import Message, text_of
from josh.outcomes import Episode
from josh.roles import BaseEnv
from josh.runs.evaluate.scores import Metrics
from josh.runs.evaluate.table import format_interval
from josh.runs.export.credit import sibling_groups, values
from josh.runs.intervals import holm, ratio, sign_flips
from josh.runs.registry import LENSES
from josh.runs.report.actions import ACT, KINDS, Done, done_by
from josh.terminal import align_columns, shortened, visible
from josh.threads import one_line

EVERYBODY: Final = "everybody"
LEVEL: Final = 0.05
"""The corrected p-value below which a difference counts as more than chance."""
MIN_TASKS: Final = 10
"""Default number of tasks with such siblings that a comparison needs."""
_NAME: Final = 40


class Lens(Protocol):
    """Reads what texts do. A class named by `--lens` is made without arguments."""

    def read(self, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        """Returns, for each text, how much of each act or dimension it has, by name; a name that is missing is 0."""
        ...


def lens_of(name: str) -> Lens:
    """Returns a lens by its short name, `module:Class` or `./file.py:Class`. Raises UsageError."""
    kind = load(name, LENSES, "lens")
    if not callable(getattr(kind, "read", None)):
        raise UsageError(f"lens {name!r} has no read(texts); give a class with read(texts)")
    try:
        with contained():
            made: Lens = kind()
            return made
    except JoshError:
        raise
    except Exception as error:
        raise UsageError(f"lens {name!r} cannot be made: {one_line(error)}") from error


def traits_of(episode: Episode, env: BaseEnv, lens: Lens | None) -> Mapping[int, Mapping[Done, float]]:
    """Returns what each agent turn of an episode does, by node: how much of each act, tool and instruction.

    Args:
        episode: the episode.
        env: its environment, which reads the acts where there is no lens. Where it finds none in any turn, the acts are
            those that the agent recorded.
        lens: reads the acts.

    Raises:
        UsageError: the lens fails, or gives something else than numbers by name.
    """
    nodes = episode.tree.nodes
    turns = {index: node for index, node in enumerate(nodes) if index and node.speaker is Speaker.AGENT}
    done = {index: done_by(node, episode.task, env) for index, node in turns.items()}
    found: dict[int, dict[Done, float]] = {
        index: dict.fromkeys((one for one in each if one[0] != ACT), 1.0) for index, each in done.items()
    }
    if lens is not None:
        words = [" ".join(_texts(turns[index].turn.messages)) for index in found]
        for index, read in zip(found, _read(lens, words), strict=True):
            found[index] |= {(ACT, name): float(number) for name, number in read.items()}
        return found
    acts = {index: tuple(env.acts(episode.task, node.turn.messages)) for index, node in turns.items()}
    for index in found:
        own = acts[index] if any(acts.values()) else [name for kind, name in done[index] if kind == ACT]
        found[index] |= dict.fromkeys(((ACT, name) for name in own), 1.0)
    return found


def _texts(messages: Sequence[Message]) -> list[str]:
    return [text_of(message) for message in messages if message.get("role") == "assistant"]


def _read(lens: Lens, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
    name = type(lens).__name__
    try:
        with contained():
            found = list(lens.read(texts))
    except JoshError:
        raise
    except Exception as error:
        raise UsageError(f"lens {name} failed: {one_line(error)}") from error
    sound = len(found) == len(texts) and all(
        isinstance(one, Mapping) and all(isinstance(number, int | float) for number in one.values()) for one in found
    )
    if not sound:
        raise UsageError(f"lens {name}: read() of {len(texts)} texts gives {found!r:.60}; give numbers by name")
    return found


def sibling_contrasts(episode: Episode, traits: Mapping[int, Mapping[Done, float]]) -> Mapping[Done, tuple[float, int]]:
    """Returns, for each thing that siblings do, the sum of the differences of their values, and the number of pairs.

    A pair is two siblings of which one does more of it; the difference is the value of that one less the other's.
    """
    known = values(episode)
    found: dict[Done, tuple[float, int]] = {}
    for group in sibling_groups(episode, Speaker.AGENT, known).values():
        for one, other in combinations(group, 2):
            less = known[one] - known[other]
            for what in {**traits.get(one, {}), **traits.get(other, {})}:
                more = traits.get(one, {}).get(what, 0.0) - traits.get(other, {}).get(what, 0.0)
                if more:
                    total, pairs = found.get(what, (0.0, 0))
                    found[what] = total + (less if more > 0 else -less), pairs + 1
    return found


@dataclass
class Contrasts:
    """The contrasts of siblings in the trees of one or several runs, by group of people.

    Attributes:
        tasks: number of trees that count.
        turns: number of the agent's turns in them.
    """

    tasks: int = 0
    turns: int = 0
    _sums: dict[tuple[str, Done], dict[str, tuple[float, int]]] = field(
        default_factory=lambda: defaultdict(dict[str, tuple[float, int]])
    )

    def add(self, episode: Episode, env: BaseEnv, lens: Lens | None, *, groups: bool) -> None:
        """Add an episode; one that an error ended is not counted. With `groups` also for the groups of its task."""
        if not episode.scored:
            return
        traits = traits_of(episode, env, lens)
        self.tasks += 1
        self.turns += len(traits)
        people = [EVERYBODY, *(f"{kind}: {name}" for kind, name in env.groups(episode.task).items() if groups)]
        for what, (total, pairs) in sibling_contrasts(episode, traits).items():
            for who in people:
                of_task = self._sums[who, what]
                before = of_task.get(episode.task.id, (0.0, 0))
                of_task[episode.task.id] = before[0] + total, before[1] + pairs

    def figures(self, min_tasks: int = MIN_TASKS) -> Metrics:
        """Returns `tasks`, `turns`, `comparisons`, `too_few` (comparisons that were not made) and `rows`.

        A row has `people`, `kind`, `name`, `pairs`, `tasks`, `difference` (with `low` and `high`), `p`, `p_holm`.

        Args:
            min_tasks: tasks with such siblings that a comparison needs; this decides before any difference is seen.
        """
        made = {key: sums for key, sums in self._sums.items() if len(sums) >= min_tasks}
        tasks = sorted({task for sums in made.values() for task in sums})
        places = {task: place for place, task in enumerate(tasks)}
        plain = sign_flips([{places[task]: total for task, (total, _) in sums.items()} for sums in made.values()])
        rows: list[Metrics] = []
        for ((people, (kind, name)), sums), p, corrected in zip(made.items(), plain, holm(plain), strict=True):
            totals, counts = zip(*sums.values(), strict=True)
            estimate = ratio(totals, counts, list(sums))
            difference = {end: getattr(estimate, end) for end in ("value", "low", "high")}
            row: Metrics = {"people": people, "kind": kind, "name": name, "pairs": sum(counts), "tasks": len(sums)}
            rows.append(row | {"difference": difference, "p": p, "p_holm": corrected})
        rows.sort(
            key=lambda row: (
                row["people"] != EVERYBODY,
                row["people"],
                KINDS.index(row["kind"]),
                -row["difference"]["value"],
                row["name"],
            )
        )
        made_or_not = {"comparisons": len(rows), "too_few": len(self._sums) - len(rows)}
        return {"tasks": self.tasks, "turns": self.turns, **made_or_not, "min_tasks": min_tasks, "rows": rows}


def acts_text(figures: Metrics, unit: str, width: int) -> list[str]:
    """Returns the table of `Contrasts.figures` as lines: everybody in full, of the groups what is more than chance."""
    rows = figures["rows"]
    if not rows:
        return ["no siblings that differ in an act, a tool or an instruction; search with --stop best, on more tasks"]
    shown = [row for row in rows if row["people"] == EVERYBODY or row["p_holm"] < LEVEL]
    table: list[list[str]] = []
    for people in dict.fromkeys(row["people"] for row in shown):
        table.append([visible(people), "pairs", "tasks", "difference", "p", "p (Holm)"])
        for row in (row for row in shown if row["people"] == people):
            name = shortened(visible(row["name"]).replace("\n", " "), _NAME)
            mark = " *" if row["p_holm"] < LEVEL else ""
            chances = [_chance(row["p"]), f"{_chance(row['p_holm'])}{mark}"]
            label = name if row["kind"] == ACT else f"{row['kind']} {name}"
            counts = [str(row["pairs"]), str(row["tasks"])]
            table.append([f"  {label}", *counts, format_interval(row["difference"], unit, "+"), *chances])
    lines = align_columns(table, width)
    hidden = len(rows) - len(shown)
    return [*lines, *([f"{hidden} comparisons of groups are not more than chance; --json has them"] if hidden else [])]


def _chance(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "<.001"
