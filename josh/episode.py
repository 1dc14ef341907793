"""One task played to its end and scored, without a disk."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from josh.branch import Branch, Steps, TurnContext
from josh.clock import TaskClock
from josh.config import setting
from josh.dialogue import Outcome, Speaker
from josh.driver import Search
from josh.errors import JoshError
from josh.models.chat import ChatModel, Sampling
from josh.models.gateway import ModelGateway
from josh.models.offline import OfflineModel
from josh.models.turn_model import BoundModel
from josh.outcomes import Episode, conclude, final_outcomes
from josh.roles import BaseEnv, BaseRewards, Task
from josh.scoring import JUDGE, Scorer
from josh.search import Strategy
from josh.seeds import derive
from josh.steps import PluginSteps
from josh.strategies.beam import BeamSearch
from josh.threads import one_line
from josh.tree import Tree, plant
from josh.turns import heard, view_of

log = logging.getLogger("josh")


USUAL, GREEDY = Sampling(), Sampling(temperature=0.0)
"""How replies are drawn where nothing else is said, and a judge's."""

TOO_LONG = "the task took longer than"
"""How the error of an episode begins that was given up, whatever it might have earned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a conversation, a turn and a task are broken off."""

    max_convo_turns: int | None = setting(
        None, "rounds after which a conversation is cut off (default: environment's)", least=1
    )
    josh_agent_tries: int = setting(20, "most steps in one agent turn", least=1)
    task_timeout: float = setting(3600.0, "seconds that one task may take", above=0, unit="seconds", resumable=True)


def begin(
    task: Task,
    env: BaseEnv,
    steps: Steps,
    strategy: Strategy,
    *,
    agent: Any,
    user: Any,
    rewards: BaseRewards,
    options: Mapping[str, Any] = MappingProxyType({}),
    seed: int = 0,
    **rules: Any,
) -> Search:
    """Start a search on one task.

    Args:
        task: the task.
        env: its environment.
        steps: how the plug-ins are called.
        strategy: how the tree grows.
        agent: the agent, new; it is started here, as user and rewards are.
        user: the user.
        rewards: holds the task's goals.
        options: the run's settings, by flag name.
        seed: see `Tree.seed`.
        rules: further arguments of `Search`.
    """
    for role in (agent, user, rewards):
        role.start(task, env, options)
    heard(user, agent.messages)
    own = view_of(user)
    tree = plant(rewards.rewards, env.opens, agent.messages, agent.messages_internal, own, seed)
    return Search(strategy, steps, tree, Branch(agent, user, env.world(task), rewards), **rules)


async def play(
    task: Task,
    env: BaseEnv,
    *,
    agent: Any,
    user: Any,
    rewards: Any = None,
    strategy: Strategy | None = None,
    model: ChatModel | None = None,
    user_model: ChatModel | None = None,
    judge_model: ChatModel | None = None,
    sampling: Sampling = USUAL,
    user_sampling: Sampling = USUAL,
    judge_sampling: Sampling = GREEDY,
    seed: int = 10,
    max_rounds: int | None = None,
    max_turn_tries: int = 20,
    max_concurrency: int = 16,
    timeout: float = 3600.0,
    keep_samples: bool = False,
) -> Episode:
    """Play and score one task, without a folder: what a run does with each of its tasks.

    Args:
        task: the task.
        env: its environment; plug-ins get its `options`, and the seed, as the run's settings.
        agent: the agent's class (or anything else that makes one when called).
        user: the user's class, likewise.
        rewards: the class that says what counts; by default the goals, all alike (`BaseRewards`).
        strategy: how the tree grows; by default a beam of 8.
        model: the agent's chat model, which stays open; None for an agent that needs none.
        user_model: the user's.
        judge_model: the judge's, for rewards that ask one.
        sampling: how the agent's replies are drawn.
        user_sampling: how the user's are.
        judge_sampling: how the judge's are.
        seed: every random choice follows from it and the task's id.
        max_rounds: rounds after which a conversation is cut off; by default the environment's number.
        max_turn_tries: most steps in one agent turn.
        max_concurrency: most model calls in flight.
        timeout: seconds after which the task is given up.
        keep_samples: keep the tokens of each request (`Turn.samples`), where the models give them.

    Returns:
        The episode: the tree, its result, rewards and scores.

    Raises:
        UsageError: a plug-in or the strategy is wrong.
        FatalError: a model refuses every call.
    """
    gateway, clock = ModelGateway(max_concurrency), TaskClock(timeout)
    nobody = OfflineModel()
    sides = {
        Speaker.AGENT: (model or nobody, sampling),
        Speaker.USER: (user_model or nobody, user_sampling),
        JUDGE: (judge_model or nobody, judge_sampling),
    }

    def model_of(context: TurnContext, directed: bool = False) -> BoundModel:
        who, how = sides[context.speaker]
        return BoundModel(
            who,
            how,
            context,
            gateway,
            seed,
            task.id,
            (context.path,),
            clock=clock,
            keep_samples=keep_samples,
            directed=directed,
        )

    players = agent(), user()
    steps = PluginSteps(type(players[0]), type(players[1]), model_of, lambda: gateway.plug_ins.slot(("",)))
    scorer = Scorer(task, model_of if judge_model is not None else None)
    search = begin(
        task,
        env,
        steps,
        strategy or BeamSearch(8),
        agent=players[0],
        user=players[1],
        rewards=(rewards or BaseRewards)(list(env.goals(task))),
        options={**getattr(env, "options", {}), "seed": seed},
        seed=derive(seed, task.id),
        max_turn_tries=max_turn_tries,
        parallel=steps.waits,
        resample=(strategy or BeamSearch).searched,
        name=f"task {task.id}",
        max_rounds=max_rounds or env.max_rounds,
        value=scorer.value,
    )
    try:
        return await play_search(search, task, env, clock=clock, scorer=scorer)
    finally:
        await gateway.aclose()


async def play_search(search: Search, task: Task, env: BaseEnv, *, clock: TaskClock, scorer: Scorer) -> Episode:
    """Play a search to its end and score it.

    Args:
        search: the search, at its root.
        task: the task.
        env: its environment.
        clock: says when it is given up.
        scorer: asks the rewards about its conversations.
    """
    root = search.branches[0]
    rewards: BaseRewards = root.rewards.fork()
    tools, user_tools = (tuple(getattr(side, "tools", ())) for side in (root.agent, root.user))
    error = ""
    scores: Mapping[int, Mapping[str, float]] = {}
    try:
        async with asyncio.timeout(clock.seconds) as limit:
            clock.limit = limit
            while not search.done:
                await search.advance()
                log.info("%s: %s", task.id, _progress(search.tree))
                await asyncio.sleep(0)  # lets other tasks, the progress bar and Ctrl-C have their say
            scores = await _scored(search.tree, rewards, scorer)
    except TimeoutError:
        if not limit.expired():
            raise
        error = f"{TOO_LONG} {clock.seconds:g} seconds"
    except UnscoredError as failure:
        error = str(failure)
    finally:
        clock.limit = None
    try:
        episode = conclude(search.tree, task, env, rewards, search.strategy, error, scores)
    except JoshError:
        raise
    except Exception as failure:
        error = f"it could not be scored: {one_line(failure)}"
        episode = conclude(search.tree, task, env, rewards, search.strategy, error)
    return replace(episode, tools=tools, user_tools=user_tools, judged=scorer.usage)


class UnscoredError(Exception):
    """A conversation that its rewards class could not score."""


async def _scored(tree: Tree, rewards: BaseRewards, scorer: Scorer) -> Mapping[int, Mapping[str, float]]:
    """The scores of the conversations that came to an end. Raises UnscoredError."""
    outcomes = final_outcomes(tree)
    sound = [leaf for leaf, outcome in outcomes.items() if outcome is not Outcome.INFRA_ERROR]
    try:
        return await scorer.scores(tree, sound, outcomes, rewards)
    except* JoshError as group:
        raise first_of(group) from None
    except* Exception as group:
        raise UnscoredError(f"it could not be scored: {one_line(first_of(group))}") from None


def first_of(error: BaseException) -> BaseException:
    """Returns the first exception of a group, or of the groups in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _progress(tree: Tree) -> str:
    """Where a search stands, in a few words."""
    speaker = tree.nodes[-1].speaker
    live = len(tree.frontier)
    if tree.collapses and tree.collapses[-1].size == len(tree.nodes):
        left = len(tree.nodes[tree.root].open)
        return f"the {speaker}'s turn earned a reward at {tree.nodes[tree.root].path or 'the root'}, {left} goals left"
    return f"after the {speaker}'s turn {live} live leaves, {len(tree.nodes) - 1} turns played"
