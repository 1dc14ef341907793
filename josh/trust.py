"""What the data of a command may choose: which code runs, and where a key goes.

A recorded run names its plug-ins, its models' addresses and the variables of their keys. Somebody else may have written
it. So a command runs code, and sends a key, only as its own command line says:

1. josh's own plug-ins may always run. Other code may run where a flag of this command, or its TOML file, names it,
   where code that may run names it, or with `--trust`. The same holds for running what a model wrote.
2. A key goes to its provider's own address. It goes to another address where flags of this command name the address
   and the variable, or with `--trust`.

`trusting` sets these rules for a command. Without it, as in a program that imports josh, everything is allowed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from josh.errors import UsageError


class UntrustedError(UsageError):
    """Data names code that this command may not run."""


@dataclass(slots=True)
class Trust:
    """What a command may do for its data.

    Attributes:
        code: the plug-ins that may run beside josh's own, by `absolute` name; None for all.
        addresses: the addresses to which a key may go beside its provider's own; None for all.
        variables: the variables whose keys may be sent beside a provider's own; None for all.
        rows: whether rows of a task file may choose addresses and variables beyond these.
        repeatable: the roles of plug-ins for which the command has flags, for the error message; None for all.
    """

    code: set[str] | None = None
    addresses: set[str] | None = None
    variables: set[str] | None = None
    rows: bool = True
    repeatable: frozenset[str] | None = None
    _admitted: set[str] = field(default_factory=set)

    def admit(self, name: str) -> None:
        """Allow a plug-in that trusted code names."""
        self._admitted.add(absolute(name))

    def may_run(self, name: str) -> bool:
        """Returns whether a plug-in's code may run; the name is `module:Class` or `file.py:Class`."""
        module = name.rpartition(":")[0]
        own = not module.endswith(".py") and module.partition(".")[0] == "josh"
        return own or self.code is None or absolute(name) in self.code | self._admitted

    def may_send(self, address: str | None, variable: str | None) -> bool:
        """Returns whether a key may be sent.

        Args:
            address: where to; None for the provider's own address.
            variable: the environment variable that holds it; None for the provider's own.
        """
        if self.addresses is None or self.variables is None:
            return True
        named = {one.rstrip("/") for one in self.addresses}
        return (address is None or address.rstrip("/") in named) and (variable is None or variable in self.variables)


_CURRENT: ContextVar[Trust] = ContextVar("trust")


def trust() -> Trust:
    """Returns the rules of the command that is running."""
    return _CURRENT.get(None) or Trust()


@contextmanager
def trusting(rules: Trust) -> Iterator[None]:
    """Set the rules for the code inside."""
    token = _CURRENT.set(rules)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def require_trusted(name: str, kind: str) -> None:
    """Raises UntrustedError where a plug-in's code may not run; the text names both ways out."""
    rules = trust()
    if rules.may_run(name):
        return
    way = f", or --{kind} {absolute(name)}" if rules.repeatable is None or kind in rules.repeatable else ""
    raise UntrustedError(f"{kind} {name!r} is code that a recorded run names; to run it, give --trust{way}")


def executing(tool: str) -> str:
    """Returns the name, among the code that may run, of running a model's code by a tool."""
    return f"exec:{tool}"


def require_execution(tool: str) -> None:
    """Raises UntrustedError where only a recorded run says that a model's code runs by a tool."""
    if not trust().may_run(executing(tool)):
        raise UntrustedError(
            f"allow_exec is {tool!r} in a recorded run, whose tests run code; to run it, give "
            f"--allow_exec {tool}, or --trust"
        )


def absolute(name: str) -> str:
    """Returns a plug-in's `./file.py:Class` with the file's absolute path; any other name unchanged."""
    file, colon, kind = name.rpartition(":")
    return f"{Path(file).resolve()}:{kind}" if colon and file.endswith(".py") else name
