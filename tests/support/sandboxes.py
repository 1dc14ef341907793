"""The sandboxes that work on this machine, for tests that run code in them."""

import os
from functools import cache

import pytest

from josh.rewards.sandbox.run import Sandbox, runnable
from josh.rewards.sandbox.tools import Limits

TOOLS = ("bwrap", "unshare")
REQUIRED = os.environ.get("JOSH_TEST_SANDBOX") == "required"
"""Whether a machine without any sandbox fails instead of skipping, as in CI."""


@cache
def sandbox(tool, seconds=20.0):
    """A sandbox of a tool; the test skips, with the reason, where it does not work."""
    reason = runnable(tool)
    if reason:
        pytest.skip(f"{tool}: {reason}")
    return Sandbox(tool, Limits(seconds=seconds))


def any_sandbox(seconds=20.0):
    """The first sandbox that works; the test skips where none does."""
    tool = next((tool for tool in TOOLS if not runnable(tool)), None)
    if tool is None:
        pytest.skip("; ".join(f"{tool}: {runnable(tool)}" for tool in TOOLS))
    return sandbox(tool, seconds)
