"""The runtime of a run: its plug-ins, tasks and chat models, created from settings and checked before any cost."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from josh.branch import TurnContext
from josh.calls import alone
from josh.config import create
from josh.dialogue import Speaker
from josh.driver import Confirm, Search
from josh.episode import USUAL, begin
from josh.errors import UsageError
from josh.memory import connections_left
from josh.models.call import Clock
from josh.models.chat import ChatModel, Sampling
from josh.models.gateway import ModelGateway
from josh.models.offline import OfflineModel
from josh.models.openai_chat import NO_KEY
from josh.models.turn_model import BoundModel
from josh.roles import Task, TurnModel
from josh.runs.play.destinations import Destination, owned, rotation_of
from josh.runs.play.model_factory import ModelFactory
from josh.runs.play.tasks import choose_tasks, digest_of, round_limit
from josh.runs.play.trackers import check_trackers
from josh.runs.record.prices import budget_of, prices_of, read_prices
from josh.runs.record.summary import person_of
from josh.runs.registry import (
    OFFLINE,
    class_of,
    default_of,
    guarded,
    import_path,
    label_of,
    new_rewards,
    rewards_class,
)
from josh.runs.settings import RunSettings, env_of, options_of, search_of
from josh.scoring import JUDGE, Scorer
from josh.search import Strategy
from josh.seeds import derive
from josh.steps import PluginSteps
from josh.threads import one_line
from josh.trust import trust

log = logging.getLogger("josh")

ROW_SETTINGS = {f"user_{name}": name for name in ("model", "base_url", "api_key_var")}
"""The keys of a task's metadata that set the user's model in every environment; see `BaseEnv.row_settings`."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Who takes the agent's place in one search, instead of the run's model.

    Attributes:
        strategy: how the tree grows.
        seed: every random choice follows from it, the task's id and the place in the tree.
        model: the agent's chat model; None for the run's.
        sampling: sampling of its replies.
        voice: returns what answers the agent's requests instead of a model; it gets the model's handle. None for none.
        user: which of the user's models answers, where the run has several, from 0; None to let them take turns.
        user_seed: the seed of the user's random choices, so that several conversations meet the same luck; None for
            `seed`.
        user_model: the user's chat model; None for the run's.
        keep_samples: whether its samples are kept.
    """

    strategy: Strategy
    seed: int
    model: ChatModel | None = None
    sampling: Sampling = USUAL
    voice: Callable[[BoundModel], TurnModel] | None = None
    user: int | None = None
    user_seed: int | None = None
    user_model: ChatModel | None = None
    keep_samples: bool = True

    def seed_of(self, speaker: str) -> int:
        """Returns the seed of a speaker's random choices."""
        shared = self.user_seed if speaker == Speaker.USER else None
        return self.seed if shared is None else shared


@dataclass(frozen=True, slots=True)
class FreshUser:
    """A user who hears a winning path again.

    Attributes:
        name: the name of its class, as the setting has it; empty for the user of the task.
        kind: its class; None for the user of the task.
        model: its chat model; None for those of the task.
    """

    name: str = ""
    kind: Any = None
    model: ChatModel | None = None


class Runtime:
    """The plug-ins, tasks, models and gateway of a run.

    Attributes:
        settings: the run's settings.
        options: the settings by flag, as plug-ins get them.
        env: the environment.
        strategy: the search strategy.
        judge_model: the chat model that judges conversations for the rewards; None for no judge.
        agent_type: the agent's class.
        agent_to_come: whether the agent's model does not exist yet; `offline` stands for it.
        rewards_type: the rewards class.
        tasks: the tasks to play, in order.
        people: the person that each task is about, by the task's id; see `summary.person_of`.
        recorded: whether every reply must come from the journal.
        prices: the price of every model, by name; None where it is unknown.
        gateway: sends the requests to the models.
        fresh_users: the users who confirm wins, in turns; see `josh.runs.settings.Confirming`.
    """

    def __init__(
        self,
        settings: RunSettings,
        *,
        recorded: bool = False,
        rehearsed: bool = False,
        agent_to_come: bool = False,
        gateway: Callable[..., ModelGateway] = ModelGateway,
        checked: bool = False,
    ) -> None:
        """Load every plug-in, choose the tasks and set every model up.

        Args:
            settings: the run's settings.
            recorded: take every reply from the journal, and none from a model.
            rehearsed: check the settings only: local models must exist and are not loaded.
            agent_to_come: the agent's model does not exist yet; `offline` stands for it.
            gateway: makes the gateway, from the arguments of `ModelGateway`.
            checked: another process of the run has checked the tasks already.

        Raises:
            UsageError: a plug-in, a model, a key, the data or the slice of tasks is wrong, or a price is missing.
        """
        if not recorded and not checked:
            check_trackers(settings.output.report_to)
        self.settings = settings
        self.options: Mapping[str, Any] = options_of(settings)
        self.env = env_of(settings)
        self.tasks = choose_tasks(self.env, settings)
        self.people = {
            task.id: guarded(f"the people of task {task.id}", partial(person_of, task, self.env)) for task in self.tasks
        }
        self._positions = {task.id: position for position, task in enumerate(self.tasks)}
        self.strategy = search_of(settings)
        self.recorded = recorded
        self._factory = ModelFactory(settings.local, settings.traffic.timeout, recorded=recorded, rehearsed=rehearsed)
        agent, user, judge = settings.agent, settings.user, settings.judge
        self.agent_to_come = agent_to_come
        self._agent_model = self._factory.get(agent.model, agent.base_url, agent.api_key_var, "agent", agent.sampling)
        self._rotation = rotation_of(user.model, user.base_url, user.api_key_var)
        self.agent_type = self._plug_in("agent", agent.name, self._agent_model)
        self.rewards_type = rewards_class(settings.rewards, self.env)
        # The user's models and class are chosen once for each task, because a task's metadata may set them.
        self._user_models = {task.id: self._models_for(task) for task in self.tasks}
        self._user_types = {
            task.id: self._plug_in("user", user.name, self._user_models[task.id][0]) for task in self.tasks
        }
        self.judge_model = (
            self._factory.get(judge.model, judge.base_url, judge.api_key_var, "judge", judge.sampling)
            if judge.model
            else None
        )
        self.fresh_users = self._fresh_users()
        self.prices = prices_of(
            (model for model in self.models if not isinstance(model, OfflineModel)),
            read_prices(settings.spending.price),
        )
        self.gateway = gateway(
            self._concurrency(),
            per_minute=settings.traffic.requests_per_minute,
            max_attempts=settings.traffic.max_attempts,
            max_retry_seconds=settings.traffic.max_retry_seconds,
            budget=budget_of(settings.spending, self.prices),
        )
        # Every task is set up once here, so that errors appear before any cost.
        for task in () if checked else self.tasks:
            self.max_rounds(task)
            self.search(task)

    def _concurrency(self) -> int:
        """Returns the most calls in flight per endpoint: the setting, or what the limit of open files allows."""
        wanted = self.settings.traffic.max_concurrency
        endpoints = {model.endpoint for model in self.models if not isinstance(model, OfflineModel)}
        fit = connections_left() // max(1, len(endpoints)) or 1
        if endpoints and fit < wanted:
            log.warning(
                "the limit of open files allows %d calls at a time, not %d; raise it with ulimit -n", fit, wanted
            )
        return min(wanted, fit)

    @property
    def names(self) -> dict[str, Any]:
        """The plug-ins by role and the models, for `config.json`, and the environment's noun for a task, if any."""
        return {
            **({"task": self.env.called} if self.env.called else {}),
            "agent": import_path(self.agent_type),
            "user": ", ".join(sorted(set(map(import_path, self._user_types.values())))),
            "rewards": import_path(self.rewards_type),
            "models": sorted({model.name for model in self.models}),
        }

    @property
    def tasks_digest(self) -> str:
        """A hash of the tasks: their content and order."""
        return digest_of(self.tasks)

    @property
    def unit(self) -> str:
        """Unit of the rewards, as a prefix, such as `$`."""
        return str(getattr(self.rewards_type, "unit", ""))

    @property
    def verb(self) -> str:
        """The verb for rewards in the progress bar, such as `earned`."""
        return str(getattr(self.rewards_type, "verb", "earned"))

    def announced(self, *, keyless: bool = False) -> list[str]:
        """Returns where requests and keys go; see `ModelFactory.announced`."""
        return self._factory.announced(keyless=keyless)

    @property
    def models(self) -> Sequence[ChatModel]:
        """Every chat model of the run."""
        return self._factory.models

    def max_rounds(self, task: Task) -> int:
        """Returns the maximum number of rounds of a task; see `round_limit`."""
        return round_limit(task, self.settings, self.env)

    def user_type(self, task: Task) -> Any:
        """Returns the user's class for a task: the chosen one, or the environment's default for the task's model."""
        return self._user_types[task.id]

    def search(
        self,
        task: Task,
        clock: Clock | None = None,
        scorer: Scorer | None = None,
        seat: Seat | None = None,
        confirm: Confirm | None = None,
    ) -> Search:
        """Returns a new search on one task.

        Args:
            task: the task.
            clock: the task's time limit; None for none.
            scorer: the task's scorer; None for a new one.
            seat: who takes the agent's place, and how; None for the run's own model and strategy.
            confirm: confirms each win before the strategy sees it; None for none.

        Raises:
            UsageError: a plug-in cannot start on the task.
        """
        settings, env = self.settings, self.env
        strategy, seed = (self.strategy, settings.seed) if seat is None else (seat.strategy, seat.seed)
        steps = PluginSteps(
            self.agent_type,
            self.user_type(task),
            lambda context, directed: self.turn_model(task, context, clock, directed, seat),
            lambda: self.slot(task),
        )

        def set_up() -> Search:
            return begin(
                task,
                env,
                steps,
                strategy,
                agent=create(self.agent_type, "agent", settings.agent.config),
                user=create(self.user_type(task), "user", settings.user.config),
                rewards=new_rewards(self.rewards_type, settings.rewards, self.goals(task)),
                options=self.options,
                seed=derive(seed, task.id),
                max_turn_tries=settings.limits.josh_agent_tries,
                parallel=steps.waits,
                resample=strategy.resamples,
                name=f"task {task.id}",
                max_rounds=self.max_rounds(task),
                allowance=settings.limits.allowance if seat is None else None,
                scorer=scorer or self.scorer(task, clock),
                confirm=confirm,
            )

        search = guarded(f"task {task.id} cannot be set up", set_up)
        for side in ("agent", "user"):
            tools = getattr(getattr(search.branches[0], side), "tools", ())
            if not isinstance(tools, tuple | list) or not all(isinstance(tool, Mapping) for tool in tools):
                raise UsageError(f"task {task.id}: the {side}'s tools are {tools!r:.60}; give a list of JSON schemas")
        return search

    def goals(self, task: Task) -> list[Any]:
        """Returns the goals of a task. Raises UsageError where the environment gives no list."""
        goals = self.env.goals(task)
        if isinstance(goals, str | bytes):
            raise UsageError(f"task {task.id}: goals() gives the text {goals!r:.60}; give a list of goals")
        return list(goals)

    def scorer(self, task: Task, clock: Clock | None = None) -> Scorer:
        """Returns the scorer of a task, which asks the rewards about its conversations."""
        return Scorer(task, None if self.judge_model is None else partial(self.bound_model, task, clock=clock))

    def turn_model(
        self, task: Task, context: TurnContext, clock: Clock | None, directed: bool, seat: Seat | None
    ) -> TurnModel:
        """Returns what answers a turn's requests: its chat model, or the voice of the agent's seat."""
        bound = self.bound_model(task, context, clock, directed, seat)
        if seat is None or seat.voice is None or context.speaker != Speaker.AGENT:
            return bound
        return seat.voice(bound)

    def bound_model(
        self,
        task: Task,
        context: TurnContext,
        clock: Clock | None = None,
        directed: bool = True,
        seat: Seat | None = None,
    ) -> BoundModel:
        """Returns the chat model for one turn of one task; see `BoundModel` and `search` for the arguments."""
        settings = self.settings
        if context.speaker == Speaker.AGENT:
            model, sampling = self._agent_model, settings.agent.sampling
            if seat is not None:
                model, sampling = seat.model or model, seat.sampling
        elif context.speaker == JUDGE:
            assert self.judge_model is not None, "rewards without a judge do not ask one"
            model, sampling = self.judge_model, settings.judge.sampling
        else:
            models = self._user_models[task.id]
            # The user's model stays the same along a path, so only the first split of the path chooses it.
            turn = task.index + int(context.path.partition("/")[0] or 0)
            if seat is not None and seat.user is not None:
                turn = seat.user
            model, sampling = models[turn % len(models)], settings.user.sampling
            if seat is not None and seat.user_model is not None:
                model = seat.user_model
        # Earlier tasks go first, and leaves with a common beginning go together, because servers cache prefixes.
        priority = (self._positions[task.id], context.path)
        share = not settings.traffic.single_replies
        return BoundModel(
            model,
            sampling,
            context,
            self.gateway,
            settings.seed if seat is None else seat.seed_of(context.speaker),
            task.id,
            priority,
            share,
            clock,
            recorded=self.recorded,
            keep_samples=settings.output.keep_samples if seat is None else seat.keep_samples,
            directed=directed,
        )

    def user_models(self, task: Task) -> Sequence[ChatModel]:
        """Returns the chat models of a task's user, in their order; one of them for each conversation."""
        return self._user_models[task.id]

    def asked_by(self, task: Task, speaker: Speaker) -> list[str]:
        """Returns the names of the chat models that a speaker asks in a task; none for `offline` and for a person."""
        models = [self._agent_model] if speaker is Speaker.AGENT else self._user_models[task.id]
        person = str(speaker) in self.settings.people
        return [] if person else [model.name for model in models if not isinstance(model, OfflineModel)]

    def slot(self, task: Task) -> AbstractAsyncContextManager[None]:
        """Returns a context manager that holds a slot for a step of a plug-in that waits by itself."""
        return self.gateway.plug_ins.slot((self._positions[task.id], ""))

    async def aclose(self) -> None:
        """Cancel the remaining calls, and close every model's connections."""
        await self.gateway.aclose()
        for model in self.models:
            await model.aclose()
        if callable(getattr(self.env, "aclose", None)):  # a plug-in need not inherit from BaseEnv
            try:
                await alone(self.env.aclose())
            except Exception as error:
                log.warning("%s.aclose() failed: %s", type(self.env).__name__, one_line(error))

    def _plug_in(self, role: str, name: str | None, model: ChatModel) -> Any:
        found = name or default_of(self.env, role, model.name)
        if not found:
            raise UsageError(f"env {self.settings.env.name!r} has no {role} for model {model.name!r}; give --{role}")
        kind = class_of(role, found)
        to_come = role == "agent" and self.agent_to_come
        if model.name == OFFLINE and getattr(kind, "needs_model", False) and not to_come:
            flag = "model" if role == "agent" else f"{role}_model"
            raise UsageError(f"{role} {label_of(found)!r} asks a chat model, but {flag} is 'offline'; give --{flag}")
        return kind

    def _fresh_users(self) -> list[FreshUser]:
        """Returns the users who confirm wins: each given class with each given model. Raises UsageError."""
        rule, user = self.settings.confirming, self.settings.user
        models: list[ChatModel | None] = [None]
        if rule.confirm_user_model:
            addresses = rotation_of(rule.confirm_user_model, user.base_url, user.api_key_var)
            models = [self._factory.get(*each, "user", user.sampling) for each in addresses]
        kinds: list[tuple[str, Any]] = [("", None)]
        if rule.confirm_users:
            usual = models[0] or next(iter(self._user_models.values()))[0]
            names = [name.strip() for name in rule.confirm_users.split(",")]
            kinds = [(name, self._plug_in("user", name, usual)) for name in names]
        return [FreshUser(name, kind, model) for model in models for name, kind in kinds]

    def _models_for(self, task: Task) -> list[ChatModel]:
        """Returns the user's models for one task; values in its metadata replace those of the rotation, one by one."""
        row, named = {}, {}
        # A person at the terminal needs no models.
        spellings = {} if "user" in self.settings.people else {**self.env.row_settings, **ROW_SETTINGS}
        for key, kind in spellings.items():
            if value := task.metadata.get(key):
                if not isinstance(value, str):
                    raise UsageError(f"task {task.id}: the user's {kind} is {value!r}; give a text")
                row[kind], named[kind] = value, key
        rotation = self._rotation
        if "model" in row:
            # The task has one model; an address or key that its row does not set comes from the rotation.
            rotation = [one for one in rotation if one[0] == row["model"]] or rotation[:1]
        if "base_url" in row:
            # A key is sent to an address from a task file only if the file also names the key's variable.
            if row["base_url"].startswith("https:") and "api_key_var" not in row:
                variable = named["base_url"].replace("base_url", "api_key_var")
                raise UsageError(f"task {task.id} names {row['base_url']}, but no key; give {variable} in its row too")
            row.setdefault("api_key_var", NO_KEY)
        found = [
            (row.get("model", name), row.get("base_url", url), row.get("api_key_var", key))
            for name, url, key in rotation
        ]
        if row.keys() - {"model"}:
            for each in found:
                self._require_named(task, owned(*each))
        who = f"user of task {task.id}" if row else "user"
        return [self._factory.get(*each, who, self.settings.user.sampling) for each in found]

    def _require_named(self, task: Task, going: Destination) -> None:
        """Raises UsageError where a row sends requests or a key to a destination that no setting of the run names."""
        if going.plain or self.recorded or (self.settings.tasks.trust_task_endpoints and trust().rows):
            return
        agent, judge = self.settings.agent, self.settings.judge
        sides = [(agent.model, agent.base_url, agent.api_key_var), *self._rotation]
        sides += [(judge.model, judge.base_url, judge.api_key_var)] if judge.model else []
        pairs = {(one.address, one.variable) for one in (owned(*side) for side in sides)}
        keyless = going.variable == NO_KEY and going.address in {address for address, _ in pairs}
        if (going.address, going.variable) not in pairs and not keyless:
            raise UsageError(
                f"task {task.id} sends {going.words}; to allow what the rows say, give --trust_task_endpoints, or name "
                "the same address and variable by --user_base_url and --user_api_key_var"
            )
