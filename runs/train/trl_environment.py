"""A world as an environment of TRL: `GRPOTrainer(environment_factory=josh.environment_factory(env=...))`.

The trainer's model acts by tool calls alone: it calls the world's tools, and it talks to the user by one more tool.

1. `environment_factory` sets the world up as `josh run` does, and makes a class with one method for each tool.
2. `rows` gives the dataset: a prompt and the task's id for each task.
3. The trainer makes an object of the class for each completion, and calls `reset` with a row: a new conversation
   (`josh.Conversation`) begins, and the user's first words are added to the prompt.
4. Each tool call is one request of the conversation's agent. All conversations wait in one event loop, in a thread of
   its own, so that the trainer may call from any thread.
5. `get_reward` returns the reward at the end.
"""

import asyncio
import atexit
import os
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from josh.conversation import Conversation
from josh.dialogue import Outcome
from josh.errors import JoshError, UsageError
from josh.messages import Message, text_of
from josh.roles import Task
from josh.runs.play.seats import Seats
from josh.runs.registry import guarded
from josh.runs.train.tool_methods import tool_method
from josh.seeds import derive

T = TypeVar("T")
OVER = "(The conversation is over.)"
"""The reply where the user says nothing and the conversation is over."""


def environment_factory(**settings: Any) -> "type[Environment]":
    """Returns a class for `environment_factory` of TRL's GRPOTrainer; see `Environment`.

    Args:
        settings: settings of `josh run` by flag, such as `task_split="train", seed=7`. Settings with a dot in their
            name need a mapping: `environment_factory(**{"env": "mcp:...", "env.tasks": "tasks.jsonl"})`.

    Raises:
        UsageError: a setting is wrong, the world cannot be set up, or its tasks have different tools of one name.
    """
    shared = _Shared(Seats(settings))
    tools = _tools_of(shared.seats)
    members: dict[str, Any] = {"_shared": shared}
    speech = "talk_to_user"
    while speech in tools:
        speech = f"{speech}_"
    if speech != "talk_to_user":
        members[speech] = _speech(speech)
    for name, schema in tools.items():
        attribute = name
        while attribute.startswith("_") or attribute in members or attribute in _OWN:
            attribute = f"tool_{attribute.lstrip('_')}"
        members[attribute] = tool_method(schema, _call)
    world = type(shared.seats.runtime.env).__name__.removesuffix("Env")
    return type(f"{world}Environment", (Environment,), members)


class Environment:
    """One conversation at a time of a trainer's model: `reset`, then the tools, then `get_reward`.

    A subclass by `environment_factory` has one method for each tool, and one for words to the user (`talk_to_user`).
    Each returns a text, and raises ValueError when the conversation is over. A tool that refuses a call returns
    `Error: ` and the reason. Tools take their arguments by keyword.
    """

    _shared: ClassVar["_Shared"]

    def __init__(self) -> None:
        self._conversation: Conversation | None = None
        self._failure: JoshError | None = None
        self._turn = threading.Lock()

    @classmethod
    def rows(cls) -> list[dict[str, Any]]:
        """Returns the rows for the trainer's dataset, one for each task in order: `datasets.Dataset.from_list(rows)`.

        `prompt` has the agent's system prompt and an empty message, to which the trainer adds what `reset` returns;
        `task` is the task's id.
        """
        seats = cls._shared.seats
        return [{"prompt": _prompt(seats, task), "task": name} for name, task in seats.tasks.items()]

    @classmethod
    def close(cls) -> None:
        """Close the connections of the world and of the models; done at the end of the process by itself."""
        cls._shared.close()

    def reset(self, task: str | None = None, **_: Any) -> str:
        """Begin a new conversation.

        Its seed follows from the run's seed, the task's id and the number of the task's conversations so far. In a
        training with several processes (`RANK`) each has seeds of its own.

        Args:
            task: the task's id.

        Returns:
            The user's first words; where the agent speaks first, a message that says so.

        Raises:
            UsageError: there is no such task, or the run's agent does not call tools in the chat-completions format.
            FatalError: the user's model refuses every call.
        """
        shared = self._shared
        if task is None:
            raise UsageError("the row has no task; make the dataset of rows()")
        with self._turn:
            if self._conversation is not None:
                shared.wait(self._conversation.aclose())
            self._failure = None
            self._conversation = conversation = shared.begin(shared.seats.task(str(task)))
            shared.wait(conversation.astart())
            if not conversation.over and shared.seats.runtime.env.tools(conversation.task) and not conversation.tools:
                raise UsageError("the run's agent does not call tools by messages; give agent='function_calling'")
            words = [text_of(each) for each in conversation.prompt if each.get("role") == "user"]
            return "\n".join(words) or OVER

    def get_reward(self) -> float | None:
        """Returns the conversation's reward, in the unit of the rewards class; of an unfinished one the reward so far.

        It is None where an error that the agent is not to blame for ended the conversation.

        Raises:
            FatalError: the user's model refused every call.
        """
        if self._failure is not None:
            raise self._failure  # trainers show the model whatever a tool raises, and would go on
        conversation = self._conversation
        if conversation is None or conversation.outcome is Outcome.INFRA_ERROR:
            return None
        return conversation.reward

    def talk_to_user(self, message: str) -> str:
        """Say something to the user. The user hears nothing else, and words without this call end the conversation.

        Args:
            message: the words to the user

        Returns:
            the user's reply
        """
        if not isinstance(message, str) or not message.strip():
            raise ValueError("the message is empty; give a text")
        return self._say(message)

    def _say(self, words: str | Message) -> str:
        with self._turn:
            conversation = self._conversation
            if conversation is None or conversation.over:
                raise ValueError("the conversation is over")
            try:
                return self._shared.wait(conversation.asay(words)).reply or (OVER if conversation.over else "")
            except JoshError as error:
                self._failure = error
                raise


_OWN = frozenset(("reset", "get_reward", "rows", "close"))
"""Names of `Environment` that no tool's method may have; the model knows the tool by its own name all the same."""


def _speech(name: str) -> Callable[..., str]:
    """Returns `talk_to_user` under another name, where a tool has this one."""
    known = Environment.talk_to_user

    def method(self, message: str) -> str:  # type: ignore[no-untyped-def]  # a typed `self` would be a parameter
        return known(self, message)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = known.__doc__
    return method


def _call(environment: Environment, name: str, arguments: Mapping[str, Any]) -> str:
    call = {"type": "function", "function": {"name": name, "arguments": dict(arguments)}}
    return environment._say({"role": "assistant", "content": "", "tool_calls": [call]})


def _tools_of(seats: Seats) -> dict[str, Mapping[str, Any]]:
    """Returns the schemas of the tools of all tasks, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for task in seats.tasks.values():
        for tool in guarded(f"the tools of task {task.id}", partial(_listed, seats, task)):
            function = tool.get("function", tool)
            name = str(function["name"])
            if found.setdefault(name, function) != function:
                raise UsageError(
                    f"task {task.id}: tool {name!r} has another schema than in an earlier task; make one environment "
                    "for each set of tools, such as with start_index and end_index"
                )
    return found


def _listed(seats: Seats, task: Task) -> list[Mapping[str, Any]]:
    return list(seats.runtime.env.tools(task))


def _prompt(seats: Seats, task: Task) -> list[Message]:
    agent = seats.runtime.search(task).branches[0].agent
    system = [dict(message) for message in agent.messages_internal if message.get("role") == "system"]
    return [*system, {"role": "user", "content": ""}]


class _Shared:
    """What all objects of one class share: the world, the event loop and the number of each task's conversations."""

    def __init__(self, seats: Seats) -> None:
        self.seats = seats
        self._begun: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def begin(self, task: Task) -> Conversation:
        """Returns a new conversation on a task."""
        with self._lock:
            number = self._begun[task.id]
            self._begun[task.id] += 1
        rank = os.environ.get("RANK", "0")
        seed = derive(self.seats.runtime.settings.seed, task.id, "environment", rank, number)
        return self.seats.conversation(task, seed, user=task.index + number)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the event loop, and wait for its result."""
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close the world's and the models' connections, and end the event loop."""
        atexit.unregister(self.close)
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self.seats.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="josh environments", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            return self._loop
