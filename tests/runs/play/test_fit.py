"""Plug-ins that can never earn a reward together are refused before the first call; others are played."""

import json
from pathlib import Path

import pytest
from wrong_input import outcome

pytestmark = pytest.mark.usefixtures("elsewhere")

TAG = "[DONATE $2.00]"
MISFITS = {
    "--rewards donation --env toolwoz": f"rewards 'donation' read {TAG} in the user's words, and user 'offline_goal' "
    "never writes it in env 'toolwoz'; give other --rewards",
    "--josh --rewards donation --env toolwoz": "rewards 'donation' read",
    "--dry_run --rewards donation --env toolwoz": "rewards 'donation' read",
    "evaluate --rewards donation --env toolwoz": "rewards 'donation' read",
    "--agent offline_persuader --env toolwoz": "agent 'offline_persuader' calls no tools, and only calls meet the "
    "goals of env 'toolwoz'; give another --agent",
    "--agent dense_script_persuader --env toolwoz": "agent 'dense_script_persuader' calls no tools",
    "evaluate --agent uniform_persuader --env toolwoz": "agent 'uniform_persuader' calls no tools",
    "--agent persuader --model m --base_url http://127.0.0.1:9 --env toolwoz": "agent 'persuader' calls no tools",
    "--user donor_firm --env toolwoz": f"user 'donor_firm' decides by {TAG}, which rewards 'tool_goals' of env "
    "'toolwoz' do not read; give another --user",
    "--rewards goals": "rewards 'goals' need an action that equals a goal, and no action of agent 'offline_persuader' "
    "does in env 'persuasion'; give other --rewards, such as 'donation'",
    "--rewards goals --env toolwoz": "such as 'tool_goals'",
    "loop --tiny --rewards goals": "rewards 'goals' need an action that equals a goal",
    # These are found by the plug-ins themselves.
    "--agent offline_tool_agent": "offline_tool_agent needs tools",
    "--user offline_goal": "has no goal; give another --user",
    "--rewards tool_goals": "has no target for its goal",
    "--rewards call_goals --env toolwoz": "is not a call",
}
OWN = """
from josh import BaseJOSHUser, BaseRewards
from josh.agents.chat import Persuader
from josh.agents.persuasion.offline import OfflinePersuader
from josh.envs.toolwoz.env import ToolwozEnv
from josh.rewards.donation import DonationRewards

class Giver(BaseJOSHUser):
    def step(self, agent, **_):
        agent.add_message({"role": "user", "content": "Here. [DONATE $1]"})
        return agent, True

class Caller(OfflinePersuader):
    def step(self, **given):
        self.add_message({"role": "assistant", "content": "I searched."})
        self.recent_actions = [{"name": name, "arguments": {}, "result": []} for name in ("search_hotel",)]
        return True

class Namer(OfflinePersuader):
    def step(self, **given):
        self.add_message({"role": "assistant", "content": "Please."})
        self.recent_actions = ["donation"]
        return True

class Words(BaseRewards):
    def is_reward(self, actions):
        return bool(actions and self.rewards), self.rewards[: len(actions)]

class Charity(ToolwozEnv):
    def user_prompt(self, task):
        return "You may give a dollar."
"""
FITTING = {
    "--env toolwoz --user ./own.py:Giver --rewards donation": 1.0,
    "--env toolwoz --user donor --rewards donation": 0.0,
    "--env toolwoz --agent ./own.py:Caller": 0.0,
    "--env toolwoz --agent offline_persuader --rewards ./own.py:Words": 1.0,
    "--env ./own.py:Charity --rewards donation": 0.0,
    "--env ./own.py:Charity --user donor": 0.0,
    "--rewards goals --agent ./own.py:Namer": 1.0,
}


@pytest.mark.parametrize("arguments", MISFITS)
def test_what_never_earns_is_refused_before_the_first_call(capsys, arguments):
    code, out, (line,) = outcome(capsys, arguments)
    assert (code, out) == (2, "")
    assert line.startswith("josh: ")
    assert MISFITS[arguments] in line
    assert not Path("records").exists()


@pytest.mark.parametrize("arguments", FITTING)
def test_plug_ins_from_elsewhere_are_played(capsys, arguments):
    Path("own.py").write_text(OWN)
    code, _, _ = outcome(capsys, f"{arguments} --end_index 2")
    assert code == 0
    (folder,) = Path("records").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["average_reward"] == FITTING[arguments]


def test_a_run_without_a_tag_is_not_rescored_for_one(capsys):
    assert outcome(capsys, "--env toolwoz --end_index 1 --log_dir r")[0] == 0
    (run,) = Path("r").iterdir()
    code, out, (line,) = outcome(capsys, f"rescore {run} --rewards donation")
    assert (code, out) == (2, "")
    assert line.startswith(f"josh: rewards 'donation' read {TAG} in the user's words, and no turn of {run} has it")
    assert list(Path("r").iterdir()) == [run]
