"""Evaluations played for tests, and their figures."""

import json
from pathlib import Path

from josh.cli import main

SMALL = ["--synthetic_tasks", "8", "--max_convo_turns", "6"]


def evaluated(*flags, code=0):
    """Run an evaluation; its folder, or None where there is none."""
    before = set(Path("records").glob("eval-*"))
    assert main(["evaluate", *SMALL, *flags]) == code
    return next(iter(set(Path("records").glob("eval-*")) - before), None)


def figures(folder):
    return json.loads((folder / "evaluation.json").read_text())


def cell(found, policy, user="donor"):
    (one,) = (each for each in found["results"] if (each["policy"], each["user"]) == (policy, user))
    return one


def spans(node):
    """All estimates in some figures."""
    if isinstance(node, dict):
        if node.keys() >= {"value", "low", "high"}:
            yield node
        for each in node.values():
            yield from spans(each)
