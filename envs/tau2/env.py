"""τ²-bench (Barres et al., 2025, arXiv:2506.07982): tasks of customer service over a policy, tools and a database.

The environments, policies, tools, tasks, the user's prompt and the evaluator are those of the installed package
`tau2`, which `package.py` finds. josh plays the conversations on them, so that they can be searched, recorded and
trained on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from josh.config import setting
from josh.dialogue import Speaker
from josh.envs.tau2.domain import SPLITS, Domain, Gold, row_of, task_of
from josh.envs.tau2.judge import NL_ASSERTION, Judge
from josh.envs.tau2.words import GREETING
from josh.envs.tau2.world import ALL, ASSERTED, COMMUNICATED, END_STATE, GOALS, WRITES, Tau2World
from josh.errors import UsageError
from josh.messages import Message, dumps
from josh.roles import BaseEnv, Task
from josh.transcript import Transcript

NOTHING = "won by doing nothing"
"""Why a task is left out of training."""
USER_NEXT = "that continue with a turn of the agent"
"""Why a task is left out of a split."""


class Tau2Env(BaseEnv):
    """The tasks of one domain.

    A task's data has `domain`, the benchmark's own `task`, and what its golden actions do: which of them succeed
    (`succeeds`) and which change the state (`changes`), by index, which assertions about the state fail at the start
    (`open_assertions`), and whether doing nothing wins (`nothing`).
    """

    @dataclass(frozen=True)
    class Config:
        """The settings of this world."""

        domain: str = setting("retail", "the domain", choices=tuple(SPLITS))
        goals: str = setting(
            END_STATE,
            "what a search may collapse to: a confirmed win at the end, or before it also golden writes, all golden "
            "actions, words to say, or assertions about the state",
            choices=GOALS,
        )
        keep_nothing: bool = setting(False, "also train on tasks that are won by doing nothing")
        max_steps: int = setting(200, "messages, calls included, after which a conversation ends", least=1)
        max_errors: int = setting(10, "refused calls after which a conversation ends", least=1)

    opens = Speaker.USER
    max_rounds = 100
    splits = SPLITS["retail"]
    agents: Mapping[str, str | type] = {"offline": "tau2_solver", "chat": "function_calling", "local": "react"}
    users: Mapping[str, str | type] = {"offline": "tau2_offline", "chat": "tau2_user", "local": "tau2_user"}
    rewards = "tau2"
    personal = ()

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.splits = SPLITS[self.config.domain]
        self._domains: dict[str, Domain] = {}
        self._judges: dict[str, Judge] = {}

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns the tasks of a split. Raises UsageError where the package or the data is absent."""
        domain = self._domain(self.config.domain)
        found = [(task, self._data(domain, task)) for task in domain.tasks(split)]
        usable = [one for one in found if not _agent_is_next(one[0])]
        left_out = {USER_NEXT: len(found) - len(usable)}
        if split == "train" and not self.config.keep_nothing:
            worth = [one for one in usable if not one[1]["nothing"]]
            left_out[NOTHING], usable = len(usable) - len(worth), worth
        self.left_out = {reason: count for reason, count in left_out.items() if count}
        return [Task(task.id, index, data) for index, (task, data) in enumerate(usable)]

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns the goals: `end_state`, and before it the partial goals that the settings ask for."""
        return [*self._partial(task.data), END_STATE]

    def agent_prompt(self, task: Task) -> str:
        """Returns the prompt of the benchmark's own agent, with the policy."""
        return self._domain(task.data["domain"]).agent_prompt

    def user_prompt(self, task: Task) -> str:
        """Returns the prompt of the benchmark's own user simulator."""
        return self._domain(task.data["domain"]).user_prompt(task_of(task.data["task"]))

    def opening(self, task: Task) -> Sequence[Message]:
        """Returns the conversation that the task continues, or the agent's greeting."""
        history = (task.data["task"].get("initial_state") or {}).get("message_history")
        return list(map(as_chat, history)) if history else [{"role": "assistant", "content": GREETING}]

    def no_rows(self, task: Task) -> str:
        """Returns that doing nothing wins the task, unless the settings keep such tasks."""
        return NOTHING if task.data.get("nothing") and not self.config.keep_nothing else ""

    def tools(self, task: Task) -> Sequence[Mapping[str, Any]]:
        """Returns the schemas of the agent's tools."""
        return self._domain(task.data["domain"]).tools

    def user_tools(self, task: Task) -> Sequence[Mapping[str, Any]]:
        """Returns the schemas of the user's tools; empty where the user has none."""
        return self._domain(task.data["domain"]).user_tools(task.data["task"].get("user_tools"))

    def world(self, task: Task) -> Tau2World:
        """Returns the world at the start of a task."""
        key = dumps(task.data["task"])
        if key not in self._judges:
            row = task.data["task"]
            self._judges[key] = _judge(self._domain(task.data["domain"]), task_of(row), row)
        return Tau2World(self._judges[key], self.config.goals, self.config.max_steps, self.config.max_errors)

    def metrics(
        self, task: Task, messages: Sequence[Message], *, conversation: Transcript | None = None
    ) -> Mapping[str, float]:
        """Returns the refused calls, and the assertions in words that the benchmark's own judge would have to decide.

        `unconfirmed` is there only where the benchmark's evaluator denies a claimed win.
        """
        turns = conversation.turns if conversation is not None else ()
        actions = [action for turn in turns for step in turn.actions for action in step]
        refused = sum(isinstance(action, Mapping) and "error" in action for action in actions)
        criteria = task.data["task"].get("evaluation_criteria") or {}
        in_words = criteria.get("nl_assertions") or () if NL_ASSERTION in criteria.get("reward_basis", ()) else ()
        last = (turns[-1].observed if turns else None) or {}
        denied = {"unconfirmed": 1.0} if last.get("confirmed") is False else {}
        return {"refused_calls": float(refused), "left_to_judge": float(len(in_words)), **denied}

    def adopt(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises UsageError: a conversation needs its task."""
        raise UsageError(f"{self.config.domain} has no task {name!r}; give results of tau2, which have their tasks")

    def _domain(self, name: str) -> Domain:
        if name not in self._domains:
            self._domains[name] = Domain(name)
        return self._domains[name]

    def _data(self, domain: Domain, task: Any) -> dict[str, Any]:
        row = row_of(task)
        judge = self._judges[dumps(row)] = _judge(domain, task, row)
        holding = judge.holding(judge.start)
        return {
            "domain": domain.name,
            "task": row,
            "succeeds": list(judge.gold.succeeds),
            "changes": list(judge.gold.changes),
            "open_assertions": [at for at, holds in enumerate(holding) if not holds],
            "nothing": judge.won_by_nothing(),
        }

    def _partial(self, data: Mapping[str, Any]) -> Iterator[Any]:
        wanted = self.config.goals
        criteria = data["task"].get("evaluation_criteria") or {}
        if wanted in (WRITES, ALL):
            actions = criteria.get("actions") or ()
            for at in data.get("changes" if wanted == WRITES else "succeeds", ()):
                keys = ("name", "arguments", "requestor", "compare_args")
                yield {"requestor": "assistant", **{key: actions[at][key] for key in keys if key in actions[at]}}
        elif wanted == COMMUNICATED:
            yield from ({"say": at, "words": words} for at, words in enumerate(criteria.get("communicate_info") or ()))
        elif wanted == ASSERTED:
            asserted = criteria.get("env_assertions") or ()
            yield from ({"assert": at, **asserted[at]} for at in data.get("open_assertions", ()))


def _judge(domain: Domain, task: Any, row: Mapping[str, Any]) -> Judge:
    start = domain.start(task)
    return Judge(domain, task, row, start, Gold(task, start))


def _agent_is_next(task: Any) -> bool:
    """Returns whether a task continues a conversation in which the agent's turn is next."""
    history = task.initial_state and task.initial_state.message_history
    return bool(history) and not (history[-1].role == "assistant" and history[-1].tool_calls is None)


def as_chat(message: Mapping[str, Any]) -> Message:
    """Returns a message of the benchmark in the chat-completions format."""
    if message["role"] == "tool":
        return {"role": "tool", "tool_call_id": message["id"], "content": message.get("content") or ""}
    found: Message = {"role": message["role"], "content": message.get("content") or ""}
    if calls := message.get("tool_calls"):
        found["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": dumps(call["arguments"])},
            }
            for call in calls
        ]
    return found
