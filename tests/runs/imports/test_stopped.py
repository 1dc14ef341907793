"""An import, an export or a training that a scheduler ends leaves nothing half-written."""

import json
import signal
import subprocess
import sys
import time


def ended(arguments, folder, ready):
    """Run josh, send SIGTERM as soon as `ready()` is true, and return the exit code and stderr."""
    started = subprocess.Popen(
        [sys.executable, "-m", "josh", *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    until = time.monotonic() + 60
    while not ready() and started.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    started.send_signal(signal.SIGTERM)
    _, error = started.communicate(timeout=60)
    return started.returncode, error


def test_an_import_that_is_terminated_leaves_no_folder(tmp_path):
    rows = tmp_path / "chats.jsonl"
    turns = [{"role": role, "content": f"word {number}"} for number in range(20) for role in ("user", "assistant")]
    rows.write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(20_000)), encoding="utf-8")
    out = tmp_path / "out" / "run"

    def begun():
        return out.parent.is_dir() and bool(list(out.parent.iterdir()))

    code, error = ended(["import", rows, "--format", "messages", "--out", out], tmp_path, begun)
    assert code == 143, error
    assert error.endswith("josh: terminated\n")
    assert not out.parent.is_dir() or list(out.parent.iterdir()) == []
