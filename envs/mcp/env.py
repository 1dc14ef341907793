"""Tasks over the tools of an MCP server (Model Context Protocol): `--env mcp:COMMAND --env.tasks FILE`.

1. The tasks come from a file of JSON lines; see `McpEnv`.
2. `ToolServers` starts the server once per state of the world: a branch that was forked gets a server of its own, on
   which the branch's earlier calls are repeated, in order.
3. `McpWorld` is a branch's world: the list of the calls that changed it.
"""

import asyncio
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from josh.config import setting
from josh.dialogue import Speaker
from josh.envs.mcp.servers import Calls, ServerTool, ToolServers, listed_tools
from josh.errors import UsageError
from josh.roles import BaseEnv, Task, ToolError
from josh.texts import json_fault, unreadable
from josh.trust import require_trusted

SERVER = "mcp:"
"""Before a command, the name of the world of its server."""
KEYS = ("id", "instruction", "prompt", "goals", "judge", "split", "metadata")
"""The keys of a task's row."""


class McpEnv(BaseEnv):
    """The tools of an MCP server, and tasks from a file.

    A line of the file is a JSON object with these keys:

    - `instruction`: what the simulated user wants, as its system prompt; required.
    - `goals`: calls that the agent has to make, each `{"name": "a tool", "arguments": {...}}`; see `CallGoals`.
    - `judge`: a criterion in words, which a judge's model decides at the end. A task needs goals or a criterion.
    - `prompt`: the agent's system prompt for this task; by default `--env.prompt`.
    - `id`: by default the number of the line.
    - `split`: `train` (the default) or `test`.
    - `metadata`: settings of the task, such as `max_turns`.
    """

    @dataclass(frozen=True)
    class Config:
        """The settings of this world."""

        command: str = setting("", "command that starts the MCP server, or the address of a running one (http://...)")
        tasks: Path | None = setting(None, "file of tasks, one JSON object per line")
        prompt: str = setting("You are a helpful assistant. Use the tools.", "the agent's system prompt")
        pass_env: str = setting("", "environment variables that the server's process gets, separated by commas")
        servers: int = setting(16, "most server processes at once", least=1)
        timeout: float = setting(60.0, "seconds that one call of a tool may take", above=0, unit="seconds")

    opens = Speaker.USER
    splits = ("train", "test")
    agents: Mapping[str, str | type] = {"chat": "function_calling", "local": "react"}
    users: Mapping[str, str | type] = {"chat": "goal", "local": "goal"}
    rewards = "call_goals"

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Asks the server for its tools. Raises UsageError where it cannot be started or has none."""
        super().__init__(options)
        config = self.config
        if not config.command:
            raise UsageError("env mcp has no server; give --env 'mcp:COMMAND', such as --env 'mcp:python server.py'")
        if config.tasks is None:
            raise UsageError("env mcp has no tasks; give --env.tasks FILE, with one JSON object per line")
        if not config.command.startswith(("http://", "https://")) and not _words(config.command):
            raise UsageError(f"env.command is {config.command!r}; give the command that starts the server")
        require_trusted(f"{SERVER}{config.command}", "env")
        self._rows = _rows(config.tasks)  # before a server is started
        passed = [name.strip() for name in config.pass_env.split(",") if name.strip()]
        self._servers = ToolServers(_target(config.command), passed, most=config.servers, timeout=config.timeout)
        self._tools: Mapping[str, ServerTool] = listed_tools(self._servers)

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns the tasks of a split, in the order of the file."""
        rows = [row for row in self._rows if row.get("split", "train") == split]
        return [Task(row["id"], at, row, row.get("metadata") or {}) for at, row in enumerate(rows)]

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns the calls to make. Raises UsageError where a goal names a tool that the server does not have."""
        shown = {tool.name: name for name, tool in self._tools.items()}
        goals = []
        for goal in task.data.get("goals") or ():
            called = str(goal.get("name")) if isinstance(goal, Mapping) else ""
            name = shown.get(called, called)
            if name not in self._tools:
                raise UsageError(
                    f"task {task.id} has the goal {goal!r:.80}; the server's tools are {', '.join(sorted(self._tools))}"
                )
            goals.append({**goal, "name": name})
        return goals

    def agent_prompt(self, task: Task) -> str:
        """Returns the task's prompt, else the one of the settings."""
        return str(task.data.get("prompt") or self.config.prompt)

    def user_prompt(self, task: Task) -> str:
        """Returns the task's instruction."""
        return str(task.data["instruction"])

    def tools(self, task: Task) -> Sequence[Mapping[str, Any]]:
        """Returns the schemas of the server's tools."""
        return [tool.schema for tool in self._tools.values()]

    def world(self, task: Task) -> "McpWorld":
        """Returns the world before any call."""
        return McpWorld(self._servers, self._tools)

    async def aclose(self) -> None:
        """Stop the servers."""
        await self._servers.aclose()


@dataclass(slots=True)
class McpWorld:
    """The world of a branch: the calls that led to its state.

    Calls of tools that the server marks as reading only (`readOnlyHint`) are not among them.
    """

    servers: ToolServers
    tools: Mapping[str, ServerTool]
    calls: Calls = ()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def fork(self) -> "McpWorld":
        """Returns a world in the same state."""
        return McpWorld(self.servers, self.tools, self.calls)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool of the server; see `ToolWorld.call`. Raises ToolError where the server refuses the call."""
        tool = self.tools.get(name)
        if tool is None:
            raise ToolError(f"there is no tool {name}; the tools are {', '.join(sorted(self.tools))}")
        async with self.turn:
            answer = await self.servers.call(self.calls, (tool.name, json.dumps(arguments)), tool.reads_only)
            self.calls = answer.calls
        if answer.refused:
            raise ToolError(answer.text or f"{name} refused the call")
        return answer.text


def _target(command: str) -> str | list[str]:
    return command if command.startswith(("http://", "https://")) else _words(command)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(f"env.command is {command!r}: {error}") from None


def _rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a file of tasks, each with an id. Raises UsageError, with the line, where one is wrong."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"env.tasks: {unreadable(path, error)}") from None
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where} is not JSON: {json_fault(error)}") from None
        if not isinstance(row, dict) or not isinstance(row.get("instruction"), str) or not row["instruction"].strip():
            raise UsageError(f'{where}: a task needs an `instruction`, as in {{"instruction": "...", "goals": [...]}}')
        strange = next((key for key in row if key not in KEYS), None)
        if strange is not None:
            raise UsageError(f"{where}: a task has no key {strange!r}; give {', '.join(KEYS)}")
        if not isinstance(row.get("goals", []), list):
            raise UsageError(f"{where}: goals is {row['goals']!r:.60}; give a list of calls")
        if not row.get("goals") and not row.get("judge"):
            raise UsageError(f"{where}: a task needs `goals`, or a criterion for a `judge`")
        if row.get("split", "train") not in McpEnv.splits:
            raise UsageError(f"{where}: split is {row['split']!r}; give train or test")
        row["id"] = str(row.get("id") or number)
        if row["id"] in seen:
            raise UsageError(f"{where}: the id {row['id']!r} is also on line {seen[row['id']]}; give another")
        seen[row["id"]] = number
        rows.append(row)
    if not rows:
        raise UsageError(f"{path} has no tasks; give one JSON object per line")
    return rows
