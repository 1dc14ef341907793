"""Workers in processes of this machine (`--executor processes`)."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

from josh.runs.play.workers.wire import Start

_BEGIN = (
    "import json,sys;s=json.loads(sys.stdin.readline());sys.path[:]=s['path'];from {0} import main;main(s['start'])"
)


class Processes:
    """This machine, as a place for workers (`hub.Place`).

    A worker reads from a pipe how to reach its run. It ends when the pipe is closed, so it does not outlive the run,
    even where a plug-in holds it up.
    """

    host = "127.0.0.1"

    def __init__(self, gpus: tuple[str, ...] = ()) -> None:
        """Args: gpus: the numbers of the GPUs, of which each worker gets one; empty for none."""
        self._gpus = gpus

    async def live(self, start: Start) -> str:
        """See `Place.live`."""
        command = _BEGIN.format(__name__)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", command),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches only the run, which then ends its workers
            env=self._environment(start.number),
        )
        assert process.stdin is not None
        try:
            with suppress(OSError):
                process.stdin.write(json.dumps({"path": sys.path, "start": asdict(start)}).encode() + b"\n")
                await process.stdin.drain()
            code = await process.wait()
        finally:
            process.stdin.close()
            if process.returncode is None:
                process.kill()
                await process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _environment(self, number: int) -> Mapping[str, str]:
        own = {"CUDA_VISIBLE_DEVICES": self._gpus[number % len(self._gpus)]} if self._gpus else {}
        return {**os.environ, **own}


def main(start: Mapping[str, object]) -> None:
    """Be a worker. Args: start: the fields of `Start`."""
    threading.Thread(target=_end_with_pipe, daemon=True).start()
    from josh.runs.play.workers.member import work

    work(Start(**start))  # type: ignore[arg-type]


def _end_with_pipe() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)
