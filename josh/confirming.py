"""Confirms a win: the agent's turns of a path are said again, word for word, to a fresh user.

A win may be luck: the user's answers are drawn, and a search keeps the branch with the luckiest ones. A path whose
words win again with other draws teaches more than one that won once.

1. `SaidAgain` takes the agent's place. It says the path's turns in their order, and repeats their calls of tools in the
   world of its own branch, whose results may differ.
2. `play_again` plays the conversation. It ends as every conversation does, at the latest after the answer to the last
   turn of the path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from josh.dialogue import Outcome, Turn
from josh.driver import Search
from josh.episode import settle
from josh.roles import BaseEnv, BaseJOSHAgent, Task
from josh.scoring import Scorer
from josh.tools import use
from josh.tree import Replay


class SaidAgain(BaseJOSHAgent):
    """An agent that says recorded turns again, and asks no model."""

    shared = ("turns",)

    def __init__(self, turns: Sequence[Turn]) -> None:
        """Args: turns: the agent's turns, in order."""
        super().__init__()
        self.turns = turns
        self.said = self.steps = 0

    async def step(self, *, env: Any = None, **_: Any) -> bool:
        """Take the next step of the current turn; the words of a turn are said with its last step."""
        turn = self.turns[self.said]
        actions = turn.actions[self.steps] if self.steps < len(turn.actions) else ()
        self.recent_actions = [await _done_again(env, action) for action in actions]
        self.steps += 1
        if self.steps < len(turn.actions):
            return False
        self.messages.extend(turn.messages)
        self.messages_internal.extend(turn.internal)
        self.said, self.steps = self.said + 1, 0
        return True


async def _done_again(world: Any, action: Any) -> Any:
    """Returns an action of a step; a call of a tool that was not refused is made again."""
    if not isinstance(action, Mapping) or not action.get("name") or "result" not in action:
        return action
    return (await use(world, str(action["name"]), action.get("arguments"))).action


async def play_again(search: Search, root: Turn, task: Task, env: BaseEnv, scorer: Scorer, user: str) -> Replay:
    """Play a conversation with a fresh user to its end.

    Args:
        search: a search at its root, whose agent is `SaidAgain` and whose strategy plays one conversation.
        root: the messages from before the first turn, as the path has them.
        task: the task.
        env: its environment.
        scorer: scores the conversation.
        user: see `Replay.user`.
    """
    rewards = search.start.rewards.fork()
    while not search.done:
        await search.advance()
    episode = await settle(search, task, env, rewards, scorer)
    tree = episode.tree
    tree = replace(tree, nodes=(replace(tree.nodes[0], turn=root), *tree.nodes[1:]), frontier=(), seed=0)
    leaf = len(tree.nodes) - 1
    return Replay(user, tree, episode.outcomes.get(leaf) is Outcome.WON, episode.worth.get(leaf, 0.0))
