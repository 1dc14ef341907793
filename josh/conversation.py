"""One conversation whose agent is spoken for from outside: a trainer, a benchmark's harness, a person, a program.

It is the two-agent environment of reinforcement learning: `say` is the policy's action, the user's reply is the
observation, and the reward comes at the end. The turns are taken by the same code as those of a search: the same users,
rules, seeds, tags and rewards.

How it works: the agent's step asks its model, as in a search, and the conversation stops there until `say` gives the
reply. So each agent works, also one that calls tools: `say` then answers one request, and the reply is the tool's
result.
"""

import asyncio
import atexit
import threading
import types
import weakref
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from josh.branch import Branch
from josh.dialogue import Outcome, Speaker
from josh.episode import GREEDY, USUAL, Table, set_table, settle
from josh.errors import UsageError
from josh.messages import Message, text_of
from josh.models.chat import ChatModel, Sampling
from josh.models.turn_model import BoundModel
from josh.outcomes import ENDINGS, Episode
from josh.roles import BaseEnv, BaseJOSHAgent, Reply, Task, TurnModel
from josh.scoring import JUDGE
from josh.strategies.rollouts import Rollouts
from josh.tree import Tree, hits

T = TypeVar("T")


class Answer(NamedTuple):
    """What came back for the agent's words.

    Attributes:
        reply: the user's words, or the result of a tool; empty where nobody answered.
        over: whether the conversation is over.
    """

    reply: str
    over: bool


class Spoken(BaseJOSHAgent):
    """An agent that says what it is given, word for word."""

    calls_tools = False

    async def step(self, *, model: TurnModel, **_: Any) -> bool:
        """Says one message."""
        reply = await model.reply(self.messages_internal)
        self.add_message({"role": "assistant", "content": reply.text})
        self.recent_actions = [reply.text]
        return True


class Conversation:
    """One conversation on a task. Use `say`, or `asay` inside an event loop.

    ```python
    conversation = josh.Conversation(env, task, MyUser, seed=7, rewards=MyRewards)
    reply, over = conversation.say("Hello! How can I help?")
    ```
    """

    def __init__(
        self,
        env: BaseEnv,
        task: Task,
        user: Any,
        seed: int = 10,
        *,
        agent: Any = Spoken,
        rewards: Any = None,
        user_model: ChatModel | None = None,
        judge_model: ChatModel | None = None,
        user_sampling: Sampling = USUAL,
        judge_sampling: Sampling = GREEDY,
        max_rounds: int | None = None,
        max_turn_tries: int = 20,
        max_concurrency: int = 16,
    ) -> None:
        """Begin a conversation; nothing is asked yet.

        Args:
            env: the environment.
            task: one of its tasks.
            user: the user's class, or any other callable that returns a user.
            seed: every random choice of the user follows from it, the task's id and the place in the conversation.
            agent: the agent's class: what it makes of the words that `say` gives.
            rewards: the rewards class; by default `BaseRewards`, for which all goals are alike.
            user_model: the user's chat model, which stays open; None for a user that needs none.
            judge_model: the judge's chat model, for rewards that ask a judge.
            user_sampling: sampling of the user's replies.
            judge_sampling: sampling of the judge's replies.
            max_rounds: most rounds; by default the environment's number.
            max_turn_tries: most requests of the agent in one turn.
            max_concurrency: most model calls in flight.

        Raises:
            UsageError: a setting or a plug-in is wrong.
        """
        models = {
            Speaker.AGENT: (None, USUAL),
            Speaker.USER: (user_model, user_sampling),
            JUDGE: (judge_model, judge_sampling),
        }
        self._sit(
            partial(
                set_table,
                task,
                env,
                agent=agent,
                user=user,
                rewards=rewards,
                strategy=Rollouts(Rollouts.Config()),
                models=models,
                max_rounds=max_rounds,
                max_turn_tries=max_turn_tries,
                max_concurrency=max_concurrency,
            ),
            task,
            env,
            seed,
        )

    @classmethod
    def at(cls, table_of: Callable[..., Table], task: Task, env: BaseEnv, seed: int) -> "Conversation":
        """Begin a conversation at a table of one's own.

        Args:
            table_of: returns a new table; called with `seed` and `voice` by keyword (`josh.episode.set_table`), for the
                conversation and for each fork. Its strategy plays one conversation.
            task: the task.
            env: its environment.
            seed: see `__init__`.
        """
        made = cls.__new__(cls)
        made._sit(table_of, task, env, seed)
        return made

    def _sit(self, table_of: Callable[..., Table], task: Task, env: BaseEnv, seed: int) -> None:
        self.task, self.env, self.seed = task, env, seed
        self._table_of = table_of
        self._table = table_of(seed=seed, voice=partial(_Voice, self))
        self._rewards = self._table.search.branches[0].rewards.fork()
        self._inner: Coroutine[Any, Any, Episode] | None = None
        self._request: Sequence[Message] | None = None
        self._options: Mapping[str, Any] = {}
        self._turn: tuple[Tree, Branch] | None = None
        self._words: list[Reply] = []
        self._to_repeat: list[Reply] = []
        self._episode: Episode | None = None
        self._busy = False

    def say(self, words: str | Message | Reply = "") -> Answer:
        """Say the agent's words and wait for the answer; see `asay`. Not inside an event loop."""
        return self._waited(self.asay, words)

    async def asay(self, words: str | Message | Reply) -> Answer:
        """Say the agent's words and wait for the answer.

        Args:
            words: a text, or a message with `content` and `tool_calls` for an agent that calls tools.

        Returns:
            The reply and whether the conversation is over, as a tuple.

        Raises:
            UsageError: the conversation is over, or was interrupted.
            FatalError: the user's model refuses every call.
        """
        await self.astart()
        if self.over:
            raise UsageError(f"the conversation on task {self.task.id} is over; start a new one")
        asked = self._request or ()
        given = _reply_of(words)
        self._words.append(given)
        await self._resume(given)
        return Answer(_answer(asked, self._request, self._table.search.tree), self.over)

    def start(self) -> list[Message]:
        """Let the user begin where the user speaks first; see `astart`. Not inside an event loop."""
        return self._waited(self.astart)

    async def astart(self) -> list[Message]:
        """Let the user begin where the user speaks first.

        Returns:
            The messages before the agent's first words, as both sides see them. `say` calls it by itself.
        """
        if self._inner is None and self._episode is None:
            self._inner = self._played()
            await self._resume(None)
            while self._to_repeat and not self.over:
                self._words.append(self._to_repeat.pop(0))
                await self._resume(self._words[-1])
        return [message for message in self.messages if message.get("role") != "system"]

    @property
    def over(self) -> bool:
        """Whether the conversation is over."""
        return self._episode is not None

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, as both sides see it."""
        return [message for node in self._table.search.tree.nodes for message in node.turn.messages]

    @property
    def opening(self) -> list[Message]:
        """The messages that the agent's model begins with: system prompt, and an opener where there is one."""
        return list(self._table.search.start.agent.messages_internal)

    @property
    def prompt(self) -> list[Message]:
        """The messages that the agent's model is asked with now, system prompt and tool results included.

        Empty before `start` and after the end.
        """
        return list(self._request or ())

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of the tools that the agent's model is offered now; empty for none."""
        return tuple(self._options.get("tools") or ())

    @property
    def reward(self) -> float:
        """The reward so far, in the unit of the rewards class; the turn that is being taken included."""
        if self._episode is not None:
            return self._episode.reward
        search = self._table.search
        earned = [*hits(search.tree, len(search.tree.nodes) - 1), *search.met]
        return float(self._rewards.path_reward(search.tree.goals, earned))

    @property
    def outcome(self) -> Outcome:
        """How the conversation ended; `Outcome.ALIVE` while it goes on."""
        return Outcome.ALIVE if self._episode is None else next(iter(self._episode.outcomes.values()))

    @property
    def metrics(self) -> dict[str, float]:
        """The environment's metrics and `reward`, `num_turns`, `completed` and `truncated`; empty while it goes on.

        `num_turns` counts the agent's turns; `completed` and `truncated` are 1 or 0.
        """
        if self._episode is None:
            return {}
        return {**self._episode.metrics, **outcome_metrics(self._episode)}

    @property
    def error(self) -> str:
        """What failed, where an error that no speaker is to blame for ended the conversation; else empty."""
        return "" if self._episode is None else self._episode.error

    @property
    def episode(self) -> Episode:
        """The finished conversation as an episode, for exports and records. Raises UsageError while it goes on."""
        if self._episode is None:
            raise UsageError(f"the conversation on task {self.task.id} goes on; say something until it is over")
        return self._episode

    def fork(self, seed: int | None = None) -> "Conversation":
        """Returns a copy at this place, which goes on by itself.

        Args:
            seed: seed of the copy's further random choices; None for the same, so that the same words get the same
                answers.
        """
        if self._busy:
            raise UsageError("the conversation waits for an answer; fork it after that")
        twin = self.at(self._table_of, self.task, self.env, self.seed if seed is None else seed)
        twin._episode = self._episode
        twin._table.search.tree = self._table.search.tree
        if self._episode is None and self._turn is not None:
            tree, branch = self._turn
            twin._table.search.go_on(tree, branch.fork())
            twin._to_repeat = list(self._words)
            twin._request, twin._options = self._request, self._options
        return twin

    async def aclose(self) -> None:
        """Cancel what is still under way."""
        if self._inner is not None:
            self._inner.close()
        if self._table.gateway is not None:
            await self._table.gateway.aclose()

    async def _played(self) -> Episode:
        """Play the conversation to its end, with a stop at every request of the agent."""
        table, search = self._table, self._table.search
        while not search.done:
            (leaf,) = search.tree.frontier
            if search.tree.nodes[leaf].speaker is Speaker.USER:
                self._turn, self._words = (search.tree, search.branches[leaf].fork()), []
            await search.advance()
        return await settle(search, self.task, self.env, self._rewards, table.scorer)

    async def _resume(self, words: Reply | None) -> None:
        """Let the conversation go on to the agent's next request, or to its end."""
        inner = self._inner
        if inner is None or self._busy:
            raise UsageError("the conversation was interrupted, or waits for an answer; start a new one")
        self._busy = True
        self._request, self._options = None, {}
        self._episode = await _until_asked(inner, words)
        self._busy = False  # stays set after an exception: the conversation is then broken

    def _ask(self, messages: Sequence[Message], options: Mapping[str, Any]) -> Generator[Any, Any, Reply]:
        self._request, self._options = tuple(messages), options
        return _given_words()

    def _waited(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise UsageError(f"{method.__name__[1:]}() cannot wait inside an event loop; await {method.__name__}()")
        return _runner().run(method(*arguments))


class _Voice:
    """The model's handle of an agent that is spoken for (`roles.TurnModel`)."""

    def __init__(self, conversation: Conversation, bound: BoundModel) -> None:
        self._conversation = weakref.proxy(conversation)
        self._bound = bound

    @property
    def temperature(self) -> float:
        return 1.0

    def draw(self) -> int:
        return self._bound.draw()

    def shared_draw(self) -> int:
        return self._bound.shared_draw()

    async def reply(self, messages: Sequence[Message], **options: Any) -> Reply:
        reply: Reply = await self._conversation._ask(messages, options)
        return reply


def _runner() -> asyncio.Runner:
    """Returns the event loop of this thread's synchronous conversations; clients stay connected in it."""
    if not hasattr(_OF_THREAD, "runner"):
        _OF_THREAD.runner = asyncio.Runner()
        atexit.register(_OF_THREAD.runner.close)
    runner: asyncio.Runner = _OF_THREAD.runner
    return runner


_OF_THREAD = threading.local()
_ASKED = object()
"""Sent up by a conversation that stops for the agent's words."""


@types.coroutine
def _given_words() -> Generator[Any, Any, Reply]:
    words: Reply = yield _ASKED
    return words


@types.coroutine
def _until_asked(inner: Coroutine[Any, Any, Episode], words: Reply | None) -> Generator[Any, Any, Episode | None]:
    """Returns None where the conversation stops for the agent's words, and the episode where it is over."""
    sent: Any = words
    thrown: BaseException | None = None
    while True:
        try:
            waits_for = inner.send(sent) if thrown is None else inner.throw(thrown)
        except StopIteration as stop:
            episode: Episode = stop.value
            return episode
        if waits_for is _ASKED:
            return None
        try:
            sent, thrown = (yield waits_for), None
        except BaseException as error:
            sent, thrown = None, error


def outcome_metrics(episode: Episode) -> dict[str, float]:
    """Returns `reward`, `num_turns`, `completed` and `truncated` of an episode of one conversation."""
    return {
        "reward": episode.reward,
        "num_turns": episode.rounds,
        "completed": float(episode.ending == ENDINGS[Outcome.WON]),
        "truncated": float(episode.ending == ENDINGS[Outcome.TRUNCATED]),
    }


def _reply_of(words: str | Message | Reply) -> Reply:
    if isinstance(words, Reply):
        return words
    if isinstance(words, str):
        return Reply(words)
    if not isinstance(words, Mapping):
        raise UsageError(f"the words are {words!r:.60}; give a text or a message")
    return Reply(text_of(words), tuple(words.get("tool_calls") or ()))


def _answer(asked: Sequence[Message], now: Sequence[Message] | None, tree: Tree) -> str:
    """Returns the words of others since a request: in the next request, or at the end of the tree."""
    if now is not None:
        new = [message for message in now[len(asked) :] if message.get("role") != "assistant"]
    else:
        last = tree.nodes[-1]
        new = list(last.turn.messages) if last.speaker is Speaker.USER else []
    return "\n".join(text_of(message) for message in new)
