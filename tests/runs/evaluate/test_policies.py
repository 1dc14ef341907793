"""Further policies of an evaluation (`--policies`), and the file of a suite's results (`--output`)."""

import json

import pytest
from suites import refusal

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
PLAY = ["evaluate", "--env", "proactive", "--synthetic_tasks", "4", "--rollouts", "1", "--no_references"]


def test_each_further_policy_is_a_run_of_its_own_with_the_settings_of_its_agent(capsys):
    policies = {"often": {"agent": "threshold", "agent.below": 0.9}, "never": {"agent": "threshold", "agent.below": 0}}
    assert main([*PLAY, "--agent", "offline_helper", "--policies", json.dumps(policies), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["policies"] == ["offline_helper", "often", "never"]
    assert [cell["difference"]["from"] for cell in found["results"][1:]] == ["offline_helper"] * 2
    rounds = {cell["policy"]: cell["mean_rounds"]["value"] for cell in found["results"]}
    assert rounds["never"] == 1 < rounds["often"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("direct", "which is not JSON"),
        ('["direct"]', "give a JSON object with the settings of each policy"),
        ('{"direct": {}}', "give a JSON object with the settings of each policy"),
        ('{"direct": {"user": "persona"}}', "policies gives user to 'direct'; give settings of the agent"),
        ('{"offline_helper": {"agent": "direct"}}', "policies has 'offline_helper', and another policy has that name"),
        ('{"direct": {"agent": "direkt"}}', "direkt"),
    ],
)
def test_a_wrong_policy_is_one_line(capsys, given, line):
    assert line in refusal(capsys, *PLAY[1:], "--agent", "offline_helper", "--policies", given)


def test_a_file_of_results_needs_a_suite(capsys):
    assert "no suite is given" in refusal(capsys, *PLAY[1:], "--output", "out.json")
