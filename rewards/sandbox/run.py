"""Grades code that a model wrote, in a sandbox: how many of its tests hold.

The sandbox limits what buggy and careless code can do. README.md in this folder says what it protects from, and what it
does not.
"""

import asyncio
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Final

from josh.envs.proactive.asserts import definitions, function_of, refuse_faults
from josh.errors import TurnError, UsageError
from josh.rewards.sandbox.tools import IMAGE, TOOLS, USERS, Limits, command, is_root, this_python, where_to_get

BATCH: Final = 8
"""Assertions in one sandbox; more get several."""
STARTING: Final = 20.0
"""Seconds that a sandbox gets to start and end, beside the time of its assertions."""

_ROOM = "josh.rewards.sandbox"
_INSIDE = ("values", "solution", "judge", "supervisor")  # in the order of their imports
_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")  # of an object; differs from run to run
_LONGEST = 1 << 20  # bytes of a result
_users = count(secrets.randbelow(USERS[1]))


@dataclass(frozen=True, slots=True)
class Grade:
    """How a solution does in its tests.

    Attributes:
        passed: tests that hold.
        total: all tests.
        error: why the first of the others does not hold, in one line; empty where all hold.
    """

    passed: int
    total: int
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether all tests hold, and there is one."""
        return 0 < self.total == self.passed


class Sandbox:
    """Grades solutions; can be used by several threads at once."""

    def __init__(
        self,
        tool: str | None,
        limits: Limits | None = None,
        *,
        folder: Path | None = None,
        at_once: int | None = None,
        image: str = IMAGE,
    ) -> None:
        """Check that the tool works here.

        Args:
            tool: one of `TOOLS`; None or an empty text is refused.
            limits: the limits of each sandbox.
            folder: where grades are kept; None to keep them in memory alone.
            at_once: sandboxes at the same time; None for one for each processor.
            image: the image of Docker's sandboxes.

        Raises:
            UsageError: code may not be run, or the tool does not work here; the text has the reason.
        """
        if not tool:
            raise UsageError(
                f"the tests of these tasks run code that a model wrote; allow it with --allow_exec {'|'.join(TOOLS)}"
            )
        if tool not in TOOLS:
            raise UsageError(f"allow_exec is {tool!r}; give {', '.join(TOOLS[:-1])} or {TOOLS[-1]}")
        reason = runnable(tool, image)
        if reason:
            raise UsageError(f"--allow_exec {tool} does not work here: {reason}")
        self.tool, self.limits, self.folder, self.image = tool, limits or Limits(), folder, image
        self._turns = BoundedSemaphore(at_once or os.cpu_count() or 1)
        self._known: dict[str, Grade] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Sandbox":
        """Returns the sandbox itself: branches share it."""
        return self

    def grade(self, solution: str, tests: Sequence[str], setup: str = "") -> Grade:
        """Returns how many tests hold for a solution; the same content is graded once.

        Args:
            solution: a program of Python that defines what the tests use; it may have faults.
            tests: programs of Python, usually one assertion each.
            setup: what runs before each test: imports and definitions, which the solution knows too, and values.

        Raises:
            UsageError: a test or the setup is not a program of Python.
            TurnError: the sandbox cannot be started.
        """
        refuse_faults(tests, setup)
        key = self._key(solution, tests, setup)
        grade = self._known.get(key) or self._read(key)
        if grade is None:
            errors: list[str] = []
            for start in range(0, len(tests), BATCH):
                with self._turns:
                    batch = tests[start : start + BATCH]
                    errors += judged(self.tool, self.limits, solution, batch, setup, tests, self.image)
            wrong = [f"test {number}: {error}" for number, error in enumerate(errors, start=1) if error]
            grade = Grade(len(errors) - len(wrong), len(errors), wrong[0] if wrong else "")
            self._write(key, grade)
        self._known[key] = grade
        return grade

    async def graded(self, solution: str, tests: Sequence[str], setup: str = "") -> Grade:
        """Returns what `grade` does, without blocking the event loop."""
        return await asyncio.to_thread(self.grade, solution, tests, setup)

    def _key(self, *content: Any) -> str:
        python = self.image if self.tool == "docker" else sys.version
        parts = [content, asdict(self.limits), _program(), python]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _read(self, key: str) -> Grade | None:
        """Returns the grade in the folder; None where there is none, or none that can be read."""
        if self.folder is None:
            return None
        try:
            row = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            return Grade(int(row["passed"]), int(row["total"]), str(row["error"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _write(self, key: str, grade: Grade) -> None:
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False, encoding="utf-8") as file:
                json.dump(asdict(grade), file)
            Path(file.name).replace(self.folder / f"{key}.json")
        except OSError as error:
            raise UsageError(f"cannot write into {self.folder}: {error.strerror}") from None


@cache
def shared_sandbox(tool: str, folder: str | None = None) -> Sandbox:
    """Returns the sandbox of this process for a tool, with its grades; see `Sandbox`.

    Args:
        tool: one of `TOOLS`.
        folder: where grades are kept; None to keep them in memory alone.
    """
    return Sandbox(tool, folder=None if folder is None else Path(folder))


_PROBE = """\
import os, resource, socket
def probe(paths):
    found = [*os.environ, *filter(os.path.exists, paths)]
    if 0 in os.getresuid() + os.getresgid():
        found.append("the user id 0")
    try:
        socket.create_connection(("192.0.2.1", 9), timeout=0.5)
        found.append("a network")
    except OSError as error:
        if isinstance(error, TimeoutError):
            found.append("a network")
    try:
        open("/usr/lib/josh", "w")
        found.append("a writable system")
    except OSError:
        pass
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    try:
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        found.append("processes without limit")
    except OSError:
        pass
    return ", ".join(found)
"""


@cache
def runnable(tool: str, image: str = IMAGE) -> str:
    """Returns why a tool cannot be used here; empty where it can. It is tried with code that tries to get out."""
    if shutil.which(tool, path=_search()) is None:
        return f"there is no program {tool}; {where_to_get(tool)}, or give another of {', '.join(TOOLS)}"
    paths = [] if tool == "docker" else ["/home", "/etc/passwd", "/proc/1"]  # an image has its own
    try:
        found = judged(tool, Limits(), _PROBE, [f'found = probe({paths})\nassert found == "", found'], "", (), image)[0]
    except TurnError as error:
        return str(error)
    return f"its sandbox has {found.removeprefix('AssertionError: ')}" if found else ""


def judged(
    tool: str,
    limits: Limits,
    solution: str,
    tests: Sequence[str],
    setup: str,
    all_tests: Sequence[str],
    image: str = IMAGE,
) -> list[str]:
    """Returns why each test does not hold for a solution, an empty text where it does: one sandbox.

    Args:
        tool: one of `TOOLS`.
        limits: the limits.
        solution: the solution.
        tests: the tests to judge, at most `BATCH`.
        setup: what runs before each.
        all_tests: the tests of the task, which tell the function under test.
        image: Docker's image.

    Raises:
        TurnError: the sandbox does not start.
    """
    nonce, user = secrets.token_hex(16), USERS[0] + next(_users) % USERS[1]
    name = f"josh-{nonce}"
    inside = limits.inside(len(tests))
    first = {"solution": solution, "shared": definitions(setup), "count": len(tests), "limits": inside, "user": user}
    function = function_of(all_tests or tests, setup)
    second = {"nonce": nonce, "setup": setup, "tests": tests, "replaced": function, "limits": inside}
    given = b"".join(map(_framed, (_program(), first, second)))
    rounds = -(-len(tests) // limits.at_once)
    with _empty_folder(tool) as place:
        line = command(
            tool,
            this_python(),
            limits,
            count=len(tests),
            user=user,
            root=is_root(),
            place=place,
            name=name,
            image=image,
        )
        out, said = _run(tool, line, given, rounds * limits.seconds + STARTING, name)
    ready, _, result = out.partition(b"\n")
    if ready != b"ready":
        raise TurnError(f"{tool} starts no sandbox: {_reason(said)}")
    with suppress(ValueError, KeyError, TypeError):
        row = json.loads(result)
        if row["nonce"] == nonce and len(row["errors"]) == len(tests):
            return [_ADDRESS.sub("0x", str(error)) for error in row["errors"]]
    return ["the sandbox ended without a result"] * len(tests)


@cache
def _program() -> tuple[tuple[str, str], ...]:
    """Returns the modules that run inside a sandbox: name and text."""
    texts = [(f"{_ROOM}.{name}", Path(__file__).with_name(f"{name}.py").read_text("utf-8")) for name in _INSIDE]
    return ("josh", ""), ("josh.rewards", ""), (_ROOM, ""), *texts


def _framed(message: Any) -> bytes:
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data


def _search() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), _PATH["PATH"]])


def _reason(said: bytes) -> str:
    """Returns why a sandbox does not start: the first line, or the last one of a traceback."""
    lines = said.decode(errors="replace").strip().splitlines() or ["it says nothing"]
    return lines[-1 if lines[0].startswith("Traceback") else 0][:200]


@contextmanager
def _empty_folder(tool: str) -> Iterator[str]:
    """Yields an empty folder for the root of the sandbox's files, where the tool needs one."""
    if tool != "unshare":
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="josh-sandbox-") as folder:
        yield folder


def _run(tool: str, line: list[str], given: bytes, seconds: float, name: str) -> tuple[bytes, bytes]:
    """Returns what a sandbox writes, at most a result's length; it is ended after some seconds at the latest.

    Its processes have a session of their own, and are ended together.
    """
    program = shutil.which(line[0], path=_search()) or line[0]
    env = dict(os.environ) if tool == "docker" else {**_PATH, "PYTHONHASHSEED": "0"}  # Docker's client alone gets it
    try:
        sandbox = subprocess.Popen(  # noqa: S603 - the program of `tools.py`
            [program, *line[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise TurnError(f"{tool} does not start: {error.strerror}") from None
    try:
        out, said = sandbox.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        out, said = late.output or b"", late.stderr or b""
    finally:
        if sandbox.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(sandbox.pid, signal.SIGKILL)
            if tool == "docker":
                removal = [program, "rm", "--force", name]
                subprocess.run(removal, capture_output=True, check=False, timeout=60)  # noqa: S603
            sandbox.communicate()
    return out[:_LONGEST], said
