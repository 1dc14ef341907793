"""The benchmark plays every world that plays without a model, and no other."""

import asyncio

import pytest

from josh.runs.experiments.bench import forking, offline_worlds
from josh.runs.registry import ENVS


def test_a_world_that_needs_a_server_is_not_measured():
    assert "mcp" in ENVS
    assert offline_worlds() == ["persuasion", "toolwoz", "debate", "proactive", "ptom"]


@pytest.mark.parametrize("env", offline_worlds())
def test_each_measured_world_needs_no_settings(env):
    assert asyncio.run(forking(env, 1)) > 0
