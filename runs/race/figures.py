"""The figures of a race, from the trees of its runs.

All searches are measured alike, by all conversations in a tree:

1. A task is won where a path met all goals. Its first win costs the turns of the agent up to there, in the order in
   which the search took them, and the whole budget where no path won.
2. Its reward is that of its best conversation, also of one that the budget broke off.
3. Two winning plays are distinct where the agent says or does something else.
4. The rows are those that `josh export` writes: all winning paths for sft, and pairs for dpo.

Two searches are compared on the tasks that both scored, pair by pair.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.messages import dumps
from josh.outcomes import Episode
from josh.runs.export.export import NoRowsError, choose, export
from josh.runs.intervals import RESAMPLES, Estimate, mcnemar, mean
from josh.runs.play.sub_runs import SubRun
from josh.runs.record.folder import EPISODES, read_config, who_played
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import person_of
from josh.runs.record.world import world_of
from josh.runs.registry import ROLLOUTS
from josh.tree import Tree, walk

FORMS = ("sft", "dpo")
"""The formats whose rows are counted."""


@dataclass(frozen=True, slots=True)
class Raced:
    """What one search made of one task; see the module for the meaning."""

    person: str
    success: bool
    reward: float
    first_win: int
    distinct_wins: int
    agent_turns: int
    turns: int
    calls: int
    tokens: int


def race_figures(folder: Path, parts: Sequence[SubRun], times: Mapping[str, float]) -> dict[str, Any]:
    """Returns the numbers of a race. They depend neither on how often it was resumed nor, but for seconds, on time.

    Args:
        folder: the race's folder.
        parts: its runs, all of them complete.
        times: the seconds that each took, by folder.

    Raises:
        UsageError: a run's episodes are damaged.
    """
    raced = {part.folder: read_raced(folder / part.folder, part) for part in parts}
    settings = parts[0].settings
    env, rewards = world_of(settings, folder, careful=True)
    labels = list(dict.fromkeys(part.policy for part in parts))
    reference = ROLLOUTS if ROLLOUTS in labels else labels[0]
    cells = [_cell(folder, part, raced[part.folder], times.get(part.folder)) for part in parts]
    pairs = []
    for budget in dict.fromkeys(part.user for part in parts):
        of_budget = {part.policy: raced[part.folder] for part in parts if part.user == budget}
        ordered = [reference, *[label for label in labels if label != reference]]
        pairs += [
            {"budget": int(budget), "search": other, "less": one, **_difference(of_budget[other], of_budget[one])}
            for one, other in combinations(ordered, 2)
        ]
    played = who_played(read_config(folder / parts[0].folder))
    return {
        "env": settings.env.name,
        "called": env.called or f"{settings.env.name} task",
        "agent": played.get("agent"),
        "user": played.get("user"),
        "seed": settings.seed,
        "temperature": settings.agent.sampling.temperature,
        "budget_unit": settings.limits.budget_unit,
        "budgets": [int(budget) for budget in dict.fromkeys(part.user for part in parts)],
        "searches": labels,
        "reference": reference,
        "unit": rewards.unit,
        "rate": rewards.rate,
        "intervals": {"level": 0.95, "kind": "percentile bootstrap clustered by person", "resamples": RESAMPLES},
        "results": cells,
        "pairs": pairs,
    }


def read_raced(folder: Path, part: SubRun) -> dict[str, Raced]:
    """Returns what a run made of each of its scored tasks, by the task's id."""
    env, _ = world_of(part.settings, folder, careful=True)
    damaged: list[int] = []
    found = {}
    for _, episode in stored_episodes(folder / EPISODES, damaged):
        if episode.scored:
            found[episode.task.id] = raced_of(episode, person_of(episode.task, env), part)
    if damaged:
        raise UsageError(f"{folder / EPISODES}: line {damaged[0]} is damaged; josh --resume {folder} repairs it")
    return found


def raced_of(episode: Episode, person: str, part: SubRun) -> Raced:
    """Returns what a search made of a task."""
    tree = episode.tree
    won = [node for node in range(1, len(tree.nodes)) if tree.is_won(node)]
    until = won[0] + 1 if won else len(tree.nodes)
    taken = sum(node.speaker is Speaker.AGENT for node in tree.nodes[1:until])
    in_turns = part.settings.limits.budget_unit == "turns"
    usage = episode.usage(Speaker.AGENT) + episode.usage(Speaker.USER)
    return Raced(
        person,
        bool(won),
        max((worth for leaf, worth in episode.worth.items() if leaf in episode.outcomes), default=0.0),
        taken if won or not in_turns else int(part.user),
        len({_played(tree, leaf) for leaf in won}),
        episode.agent_turns,
        len(tree.nodes) - 1,
        usage.calls,
        usage.prompt_tokens + usage.completion_tokens,
    )


def _played(tree: Tree, leaf: int) -> str:
    """Returns what the agent says and does on a path, as a text to compare."""
    turns = [tree.nodes[node].turn for node in walk(tree, leaf)[1:] if tree.nodes[node].speaker is Speaker.AGENT]
    return dumps([[list(turn.messages), [list(step) for step in turn.actions]] for turn in turns])


def _cell(folder: Path, part: SubRun, raced: Mapping[str, Raced], seconds: float | None) -> dict[str, Any]:
    """Returns the figures of one search with one budget."""
    own = list(raced.values())
    people = [one.person for one in own]

    def average(name: str) -> dict[str, Any]:
        return _as_json(mean([float(getattr(one, name)) for one in own], people))

    return {
        "search": part.policy,
        "budget": int(part.user),
        "run": part.folder,
        "scored": len(own),
        "success": average("success"),
        "reward": average("reward"),
        "first_win": average("first_win"),
        "distinct_wins": average("distinct_wins"),
        **{name: average(name)["value"] for name in ("agent_turns", "turns", "calls", "tokens")},
        "rows": {form: _rows(folder / part.folder, form) for form in FORMS},
        "seconds": seconds,
    }


def _rows(run: Path, form: str) -> int:
    """Returns the number of rows that `josh export` makes of a run, of all winning paths."""
    with tempfile.TemporaryDirectory() as made:
        try:
            return int(
                export([run], Path(made) / "rows.jsonl", form, choose(form, "successful", None, None), 0)["rows"]
            )
        except NoRowsError:
            return 0


def _difference(first: Mapping[str, Raced], second: Mapping[str, Raced]) -> dict[str, Any]:
    """Returns how the first search differs from the second, on the tasks that both scored.

    `p` is McNemar's exact test of success. It is None where a person has several tasks, because the test needs
    independent pairs; the intervals are clustered by person.
    """
    shared = [task for task in first if task in second]
    people = [first[task].person for task in shared]

    def change(name: str) -> dict[str, Any]:
        both = [float(getattr(first[task], name)) - float(getattr(second[task], name)) for task in shared]
        return _as_json(mean(both, people))

    only = sum(first[task].success and not second[task].success for task in shared)
    other = sum(second[task].success and not first[task].success for task in shared)
    alone = len(set(people)) == len(people)
    return {
        "tasks": len(shared),
        "won_only": only,
        "lost_only": other,
        "p": mcnemar(only, other) if alone and shared else None,
        **{name: change(name) for name in ("success", "reward", "first_win", "distinct_wins")},
    }


def _as_json(estimate: Estimate) -> dict[str, Any]:
    found = asdict(estimate)
    return {name: found[name] for name in ("value", "low", "high")}
