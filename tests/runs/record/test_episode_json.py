"""Episodes as lines of JSON, and back."""

import asyncio

import pytest

from josh.clock import TaskClock
from josh.episode import play_search
from josh.messages import dumps
from josh.runs.play.runtime import Runtime
from josh.runs.record.episode_json import from_json, to_json
from josh.runs.record.examples import examples
from josh.runs.record.schema import EpisodeRow, read_row
from josh.runs.record.summary import result_of
from josh.runs.resolve import resolve
from josh.scoring import Scorer

WAYS = {
    "searches": {"josh": True},
    "searches with a tag that has to be high": {"josh": True, "min_reward": 1.5},
    "searches to the end": {"josh": True, "stop": "best"},
    "rollouts": {"rollouts": 4, "temperature": 1.0},
    "plain conversations": {},
    "searches for several goals": {"josh": True, "env": "toy_world:World"},
    "searches to the end for several goals": {"josh": True, "stop": "best", "env": "toy_world:World"},
    "searches for several donations": {"josh": True, "env": "toy_world:World", "rewards": "donation"},
    "rollouts for several goals": {"env": "toy_world:World", "rollouts": 5, "temperature": 1.0},
}


def read_episode(line):
    """The episode that a line of JSON holds."""
    return from_json(read_row(EpisodeRow, line))


def played(given, tasks=12):
    """The episodes of a run."""
    casting = Runtime(resolve(given | {"end_index": tasks}, {}))
    for task in casting.tasks:
        search = casting.search(task)
        yield asyncio.run(play_search(search, task, casting.env, clock=TaskClock(60), scorer=Scorer(task)))


@pytest.mark.parametrize("way", WAYS)
def test_an_episode_comes_back_as_it_was_written(way):
    searched = "josh" in WAYS[way]
    for original in played(WAYS[way]):
        line = dumps(to_json(original))
        again = read_episode(line)
        assert dumps(to_json(again)) == line
        assert result_of(again) == result_of(original)
        assert list(examples(again, searched)) == list(examples(original, searched))
        assert [(node.depth, node.open) for node in again.tree.nodes] == [
            (node.depth, node.open) for node in original.tree.nodes
        ]


def test_an_episode_that_was_given_up_comes_back_too():
    casting = Runtime(resolve({"env": "toy_world:World", "josh": True}, {}))
    task = casting.tasks[0]
    search, clock = casting.search(task), TaskClock(0)
    given_up = asyncio.run(play_search(search, task, casting.env, clock=clock, scorer=Scorer(task)))
    assert given_up.error
    line = dumps(to_json(given_up))
    assert dumps(to_json(read_episode(line))) == line
