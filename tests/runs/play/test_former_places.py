"""Plug-ins that were written before a class moved find it where it was."""

import pytest

from josh.loading import load
from josh.runs.registry import AGENTS, USERS

FORMER = {
    "persuader": "josh.agents.persuader:Persuader",
    "offline_persuader": "josh.agents.offline_persuader:OfflinePersuader",
    "uniform_persuader": "josh.agents.offline_persuader:UniformPersuader",
    "script_persuader": "josh.agents.script_persuader:ScriptPersuader",
    "dense_script_persuader": "josh.agents.script_persuader:DenseScriptPersuader",
    "offline_tool_agent": "josh.agents.offline_tool_agent:OfflineToolAgent",
    "persuadee": "josh.users.persuadee:Persuadee",
    "donor": "josh.users.donor:Donor",
    "offline_goal": "josh.users.offline_goal:OfflineGoal",
}


@pytest.mark.parametrize("name", FORMER)
def test_a_class_is_found_where_it_was(name):
    known = {**AGENTS, **USERS}
    assert load(FORMER[name], known, "speaker") is load(name, known, "speaker")
