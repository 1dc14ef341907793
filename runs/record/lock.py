"""The lock file of a run's folder: it keeps two processes from writing one run where the locks of files do not work.

SQLite locks the journal with the locks of the operating system. Some network file systems grant these to everybody
(NFS with `nolock`, Lustre with `localflock`), so a run has this lock too: a file that only one process can create.
"""

import errno
import json
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from josh.errors import UsageError

LOCK = "josh.lock"
"""The name of the file; it exists while a process writes to the folder, and after that process was killed."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds a lock.

    Attributes:
        host: name of its machine.
        pid: its process id.
        started: when it started, as the operating system says it; with `pid` it names one process of a machine. Empty
            where that is unknown.
        since: when it took the lock, in local time, for the error message.
    """

    host: str
    pid: int
    started: str
    since: str = ""

    @classmethod
    def here(cls) -> "Owner":
        """Returns this process."""
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        return cls(platform.node(), os.getpid(), _started(os.getpid()), now)

    @classmethod
    def read(cls, path: Path) -> "Owner | None":
        """Returns the owner that a lock file names; None where it cannot be read. Raises FileNotFoundError."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(found["host"]), int(found["pid"]), str(found["started"]), str(found["since"]))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def gone(self) -> bool:
        """Whether the process has ended; False for a process of another machine."""
        return self.host == platform.node() and _started(self.pid) != self.started


class FolderLock:
    """The lock of one folder, held from its creation to `release`.

    Attributes:
        left: whether a process that was killed had left its lock.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock; a lock whose process has ended on this machine is taken over.

        Raises:
            UsageError: another process holds the lock, the file system has no locks, or the folder cannot be written.
        """
        self._folder = folder
        self._path = folder / LOCK
        self.left = False
        if os.name == "nt":
            return  # SQLite's lock holds there
        try:
            if not self._take(self._path):
                self._take_over()
            try:
                self._probe()
            except BaseException:
                self.release()
                raise
        except OSError as error:
            raise UsageError(f"cannot write {self._path}: {error.strerror}") from None

    def release(self) -> None:
        """Delete the lock file."""
        with suppress(OSError):
            self._path.unlink()

    def _take(self, path: Path) -> bool:
        """Create a lock file with its whole content; returns False where it exists."""
        own = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}")
        try:
            own.write_text(json.dumps(asdict(Owner.here())) + "\n", encoding="utf-8")
            os.link(own, path)  # unlike a rename, this fails where the path exists
        except FileExistsError:
            return False
        except OSError:  # the file system has no links
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(own.read_text(encoding="utf-8"))
            except FileExistsError:
                return False
        finally:
            own.unlink(missing_ok=True)
        return True

    def _take_over(self) -> None:
        # Of several processes that find the same dead owner, one may replace its lock; a second lock decides which.
        guard = self._path.with_name(f"{LOCK}.next")
        if not self._take(guard):
            raise self._in_use(guard)
        try:
            try:
                owner = Owner.read(self._path)
            except FileNotFoundError:  # it was released in the meantime
                owner = None
            else:
                if owner is None or not owner.gone:
                    raise self._in_use(self._path)
                self.left = True
                self._path.unlink()
            if not self._take(self._path):
                raise self._in_use(self._path)
        finally:
            guard.unlink()

    def _in_use(self, path: Path) -> UsageError:
        try:
            owner = Owner.read(path)
        except FileNotFoundError:
            owner = None
        if owner is not None and owner.host == platform.node() and path == self._path:
            return UsageError(
                f"{self._folder} is in use by another josh (process {owner.pid}); wait for it, or stop it"
            )
        who = f"process {owner.pid} on {owner.host}, since {owner.since}" if owner else "an unknown process"
        return UsageError(
            f"{self._folder} is in use by another josh ({who}); wait for it, or stop it; if it was killed, delete "
            f"{path} first"
        )

    def _probe(self) -> None:
        """Raises UsageError where the file system has no locks, which SQLite would report as a journal in use."""
        import fcntl

        with self._path.open("r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    raise UsageError(
                        f"the file system of {self._folder} has no locks ({error.strerror}); give --log_dir on a local "
                        "disk, or move the run there"
                    ) from None
                raise


def _started(pid: int) -> str:
    """Returns when a process of this machine started; empty where there is no such process."""
    try:
        # The text after the name in parentheses; field 22 is the start in ticks since the machine booted.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return "" if fields[0] == "Z" else f"{boot} {fields[19]}"
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return ""
    return found.stdout.strip()
