"""Trees as the traces of verifiers (version 1): a graph of messages, in which each leaf is a training sample.

A row is one tree. Its nodes are messages with the index of their parent; messages that the model sampled are marked,
and have their tokens, log-probabilities and advantages where the run kept samples. The path to the last node is the
best one, and the trace's reward is its; `info["josh"]["rewards"]` has the reward of each leaf, by its node in the
trace.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from josh.dialogue import Sample
from josh.messages import Message
from josh.outcomes import Episode
from josh.runs.export.credit import whole_leaves
from josh.runs.export.messages import Row, hashed
from josh.runs.export.paths import PathSelection
from josh.runs.export.token_formats import advantages
from josh.tree import walk

_FIELDS = ("role", "content", "tool_calls", "tool_call_id")


def traces(
    episode: Episode, leaves: Sequence[int], choice: PathSelection, dropped: Counter[str]
) -> Iterator[tuple[Row, bytes]]:
    """Yields the trace of a tree, with a key of its own."""
    ended = whole_leaves(episode)
    if not ended:
        dropped["trees without a whole path"] += 1
        return
    ended.sort(key=lambda leaf: (episode.worth[leaf], leaf == (episode.reported or (None,))[0]))
    graph = _Graph(episode, choice)
    ends = {leaf: graph.add(leaf) for leaf in ended}
    best = ended[-1]
    task = episode.task
    rewards = {str(place): episode.worth[leaf] for leaf, place in ends.items()}
    key = hashed((task.id, episode.tree.seed))
    yield (
        {
            "version": 1,
            "id": key.hex(),
            "task": {"type": "Task", "data": {"name": task.id, "josh_id": task.id, "data": task.data}, "key": task.id},
            "agent": {"config": {"harness": {"id": "null"}, "model": graph.model}, "name": "agent"},
            "nodes": graph.nodes,
            "rewards": {"reward": {"score": episode.worth[best], "weight": 1.0}},
            "metrics": dict(episode.metrics),
            "info": {"josh": {"task": task.id, "rewards": rewards}},
            "is_completed": True,
            "ok": True,
        },
        key,
    )


class _Graph:
    """The nodes of a trace, as they are added."""

    def __init__(self, episode: Episode, choice: PathSelection) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.model = "offline"
        self._episode = episode
        self._learner = choice.learner
        self._advantages = advantages(episode, choice.learner)
        self._last: dict[int, int | None] = {}

    def add(self, leaf: int) -> int:
        """Add the messages on the path to a leaf that are not there yet; returns the last one's place."""
        place: int | None = None
        for node in walk(self._episode.tree, leaf):
            if node not in self._last:
                self._last[node] = self._turn(node, place)
            place = self._last[node]
        assert place is not None, "a whole path has messages"
        if place != len(self.nodes) - 1:
            # The best path's last message must be the last node, also where the path ends in a turn without words.
            self.nodes.append({**self.nodes[place], "parent": self.nodes[place]["parent"]})
            place = len(self.nodes) - 1
        return place

    def _turn(self, node: int, parent: int | None) -> int | None:
        turn = self._episode.tree.nodes[node].turn
        by_learner = node > 0 and self._episode.tree.nodes[node].speaker is self._learner
        samples = list(turn.samples) if by_learner else []
        self.model = turn.model or self.model if by_learner else self.model
        for message in turn.view(self._learner):
            sampled = by_learner and message.get("role") == "assistant"
            one = {"parent": parent, "message": _plain(message), "sampled": sampled}
            if sampled and samples:
                one |= self._tokens(samples.pop(0), self._advantages.get(node))
            self.nodes.append(one)
            parent = len(self.nodes) - 1
        return parent

    def _tokens(self, sample: Sample, share: float | None) -> dict[str, Any]:
        """Returns the tokens that a message adds to its path: the new part of its prompt, and those sampled."""
        count = len(sample.token_ids)
        found: dict[str, Any] = {
            "token_ids": [*sample.prompt_ids, *sample.token_ids],
            "mask": [False] * len(sample.prompt_ids) + [True] * count,
        }
        if sample.logprobs is not None:
            found["logprobs"] = list(sample.logprobs)
        if share is not None:
            found["advantages"] = [share] * count
        return found


def _plain(message: Message) -> dict[str, Any]:
    return {name: message[name] for name in _FIELDS if message.get(name) is not None}
