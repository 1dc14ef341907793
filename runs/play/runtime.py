"""Who plays: from settings to agents, users, rewards and chat models, checked before anything is paid for."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from josh.branch import TurnContext
from josh.config import create
from josh.dialogue import Speaker
from josh.driver import Search
from josh.episode import begin
from josh.errors import UsageError
from josh.messages import dumps
from josh.models.budget import Budget, Price
from josh.models.call import Clock
from josh.models.chat import ChatModel
from josh.models.gateway import ModelGateway
from josh.models.offline import OfflineModel
from josh.models.openai_chat import NO_KEY
from josh.models.turn_model import BoundModel
from josh.roles import Task
from josh.runs.play.model_factory import ModelFactory, rotation_of
from josh.runs.play.tasks import choose_tasks, round_limit
from josh.runs.play.trackers import check_trackers
from josh.runs.record.prices import prices_of, read_prices
from josh.runs.record.summary import person_of
from josh.runs.registry import class_of, default_for, new_rewards, path_of, plugged, rewards_class, strategy_of
from josh.runs.settings import RunSettings, env_of, options_of
from josh.scoring import JUDGE, Scorer
from josh.seeds import derive
from josh.steps import PluginSteps

ROW_SETTINGS = {f"user_{name}": name for name in ("model", "base_url", "api_key_var")}
"""What a task's metadata may say of the user's model, whatever the world; see `BaseEnv.row_settings`."""


class Runtime:
    """Everything a run's tasks are played with.

    Attributes:
        settings: the run's settings.
        env: the environment.
        strategy: how trees grow.
        judge_model: the chat model that rewards may ask to judge; None where there is none.
        agent_type: the agent's class.
        tasks: the tasks to play, in order.
        people: whom each is about, by its id; see `summary.person_of`.
        recorded: whether every reply has to come from the journal.
        prices: what every model costs, by name; None where that is not known.
        gateway: what takes requests to the models.
    """

    def __init__(self, settings: RunSettings, *, recorded: bool = False, rehearsed: bool = False) -> None:
        """Load every plug-in, choose the tasks and set every model up.

        Args:
            settings: the run's settings.
            recorded: have every reply come from the journal, and none from a model.
            rehearsed: check everything and play nothing: models that run here are looked for and not loaded.

        Raises:
            UsageError: a name, a key, the corpus or the slice of tasks is wrong.
        """
        if not recorded:
            check_trackers(settings.output.report_to)
        self.settings = settings
        self.options: Mapping[str, Any] = options_of(settings)
        self.env = env_of(settings)
        self.tasks = choose_tasks(self.env, settings)
        self.people = {
            task.id: plugged(f"the people of task {task.id}", partial(person_of, task, self.env)) for task in self.tasks
        }
        self._positions = {task.id: position for position, task in enumerate(self.tasks)}
        self.strategy = strategy_of(settings.strategy)
        self.recorded = recorded
        self._factory = ModelFactory(settings.local, settings.traffic.timeout, recorded=recorded, rehearsed=rehearsed)
        agent, user, judge = settings.agent, settings.user, settings.judge
        self._agent_model = self._factory.get(agent.model, agent.base_url, agent.api_key_var)
        self._rotation = rotation_of(user.model, user.base_url, user.api_key_var)
        self.agent_type = self._plug_in("agent", agent.name, self.env.agents, self._agent_model)
        self._rewards_type = rewards_class(settings.rewards, self.env)
        # Per task once, not per turn: what its row says of the user's models, and the class that goes with them.
        self._user_models = {task.id: self._models_for(task) for task in self.tasks}
        self._user_types = {
            task.id: self._plug_in("user", user.name, self.env.users, self._user_models[task.id][0])
            for task in self.tasks
        }
        self.judge_model = self._factory.get(judge.model, judge.base_url, judge.api_key_var) if judge.model else None
        self.prices = prices_of(
            (model for model in self.models if not isinstance(model, OfflineModel)),
            read_prices(settings.spending.price),
        )
        self.gateway = ModelGateway(
            settings.traffic.max_concurrency,
            per_minute=settings.traffic.requests_per_minute,
            max_attempts=settings.traffic.max_attempts,
            max_retry_seconds=settings.traffic.max_retry_seconds,
            budget=self._budget(),
        )
        # Whatever cannot be set up shows now, before anything is paid for.
        for task in self.tasks:
            self.max_rounds(task)
            self.search(task)

    @property
    def names(self) -> dict[str, Any]:
        """Who plays, for the record: plug-ins and models by role; what a task is called, if not as the environment."""
        return {
            **({"task": self.env.called} if self.env.called else {}),
            "agent": path_of(self.agent_type),
            "user": ", ".join(sorted(set(map(path_of, self._user_types.values())))),
            "rewards": path_of(self._rewards_type),
            "models": sorted({model.name for model in self.models}),
        }

    @property
    def tasks_digest(self) -> str:
        """A hash of the tasks, all they hold and their order."""
        whole = hashlib.blake2b(digest_size=16)
        for task in self.tasks:
            whole.update(dumps([task.id, task.index, task.data, task.metadata]).encode("utf-8", "backslashreplace"))
        return whole.hexdigest()

    @property
    def unit(self) -> str:
        """What rewards are counted in, as a prefix."""
        return str(getattr(self._rewards_type, "unit", ""))

    @property
    def verb(self) -> str:
        """What became of the rewards so far."""
        return str(getattr(self._rewards_type, "verb", "earned"))

    @property
    def models(self) -> Sequence[ChatModel]:
        """Every model that may be asked."""
        return self._factory.models

    def max_rounds(self, task: Task) -> int:
        """Rounds after which a task is cut off: the row's own, the run's, or the environment's number."""
        return round_limit(task, self.settings, self.env)

    def user_type(self, task: Task) -> Any:
        """The user's class: the one named, or the environment's for the kind of model that a row asks for."""
        return self._user_types[task.id]

    def search(self, task: Task, clock: Clock | None = None, scorer: Scorer | None = None) -> Search:
        """A search on one task, ready to be advanced. Raises UsageError where a plug-in cannot start on it."""
        settings, env = self.settings, self.env
        steps = PluginSteps(
            self.agent_type,
            self.user_type(task),
            lambda context, directed: self.line(task, context, clock, directed),
            lambda: self.slot(task),
        )

        def set_up() -> Search:
            return begin(
                task,
                env,
                steps,
                self.strategy,
                agent=create(self.agent_type, "agent", settings.agent.config),
                user=create(self.user_type(task), "user", settings.user.config),
                rewards=new_rewards(self._rewards_type, settings.rewards, list(env.goals(task))),
                options=self.options,
                seed=derive(settings.seed, task.id),
                max_turn_tries=settings.limits.josh_agent_tries,
                parallel=steps.waits,
                # Plain rollouts are a sample: two that agree are no mistake.
                resample=self.strategy.searched,
                name=f"task {task.id}",
                max_rounds=self.max_rounds(task),
                value=(scorer or self.scorer(task, clock)).value,
            )

        return plugged(f"task {task.id} cannot be set up", set_up)

    def scorer(self, task: Task, clock: Clock | None = None) -> Scorer:
        """What asks the rewards about the conversations of a task."""
        return Scorer(task, None if self.judge_model is None else partial(self.line, task, clock=clock))

    def line(self, task: Task, place: TurnContext, clock: Clock | None = None, directed: bool = True) -> BoundModel:
        """The chat model for one turn of one task."""
        settings = self.settings
        if place.speaker == Speaker.AGENT:
            model, sampling = self._agent_model, settings.agent.sampling
        elif place.speaker == JUDGE:
            assert self.judge_model is not None, "rewards ask no judge that is not there"
            model, sampling = self.judge_model, settings.judge.sampling
        else:
            models = self._user_models[task.id]
            # A person stays the same along a path: only the first split tells siblings' models apart.
            sibling = int(place.path.partition("/")[0] or 0)
            model, sampling = models[(task.index + sibling) % len(models)], settings.user.sampling
        # Elder tasks are served first, and leaves with the same beginning together: servers keep prompts for a while.
        priority = (self._positions[task.id], place.path)
        share = not settings.traffic.single_replies
        return BoundModel(
            model,
            sampling,
            place,
            self.gateway,
            settings.seed,
            task.id,
            priority,
            share,
            clock,
            recorded=self.recorded,
            keep_samples=settings.output.keep_samples,
            directed=directed,
        )

    def slot(self, task: Task) -> AbstractAsyncContextManager[None]:
        """A place for a step that waits for something by itself."""
        return self.gateway.plug_ins.slot((self._positions[task.id], ""))

    async def aclose(self) -> None:
        """Drop the calls that are left, and close every model's connections."""
        await self.gateway.aclose()
        for model in self.models:
            await model.aclose()

    def _budget(self) -> Budget:
        spending = self.settings.spending
        known: dict[str, Price] = {}
        for name, price in self.prices.items():
            if price is None and spending.max_cost is not None:
                raise UsageError(f"max_cost needs to know what {name} costs; give --price {name}=PROMPT/REPLY")
            if price is not None:
                known[name] = price
        return Budget(spending.max_calls, spending.max_tokens_total, spending.max_cost, known)

    def _plug_in(self, role: str, name: str | None, defaults: Mapping[str, str | type], model: ChatModel) -> Any:
        found = name or default_for(model.name, defaults)
        if not found:
            raise UsageError(f"env {self.settings.env.name!r} has no {role} for model {model.name!r}; give --{role}")
        return class_of(role, found)

    def _models_for(self, task: Task) -> list[ChatModel]:
        """The user's models for one task: what its row says wins, field by field, over the rotation."""
        row, named = {}, {}
        # Nobody asks the models of a side that a person takes.
        spellings = {} if "user" in self.settings.people else {**self.env.row_settings, **ROW_SETTINGS}
        for key, kind in spellings.items():
            if value := task.metadata.get(key):
                if not isinstance(value, str):
                    raise UsageError(f"task {task.id}: the user's {kind} is {value!r}; give a text")
                row[kind], named[kind] = value, key
        rotation = self._rotation
        if "model" in row:
            # One model for the whole row; its address and key still come from the rotation where the row is silent.
            rotation = [one for one in rotation if one[0] == row["model"]] or rotation[:1]
        if "base_url" in row:
            # No key goes to an address that a task file names, unless the file names the key's variable as well.
            if row["base_url"].startswith("https:") and "api_key_var" not in row:
                variable = named["base_url"].replace("base_url", "api_key_var")
                raise UsageError(f"task {task.id} names {row['base_url']}; have it name {variable} too")
            row.setdefault("api_key_var", NO_KEY)
        return [
            self._factory.get(row.get("model", name), row.get("base_url", url), row.get("api_key_var", key))
            for name, url, key in rotation
        ]
