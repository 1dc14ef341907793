"""Suites: evaluations with numbers of their own, over ordinary runs.

A suite is a world whose user is usually scripted, the settings of its runs, and a table of numbers. Each number is a
weighted sum of mean scores, so that it has an interval and a paired difference like any other. `registry.SUITES` lists
the suites; their values belong to the systems that they come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from josh.errors import UsageError
from josh.runs.registry import SUITES, load_suite

_ROLES = ("env", "agent", "user", "rewards")


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite.

    Attributes:
        name: its short name.
        help: what it measures, in one line.
        settings: the settings of its runs, by flag; `env` is fixed, the others can be given.
        columns: its numbers: for each its name, and the weights of the mean scores that it is the sum of.
        clusters: what the bootstrap draws, in the plural.
        second: settings of further runs, in which agent and user change places; None for one order only.
        gap: the number whose difference between the two orders is the order gap.
        file: the flag that `--file` stands for; empty where the suite has no such file.
        replayed_by: the agent that replays what the file holds, where no model is given; empty for none.
        group: the kind of groups (`BaseEnv.groups`) that have numbers of their own; empty for none.
        by_number: print a line for each number and a column for each policy, instead of the other way round.
        further: the import path of a function that returns further figures, and the lines that print them, of some
            samples.
    """

    name: str
    help: str
    settings: Mapping[str, Any]
    columns: Mapping[str, Mapping[str, float]]
    clusters: str = "questions"
    second: Mapping[str, Any] | None = None
    gap: str = ""
    file: str = ""
    replayed_by: str = ""
    group: str = ""
    by_number: bool = False
    further: str = ""


def suite_of(name: str) -> Suite:
    """Returns a suite by its name. Raises UsageError where there is none."""
    if name not in SUITES:
        near = get_close_matches(name, SUITES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"no suite named {name!r}; known: {', '.join(SUITES)}{hint}")
    found: Suite = load_suite(name)
    return found


def chosen_by(suite: Suite, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the plug-ins of a suite's runs, by role, for choosing flags."""
    return {role: suite.settings[role] for role in _ROLES if role in suite.settings} | dict(given)


def given_to(suite: Suite, given: Mapping[str, Any], file: str | None) -> dict[str, Any]:
    """Returns the given settings of a suite's runs, with those that `--file` means.

    Args:
        suite: the suite.
        given: settings of `josh run`, by flag.
        file: the value of `--file`; None where it is not given.

    Raises:
        UsageError: the settings contradict the suite, or it has no such file.
    """
    found, env = dict(given), suite.settings["env"]
    if found.get("env") not in (None, env):
        raise UsageError(f"env is {found['env']!r}, but the suite {suite.name} is a world of its own; leave env out")
    if file is not None:
        if not suite.file:
            raise UsageError(f"file is {file!r}, but the suite {suite.name} reads no file of rows; leave it out")
        if suite.file in found:
            raise UsageError(f"file is {file!r}, and {suite.file} is {str(found[suite.file])!r}; leave one of them out")
        found[suite.file] = file
        if suite.replayed_by and not found.get("model") and not found.get("agent"):
            found["agent"] = suite.replayed_by
    return found
