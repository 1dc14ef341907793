"""Measure whether confirmed golden paths win again with users that did not confirm them.

python -m josh.runs.experiments.confirmed records/<run> --least 0.8 --users 20

The golden paths of a run with `--confirm` that won again with at least the share `--least` of its users are said again
to further users, whose seeds the run did not use. Prints how many paths there are, and the mean share and reward with
the users that confirmed them and with the further ones, each with a bootstrap interval over tasks.
"""

import argparse
import asyncio
from dataclasses import replace
from pathlib import Path

from josh.outcomes import golden_leaf
from josh.runs.evaluate.table import format_interval
from josh.runs.intervals import mean
from josh.runs.play.confirming import Confirmer
from josh.runs.play.runtime import Runtime
from josh.runs.record.folder import EPISODES, read_settings
from josh.runs.record.stored import stored_episodes
from josh.seeds import derive
from josh.tree import Confirmation


async def said_to_others(folder: Path, least: float, users: int) -> list[tuple[str, Confirmation, Confirmation]]:
    """Returns, for each confirmed golden path, its task, its confirmation, and that by further users."""
    settings = read_settings(folder)
    runtime = Runtime(replace(settings, confirming=replace(settings.confirming, confirm=users)))
    tasks, found = {task.id: task for task in runtime.tasks}, []
    try:
        for _, episode in stored_episodes(folder / EPISODES, []):
            leaf = golden_leaf(episode)
            first = None if leaf is None else episode.tree.nodes[leaf].confirmation
            if leaf is None or first is None or first.share < least:
                continue
            task = tasks[episode.task.id]
            other = Confirmer(runtime, task, None, runtime.scorer(task), derive(settings.seed, "further users"))
            found.append((task.id, first, await other.confirm(episode.tree, leaf)))
    finally:
        await runtime.aclose()
    return found


def main() -> None:
    """Measure a run, and print the figures."""
    parser = argparse.ArgumentParser(description="measure confirmed golden paths with further users")
    parser.add_argument("run", type=Path)
    parser.add_argument("--least", type=float, default=0.8)
    parser.add_argument("--users", type=int, default=20)
    args = parser.parse_args()
    found = asyncio.run(said_to_others(args.run, args.least, args.users))
    print(f"{len(found)} golden paths confirmed in at least {args.least:g}")
    tasks = [task for task, _, _ in found]
    for words, place in (("confirming users", 1), ("further users", 2)):
        every = [(one[1], one[2])[place - 1] for one in found]
        share, reward = mean([one.share for one in every], tasks), mean([one.reward for one in every], tasks)
        both = ({end: getattr(one, end) for end in ("value", "low", "high")} for one in (share, reward))
        print(f"{words:<17} win again {format_interval(next(both))}, reward {format_interval(next(both))}")


if __name__ == "__main__":
    main()
