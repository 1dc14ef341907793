"""Runs' trees as an export reads them: of real searches, and made by hand."""

import asyncio
import json
from collections import Counter
from functools import cache

from josh.clock import TaskClock
from josh.episode import play_search
from josh.messages import dumps
from josh.runs.export.export import choose
from josh.runs.export.formats import export_rows
from josh.runs.play.runtime import Runtime
from josh.runs.record.episode_json import from_json, to_json
from josh.runs.resolve import resolve
from josh.scoring import Scorer

WORLDS = ("persuasion", "toy_world:World", "toy_world:Tools", "toy_world:OneGoal")
WAYS = (
    {"josh": True},
    {"josh": True, "stop": "best"},
    {"josh": True, "stop": "best", "beam_size": 3},
    {"rollouts": 4, "temperature": 1.0},
)


@cache
def episodes(world, way, seed, reads="goals"):
    """Three tasks of a run, as they come back from the disk."""
    rewards = {} if world == "persuasion" else {"rewards": reads}
    given = {**WAYS[way], **rewards, "env": world, "seed": seed, "end_index": 3}
    casting = Runtime(resolve(given, {}))

    async def each(task):
        search = casting.search(task)
        return await play_search(search, task, casting.env, clock=TaskClock(60), scorer=Scorer(task))

    lines = [dumps(to_json(asyncio.run(each(task)))) for task in casting.tasks]
    return tuple(lines), tuple(from_json(json.loads(line)) for line in lines)


def stored(folder, *runs):
    """Runs' folders with these lines."""
    for number, lines in enumerate(runs):
        run = folder / f"run{number}"
        run.mkdir(parents=True)
        (run / "config.json").write_text('{"settings": {"josh": true}}')
        (run / "episodes.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        yield run


def rows_of(form, episode, **choice):
    chosen = choose(form, choice.get("paths"), choice.get("top"), choice.get("min_margin"))
    return [candidate.row for candidate in export_rows(form, episode, chosen, Counter())]


def says(text):
    return {"role": "assistant", "content": text}
