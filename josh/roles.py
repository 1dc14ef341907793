"""The page for a plug-in author: what an agent, a user, a rewards class and an environment have to do.

A search plays many branches of one conversation side by side. Whatever differs between branches lives in the agent
and the user, which are forked where the tree splits; whatever is common (models, tools, databases) is shared. An
author subclasses the four bases below and names the class on the command line (`--agent ./mine.py:MyAgent`), or
hands instances and callbacks to `josh.JOSH`. `josh.testing` ships tests that such a class can inherit.
"""

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from josh.config import OwnConfig, configured_by_flags
from josh.dialogue import Hit, Speaker
from josh.forking import default_fork
from josh.messages import Message, flip_roles
from josh.tags import RewardTag
from josh.transcript import Conversation
from josh.tree import spend

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task:
    """One row to play.

    Attributes:
        id: unique within the environment and stable from run to run.
        index: position in the environment's list of tasks.
        data: whatever the environment needs to know about it.
        metadata: settings of this row alone, which win over every other source.
    """

    id: str
    index: int
    data: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a chat model.

    Attributes:
        text: what it says; empty when it only calls tools.
        tool_calls: tool calls in the chat-completions format.
        finish_reason: the server's word for why it stopped (`stop`, `length`, `tool_calls`, ...).
        token_ids: the sampled tokens, where the model gives them.
        logprobs: their log-probabilities as `Sample.logprobs` has them, where the model gives them.
        prompt_ids: the tokens of the prompt, where the model gives them.
    """

    text: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    finish_reason: str = "stop"
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    prompt_ids: tuple[int, ...] | None = None

    @property
    def message(self) -> Message:
        """The reply as an assistant message."""
        message: Message = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = list(self.tool_calls)
        return message


class TurnModel(Protocol):
    """The chat model as a step sees it: it knows the place in the tree, and so the seed of every request."""

    @property
    def temperature(self) -> float:
        """Sampling temperature of this speaker."""
        ...

    def draw(self) -> int:
        """A fresh seed for this place, in [1, 2**31); the same in every run with the same settings."""
        ...

    def shared_draw(self) -> int:
        """A fresh seed, in [1, 2**31), that all siblings of this decision get alike, in the order of their draws.

        Siblings that draw their dice here differ by what they do alone.
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
"""The name that it had before."""


class HumanInput(TurnModel, Protocol):
    """The line of a side that a person takes."""

    async def hear(self, messages: Sequence[Message], ask: Callable[[], Awaitable[str | None]]) -> str | None:
        """What a person says here, kept like a model's reply: a resumed run asks only for what was not said yet.

        The task's time limit stands still meanwhile.

        Args:
            messages: the conversation that it is said in.
            ask: has the person say it.

        Returns:
            Their words; None where they have left.
        """
        ...


class ToolError(Exception):
    """A tool refuses a call, and the branch goes on: the text is what the caller is shown instead of a result."""


class ToolWorld(Protocol):
    """A world that tools act on. Each branch has its own: it is forked with the agent and the user.

    A world may also have `observe()`, which returns what JSON has a form for and may be `async`. It is called when a
    turn ends, and what it says is stored with the turn: a rewards class whose `is_reward` takes `observed` judges it,
    so that a state of the world can win without help from the agent.
    """

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool. May be `async`. A world that wants to know who calls takes `caller`, a `Speaker`, by keyword.

        Args:
            name: which one, as its schema names it.
            arguments: what the caller gave it, parsed.

        Returns:
            What JSON has a form for. A text is shown as it is, anything else as JSON.

        Raises:
            ToolError: there is no such tool, or it cannot do this.
        """
        ...


class Forkable:
    """Something a branch carries and that has to be isolated between siblings.

    Attributes:
        shared: names of attributes that all branches use together (clients, models, tools, databases).
        blocking: whether a plain `step` waits for something (a network call of its own, say); it then runs in a
            thread, so that the other branches go on meanwhile.
        config: the settings that the class declares in a dataclass `Config` (see `josh.config`), as the run has them;
            all branches share it. It is there before `__init__` begins.
    """

    shared: ClassVar[tuple[str, ...]] = ()
    blocking: ClassVar[bool] = False
    config: Any = OwnConfig()

    def fork(self: T) -> T:
        """A copy for a sibling branch.

        Message histories are copied as lists that share their messages, which nobody may change. Attributes in
        `shared` are the same object in both. Everything else is independent.
        """
        return default_fork(self)


def fork(thing: T) -> T:
    """Fork anything a branch carries: by its own `fork`, or the default of `Forkable` where it has none."""
    own = getattr(thing, "fork", None)
    forked: T = own() if callable(own) else default_fork(thing)
    return forked


class BaseJOSHAgent(Forkable):
    """The side that learns.

    Attributes:
        messages: the conversation as the user sees it.
        messages_internal: the conversation as the agent is trained on it: the same plus system prompt, thoughts, tool
            calls and tool results. Both only ever grow, and a message is never changed once it is in.
        recent_actions: what the latest step did, for the rewards to read. Emptied before every step. By custom a tool
            call is `{"name": ..., "arguments": {...}, "result": ...}`, with "error" for "result" where it was refused;
            the name is empty where it could not be read.
        tools: JSON schemas of the tools the agent may call, attached to its training examples.
    """

    tools: Sequence[Mapping[str, Any]] = ()

    def __init__(self, messages: Sequence[Message] | None = None) -> None:
        self.messages: list[Message] = list(messages or ())
        self.messages_internal: list[Message] = list(messages or ())
        self.recent_actions: list[Any] = []

    def start(self, task: Task, env: "BaseEnv", options: Mapping[str, Any]) -> None:
        """Get ready for one task; called once, before the first turn. By default: take the system prompt.

        Args:
            task: the task about to be played.
            env: the environment it comes from.
            options: the run's settings, by flag name.
        """
        prompt = env.agent_prompt(task)
        if prompt:
            self.messages_internal.insert(0, {"role": "system", "content": prompt})

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Act once: speak, or call a tool. May be `async`.

        Args:
            kwargs: `model`, a `TurnModel`, asks the agent's chat model (called through `josh.JOSH`: the `agent_model`
                given there); `env`, the branch's world; `tokenizer`, for local models; `directive`, where a search
                gives one. A step without a parameter `directive` need not care: the directive is in what `model` asks.

        Returns:
            True when the turn is over and the user has the floor, False to be called again in the same turn, None to
            give the conversation up as lost, `Outcome.TRUNCATED` to break it off undecided.
        """
        self.add_message({"role": "assistant", "content": "hello!"})
        self.recent_actions = ["say hello"]
        return True

    def add_message(self, message: Message) -> None:
        """Add a message that both sides see."""
        self.messages.append(message)
        self.messages_internal.append(message)


class BaseJOSHUser(Forkable):
    """The side that answers. What it knows and the agent must not (persona, goal) stays in here.

    Attributes:
        messages_internal: the conversation as the user's model is trained on it, its own words as `assistant`: system
            prompt, thoughts, tool calls and tool results included. It only ever grows. What the agent says is added
            to it before `step`; what the user says is added after `step`, unless the user has added something itself.
        tools: JSON schemas of the tools the user may call, attached to its training examples. It calls them by
            `josh.tools.use(env, name, arguments, Speaker.USER)`, and adds the calls, their results and its words to
            `messages_internal`.
    """

    tools: Sequence[Mapping[str, Any]] = ()
    messages_internal: list[Message]

    def start(self, task: Task, env: "BaseEnv", options: Mapping[str, Any]) -> None:
        """Get ready for one task; called once, before the first turn. By default: take the system prompt."""
        prompt = env.user_prompt(task)
        self.messages_internal = [{"role": "system", "content": prompt}] if prompt else []

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns what the agent said, as the user's model is shown it; by default the two roles change places."""
        return flip_roles(messages)

    def step(self, agent: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer the agent. May be `async`.

        Args:
            agent: the agent of this branch; read its `messages`, and add the answer with `add_message`.
            kwargs: `model`, a `TurnModel`, asks the user's chat model; `env`, the branch's world; `directive`, as for
                an agent. Given by runs and `josh.play`, not by `josh.JOSH`.

        Returns:
            The agent, and whether the conversation is over.
        """
        agent.add_message({"role": "user", "content": "hi there!"})
        return agent, False


class BaseRewards:
    """What counts: a multiset of goals, each of which can be earned once, and scores of a finished conversation.

    Two kinds of reward. *Events* (`is_reward`) are met while the search goes on and steer it. *Scores* (`score`) are
    computed from a finished conversation. A task may have no goals at all; its conversations are then played to the
    end and judged by their scores alone.

    Attributes:
        rewards: the goals still open.
        reads: whose turns can earn. `is_reward` gets what a step of the agent did (its `recent_actions`), or the
            texts of the messages that the user added in its turn.
        unit: what a reward is counted in, as a prefix (`$`); empty for a plain number.
        verb: what became of the rewards so far, for the progress bar (`$1.50 given`).
        rate: what reports call the share of conversations that met all goals.
        mean: what they call the mean reward of a conversation.
        config: the settings that the class declares in a dataclass `Config`, as the run has them; see `josh.config`.
    """

    config: Any = OwnConfig()

    reads: ClassVar[Speaker] = Speaker.AGENT
    unit: ClassVar[str] = ""
    verb: ClassVar[str] = "earned"
    rate: ClassVar[str] = "success_rate"
    mean: ClassVar[str] = "average_reward"

    def __init__(self, rewards: Sequence[Any]) -> None:
        self.rewards: list[Any] = list(rewards)

    def __len__(self) -> int:
        return len(self.rewards)

    def start(self, task: Task, env: "BaseEnv", options: Mapping[str, Any]) -> None:
        """Get ready for one task; called once, before the first turn. By default: nothing."""

    def is_reward(self, agent_actions: Sequence[Any]) -> Any:
        """Say which open goals some actions meet, without spending them. Each action meets one copy of a goal.

        May be `async`. A class that judges what the world says of itself takes `observed` as well, by keyword: what
        the world's `observe()` said where a turn has just ended, else None. It is then asked after each turn of either
        side, with no actions where the side is not the one that it reads.

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
        """Spend goals. One that is not open any more is passed over."""
        for goal in rewards_to_delete:
            if goal in self.rewards:
                self.rewards.remove(goal)

    def hit_value(self, actions: Sequence[Any]) -> float | None:
        """What these actions are worth when several leaves earn in one phase; None where there is nothing to judge.

        By default all goals are alike, and the first leaf in tree order wins.
        """
        return None

    def won(self, open_goals: Sequence[Any], hits: Sequence[Hit]) -> bool:
        """Whether a path has won, so that it is over; asked after each turn that earned something.

        Args:
            open_goals: the goals that the path has not met. By default there must be none.
            hits: the reward events on the path, in order.
        """
        return not open_goals and bool(hits)

    def path_reward(self, goals: Sequence[Any], hits: Sequence[Hit]) -> float:
        """The reward of a finished path: by default the share of the task's goals that it met, in [0, 1].

        A class that rewards by its scores takes `scores` as well, by keyword: what `score` returned for the path.
        """
        return len(spend(goals, hits)[0]) / len(goals) if goals else 0.0

    async def score(self, task: Task, conversation: Conversation) -> Mapping[str, float]:
        """Score a conversation that has ended, one number by name. Run for each leaf, and again by `josh rescore`.

        It must say the same every time, so it has the task and the record of the conversation, never a live world. It
        may be a plain function. A class that asks a judge takes `judge`, a `TurnModel` that asks the judge's model, by
        keyword; it is None in a run without `--judge_model`.
        """
        return {}

    async def value(self, task: Task, conversation: Conversation) -> float | None:
        """What a conversation is worth so far, for strategies that ask (`Expand(..., value=True)`); None for unknown.

        It may be a plain function, and take `judge` as `score` does.
        """
        return None

    def fork(self: T) -> T:
        """A copy with open goals of its own, for conversations that are scored apart. The rest is shared."""
        twin = copy.copy(self)
        twin.rewards = list(self.rewards)  # type: ignore[attr-defined]
        return twin


class BaseEnv:
    """Where tasks, prompts, goals and worlds come from.

    Attributes:
        opens: who speaks first.
        max_rounds: rounds after which a conversation is cut off, unless the run says otherwise.
        splits: names that `--task_split` takes; the first is the default.
        agents: the agent that plays by default, for a `chat` model, for `offline` and, where it is another one than for
            `chat`, for a `local` model; a class, its short name or its import path.
        users: the same for the user.
        rewards: the rewards class used by default, in the same way.
        references: offline agents that an evaluation plays beside the models, by label.
        called: what a task is called where figures are told; empty for the environment's short name.
        speakers: what the two sides are called where people read what they said, by `agent` and `user`.
        hints: what a person who takes a side has to be told beside its prompt, by side.
        tiny_dialogues: the import path of what a tiny model learns from (`josh.runs.train.tiny.TinyDialogues`); empty
            where the world offers nothing.
        tag: what ends the conversation in a user's words, and is defused in the agent's, where a person is the user.
        row_settings: names that a task's metadata may have for the user's `model`, `base_url` and `api_key_var`, beside
            `user_model` and so on; the later of two counts.
        left_out: rows of the data that are no tasks: how many, by reason (`{"without a goal": 3}`). Known once `tasks`
            has been called.
        config: the settings that the class declares in a dataclass `Config`, as the run has them; see `josh.config`.
    """

    opens: Speaker = Speaker.AGENT
    max_rounds: int = 15
    splits: tuple[str, ...] = ("train",)
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
    left_out: Mapping[str, int] = {}
    config: Any = OwnConfig()

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Args: options: the run's settings, by flag name; an environment made by hand has its own from there too."""
        self.options = options
        if "config" not in vars(self):
            self.config = configured_by_flags(type(self), "env", options)

    @classmethod
    def defaults(cls, environment: Mapping[str, str]) -> Mapping[str, Any]:
        """Settings that environment variables give, by flag name; a flag on the command line wins over them."""
        return {}

    def tasks(self, split: str) -> Sequence[Task]:
        """All tasks of a split, in a fixed order. Raises UsageError where they cannot be had."""
        raise NotImplementedError(f"{type(self).__name__} has no tasks()")

    def goals(self, task: Task) -> Sequence[Any]:
        """What there is to earn in a task, for the rewards class."""
        raise NotImplementedError(f"{type(self).__name__} has no goals()")

    def agent_prompt(self, task: Task) -> str:
        """The agent's system prompt; empty for none."""
        return ""

    def user_prompt(self, task: Task) -> str:
        """The user simulator's system prompt; empty for none."""
        return ""

    def tools(self, task: Task) -> Sequence[Mapping[str, Any]]:
        """Schemas of the tools that the agent may call, in the chat-completions format; by default none."""
        return ()

    def world(self, task: Task) -> Any:
        """What the agent's tools act on (a `ToolWorld`), forked with every branch; None where there is nothing."""
        return None

    def metrics(self, task: Task, messages: Sequence[Message]) -> Mapping[str, float]:
        """What else is worth counting in one conversation (as both sides see it), by name."""
        return {}

    def people(self, task: Task) -> Sequence[str]:
        """Ids of the people in a task, whoever answers the agent first.

        An evaluation takes tasks with the same first person for related ones, and no task for held out that has
        anybody in it who was met in training. By default nobody: tasks have nothing in common.
        """
        return ()

    def groups(self, task: Task) -> Mapping[str, str]:
        """What an evaluation breaks its numbers down by, such as `{"age": "30 to 44"}`; by default nothing."""
        return {}
