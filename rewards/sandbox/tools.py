"""The programs that make a sandbox, and the command line of each: a value, made from a place and limits.

All sandboxes are built to the same contract: namespaces of their own for processes, network, mounts and IPC; no
network; an empty environment; of the host's files nothing but Python's standard library and the shared libraries,
read-only; one folder in memory to write to, of limited size; an unprivileged user id without rights. The program that
runs inside, `supervisor.py` and what it imports, arrives by the standard input.
"""

import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Final

TOOLS: Final = ("bwrap", "unshare", "docker")
IMAGE: Final = "python:3.12-slim"
"""The image of Docker's sandboxes; it has to be pulled before."""
PACKAGES: Final = {"bwrap": "bubblewrap", "unshare": "util-linux", "docker": "docker.io"}
"""Debian's packages of the programs."""
USERS: Final = (61184, 4336)
"""The first of the user ids that Linux systems keep free for services of a moment, and how many there are."""
NOBODY: Final = 65534
"""The user id inside a sandbox that an ordinary user makes; outside it is that user's."""

_BEGIN = """\
import json, os, sys, types
def take(size):
    data = b""
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more:
            os._exit(1)
        data += more
    return data
for name, source in json.loads(take(int.from_bytes(take(4), "big"))):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    exec(compile(source, name, "exec"), vars(module))
module.main()
"""
_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# No user's settings, no folder of the program on the path, no `site`, no bytecode. Not -I, which would ignore the hash
# seed, the only variable there is: with it, the order of a set is the same in every run.
_FLAGS = ("-s", "-P", "-S", "-B", "-c", _BEGIN)
_SEED = "PYTHONHASHSEED"
_SCRIPT = """\
set -e
root=$1 size=$2
shift 2
mount -t tmpfs -o "mode=755,size=1m" sandbox "$root"
while [ "$1" != -- ]; do
  mkdir -p "$root${1%/*}"
  options=bind,ro,nosuid
  case $1 in /dev/*) ;; *) options=$options,nodev ;; esac
  if [ -d "$1" ]; then mkdir -p "$root$1"; else : > "$root$1"; fi
  mount -o "$options" "$1" "$root$1"
  shift
done
shift
mkdir "$root/tmp"
mount -t tmpfs -o "mode=1777,nosuid,nodev,size=$size" sandbox "$root/tmp"
mount -o remount,bind,ro "$root"
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a sandbox.

    Attributes:
        seconds: wall-clock time of one assertion, with loading the solution; its processor time is the next whole
            number.
        memory: address space of each process, in MiB.
        processes: processes and threads that the solution may begin, about.
        file: size of a file, in KiB.
        folder: size of the folder that can be written to, in MiB.
        output: size of what a call of the solution returns, in KiB; what it prints is not kept.
        at_once: assertions of one solution that are judged at the same time.
    """

    seconds: float = 5.0
    memory: int = 256
    processes: int = 8
    file: int = 1024
    folder: int = 16
    output: int = 1024
    at_once: int = 4

    def inside(self, count: int) -> dict[str, Any]:
        """Returns the limits as `supervisor.py` takes them, for a sandbox with some assertions."""
        return {
            "seconds": self.seconds,
            "output": self.output << 10,
            "at_once": self.at_once,
            "resources": {
                "RLIMIT_CPU": ceil(self.seconds),
                "RLIMIT_AS": self.memory << 20,
                "RLIMIT_NPROC": self.most_processes(count),
                "RLIMIT_FSIZE": self.file << 10,
                "RLIMIT_NOFILE": 64,
                "RLIMIT_CORE": 0,
                "RLIMIT_MEMLOCK": 0,
                "RLIMIT_MSGQUEUE": 0,
            },
        }

    def most_processes(self, count: int) -> int:
        """Returns the limit on processes in a sandbox: the supervisor, those of the assertions, and the solution's."""
        return 1 + count + min(count, self.at_once) + self.processes


@dataclass(frozen=True, slots=True)
class Python:
    """The interpreter of the sandboxes that use the host's.

    Attributes:
        program: its path, without links.
        paths: folders and files that it needs, all of them there.
    """

    program: str
    paths: tuple[str, ...]


def this_python() -> Python:
    """Returns the interpreter that runs josh, without its environment's packages."""
    program = Path(sys.executable).resolve()
    prefixes = dict.fromkeys([program.parent.parent, Path(sys.base_prefix), Path(sys.base_prefix).resolve()])
    libraries = [str(prefix / name) for prefix in prefixes for name in ("lib", sys.platlibdir)]
    wanted = dict.fromkeys([*_LIBRARIES, *libraries])
    found = [path for path in wanted if Path(path).exists()]
    outer = [path for path in found if not any(path.startswith(f"{other}/") for other in found)]
    return Python(str(program), (*outer, str(program)))


def command(
    tool: str,
    python: Python,
    limits: Limits,
    *,
    count: int,
    user: int,
    root: bool,
    place: str = "",
    name: str = "",
    image: str = IMAGE,
) -> list[str]:
    """Returns the command line of a sandbox.

    Args:
        tool: one of `TOOLS`.
        python: the host's interpreter; Docker's sandboxes have their image's.
        limits: the limits.
        count: how many assertions the sandbox has.
        user: the user id of the processes, where root makes the sandbox, and in Docker.
        root: whether root makes it.
        place: an empty folder of the host, for `unshare`: the root of the sandbox's files.
        name: the container's name, for Docker.
        image: Docker's image.
    """
    if tool == "bwrap":
        return [*_bwrap(python, limits, root), "--", python.program, *_FLAGS]
    if tool == "unshare":
        return [*_unshare(python, limits, root, place), python.program, *_FLAGS]
    return [*_docker(limits, count, user, name), image, "python", *_FLAGS]


def _bwrap(python: Python, limits: Limits, root: bool) -> Iterator[str]:
    yield from ("bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    if root:  # the supervisor changes to an unprivileged user id
        yield from ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    else:
        yield from ("--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY))
    yield from ("--die-with-parent", "--as-pid-1", "--clearenv", "--setenv", _SEED, "0", "--hostname", "sandbox")
    parents = dict.fromkeys(str(one) for path in (*python.paths, *_DEVICES) for one in [*Path(path).parents][-2::-1])
    for path in parents:  # bubblewrap itself would make them for root alone
        yield from ("--perms", "0755", "--dir", path)
    for path in python.paths:
        yield from ("--ro-bind", path, path)
    for path in _DEVICES:
        yield from ("--dev-bind", path, path)
    yield from ("--perms", "1777", "--size", str(limits.folder << 20), "--tmpfs", "/tmp")  # noqa: S108 - its own
    yield from ("--remount-ro", "/", "--chdir", "/tmp")  # noqa: S108


def _unshare(python: Python, limits: Limits, root: bool, place: str) -> Iterator[str]:
    yield from ("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")
    if not root:
        yield from ("--user", "--map-root-user")  # to mount; given up below
    yield from ("sh", "-c", _SCRIPT, "sh", place, str(limits.folder << 20), *python.paths, *_DEVICES, "--")
    yield "unshare"
    if not root:
        yield from ("--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
    yield from (f"--root={place}", "--wd=/tmp")


def _docker(limits: Limits, count: int, user: int, name: str) -> Iterator[str]:
    memory = f"{limits.memory * (1 + limits.at_once)}m"
    yield from ("docker", "run", "--rm", "--interactive", "--name", name, "--pull", "never")
    yield from ("--network", "none", "--ipc", "private", "--hostname", "sandbox")
    yield from ("--read-only", "--tmpfs", f"/tmp:rw,nosuid,nodev,mode=1777,size={limits.folder}m", "--workdir", "/tmp")  # noqa: S108
    yield from ("--user", f"{user}:{user}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    yield from ("--pids-limit", str(limits.most_processes(count)), "--memory", memory, "--memory-swap", memory)
    yield from ("--env", f"{_SEED}=0")


def where_to_get(tool: str) -> str:
    """Returns the command that installs a tool on Debian."""
    return f"apt-get install {shlex.quote(PACKAGES[tool])}"


def is_root() -> bool:
    """Returns whether this process is root's."""
    return os.name == "posix" and os.geteuid() == 0
