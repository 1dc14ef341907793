"""Episodes as lines of JSON, and back."""

import asyncio
import json

import pytest

from josh.episode import TaskClock, play_search
from josh.messages import dumps
from josh.runs.play.runtime import Runtime
from josh.runs.record.episode_json import from_json, to_json
from josh.runs.record.examples import examples
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
        again = from_json(json.loads(line))
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
    assert dumps(to_json(from_json(json.loads(line)))) == line


def with_change(row, change):
    *way, last = change
    place = row
    for step in way[:-1]:
        place = place[step]
    if last is DROPPED:
        del place[way[-1]]
    else:
        place[way[-1]] = last
    return row


DROPPED = object()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("nodes", DROPPED), "nodes is missing"),
        (("nodes", []), "nodes is empty; a tree has a root"),
        (("nodes", 3), "nodes is or holds 3, which is no list"),
        (("nodes", 2, "parent", 2), "node 2: parent is 2; parents come before their children, and the root has none"),
        (("nodes", 0, "parent", 0), "node 0: parent is 0; parents come before"),
        (("nodes", 1, "path", "0/x"), "node 1: path is '0/x'; give sibling numbers"),
        (("nodes", 1, "seed", True), "node 1: seed is or holds True, which is no int"),
        (("nodes", 1, "speaker", "nobody"), "node 1: 'nobody' is not a valid Speaker"),
        (("nodes", 1, "messages", ["hello"]), "node 1: messages is or holds 'hello', which is no dict"),
        (("nodes", 1, "hits", [{"step": 0}]), "node 1: goals is missing"),
        (("nodes", 1, "outcome", "won"), "node 1: leaves have an outcome, other nodes have none"),
        (("nodes", -1, "outcome", DROPPED), "leaves have an outcome, other nodes have none"),
        (("frontier", [999]), "frontier: there is no node 999"),
        (("collapses", [{"root": 0, "size": 999, "winner": 0, "rewarded": [0]}]), "collapses: there is no node 999"),
        (("reported", []), "reported is [], rewards [0.1]; every leaf reported has a reward"),
        (("reported", [0]), "reported is [0], rewards [0.1]; every leaf reported has a reward"),
        (("metrics", "donation", "much"), "donation is or holds 'much', which is no float"),
        (("task", "data", None), "data is or holds None, which is no dict"),
    ],
)
def test_a_damaged_episode_is_refused_with_what_is_wrong(change, text):
    (episode,) = played({"josh": True, "beam_size": 2}, 1)
    row = json.loads(dumps(to_json(episode))) | {"rewards": [0.1]}
    with pytest.raises(ValueError) as error:
        from_json(with_change(row, change))
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("row", [None, [], "episode", {}, {"goals": []}])
def test_what_is_no_episode_is_refused(row):
    with pytest.raises(ValueError):
        from_json(row)
