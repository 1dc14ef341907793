"""Inside the sandbox: process 1 of its namespace, which starts all others and alone writes the results.

Its life, in five steps:

    1. It reads the solution and the limits from the standard input, changes to an unprivileged user id, and gives up
       all rights. From now on no process of that user id can read or trace it, nor the processes that it forks.
    2. It forks the processes of the solution (`solution.py`), one for each assertion. They know neither the tests nor
       the nonce, which it has not read yet.
    3. It reads the tests and the nonce.
    4. It forks a judge for each assertion (`judge.py`), a few at once, and waits for their reports. A judge that does
       not report in time has failed; then it ends the judge and the solution's process.
    5. It writes the results behind the nonce and ends, and with it every process of the namespace.
"""

import ctypes
import json
import os
import resource
import select
import signal
import time
from typing import Any, Final

from josh.rewards.sandbox.judge import Calls, judge
from josh.rewards.sandbox.solution import SHORT, Solution, serve
from josh.rewards.sandbox.values import receive

LEFT: Final = "it leaves a process running"
_MOST_FILES = 4096  # above every number of an open file
_ASIDE = 200  # above every number of an open file of the supervisor
_PDEATHSIG, _GET_DUMPABLE, _SET_DUMPABLE, _NO_NEW_PRIVS = 1, 3, 4, 38  # of prctl(2)


class Case:
    """One assertion: its solution's process, its judge once it runs, and the error."""

    def __init__(self, request: dict[str, Any]) -> None:
        """Start the solution's process; it waits for the judge."""
        self.judge = self.report = 0
        self.deadline = 0.0
        self.error = ""
        down, self.to_solution = os.pipe()
        self.from_solution, up = os.pipe()
        self.solution = os.fork()
        if self.solution == 0:
            try:
                os.setsid()
                incoming, outgoing = _alone(down, up)
                _restrict(request["limits"])
                os.environ.clear()
                solution = Solution(request["solution"], request["shared"])
                serve(solution, incoming, outgoing, request["limits"]["output"])
            finally:
                os._exit(0)
        os.close(down)
        os.close(up)

    def start(self, test: str, tests: dict[str, Any], limits: dict[str, Any]) -> None:
        """Starts the judge."""
        self.report, report = os.pipe()
        self.deadline = time.monotonic() + limits["seconds"]
        self.judge = os.fork()
        if self.judge == 0:
            try:
                incoming, outgoing, reporting = _alone(self.from_solution, self.to_solution, report)
                _restrict(limits)
                error = judge(test, tests["setup"], tests["replaced"], Calls(incoming, outgoing, limits["output"]))
                os.write(reporting, (f"-{error[:SHORT]}" if error else "+").encode(errors="replace"))
            finally:
                os._exit(0)
        for pipe in (report, self.from_solution, self.to_solution):
            os.close(pipe)

    def finish(self, error: str) -> None:
        """Ends both processes, and those that the solution leaves in its group; these spoil the result."""
        self.error = error
        os.close(self.report)
        for process in (self.judge, self.solution):
            _end(process)
        _others_run()
        try:
            os.killpg(self.solution, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.error = error or LEFT
        try:
            while True:
                os.waitpid(-self.solution, 0)
        except ChildProcessError:
            return


def main() -> None:
    """Reads, judges and writes; see the head of the file."""
    request = receive(0)
    _protect(request["user"])
    os.write(1, b"ready\n")
    cases = [Case(request) for _ in range(request["count"])]
    tests = receive(0)
    _judge(cases, tests, request["limits"])
    left = _others_run()  # a process that left its group
    errors = [case.error or (LEFT if left else "") for case in cases]
    os.write(1, json.dumps({"nonce": tests["nonce"], "errors": errors}).encode() + b"\n")
    os._exit(0)


def _judge(cases: list[Case], tests: dict[str, Any], limits: dict[str, Any]) -> None:
    """Runs the judges, a few at once."""
    waiting, running = list(zip(cases, tests["tests"], strict=True)), dict[int, Case]()
    while waiting or running:
        while waiting and len(running) < limits["at_once"]:
            case, test = waiting.pop(0)
            case.start(test, tests, limits)
            running[case.report] = case
        pause = min(case.deadline for case in running.values()) - time.monotonic()
        for pipe in select.select(list(running), [], [], max(0.0, pause))[0]:
            said = os.read(pipe, 8 * SHORT).decode(errors="replace")
            running.pop(pipe).finish("" if said == "+" else said[1:] or "its process ended")
        for pipe in [one for one, case in running.items() if case.deadline <= time.monotonic()]:
            running.pop(pipe).finish(f"it takes longer than {limits['seconds']:g} s")


def _protect(user: int) -> None:
    """Gives up all rights, and keeps other processes from reading this one.

    Args:
        user: the user id to change to, where this process is root.

    Raises:
        OSError: it cannot.
    """
    if os.getuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        except OSError as error:
            raise OSError(f"this root cannot take the user id {user} ({error.strerror})") from None
    if 0 in (*os.getresuid(), *os.getresgid()):
        raise OSError("the processes would run as root")
    prctl = ctypes.CDLL(None).prctl
    for option, value in ((_NO_NEW_PRIVS, 1), (_SET_DUMPABLE, 0), (_PDEATHSIG, int(signal.SIGKILL))):
        if prctl(option, value, 0, 0, 0) != 0:
            raise OSError(f"prctl({option}) is refused")
    if prctl(_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError("the solution could read the judges")


def _restrict(limits: dict[str, Any]) -> None:
    """Sets the limits of this process and of all that it starts."""
    for name, value in limits["resources"].items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))


def _alone(*keep: int) -> range:
    """Keeps some open files, as numbers from 3, and closes all others; what is printed goes nowhere."""
    for at, number in enumerate(keep):
        os.dup2(number, _ASIDE + at)
    nowhere = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    for at in range(len(keep)):
        os.dup2(_ASIDE + at, 3 + at)
    os.closerange(3 + len(keep), _MOST_FILES)
    return range(3, 3 + len(keep))


def _end(process: int) -> None:
    """Ends a child and waits for it."""
    try:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def _others_run() -> bool:
    """Waits for the processes that have ended; returns whether others run."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
