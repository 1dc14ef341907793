"""The lines of an imported dialogue and of its examples, written in a third of the usual time, with the same bytes.

Most turns are one message and its text. Their JSON is put together here, each text is encoded once, and the example has
the same texts as the episode. Everything else is encoded as usual.
"""

from collections.abc import Sequence
from json.encoder import encode_basestring as quoted
from typing import Any, Final

from josh.dialogue import Outcome
from josh.examples import Example
from josh.messages import Message, dumps
from josh.outcomes import Episode
from josh.runs.record.episode_json import hits_to_json, node_to_json, tail_to_json
from josh.runs.record.lines import FORMAT_VERSION
from josh.runs.record.summary import Result

_UNUSED: Final = '{"calls": 0, "prompt_tokens": 0, "completion_tokens": 0}'
_NOTHING: Final = (None, None, None)
_TRUTHS: Final = {False: "false", True: "true"}


class EpisodeText:
    """Writes the episode of an imported dialogue: a single path, whose turns asked no model."""

    def __init__(self, episode: Episode, result: Result) -> None:
        """Args: episode: the episode; result: its figures."""
        self._episode, self._result = episode, result
        self._tools = dumps(list(episode.tools)) if episode.tools else ""
        self._texts: dict[int, str] = {}

    def line(self) -> str:
        """Returns the line of `episodes.jsonl`, as `dumps(to_json(episode))` does."""
        episode = self._episode
        tail = dumps(tail_to_json(episode))
        return f'{self._head()}, "nodes": [{", ".join(self._nodes())}], {tail[1:]}'

    def example(self, example: Example) -> str:
        """Returns a line of `training_examples.jsonl`."""
        tools = f', "tools": {self._tools}' if self._tools else ""
        return (
            f'{{"version": {FORMAT_VERSION}, "task_id": {quoted(self._episode.task.id)}, "node": {example.node}, '
            f'"is_successful": {_TRUTHS[example.is_successful]}, "is_golden_path": {_TRUTHS[example.is_golden_path]}, '
            f'"messages": {self._messages(example.messages)}{tools}}}'
        )

    def _head(self) -> str:
        """Returns the keys before `nodes`, without a brace at the end."""
        episode, result = self._episode, self._result
        metrics = dumps(dict(episode.metrics)) if episode.metrics else "{}"
        goals = dumps(list(episode.tree.goals)) if episode.tree.goals else "[]"
        return (
            f'{{"version": {FORMAT_VERSION}, "task_id": {quoted(episode.task.id)}, "ending": "{result.ending}", '
            f'"reward": {result.reward!r}, "success": {result.success!r}, "rounds": {result.rounds!r}, '
            f'"metrics": {metrics}, "error": "", "usage": {{"agent": {_UNUSED}, "user": {_UNUSED}}}, '
            f'"reported": {list(episode.reported)}, "goals": {goals}, "collapses": [], "frontier": []'
        )

    def _nodes(self) -> list[str]:
        episode, found = self._episode, []
        for index, node in enumerate(episode.tree.nodes):
            turn = node.turn
            if (turn.observed, turn.facts, turn.user_internal) != _NOTHING:
                found.append(dumps(node_to_json(episode, index)))
                continue
            text = (
                f'{{"parent": {node.parent}, "speaker": "{node.speaker}", "path": "{node.path}", '
                f'"phase": {node.phase}, "messages": {self._messages(turn.messages)}'
            )
            if turn.internal is not turn.messages and turn.internal != turn.messages:
                text += f', "internal": {self._messages(turn.internal)}'
            if turn.actions:
                text += f', "actions": [{", ".join(map(_actions, turn.actions))}]'
            if turn.hits:
                text += f', "hits": {dumps(hits_to_json(turn))}'
            if turn.outcome is not Outcome.ALIVE:
                reward = episode.worth.get(index, 0.0)
                text += f', "ended": "{turn.outcome}", "outcome": "{episode.outcomes[index]}"'
                text += f', "reward": {reward!r}' if reward else ""
            found.append(text + "}")
        return found

    def _messages(self, messages: Sequence[Message]) -> str:
        return f"[{', '.join([self._texts.get(id(one)) or self._message(one) for one in messages])}]"

    def _message(self, message: Message) -> str:
        """Returns the JSON of a message, which is made once."""
        if len(message) == 2 and next(iter(message)) == "role" and isinstance(message.get("content"), str):
            found = f'{{"role": "{message["role"]}", "content": {quoted(message["content"])}}}'
        else:
            found = dumps(message)
        self._texts[id(message)] = found
        return found


def _actions(step: Sequence[Any]) -> str:
    """Returns the JSON of a step's actions."""
    if len(step) == 1 and isinstance(step[0], str):
        return f"[{quoted(step[0])}]"
    return dumps(list(step))
