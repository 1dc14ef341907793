"""Confirms the wins of one task with fresh users (`josh/confirming.py`), by the settings `confirm` and its kin.

1. With `confirm_first` the driver asks for every win before the strategy sees it (`Confirmer.confirm`).
2. Without it, the golden path is confirmed after the search (`Confirmer.finish`).

Every conversation has a seed of its own, which follows from the run's seed, the place of the win in the tree and the
number of the conversation. So the users' requests have their own entries in the journal.
"""

from collections.abc import Sequence
from dataclasses import replace

from josh.calls import gathered
from josh.config import create
from josh.confirming import SaidAgain, play_again
from josh.dialogue import Turn
from josh.driver import Search
from josh.episode import begin
from josh.models.call import Clock
from josh.outcomes import Episode, golden_leaf
from josh.roles import Task
from josh.runs.play.runtime import Runtime, Seat
from josh.runs.registry import guarded, new_rewards
from josh.scoring import Scorer
from josh.seeds import derive
from josh.steps import PluginSteps
from josh.strategies.rollouts import Rollouts
from josh.tree import Confirmation, Replay, Tree, turns_to_say

ALONE = Rollouts(1)


class Confirmer:
    """Confirms the wins of one task."""

    def __init__(self, runtime: Runtime, task: Task, clock: Clock | None, scorer: Scorer, seed: int | None = None):
        """Set the confirmation up.

        Args:
            runtime: the run's plug-ins and models, with fresh users.
            task: the task.
            clock: its time limit.
            scorer: its scorer, whose account gets the judge's calls.
            seed: the seed that the conversations' seeds follow from; None for the run's.
        """
        self._runtime, self._task, self._clock, self._scorer = runtime, task, clock, scorer
        self._seed = runtime.settings.seed if seed is None else seed

    async def confirm(self, tree: Tree, leaf: int) -> Confirmation:
        """Returns how the winning path to a node fares with the fresh users."""
        rule, node, root = self._runtime.settings.confirming, tree.nodes[leaf], tree.nodes[0].turn
        turns = turns_to_say(tree, leaf)
        seeds = [derive(self._seed, "confirm", node.path, node.depth, number) for number in range(rule.confirm)]
        plays = [self._replay(root, turns, number, seed) for number, seed in enumerate(seeds)]
        return Confirmation(tuple(await gathered(plays)), rule.confirm_first or 0.0)

    async def finish(self, episode: Episode) -> Episode:
        """Returns an episode whose golden path is confirmed; unchanged where it has no win."""
        leaf = golden_leaf(episode)
        if leaf is None or episode.error:
            return episode
        nodes = list(episode.tree.nodes)
        nodes[leaf] = replace(nodes[leaf], confirmation=await self.confirm(episode.tree, leaf))
        tree = replace(episode.tree, nodes=tuple(nodes))
        return replace(episode, tree=tree, judged=self._scorer.usage)

    async def _replay(self, root: Turn, turns: Sequence[Turn], number: int, seed: int) -> Replay:
        search, user = self._search(turns, number, seed)
        return await play_again(search, root, self._task, self._runtime.env, self._scorer, user)

    def _search(self, turns: Sequence[Turn], number: int, seed: int) -> tuple[Search, str]:
        """Returns the conversation with one fresh user, and the user's name."""
        runtime, task = self._runtime, self._task
        settings, fresh = runtime.settings, runtime.fresh_users[number % len(runtime.fresh_users)]
        kind = fresh.kind or runtime.user_type(task)
        seat = Seat(ALONE, seed, user=number, user_model=fresh.model, keep_samples=False)
        steps = PluginSteps(
            SaidAgain,
            kind,
            lambda context, directed: runtime.turn_model(task, context, self._clock, directed, seat),
            lambda: runtime.slot(task),
        )
        most = max([1, *(len(turn.actions) for turn in turns)])

        def set_up() -> Search:
            return begin(
                task,
                runtime.env,
                steps,
                ALONE,
                agent=SaidAgain(turns),
                user=create(kind, "user", settings.user.config),
                rewards=new_rewards(runtime.rewards_type, settings.rewards, runtime.goals(task)),
                options=runtime.options if settings.confirming.confirm_same else {**runtime.options, "seed": seed},
                max_turn_tries=most,
                parallel=steps.waits,
                name=f"task {task.id}, said again",
                max_rounds=max(1, len(turns)),
                scorer=self._scorer,
            )

        return guarded(f"task {task.id} cannot be set up for a fresh user", set_up), fresh.name
