"""The server processes of an MCP world: one per state that a branch is in.

An MCP server keeps its state in its process (or, over HTTP, in its session) and cannot be copied. A state is therefore
the list of the calls that led to it. `ToolServers` keeps the servers that are idle, each with its list of calls, and
finds one for a branch in this order:

1. an idle server with the same calls;
2. the idle server whose calls are the longest beginning of the branch's; the other calls are repeated on it;
3. a new server, on which all calls of the branch are repeated. Where there are as many servers as allowed, the one that
   has been idle longest is stopped first.
"""

import asyncio
import json
import logging
import os
import re
import tempfile
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

from josh.episode import first_of
from josh.errors import UsageError
from josh.threads import one_line, plain

log = logging.getLogger("josh")
T = TypeVar("T")

Call = tuple[str, str]
"""The name of a tool, and the arguments as JSON."""
Calls = tuple[tuple[str, str, str], ...]
"""Calls in order: the name of a tool, the arguments as JSON, and the text of the result."""
_LONGEST_NAME = 64
_SCRIPTS = (".py", ".js", ".mjs", ".cjs", ".ts", ".sh", ".rb", ".jar")
"""Ends of the names of files that a server's command may run."""


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool of a server.

    Attributes:
        name: its name on the server.
        schema: its schema in the chat-completions format; the name there has only letters, digits, `_` and `-`.
        reads_only: whether the server says that a call changes nothing.
    """

    name: str
    schema: dict[str, Any]
    reads_only: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call.

    Attributes:
        text: the result, or why the server refused the call.
        refused: whether it refused.
        calls: the calls that led to the server's state after this one.
    """

    text: str
    refused: bool
    calls: Calls


class ToolServers:
    """The servers of one world; all branches of all tasks share them."""

    def __init__(self, target: str | Sequence[str], passed: Sequence[str], *, most: int, timeout: float) -> None:
        """Set the servers up; none is started yet.

        Args:
            target: the address of a running server, or the words of the command that starts one.
            passed: names of environment variables that a server's process gets, beside the usual ones such as PATH.
            most: most servers at once.
            timeout: seconds that the start of a server or one call may take.
        """
        self._target = target if isinstance(target, str) else tuple(target)
        self._passed = tuple(passed)
        self._most = most
        self._timeout = timeout
        self._idle: dict[_Server, Calls] = {}
        """Idle servers, those that have been idle longest first."""
        self._count = 0
        self._free = asyncio.Condition()
        self._differs = False

    async def call(self, calls: Calls, call: Call, reads_only: bool) -> Answer:
        """Call a tool in a state.

        Args:
            calls: the calls that lead to the state.
            call: the call.
            reads_only: whether the call leaves the state as it is.

        Raises:
            RuntimeError: a server does not start, stops, or does not answer in time.
        """
        server = await self._take(calls)
        try:
            text, refused = await server.call(*call)
        except BaseException:
            await self._drop(server)
            raise
        after = calls if reads_only else (*calls, (*call, text))
        await self._give(server, after)
        return Answer(text, refused, after)

    async def tools(self) -> list[Any]:
        """Returns the server's tools as the `mcp` package has them. Raises RuntimeError where it does not start."""
        server = await _Server.start(self._target, self._passed, self._timeout)
        try:
            return await server.tools()
        finally:
            await server.stop()

    async def aclose(self) -> None:
        """Stop all servers that are idle."""
        idle, self._idle = list(self._idle), {}
        await asyncio.gather(*(server.stop() for server in idle))
        self._count -= len(idle)

    async def _take(self, calls: Calls) -> "_Server":
        """Returns a server in a state, which nobody else uses."""
        async with self._free:
            await self._free.wait_for(lambda: self._idle or self._count < self._most)
            server, done = self._best(calls)
            dropped = None
            if server is None:
                if self._count >= self._most:
                    dropped = next(iter(self._idle))
                    del self._idle[dropped]
                else:
                    self._count += 1
            else:
                del self._idle[server]
        if dropped is not None:
            await dropped.stop()
        try:
            if server is None:
                server = await _Server.start(self._target, self._passed, self._timeout)
            for name, arguments, before in calls[len(done) :]:
                text, _ = await server.call(name, arguments)
                if text != before and not self._differs:
                    self._differs = True
                    log.warning(
                        "the MCP server answers a repeated call of %s differently; its branches may not be in the "
                        "state that they saw",
                        name,
                    )
        except BaseException:
            await self._drop(server)
            raise
        return server

    def _best(self, calls: Calls) -> "tuple[_Server | None, Calls]":
        """Returns the idle server from which the fewest calls lead to a state, and its calls; None for none."""
        fitting = [(server, done) for server, done in self._idle.items() if calls[: len(done)] == done]
        return max(fitting, key=lambda each: len(each[1]), default=(None, ()))

    async def _give(self, server: "_Server", calls: Calls) -> None:
        async with self._free:
            self._idle[server] = calls
            self._free.notify()

    async def _drop(self, server: "_Server | None") -> None:
        async with self._free:
            self._count -= 1
            self._free.notify()
        if server is not None:
            await server.stop()


class _Server:
    """One connection to a server. It is opened, used and closed by one asyncio task, as the `mcp` package requires."""

    def __init__(self, target: str | Sequence[str], passed: Sequence[str], timeout: float) -> None:
        self._target = target
        self._passed = passed
        self._timeout = timeout
        self._requests: asyncio.Queue[tuple[str, str, asyncio.Future[Any]] | None] = asyncio.Queue()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._serve())

    @classmethod
    async def start(cls, target: str | Sequence[str], passed: Sequence[str], timeout: float) -> "_Server":
        """Returns a server that is ready. Raises RuntimeError where it is not ready in time."""
        server = cls(target, passed, timeout)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(server._ready)
        except TimeoutError:
            await server.stop()
            raise RuntimeError(f"the MCP server {server.label} did not start within {timeout:g} seconds") from None
        return server

    @property
    def label(self) -> str:
        """The address or the command, for error messages."""
        return self._target if isinstance(self._target, str) else " ".join(self._target)

    async def call(self, name: str, arguments: str) -> tuple[str, bool]:
        """Returns the text of a result, and whether the server refused the call."""
        result = await self._ask(name, arguments)
        return _text_of(result), bool(result.is_error)

    async def tools(self) -> list[Any]:
        """Returns the server's tools."""
        found: list[Any] = await self._ask("", "")
        return found

    async def stop(self) -> None:
        """Close the connection, and end the process."""
        self._requests.put_nowait(None)
        done, _ = await asyncio.wait([self._task], timeout=5)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=5)

    async def _ask(self, name: str, arguments: str) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._requests.put_nowait((name, arguments, answer))
        await asyncio.wait([answer, self._task], timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if self._task.done():
            raise RuntimeError(f"the MCP server {self.label} has stopped")
        raise RuntimeError(f"the MCP server {self.label} did not answer {name} within {self._timeout:g} seconds")

    async def _serve(self) -> None:
        from mcp import Client

        with tempfile.TemporaryFile("w+", errors="replace") as said:
            try:
                async with Client(self._connection(said)) as client:
                    self._ready.set_result(None)
                    while (request := await self._requests.get()) is not None:
                        await _answer(client, *request)
            except Exception as error:
                if not self._ready.done():
                    said.seek(0)
                    why = self._missing() or (said.read().strip().splitlines() or [plain(first_of(error))])[-1]
                    self._ready.set_exception(RuntimeError(f"the MCP server {self.label} does not start: {why:.200}"))
                else:
                    log.info("the MCP server %s: %s", self.label, one_line(first_of(error)))

    def _missing(self) -> str:
        """Returns which program or file of the command is missing; empty where all are there, or it is an address."""
        if isinstance(self._target, str):
            return ""
        command, *words = self._target
        if which(command) is None:
            return f"{command} cannot be executed" if Path(command).exists() else f"there is no program {command}"
        script = next((word for word in words if Path(word).suffix in _SCRIPTS and not word.startswith("-")), "")
        return f"there is no file {script}" if script and not Path(script).exists() else ""

    def _connection(self, said: Any) -> Any:
        """Returns what `mcp.Client` connects to; a process writes its messages into a file instead of the terminal."""
        if isinstance(self._target, str):
            return self._target
        from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client

        passed = {name: os.environ[name] for name in self._passed if name in os.environ}
        command, *words = self._target
        server = StdioServerParameters(command=command, args=words, env=get_default_environment() | passed)
        return stdio_client(server, errlog=said)


async def _answer(client: Any, name: str, arguments: str, answer: asyncio.Future[Any]) -> None:
    """Answer one request; a request without a name asks for the tools."""
    try:
        found = await client.call_tool(name, json.loads(arguments)) if name else await _all_tools(client)
    except Exception as error:
        if not answer.done():
            answer.set_exception(RuntimeError(f"the MCP server fails at {name or 'its tools'}: {plain(error)}"))
    else:
        if not answer.done():
            answer.set_result(found)


async def _all_tools(client: Any) -> list[Any]:
    found, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            return found


def listed_tools(servers: ToolServers) -> dict[str, ServerTool]:
    """Returns the server's tools by the name in their schema, in the server's order.

    It may be called where an event loop runs.

    Raises:
        UsageError: the `mcp` package is missing, or the server does not start, or has no tools.
    """
    try:
        import mcp  # noqa: F401
    except ImportError:
        raise UsageError("env mcp needs the mcp package: pip install -e '.[mcp]' -c constraints.txt") from None
    try:
        found = _in_own_loop(servers.tools())
    except RuntimeError as error:
        raise UsageError(f"env mcp: {error}") from None
    if not found:
        raise UsageError("env mcp: the server has no tools")
    tools: dict[str, ServerTool] = {}
    for tool in found:
        name = _sendable(tool.name, tools)
        function = {"name": name, "description": tool.description or "", "parameters": tool.input_schema}
        reads_only = bool(tool.annotations and tool.annotations.read_only_hint)
        tools[name] = ServerTool(tool.name, {"type": "function", "function": function}, reads_only)
    return tools


def _sendable(name: str, taken: dict[str, ServerTool]) -> str:
    """Returns a tool's name as chat servers accept it, different from those taken."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST_NAME] or "tool"
    number, found = 2, plain
    while found in taken:
        end = f"_{number}"
        number, found = number + 1, plain[: _LONGEST_NAME - len(end)] + end
    return found


def _text_of(result: Any) -> str:
    """Returns the text of a result: its texts, else its structured content as JSON; other content by its type."""
    parts = [block.text if block.type == "text" else f"[{block.type}]" for block in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)


def _in_own_loop(work: Awaitable[T]) -> T:
    async def run() -> T:
        return await work

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result()
