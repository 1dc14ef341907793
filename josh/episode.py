"""Play one task to its end and score it, without a disk.

The life of an episode:
    1. `begin` starts agent, user and rewards on the task, and plants the tree.
    2. `play_search` advances the search until it is done, or until the task's time is up.
    3. The rewards score each finished conversation (`scoring.py`).
    4. `conclude` names the result and its rewards (`outcomes.py`).
    5. Where the run wants that, fresh users hear the winning path again (`confirming.py`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from josh.allowance import TURNS, UNITS, Allowance
from josh.branch import Branch, Steps, TurnContext
from josh.calls import Named, contained
from josh.clock import TaskClock
from josh.config import setting
from josh.dialogue import Outcome, Speaker
from josh.driver import Search
from josh.errors import JoshError, UsageError
from josh.messages import snapshot, text_of
from josh.models.chat import ChatModel, Sampling
from josh.models.gateway import ModelGateway
from josh.models.offline import OfflineModel
from josh.models.turn_model import BoundModel
from josh.outcomes import Episode, conclude, final_outcomes
from josh.roles import BaseEnv, BaseRewards, Task, TurnModel
from josh.scoring import JUDGE, Scorer, has_facts
from josh.search import Strategy
from josh.seeds import derive
from josh.steps import PluginSteps
from josh.strategies.beam import BeamSearch
from josh.threads import one_line
from josh.tree import Tree, plant
from josh.turns import heard, view_of

log = logging.getLogger("josh")


USUAL, GREEDY = Sampling(), Sampling(temperature=0.0)
"""The default sampling of agent and user, and of a judge."""

BEAM = BeamSearch(8)
"""The default strategy of `play`."""
TOO_LONG = "the task took longer than"
"""The beginning of an episode's error where the task ran out of time."""
UNSCORED = "it could not be scored: "
"""The beginning of an episode's error where its rewards or its world failed at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits after which a conversation, a turn or a task ends."""

    max_convo_turns: int | None = setting(None, "most rounds of a conversation (default: the environment's)", least=1)
    josh_agent_tries: int = setting(20, "most steps in one agent turn", least=1)
    task_timeout: float = setting(3600.0, "seconds that one task may take", above=0, unit="seconds", resumable=True)
    budget_per_task: int | None = setting(None, "most turns of the agent in one task, all branches together", least=1)
    budget_unit: str = setting(
        TURNS, "what budget_per_task counts: the agent's turns, or the calls or tokens of both sides", choices=UNITS
    )
    restarts: int = setting(
        0, "times that a search begins again from the start of its task, while its budget lasts", least=0, most=100_000
    )

    @property
    def allowance(self) -> Allowance | None:
        """The budget of a task; None for no limit."""
        return None if self.budget_per_task is None else Allowance(self.budget_per_task, self.budget_unit)


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
    scorer: Scorer,
    **rules: Any,
) -> Search:
    """Start a search on one task.

    Args:
        task: the task.
        env: its environment.
        steps: how the plug-ins are called.
        strategy: how the tree grows.
        agent: a new agent; `begin` starts it, and the user and the rewards.
        user: a new user.
        rewards: new rewards that hold the task's goals.
        options: the run's settings, by flag name.
        seed: see `Tree.seed`.
        scorer: values turns, and finds their facts.
        rules: further arguments of `Search`.
    """
    for role in (agent, user, rewards):
        with Named(f"{type(role).__name__}.start()"):
            role.start(task, env, options)
    heard(user, agent.messages)
    histories = agent.messages, agent.messages_internal, view_of(user)
    copies = [None if history is None else tuple(map(snapshot, history)) for history in histories]
    tree = plant(rewards.rewards, env.opens, copies[0] or (), copies[1] or (), copies[2], seed)
    root = Branch(agent, user, env.world(task), rewards)
    facts = scorer.facts if has_facts(rewards) else None
    search = Search(strategy, steps, tree, root, value=scorer.value, facts=facts, directives=env.directives, **rules)
    search.note([message for history in histories for message in history or ()], tree.nodes[0].turn)
    return search


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
    budget: Allowance | None = None,
) -> Episode:
    """Play and score one task, as a run does with each of its tasks; nothing is written to disk.

    Args:
        task: the task.
        env: its environment; plug-ins get its `options`, and the seed, as the run's settings.
        agent: the agent's class, or any other callable that returns an agent.
        user: the user's class, or any other callable that returns a user.
        rewards: the rewards class; by default `BaseRewards`, for which all goals are alike.
        strategy: how the tree grows; by default a beam of 8.
        model: the agent's chat model, which stays open; None for an agent that needs none.
        user_model: the user's chat model, likewise.
        judge_model: the judge's chat model, for rewards that ask a judge.
        sampling: sampling of the agent's replies.
        user_sampling: sampling of the user's replies.
        judge_sampling: sampling of the judge's replies.
        seed: every random choice follows from it and the task's id.
        max_rounds: most rounds of a conversation; by default the environment's number.
        max_turn_tries: most steps in one agent turn.
        max_concurrency: most model calls in flight.
        timeout: seconds after which the task is given up.
        keep_samples: keep the tokens of each request (`Turn.samples`), where the models give them.
        budget: what the task may cost, such as `josh.allowance.Allowance(40)`; None for no limit.

    Returns:
        The episode: the tree, its result, rewards and scores.

    Raises:
        UsageError: a setting, a plug-in or the strategy is wrong.
        FatalError: a model refuses every call.
    """
    models: dict[str, tuple[ChatModel | None, Sampling]] = {
        Speaker.AGENT: (model, sampling),
        Speaker.USER: (user_model, user_sampling),
        JUDGE: (judge_model, judge_sampling),
    }
    table = set_table(
        task,
        env,
        agent=agent,
        user=user,
        rewards=rewards,
        strategy=strategy or BEAM,
        models=models,
        seed=seed,
        max_rounds=max_rounds,
        max_turn_tries=max_turn_tries,
        max_concurrency=max_concurrency,
        timeout=timeout,
        keep_samples=keep_samples,
        budget=budget,
    )
    try:
        return await play_search(table.search, task, env, clock=table.clock, scorer=table.scorer)
    finally:
        if table.gateway is not None:
            await table.gateway.aclose()


@dataclass(frozen=True, slots=True)
class Table:
    """What a task is played with, without a run.

    Attributes:
        search: the search, at its root.
        scorer: scores its conversations.
        clock: the task's time limit.
        gateway: sends the requests to the models; None for one that others use, too.
    """

    search: Search
    scorer: Scorer
    clock: TaskClock
    gateway: ModelGateway | None = None


def set_table(
    task: Task,
    env: BaseEnv,
    *,
    agent: Any,
    user: Any,
    rewards: Any,
    strategy: Strategy,
    models: Mapping[str, tuple[ChatModel | None, Sampling]],
    seed: int,
    max_rounds: int | None,
    max_turn_tries: int,
    max_concurrency: int,
    timeout: float = 3600.0,
    keep_samples: bool = False,
    budget: Allowance | None = None,
    voice: Callable[[BoundModel], TurnModel] | None = None,
) -> Table:
    """Returns a table with a task on it; nothing is played yet. See `play` for the other arguments.

    Args:
        models: the chat model of the agent, the user and the judge, if any, and its sampling.
        voice: returns what answers the agent's requests instead of its model; it gets the model's handle.

    Raises:
        UsageError: a setting, a plug-in or the strategy is wrong.
    """
    gateway, clock, offline = ModelGateway(max_concurrency), TaskClock(timeout), OfflineModel()

    def model_of(context: TurnContext, directed: bool = False) -> TurnModel:
        chat_model, its_sampling = models[context.speaker]
        bound = BoundModel(
            chat_model or offline,
            its_sampling,
            context,
            gateway,
            seed,
            task.id,
            (context.path,),
            clock=clock,
            keep_samples=keep_samples,
            directed=directed,
        )
        return voice(bound) if voice is not None and context.speaker == Speaker.AGENT else bound

    _check_kinds(task, env, agent=agent, user=user, rewards=rewards or BaseRewards)
    players = agent(), user()
    steps = PluginSteps(type(players[0]), type(players[1]), model_of, lambda: gateway.plug_ins.slot(("",)))
    scorer = Scorer(task, model_of if models[JUDGE][0] is not None else None)
    search = begin(
        task,
        env,
        steps,
        strategy,
        agent=players[0],
        user=players[1],
        rewards=(rewards or BaseRewards)(list(env.goals(task))),
        options={**getattr(env, "options", {}), "seed": seed},
        seed=derive(seed, task.id),
        max_turn_tries=max_turn_tries,
        parallel=steps.waits,
        resample=strategy.resamples,
        name=f"task {task.id}",
        max_rounds=max_rounds or env.max_rounds,
        allowance=budget,
        scorer=scorer,
    )
    return Table(search, scorer, clock, gateway)


def _check_kinds(task: Task, env: BaseEnv, **plug_ins: Any) -> None:
    """Raises UsageError where a name, or anything else, stands for a task, a world or a plug-in's class."""
    if not callable(getattr(env, "goals", None)):
        raise UsageError(f"env is {env!r:.60}; give an environment, such as BaseEnv({{}})")
    if not isinstance(task, Task):
        raise UsageError(f"task is {task!r:.60}; give a Task, such as one of env.tasks('train')")
    for what, made in plug_ins.items():
        if not callable(made):
            raise UsageError(f"{what} is {made!r:.60}; give a class, or a function that makes one")


async def play_search(
    search: Search,
    task: Task,
    env: BaseEnv,
    *,
    clock: TaskClock,
    scorer: Scorer,
    finish: Callable[[Episode], Awaitable[Episode]] | None = None,
) -> Episode:
    """Play a search to its end and score it.

    Args:
        search: the search, at its root.
        task: the task.
        env: its environment.
        clock: the task's time limit.
        scorer: scores its conversations.
        finish: completes the scored episode within the task's time, as by confirming its win; None for nothing more.
    """
    rewards: BaseRewards = search.start.rewards.fork()
    error, finished = "", None
    scores: Mapping[int, Mapping[str, float]] = {}
    try:
        async with asyncio.timeout(clock.seconds) as limit:
            clock.limit = limit
            while not search.done:
                await search.advance()
                log.info("%s: %s", task.id, _progress(search.tree))
                await asyncio.sleep(0)  # other tasks, the progress bar and Ctrl-C get a turn of the event loop
            scores = await _scored(search.tree, rewards, scorer)
            if finish is not None:
                finished = await finish(_concluded(search, task, env, rewards, scorer, "", scores))
    except TimeoutError:
        if not limit.expired():
            raise
        error = f"{TOO_LONG} {clock.seconds:g} seconds"
    except UnscoredError as failure:
        error = str(failure)
    finally:
        clock.limit = None
    if (rewritten := search.rewritten) is not None:
        was, now = rewritten
        log.warning(
            "task %s: a message was changed after its turn, from %.60r to %.60r; the record keeps it as it was. "
            "Branches share messages: add new ones",
            task.id,
            text_of(was),
            text_of(now),
        )
    return finished or _concluded(search, task, env, rewards, scorer, error, scores)


async def settle(search: Search, task: Task, env: BaseEnv, rewards: BaseRewards, scorer: Scorer) -> Episode:
    """Returns the scored episode of a search that is done.

    Args:
        search: the search.
        task: the task.
        env: its environment.
        rewards: a rewards object that was started on the task, with all its goals.
        scorer: scores its conversations.
    """
    try:
        return _concluded(search, task, env, rewards, scorer, "", await _scored(search.tree, rewards, scorer))
    except UnscoredError as failure:
        return _concluded(search, task, env, rewards, scorer, str(failure), {})


def _concluded(
    search: Search,
    task: Task,
    env: BaseEnv,
    rewards: BaseRewards,
    scorer: Scorer,
    error: str,
    scores: Mapping[int, Mapping[str, float]],
) -> Episode:
    try:
        with contained():
            episode = conclude(search.tree, task, env, rewards, search.strategy, error, scores)
    except JoshError:
        raise
    except Exception as failure:
        error = f"{UNSCORED}{one_line(failure)}"
        episode = conclude(search.tree, task, env, rewards, search.strategy, error)
    tools, user_tools = (tuple(getattr(side, "tools", ())) for side in (search.start.agent, search.start.user))
    budget = str(search.allowance) if search.short else ""
    return replace(episode, tools=tools, user_tools=user_tools, judged=scorer.usage, budget=budget)


class UnscoredError(Exception):
    """A conversation that its rewards class could not score."""


async def _scored(tree: Tree, rewards: BaseRewards, scorer: Scorer) -> Mapping[int, Mapping[str, float]]:
    """Returns the scores of the conversations that ended without an error. Raises UnscoredError."""
    outcomes = final_outcomes(tree)
    sound = [leaf for leaf, outcome in outcomes.items() if outcome is not Outcome.INFRA_ERROR]
    try:
        return await scorer.scores(tree, sound, outcomes, rewards)
    except* JoshError as group:
        raise first_of(group) from None
    except* Exception as group:
        raise UnscoredError(f"{UNSCORED}{one_line(first_of(group))}") from None


def first_of(error: BaseException) -> BaseException:
    """Returns the first exception of a group, or of the groups in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _progress(tree: Tree) -> str:
    """Returns the state of a search in a few words."""
    speaker = tree.nodes[-1].speaker
    live = len(tree.frontier)
    if tree.collapses and tree.collapses[-1].size == len(tree.nodes):
        left = len(tree.nodes[tree.root].open)
        return f"the {speaker}'s turn earned a reward at {tree.nodes[tree.root].path or 'the root'}, {left} goals left"
    return f"after the {speaker}'s turn {live} live leaves, {len(tree.nodes) - 1} turns played"
