"""A folder is written by one process at a time, also where the locks of the file system hold nobody back."""

import json
import platform
import subprocess
import sys

import pytest

from josh.errors import UsageError
from josh.runs.record.lock import LOCK, FolderLock

HOLD = (
    "import sys; from pathlib import Path; from josh.runs.record.lock import FolderLock; FolderLock(Path(sys.argv[1]))"
)


def test_a_folder_has_one_owner_until_it_is_released(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(UsageError, match=r"is in use by another josh \(process \d+\); wait for it, or stop it$"):
        FolderLock(tmp_path)
    lock.release()
    again = FolderLock(tmp_path)
    assert not again.left
    again.release()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path):
    subprocess.run([sys.executable, "-c", HOLD, tmp_path], check=True)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    lock = FolderLock(tmp_path)
    assert lock.left
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_process_id_that_is_used_again_is_another_process(tmp_path):
    FolderLock(tmp_path)
    owner = json.loads((tmp_path / LOCK).read_text())
    (tmp_path / LOCK).write_text(json.dumps(owner | {"started": "earlier"}))
    assert FolderLock(tmp_path).left


@pytest.mark.parametrize("content", ['{"host": "far", "pid": 7, "started": "x", "since": "monday"}', "", "[", "{}"])
def test_an_owner_that_cannot_be_looked_up_is_named_with_the_way_out(tmp_path, content):
    assert platform.node() != "far"
    (tmp_path / LOCK).write_text(content)
    with pytest.raises(UsageError) as refused:
        FolderLock(tmp_path)
    who = "process 7 on far, since monday" if "far" in content else "an unknown process"
    assert str(refused.value) == (
        f"{tmp_path} is in use by another josh ({who}); wait for it, or stop it; if it was killed, delete "
        f"{tmp_path / LOCK} first"
    )
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
