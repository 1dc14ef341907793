"""Who plays: from settings to agents, users, rewards and chat models, checked before anything is paid for."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from functools import partial
from typing import Any

from josh.branch import TurnContext
from josh.driver import Search
from josh.episode import begin
from josh.errors import UsageError
from josh.loading import load
from josh.messages import dumps
from josh.models.budget import Budget, Price
from josh.models.call import Clock
from josh.models.chat import ChatModel
from josh.models.gateway import ModelGateway
from josh.models.hf import HFChat
from josh.models.hf_loading import is_local, look_for
from josh.models.litellm_chat import PREFIX, LiteLLMChat, is_for_litellm
from josh.models.offline import OfflineModel, RecordedModel
from josh.models.openai_chat import NO_KEY, OpenAIChat
from josh.models.turn_model import BoundModel
from josh.roles import Task
from josh.runs.play.model_factory import one_for_each, user_overrides, with_addresses
from josh.runs.play.tasks import choose_tasks, round_limit
from josh.runs.play.trackers import check_trackers
from josh.runs.record.prices import prices_of, read_prices
from josh.runs.record.summary import person_of
from josh.runs.registry import AGENTS, USERS, checked, default_for, env_class, path_of, plugged, rewards_class
from josh.runs.settings import FIELDS, HUMAN, OFFLINE, RunSettings, environment
from josh.scoring import Scorer
from josh.search import Strategy
from josh.seeds import derive
from josh.steps import PluginSteps
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.tree import Speaker


def strategy_of(settings: RunSettings) -> Strategy:
    """How a run's trees grow."""
    if not settings.josh:
        return Rollouts(settings.rollouts)
    return BeamSearch(settings.beam_size, settings.stop)


class Runtime:
    """Everything a run's tasks are played with.

    Attributes:
        settings: the run's settings.
        env: the environment.
        agent_type: the agent's class.
        tasks: the tasks to play, in order.
        people: whom each is about, by its id; see `summary.person_of`.
        recorded: whether every reply has to come from the journal.
        prices: what every model costs, by name; None where that is not known.
        exchange: what takes requests to the models.
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
        settings = with_addresses(settings, environment())
        if not recorded:
            check_trackers(settings.report_to)
        self.settings = settings
        self.options: Mapping[str, Any] = asdict(settings)
        self.env = plugged(f"env {settings.env!r}", lambda: env_class(settings.env)(self.options))
        unread = next((name for name in self.env.unread if getattr(settings, name) != FIELDS[name].default), None)
        if unread is not None:
            raise UsageError(f"{unread} is {getattr(settings, unread)!r}, which env {settings.env!r} has no use for")
        self.tasks = choose_tasks(self.env, settings)
        self.people = {
            task.id: plugged(f"the people of task {task.id}", partial(person_of, task, self.env)) for task in self.tasks
        }
        self._positions = {task.id: position for position, task in enumerate(self.tasks)}
        self._strategy = strategy_of(settings)
        self.recorded = recorded
        self._rehearsed = rehearsed
        self._models: dict[tuple[str, str | None, str | None], ChatModel] = {}
        self._agent_model = self._model(settings.model, settings.base_url, settings.api_key_var)
        self._rotation = self._user_rotation()
        self.agent_type = self._plug_in("agent", AGENTS, self.env.agents, self._agent_model)
        self._rewards_type = rewards_class(settings, self.env)
        # Per task once, not per turn: what its row says of the user's models, and the class that goes with them.
        self._user_models = {task.id: self._models_for(task) for task in self.tasks}
        self._user_types = {task.id: self._type_for(task) for task in self.tasks}
        self.prices = prices_of(
            (model for model in self.models if not isinstance(model, OfflineModel)), read_prices(settings.price)
        )
        self.exchange = ModelGateway(
            settings.max_concurrency,
            per_minute=settings.requests_per_minute,
            max_attempts=settings.max_attempts,
            max_retry_seconds=settings.max_retry_seconds,
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
            "models": sorted({model.name for model in self._models.values()}),
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
        return list(self._models.values())

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
                self._strategy,
                agent=self.agent_type(),
                user=self.user_type(task)(),
                rewards=self._rewards_type(list(env.goals(task))),
                options=self.options,
                seed=derive(settings.seed, task.id),
                max_turn_tries=settings.josh_agent_tries,
                parallel=steps.waits,
                # Plain rollouts are a sample: two that agree are no mistake.
                resample=self._strategy.searched,
                name=f"task {task.id}",
                max_rounds=self.max_rounds(task),
                value=(scorer or self.scorer(task, clock)).value,
            )

        return plugged(f"task {task.id} cannot be set up", set_up)

    def scorer(self, task: Task, clock: Clock | None = None) -> Scorer:
        """What asks the rewards about the conversations of a task."""
        return Scorer(task)

    def line(self, task: Task, place: TurnContext, clock: Clock | None = None, directed: bool = True) -> BoundModel:
        """The chat model for one turn of one task."""
        settings = self.settings
        if place.speaker is Speaker.AGENT:
            model, temperature = self._agent_model, settings.temperature
            top_p, min_p = settings.top_p, settings.min_p
        else:
            models = self._user_models[task.id]
            # A person stays the same along a path: only the first split tells siblings' models apart.
            sibling = int(place.path.partition("/")[0] or 0)
            model = models[(task.index + sibling) % len(models)]
            temperature = settings.user_temperature
            top_p, min_p = settings.user_top_p, settings.user_min_p
        assert temperature is not None
        # Elder tasks are served first, and leaves with the same beginning together: servers keep prompts for a while.
        priority = (self._positions[task.id], place.path)
        share = not settings.single_replies
        return BoundModel(
            model,
            temperature,
            place,
            self.exchange,
            settings.seed,
            task.id,
            priority,
            share,
            clock,
            recorded=self.recorded,
            top_p=top_p,
            min_p=min_p,
            directed=directed,
        )

    def slot(self, task: Task) -> AbstractAsyncContextManager[None]:
        """A place for a step that waits for something by itself."""
        return self.exchange.plug_ins.slot((self._positions[task.id], ""))

    async def aclose(self) -> None:
        """Drop the calls that are left, and close every model's connections."""
        await self.exchange.aclose()
        for model in self.models:
            await model.aclose()

    def _budget(self) -> Budget:
        settings = self.settings
        known: dict[str, Price] = {}
        for name, price in self.prices.items():
            if price is None and settings.max_cost is not None:
                raise UsageError(f"max_cost needs to know what {name} costs; give --price {name}=PROMPT/REPLY")
            if price is not None:
                known[name] = price
        return Budget(settings.max_calls, settings.max_tokens_total, settings.max_cost, known)

    def _plug_in(self, role: str, known: Mapping[str, str], defaults: Mapping[str, str], model: ChatModel) -> Any:
        name = getattr(self.settings, role) or default_for(model.name, defaults)
        if not name:
            raise UsageError(f"env {self.settings.env!r} has no {role} for model {model.name!r}; give --{role}")
        return checked(load(name, known, role), name, "step", "start")

    def _user_rotation(self) -> list[tuple[str, str | None, str | None]]:
        settings = self.settings
        names = [name.strip() for name in (settings.user_model or OFFLINE).split(",")]
        if not all(names):
            raise UsageError(f"user_model is {settings.user_model!r}; one of the names is empty")
        if OFFLINE in names and len(names) > 1:
            raise UsageError(f"user_model is {settings.user_model!r}; `offline` cannot rotate with chat models")
        urls = one_for_each(settings.user_base_url, len(names), "user_base_url")
        keys = one_for_each(settings.user_api_key_var, len(names), "user_api_key_var")
        return list(zip(names, urls, keys, strict=True))

    def _type_for(self, task: Task) -> Any:
        return self._plug_in("user", USERS, self.env.users, self._user_models[task.id][0])

    def _models_for(self, task: Task) -> list[ChatModel]:
        """The user's models for one task: what its row says wins, field by field, over the rotation."""
        called = self.env.speakers["user"]
        row = {kind: task.metadata[key] for key, kind in user_overrides(called).items() if task.metadata.get(key)}
        if self.settings.user == HUMAN:
            row = {}  # nobody asks these models
        for kind, value in row.items():
            if not isinstance(value, str):
                raise UsageError(f"task {task.id}: the user's {kind} is {value!r}; give a text")
        rotation = self._rotation
        if "model" in row:
            # One model for the whole row; its address and key still come from the rotation where the row is silent.
            rotation = [one for one in rotation if one[0] == row["model"]] or rotation[:1]
        if "base_url" in row:
            # No key goes to an address that a task file names, unless the file names the key's variable as well.
            if row["base_url"].startswith("https:") and "api_key_var" not in row:
                raise UsageError(f"task {task.id} names {row['base_url']}; have it name {called}_api_key_var too")
            row.setdefault("api_key_var", NO_KEY)
        return [
            self._model(row.get("model", name), row.get("base_url", url), row.get("api_key_var", key))
            for name, url, key in rotation
        ]

    def _model(self, name: str, base_url: str | None, api_key_var: str | None) -> ChatModel:
        if is_local(name):
            if base_url:
                raise UsageError(f"model {name!r} runs here, and an address is given for it, {base_url}; leave one out")
            api_key_var = None
        key = (name, base_url, api_key_var)
        if key not in self._models:
            if name == OFFLINE:
                self._models[key] = OfflineModel()
            elif self.recorded:
                self._models[key] = RecordedModel(name.removeprefix(PREFIX))
            elif is_local(name):
                self._models[key] = self._local(name)
            elif is_for_litellm(name, base_url):
                self._models[key] = LiteLLMChat(name, base_url, api_key_var, timeout=self.settings.timeout)
            else:
                self._models[key] = OpenAIChat(name, base_url, api_key_var, timeout=self.settings.timeout)
        return self._models[key]

    def _local(self, name: str) -> ChatModel:
        settings = self.settings
        if self._rehearsed:
            look_for(name, settings.load_in_4bit)
            return RecordedModel(name)
        return HFChat(
            name,
            dtype=settings.dtype,
            load_in_4bit=settings.load_in_4bit,
            threads=settings.torch_threads,
            batch_size=settings.batch_size,
        )
