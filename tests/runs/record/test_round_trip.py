"""Whatever a search may leave behind comes back from its line as it was."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from josh.dialogue import Hit, Outcome, Sample, Speaker, Turn, Usage
from josh.messages import dumps
from josh.outcomes import conclude
from josh.roles import BaseEnv, BaseRewards, Task
from josh.runs.record.episode_json import from_json, to_json
from josh.runs.record.schema import EpisodeRow, read_row
from josh.search import Strategy, grow
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.tree import Expand, plant

GOALS = ("a", "b", ["a", 1])

numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**40)
texts = st.text(max_size=6) | st.just("half \ud83d")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(texts, values, max_size=3)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["assistant", "user"]), "content": texts}), max_size=2
)
usages = st.builds(Usage, st.integers(1, 9), counts, counts)
tokens = st.lists(counts, max_size=3).map(tuple)
samples = st.builds(Sample, counts, tokens, tokens, st.none() | st.lists(numbers, max_size=3).map(tuple), texts, texts)


@st.composite
def turns(draw):
    """A turn of every kind there is; of the values that may be falsy, falsy ones too."""
    said = tuple(draw(messages))
    met = st.builds(Hit, st.integers(0, 3), st.lists(st.sampled_from(GOALS), max_size=2).map(tuple), numbers)
    return Turn(
        messages=said,
        internal=draw(st.just(said) | messages.map(tuple)),
        actions=tuple(map(tuple, draw(st.lists(st.lists(values, max_size=2), max_size=2)))),
        hits=draw(st.just(()) | st.lists(met, max_size=2).map(tuple)),
        outcome=draw(st.sampled_from([Outcome.ALIVE] * 4 + [Outcome.USER_LEFT, Outcome.INFRA_ERROR, Outcome.WON])),
        observed=draw(st.sampled_from([None, 0, 0.0, False, "", [], {}]) | values),
        value=draw(st.none() | st.just(0.0) | numbers),
        samples=tuple(draw(st.lists(samples, max_size=2))),
        user_internal=draw(st.none() | messages.map(tuple)),
        usage=draw(st.just(Usage()) | usages),
        model=draw(texts),
        seed=draw(st.none() | st.integers(1, 2**31 - 1)),
        choice=draw(st.integers(0, 3)),
        duplicate=draw(st.booleans()),
        error=draw(texts),
    )


class Wandering(Strategy):
    """Expands any nodes of its frontier, by any number of turns, and keeps some of them."""

    def __init__(self, draw):
        super().__init__()
        self._draw = draw

    def plan(self, tree):
        chosen = self._draw(st.sets(st.sampled_from(tree.frontier), min_size=1, max_size=3)) if tree.frontier else ()
        directives = st.lists(st.sampled_from([None, "", "Ask."]), min_size=1, max_size=3).map(tuple)
        return [
            Expand(node, tree.nodes[node].speaker.other, self._draw(directives), keep=self._draw(st.booleans()))
            for node in sorted(chosen)
        ]


@st.composite
def episodes(draw):
    """A task, played by any strategy for a few phases, with scores and what its judge cost."""
    goals = draw(st.lists(st.sampled_from(GOALS), max_size=3))
    strategy = draw(
        st.sampled_from(
            [BeamSearch(2), BeamSearch(4), BeamSearch(2, stop="best"), Rollouts(2), Wandering(draw), Wandering(draw)]
        )
    )
    given, views = tuple(draw(messages)), st.none() | messages
    seed = draw(st.integers(0, 2**31 - 1))
    tree = plant(goals, draw(st.sampled_from(Speaker)), given, draw(messages), draw(views), seed)
    for _ in range(draw(st.integers(0, 4))):
        plan = strategy.plan(tree)
        if not plan:
            break
        tree = strategy.update(grow(tree, plan, [draw(turns()) for expand in plan for _ in expand.directives]))
    task = Task(draw(texts), draw(counts), draw(objects), draw(objects))
    error = draw(st.sampled_from(["", "", "it took longer"]))
    scores = st.dictionaries(texts, numbers, max_size=2)
    found = draw(st.dictionaries(st.sampled_from(range(len(tree.nodes))), scores, max_size=2))
    episode = conclude(tree, task, BaseEnv({}), BaseRewards(goals), strategy, error, found)
    return replace(
        episode,
        metrics=draw(st.dictionaries(texts, numbers, max_size=2)),
        judged=draw(st.just(Usage()) | usages),
        tools=tuple(draw(st.lists(objects, max_size=1))),
        user_tools=tuple(draw(st.lists(objects, max_size=1))),
    )


@settings(max_examples=150, deadline=None)
@given(episodes())
def test_an_episode_comes_back_from_its_line(episode):
    line = dumps(to_json(episode)).encode("utf-8", "backslashreplace")
    again = from_json(read_row(EpisodeRow, line))
    assert again == episode
    assert dumps(to_json(again)) == dumps(to_json(episode))
