"""`python josh/main.py` runs the command line from a clone, with or without installation.

The installed command `josh` and `python -m josh` begin in `__main__.py`, and go on here. This module imports little:
everything else is imported once Ctrl-C is handled, because that takes some tenths of a second.
"""

import os
import signal
import sys


def end_at_ctrl_c() -> bool:
    """Let Ctrl-C end the process at once with 130 and one line; returns whether the process listens to Ctrl-C."""
    listens = signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _exit)
    if listens:
        signal.signal(signal.SIGINT, _exit)
    return listens


def _exit(*_: object) -> None:
    os.write(2, b"josh: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    end_at_ctrl_c()

_PATIENCE = 2.0
"""Seconds to wait for a thread when a command is done."""


def main(*, script: bool = False) -> int:
    """Run the command line; Ctrl-C ends it with 130 and one line at any moment.

    Args:
        script: this file is run as a script, so that josh may have to be found first.

    Returns:
        The exit code.
    """
    listens = end_at_ctrl_c()
    if script:
        _find_josh()
    from josh.cli import main as run_command

    try:
        if listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run_command()
        _leave_threads(code)
    except KeyboardInterrupt:
        _exit()
    finally:
        if listens:
            signal.signal(signal.SIGINT, _exit)  # while the interpreter ends, there is nothing left to clean up
    return code


def _leave_threads(code: int) -> None:
    """See that no thread that a plug-in left keeps the process alive: the process waits for `_PATIENCE` seconds."""
    import threading

    if any(not one.daemon and one is not threading.main_thread() for one in threading.enumerate()):
        threading.Thread(target=_end_process, args=(code,), daemon=True).start()


def _end_process(code: int) -> None:
    """End the process where threads still run some time after its main thread has ended; say their names."""
    import threading
    import time

    while threading.main_thread().is_alive():
        time.sleep(0.1)
    time.sleep(_PATIENCE)  # thread pools end by themselves meanwhile
    left = ", ".join(one.name for one in threading.enumerate() if not one.daemon and one.is_alive())
    os.write(2, f"josh: did not wait for a thread that is still running: {left!a}\n".encode())
    os._exit(code)


def _find_josh() -> None:
    """Make josh importable for a script in its own folder."""
    from importlib.util import find_spec
    from pathlib import Path

    # Python puts a script's folder first on the path; josh's modules there would hide packages of the same name.
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    if find_spec("josh") is None:
        sys.path.append(str(here.parent))


if __name__ == "__main__":
    sys.exit(main(script=True))
