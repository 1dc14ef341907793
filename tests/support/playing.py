"""Runs played for the tests of what becomes of them."""

import json
from pathlib import Path

from josh.cli import main

LOOKS = """
from josh import BaseJOSHAgent

class Looks(BaseJOSHAgent):
    def step(self, **_):
        self.messages_internal += [
            {"role": "assistant", "content": "APICALL look"},
            {"role": "user", "content": "APIRETURN red"},
            {"role": "assistant", "content": "SPEAK It is red."},
        ]
        self.messages.append({"role": "assistant", "content": "It is red."})
        return True
"""
"""An agent that calls tools in its text, and gets their results in its own turn: `looks.py:Looks`."""
PEOPLE = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}
"""A task's data for a persuasion of two people of whom nothing is known."""


def lines(path):
    """What a file of JSON lines holds."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def only_run():
    """The folder of the only run in `records`."""
    (folder,) = Path("records").iterdir()
    return folder


def run(log_dir, *flags):
    """Play a run; its folder."""
    assert main(["run", "--log_dir", log_dir, *map(str, flags)]) == 0
    (folder,) = Path(log_dir).iterdir()
    return folder
