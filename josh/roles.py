"""The page for a plug-in author: the contracts of agents, users, rewards and environments.

A search plays many branches of one conversation side by side. The agent and the user hold the state that differs
between branches, so they are forked where the tree splits; branches share everything else (models, tools, databases).
An author subclasses the four base classes below and names the class on the command line (`--agent ./mine.py:MyAgent`),
or passes instances and callbacks to `josh.JOSH`. `josh.testing` has tests that such a class can inherit.
"""

import copy
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeVar

from josh.calls import ContractError
from josh.config import OwnConfig, configured_by_flags
from josh.dialogue import Hit, Outcome, Speaker
from josh.errors import TurnError, UsageError
from josh.forking import default_fork
from josh.imported import RecordedDialogues
from josh.messages import Message, flip_roles
from josh.tags import RewardTag
from josh.transcript import Transcript
from josh.tree import Pair, Tree, spend

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task:
    """One row to play.

    Attributes:
        id: unique within the environment and stable from run to run.
        index: position in the environment's list of tasks.
        data: the row's data, in a form that the environment chooses.
        metadata: settings of this row alone, which override every other source.
    """

    id: str
    index: int
    data: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a chat model.

    Attributes:
        text: the reply's text; empty when it only calls tools.
        tool_calls: tool calls in the chat-completions format.
        finish_reason: why sampling stopped, in the server's terms (`stop`, `length`, `tool_calls`, ...).
        token_ids: the sampled tokens, where the model gives them.
        logprobs: their log-probabilities as `Sample.logprobs` has them, where the model gives them.
        model_logprobs: their log-probabilities as `Sample.model_logprobs` has them, where the model gives them.
        prompt_ids: the tokens of the prompt, where the model gives them.
        likely: for each sampled token, the texts of the likeliest tokens at its place with their log-probabilities, the
            sampled one first; where a request asks for `top_logprobs` and the endpoint gives them.
        thoughts: the model's thoughts beside its tool calls, by the fields that the endpoint sent and may want back.
            The next request of the turn has them; do not show or record them.
    """

    text: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    finish_reason: str = "stop"
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    prompt_ids: tuple[int, ...] | None = None
    likely: tuple[Mapping[str, float], ...] | None = None
    thoughts: Mapping[str, Any] = field(default_factory=dict)
    model_logprobs: tuple[float, ...] | None = None

    @property
    def message(self) -> Message:
        """The reply as an assistant message."""
        message: Message = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = list(self.tool_calls)
        return message


class TurnModel(Protocol):
    """The chat model as a step sees it. It knows the place in the tree; the seed of every request follows from that."""

    @property
    def temperature(self) -> float:
        """Sampling temperature of this speaker."""
        ...

    def draw(self) -> int:
        """Returns a fresh seed for this place, in [1, 2**31); the same in every run with the same settings."""
        ...

    def shared_draw(self) -> int:
        """Returns a fresh seed, in [1, 2**31); the n-th call gives the same seed to all siblings of this decision.

        Siblings that take their random numbers from it have the same luck, so only their actions differ.
        """
        ...

    async def reply(self, messages: Sequence[Message], **options: Any) -> Reply:
        """Ask the model for one reply.

        Args:
            messages: the conversation as this speaker sees it, its own words as `assistant`.
            options: further fields of the chat-completions request, such as `tools`, `stop` or `max_tokens`.
        """
        ...


Line = TurnModel
"""The former name of `TurnModel`."""


class HumanInput(TurnModel, Protocol):
    """The model handle of a speaker that a person plays."""

    async def hear(self, messages: Sequence[Message], ask: Callable[[], Awaitable[str | None]]) -> str | None:
        """Returns a person's words at this place; the journal keeps them, so a resumed run does not ask again.

        The task's time limit stops while the person is asked.

        Args:
            messages: the conversation that the words continue.
            ask: asks the person, and returns the words, or None where the person left.

        Returns:
            The person's words; None where the person left.
        """
        ...


class AgentError(TurnError):
    """The agent cannot go on, and it is its own fault: it says nothing, or what it writes cannot be read.

    Raise it in a step. The conversation ends as lost and counts in every mean. An error that no agent could have
    prevented is any other exception.

    Attributes:
        hint: what the person who runs the agent may try; empty for no hint.
    """

    def __init__(self, text: str, hint: str = "") -> None:
        """Args: text: what the agent did, as a predicate without a subject: `said nothing`. hint: see the class."""
        super().__init__(text)
        self.hint = hint


class ToolError(Exception):
    """A tool refuses a call, and the branch continues: the caller gets the text instead of a result."""


class ToolWorld(Protocol):
    """A world that tools act on. Each branch has its own: it is forked with the agent and the user.

    A world may also have `observe()`, which returns JSON values and may be `async`. It is called when a turn ends, and
    its result is stored with the turn. A rewards class whose `is_reward` takes `observed` judges it, so that a state of
    the world can earn a reward without a report from the agent.

    A world that follows the conversation has `follow(speaker, messages, over)`, which may be `async`. It is called
    before `observe`, with the `Speaker` of a turn, the turn's messages that both speakers see, and whether the user
    ended the conversation. It returns None, or an `Outcome` that ends a conversation which would continue.
    """

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool. May be `async`. A world that distinguishes callers takes `caller`, a `Speaker`, by keyword.

        Args:
            name: the tool's name, as in its schema.
            arguments: the caller's arguments, parsed.

        Returns:
            A JSON value. The caller gets a text unchanged, and any other value as JSON.

        Raises:
            ToolError: the tool does not exist, or refuses the call.
        """
        ...


class Forkable:
    """An object of a branch, which siblings must not share.

    Attributes:
        shared: names of attributes that all branches use together (clients, models, tools, databases).
        blocking: whether a synchronous `step` waits for something, such as its own network call; it then runs in a
            thread, so that the other branches continue.
        needs_model: whether its `step` asks the chat model. A run then refuses the model `offline` before its first
            call; without it, `offline` is refused when the step asks.
        may_ask: whether its `step` asks a chat model where there is one, though it needs none.
        config: the run's values of the settings that the class declares in a dataclass `Config` (see `josh.config`);
            all branches share it. It is set before `__init__` begins.
    """

    shared: ClassVar[tuple[str, ...]] = ()
    blocking: ClassVar[bool] = False
    needs_model: ClassVar[bool] = False
    may_ask: ClassVar[bool] = False
    config: Any = OwnConfig()

    def fork(self: T) -> T:
        """Returns a copy for a sibling branch.

        Message histories are copied as lists that share their messages, so a message must never be changed. Attributes
        in `shared` are the same object in both. Everything else is independent.
        """
        return default_fork(self)


def fork(thing: T) -> T:
    """Returns a fork of an object: by the object's own `fork`, or by the default of `Forkable` where it has none."""
    own = getattr(thing, "fork", None)
    forked: T | None = own() if callable(own) else default_fork(thing)
    if forked is None:
        raise ContractError(f"{type(thing).__name__}.fork() returned None; return the copy")
    return forked


class BaseJOSHAgent(Forkable):
    """The speaker that learns.

    Attributes:
        messages: the conversation as the user sees it.
        messages_internal: the conversation as the agent is trained on it: the same plus system prompt, thoughts, tool
            calls and tool results. Both histories only grow, and a message in them never changes.
        recent_actions: the actions of the latest step, which the rewards read. The search empties it before every step.
            By convention a tool call is `{"name": ..., "arguments": {...}, "result": ...}`, with "error" instead of
            "result" where it was refused; the name is empty where the call could not be parsed.
        tools: JSON schemas of the tools the agent may call, attached to its training examples.
        calls_tools: whether its steps may call tools; False where it only speaks.
    """

    tools: Sequence[Mapping[str, Any]] = ()
    calls_tools: ClassVar[bool] = True

    def __init__(self, messages: Sequence[Message] | None = None) -> None:
        self.messages: list[Message] = list(messages or ())
        self.messages_internal: list[Message] = list(messages or ())
        self.recent_actions: list[Any] = []

    def start(self, task: Task, env: "BaseEnv", options: Mapping[str, Any]) -> None:
        """Prepare for one task; called once, before the first turn. The default adds the system prompt and the opening.

        Args:
            task: the task to be played.
            env: the task's environment.
            options: the run's settings, by flag name.
        """
        prompt = env.agent_prompt(task)
        if prompt:
            self.messages_internal.insert(0, {"role": "system", "content": prompt})
        self.take_opening(task, env)

    def take_opening(self, task: Task, env: "BaseEnv") -> None:
        """Add the messages from before the first turn (`BaseEnv.opening`), which both speakers see if they are words.

        The user sees no tool call, and no result of one.
        """
        for message in env.opening(task) if hasattr(env, "opening") else ():
            self.messages_internal.append(message)
            if message["role"] in ("user", "assistant") and message.get("content") and not message.get("tool_calls"):
                self.messages.append(message)

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Act once: speak, or call a tool. May be `async`.

        Args:
            kwargs: `model`, a `TurnModel`, asks the agent's chat model (called through `josh.JOSH`: the `agent_model`
                given there); `env`, the branch's world; `tokenizer`, for local models; `directive`, where a search
                gives one. Where a step has no parameter `directive`, `model` adds the directive to its requests.

        Returns:
            True when the turn is over and the user has the floor, False to be called again in the same turn, None to
            give the conversation up as lost, `Outcome.TRUNCATED` to end it undecided.

        Raises:
            AgentError: the agent cannot go on by its own fault; the conversation is lost, and is scored.
        """
        self.add_message({"role": "assistant", "content": "hello!"})
        self.recent_actions = ["say hello"]
        return True

    def add_message(self, message: Message) -> None:
        """Add a message that both speakers see."""
        self.messages.append(message)
        self.messages_internal.append(message)


class BaseJOSHUser(Forkable):
    """The speaker that answers the agent. It keeps what the agent must not know (persona, goal) to itself.

    Attributes:
        messages_internal: the conversation as the user's model is trained on it, its own words as `assistant`: system
            prompt, thoughts, tool calls and tool results included. It only grows. The search adds the agent's messages
            before `step`, and the user's messages after `step` unless the user added messages itself.
        tools: JSON schemas of the tools the user may call, attached to its training examples. It calls them by
            `josh.tools.use(env, name, arguments, Speaker.USER)`, and adds the calls, their results and its words to
            `messages_internal`.
        writes: the tag by which the user decides, where it writes one without being asked to.
    """

    tools: Sequence[Mapping[str, Any]] = ()
    writes: ClassVar[RewardTag | None] = None
    messages_internal: list[Message]

    @classmethod
    def learned_from(cls, env: "BaseEnv") -> Collection[str]:
        """Returns the ids of the people whose conversations the user is made of; by default none.

        It may be used in no comparison with these people.

        Args:
            env: the environment of the run, with its data.

        Raises:
            UsageError: the data cannot be read.
        """
        return ()

    def start(self, task: Task, env: "BaseEnv", options: Mapping[str, Any]) -> None:
        """Prepare for one task; called once, before the first turn. The default sets the system prompt."""
        prompt = env.user_prompt(task)
        self.messages_internal = [{"role": "system", "content": prompt}] if prompt else []

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the agent's messages as the user's model sees them; by default with the two roles swapped."""
        return flip_roles(messages)

    def step(self, agent: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer the agent. May be `async`.

        Args:
            agent: the agent of this branch; read its `messages`, and add the answer with `add_message`.
            kwargs: `model`, a `TurnModel`, asks the user's chat model; `env`, the branch's world; `directive`, as for
                an agent. Runs and `josh.play` pass them; `josh.JOSH` does not.

        Returns:
            The agent, and whether the conversation is over.
        """
        agent.add_message({"role": "user", "content": "hi there!"})
        return agent, False


@dataclass(frozen=True, slots=True)
class TurnTable:
    """A table of a run's turns, for reports; `BaseRewards.turn_cells` says in which cell a turn is counted.

    Attributes:
        title: its title.
        rows: the names of its rows: what the speaker found.
        columns: the names of its columns: what it did.
        about: a sentence or two on how to read it.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    about: str = ""


class BaseRewards:
    """The rewards of a task: a multiset of goals, each of which can be earned once, and scores of a conversation.

    There are two kinds of reward. *Events* (`is_reward`) happen during the search and steer it. *Scores* (`score`) are
    computed from a finished conversation. A task may have no goals; its conversations are then played to the end and
    judged by their scores alone.

    Attributes:
        rewards: the goals that are still open.
        reads: the speaker whose turns can earn. `is_reward` gets the actions of an agent's step (`recent_actions`), or
            the texts of the messages that the user added in its turn.
        tag: the tag in the user's words that a reward needs; None where it needs none.
        needs_calls: whether only calls of tools meet a goal.
        unit: the unit of a reward, as a prefix (`$`); empty for a plain number.
        verb: the participle after the total reward in the progress bar (`$1.50 given`).
        rate: the name in reports of the share of conversations that met all goals.
        mean: the name in reports of the mean reward of a conversation.
        turn_table: a table of turns for reports; None for none.
        config: the run's values of the settings that the class declares in a dataclass `Config`; see `josh.config`.
    """

    config: Any = OwnConfig()

    @staticmethod
    def unread(config: Mapping[str, Any]) -> Mapping[str, str]:
        """Returns the settings of the class that others make irrelevant, by flag, each with the reason and the way out.

        Args:
            config: the values that the run gives, by name.
        """
        return {}

    reads: ClassVar[Speaker] = Speaker.AGENT
    tag: ClassVar[RewardTag | None] = None
    needs_calls: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    verb: ClassVar[str] = "earned"
    rate: ClassVar[str] = "success_rate"
    mean: ClassVar[str] = "average_reward"
    turn_table: ClassVar[TurnTable | None] = None

    def __init__(self, rewards: Sequence[Any]) -> None:
        self.rewards: list[Any] = list(rewards)

    def __len__(self) -> int:
        return len(self.rewards)

    def start(self, task: Task, env: "BaseEnv", options: Mapping[str, Any]) -> None:
        """Prepare for one task; called once, before the first turn. The default does nothing."""

    def is_reward(self, agent_actions: Sequence[Any]) -> Any:
        """Find the open goals that some actions meet, without spending them. Each action meets one copy of a goal.

        May be `async`. A class that judges the world's state also takes `observed`, by keyword: the result of the
        world's `observe()` at the end of a turn, else None. It is then asked after each turn of both speakers, without
        actions where the speaker is not the one that it reads.

        Returns:
            Whether any goal is met, and the goals met.
        """
        left = list(self.rewards)
        met = []
        for action in agent_actions:
            if action in left:
                left.remove(action)
                met.append(action)
        return bool(met), met

    def delete_reward(self, rewards_to_delete: Sequence[Any]) -> None:
        """Spend goals. A goal that is not open is ignored."""
        for goal in rewards_to_delete:
            if goal in self.rewards:
                self.rewards.remove(goal)

    def hit_value(self, actions: Sequence[Any]) -> float | None:
        """Returns the value of these actions, to compare leaves that earn in the same phase; None for no value.

        By default all goals are alike, and the first leaf in tree order wins.
        """
        return None

    def won(self, open_goals: Sequence[Any], hits: Sequence[Hit]) -> bool:
        """Returns whether a path has won, which ends it; asked after each turn that earned a reward.

        Args:
            open_goals: the goals that the path has not met. By default a path has won when it has met all goals.
            hits: the reward events on the path, in order.
        """
        return not open_goals and bool(hits)

    def path_reward(self, goals: Sequence[Any], hits: Sequence[Hit]) -> float:
        """Returns the reward of a finished path: by default the share of the task's goals that it met, in [0, 1].

        A class whose rewards depend on scores also takes `scores`, by keyword: the result of `score` for the path.
        """
        return len(spend(goals, hits)[0]) / len(goals) if goals else 0.0

    async def score(self, task: Task, conversation: Transcript) -> Mapping[str, float]:
        """Returns the scores of a conversation that has ended, by name. Called for each leaf, and by `josh rescore`.

        It must return the same every time, so it gets the task and the record of the conversation, never a live world.
        It may be synchronous. A class that asks a judge takes `judge`, a `TurnModel` that asks the judge's model, by
        keyword; it is None in a run without `--judge_model`.
        """
        return {}

    async def value(self, task: Task, conversation: Transcript) -> float | None:
        """Returns the value of a conversation so far; None for unknown.

        Only strategies that ask for it get it (`Expand(..., value=True)`). It may be synchronous, and take `judge` as
        `score` does.
        """
        return None

    async def facts(self, task: Task, conversation: Transcript) -> Mapping[str, Any] | None:
        """Returns what is true of a conversation after its last turn, as JSON values by name; None for nothing.

        Called after each turn, and by `josh rescore`. The result is stored with the turn, and later turns can read it
        (`PastTurn.facts`). It may be synchronous, and take `judge` as `score` does.
        """
        return None

    def ended(self, facts: Mapping[str, Any]) -> Outcome | None:
        """Returns how a conversation ends after a turn with these facts; None where it continues."""
        return None

    def pairs(self, task: Task, tree: Tree) -> Iterable[Pair]:
        """Yields the pairs of sibling turns that a labelled export may use; by default none.

        Called once, with the finished tree. Pairs without a label say why they have none, so that they are counted.
        """
        return ()

    def fact_words(self, facts: Mapping[str, Any], speaker: Speaker) -> str:
        """Returns the facts after a turn of a speaker in a few words, for trees that people read.

        By default these are the numbers, texts and truth values among them, by name. Reports call it on an object that
        is not started on a task.
        """
        plain = {name: value for name, value in facts.items() if isinstance(value, str | int | float)}
        return ", ".join(f"{name}: {value}" for name, value in plain.items())

    def turn_cells(self, task: Task, tree: Tree) -> Iterable[tuple[int, str, str]]:
        """Yields turns of a finished tree for `turn_table`: node index, row and column; called as `fact_words` is."""
        return ()

    def fork(self: T) -> T:
        """Returns a copy with its own list of open goals; both copies share the rest."""
        twin = copy.copy(self)
        twin.rewards = list(self.rewards)  # type: ignore[attr-defined]
        return twin


class BaseEnv:
    """The source of tasks, prompts, goals and worlds.

    Attributes:
        opens: the speaker of the first turn.
        max_rounds: most rounds of a conversation, unless the run sets another number.
        splits: the values of `--task_split`; the first is the default.
        splits_to_have: what it takes to have a further split, by its name, for the error message.
        agents: the default agents: for a `chat` model, for `offline` and, where it differs from `chat`, for a `local`
            model; a class, its short name or its import path.
        users: the default users, in the same form.
        rewards: the default rewards class: a class, its short name or its import path.
        references: offline agents that an evaluation plays beside the models, by label.
        called: the name of a task in reports; empty for the environment's short name.
        speakers: the names of the two speakers for readers of a conversation, by `agent` and `user`.
        hints: instructions for a person who plays a speaker, in addition to the prompt, by `agent` and `user`.
        tiny_dialogues: the import path of the training dialogues of a tiny model
            (`josh.runs.train.tiny.TinyDialogues`); empty where the environment has none.
        tag: where a person is the user, this tag ends the conversation in the user's text, and is defused in the
            agent's text.
        row_settings: further names in a task's metadata for the user's `model`, `base_url` and `api_key_var`, beside
            `user_model` and so on; where a row has both, the later one counts.
        directives: the texts of instructions, by the name that a strategy uses for them. A step with a parameter
            `directive` gets the name; a chat model gets the text.
        personal: the kinds of personal data that an import masks (`josh import`): `email`, `phone`, `card`. A world
            whose own data has public phone numbers, such as those of restaurants, leaves `phone` out.
        people_in: the setting that names the data with the conversations of people (`dialogues`); empty for none.
        commits: the acts of a user (`user_acts`) by which it agrees to what the agent wants.
        refuses: the acts of a user by which it says no.
        left_out: the number of rows of the data that are not tasks, by reason (`{"without a goal": 3}`). Set by a call
            of `tasks`.
        config: the run's values of the settings that the class declares in a dataclass `Config`; see `josh.config`.
    """

    opens: Speaker = Speaker.AGENT
    max_rounds: int = 15
    splits: tuple[str, ...] = ("train",)
    splits_to_have: Mapping[str, str] = MappingProxyType({})
    agents: Mapping[str, str | type] = {}
    users: Mapping[str, str | type] = {}
    rewards: str | type = "goals"
    references: Mapping[str, str | type] = {}
    called: str = ""
    speakers: Mapping[str, str] = {"agent": "agent", "user": "user"}
    hints: Mapping[str, str] = {}
    tiny_dialogues = ""
    tag: RewardTag | None = None
    row_settings: Mapping[str, str] = {}
    directives: Mapping[str, str] = {}
    personal: tuple[str, ...] = ("email", "phone", "card")
    people_in: str = ""
    commits: Collection[str] = ()
    refuses: Collection[str] = ()
    left_out: Mapping[str, int] = {}
    config: Any = OwnConfig()

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Args: options: the run's settings, by flag name. Outside a run, `config` is made from them."""
        self.options = options
        if "config" not in vars(self):
            self.config = configured_by_flags(type(self), "env", options)

    @classmethod
    def defaults(cls, environment: Mapping[str, str]) -> Mapping[str, Any]:
        """Returns settings from environment variables, by flag name; a flag on the command line overrides them."""
        return {}

    def unread(self) -> Mapping[str, str]:
        """Returns the settings of the world that its other settings make irrelevant, by flag, each with the reason.

        A run refuses them where they are given: `FLAG is VALUE, but REASON`.
        """
        return {}

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns all tasks of a split, in a fixed order. Raises UsageError where they cannot be loaded."""
        raise NotImplementedError(f"{type(self).__name__} has no tasks()")

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns the goals of a task, for the rewards class."""
        raise NotImplementedError(f"{type(self).__name__} has no goals()")

    def agent_prompt(self, task: Task) -> str:
        """Returns the agent's system prompt; empty for none."""
        return ""

    def user_prompt(self, task: Task) -> str:
        """Returns the user simulator's system prompt; empty for none."""
        return ""

    def opening(self, task: Task) -> Sequence[Message]:
        """Returns the messages from before the first turn, as the agent's model sees them; by default none.

        They are part of the task, such as a greeting, or a conversation that is to be continued.
        """
        return ()

    def no_rows(self, task: Task) -> str:
        """Returns why a task's conversations are no training rows, such as `won by doing nothing`; empty if they are.

        The task is played and evaluated all the same. Reports count such tasks.
        """
        return ""

    def tools(self, task: Task) -> Sequence[Mapping[str, Any]]:
        """Returns the schemas of the agent's tools, in the chat-completions format; by default none."""
        return ()

    def world(self, task: Task) -> Any:
        """Returns the world that tools act on (a `ToolWorld`), which is forked with every branch; None for no world."""
        return None

    def metrics(self, task: Task, messages: Sequence[Message]) -> Mapping[str, float]:
        """Returns further metrics of one conversation (as both speakers see it), by name.

        An environment whose metrics need tool calls or thoughts also takes `conversation`, a `Transcript`, by
        keyword.
        """
        return {}

    def people(self, task: Task) -> Sequence[str]:
        """Returns the ids of the people in a task; the person who answers the agent comes first.

        An evaluation treats tasks with the same first person as related. A task is not held out if one of its people
        occurred in training. By default a task has no people, so tasks are unrelated.
        """
        return ()

    def adopt(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the data of a task for a conversation that josh did not play, and that is on none of the tasks.

        By default it is the conversation's own data.

        Args:
            name: the id of the conversation.
            data: what its source says of it.

        Raises:
            UsageError: the world needs data that the source lacks; the text says which.
        """
        return data

    def dialogues(self, split: str | None) -> RecordedDialogues:
        """Returns the conversations of people in the world's own data, for `josh import` without files.

        Args:
            split: the split; None for all.

        Raises:
            UsageError: the world has none, or its data cannot be read.
        """
        raise UsageError("it has no conversations of people; give files, and --format")

    async def aclose(self) -> None:
        """Close what the environment has opened; called at the end of a run. The default does nothing."""

    def groups(self, task: Task) -> Mapping[str, str]:
        """Returns the groups of a task by which an evaluation splits its numbers, such as `{"age": "30 to 44"}`."""
        return {}

    def reference(self, task: Task) -> float | None:
        """Returns what people earned in the same task, in the unit of rewards; None where that is not known.

        An evaluation shows the mean beside the models'. By default nothing is known.
        """
        return None

    def acts(self, task: Task, messages: Sequence[Message]) -> Collection[str]:
        """Returns the names of what an agent's turn does by its words, such as `{"thank"}`; by default none.

        Reports count them for agents that record no acts of their own (`BaseJOSHAgent.recent_actions`).

        Args:
            task: the task.
            messages: the turn's messages, as both speakers see them.
        """
        return ()

    def user_acts(self, heard: str, said: str) -> Collection[str]:
        """Returns the names of what a user's turn does by its words; by default none.

        `josh realism` compares the acts of simulated users with those of people.

        Args:
            heard: the agent's words that the turn answers; empty where the user speaks first.
            said: the user's words, without tags.
        """
        return ()
