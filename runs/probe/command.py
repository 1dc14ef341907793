"""`josh probe`: general ability before and after tuning."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from josh.runs.probe.probing import Probed, probe, resume_probe
from josh.runs.probe.report import as_text
from josh.runs.probe.settings import resolve_probe
from josh.runs.record.folder import from_here
from josh.runs.record.summary import counted
from josh.terminal import only_visible, screen_width


def run_probe(given: Mapping[str, Any], resumed: Path | None, *, as_json: bool) -> int:
    """Play a probe or go on with one, and print its numbers.

    Args:
        given: its settings by flag; for a probe that is resumed, those with new values.
        resumed: the folder of a probe to go on with; None for a new one.
        as_json: print one JSON object, and nothing else on stdout.

    Returns:
        0 where everything was asked, with any answer; 1 where a budget is spent or requests failed.

    Raises:
        UsageError: a setting or a file is wrong.
        FatalError: the probe cannot go on.
    """
    with only_visible():
        work = probe(resolve_probe(given)) if resumed is None else resume_probe(resumed, given)
        done = asyncio.run(work)
        print_probe(done, as_json=as_json)
    return 0 if done.figures["complete"] else 1


def print_probe(done: Probed, *, as_json: bool = False) -> None:
    """Print the numbers of a probe, and how to go on with one that is not complete."""
    figures, folder = done.figures, from_here(done.folder)
    if as_json:
        print(json.dumps({"folder": str(done.folder), **figures}, indent=1))
    if done.stopped:
        print(
            f"josh: {done.stopped} is reached: go on with: {done.again} --{done.stopped.split(maxsplit=1)[0]} MORE",
            file=sys.stderr,
        )
        return
    if figures["failed"]:
        print(f"josh: {counted(figures['failed'], 'request')} failed; go on with: {done.again}", file=sys.stderr)
    if not as_json:
        print(as_text(figures, str(folder), screen_width(sys.stdout)))
