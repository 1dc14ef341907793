"""Conversations of the proactive world: states, scripted agents, and a turn by turn account of what was played."""

import asyncio

import josh
from josh.agents.proactive.offline import OfflineHelper
from josh.envs.proactive.env import ProactiveEnv
from josh.rewards.proactive import ProactiveRewards
from josh.roles import Task
from josh.runs.record.stored import stored_episodes
from josh.strategies.mainline import Mainline
from josh.users.proactive.persona import OfflinePersona

CODE = "Here it is.\n\n```python\ndef work(things):\n    return sorted(things)\n```"
PLAN = " ".join(["step"] * 51)
SHORT_PLAN = " ".join(["step"] * 50)
ROW = {"id": "q", "domain": "coding", "query": "Sort my list of orders.", "task_uncertainty": 0.3}


def task_of(row=ROW, persona="Novice-Learner", **more):
    """A task of one state."""
    return Task(row["id"], 0, {"state": dict(row), "persona": {"name": persona}, **more})


def saying(*turns):
    """An agent that takes turns of an action and a text; a directive of a search chooses the first that has it."""

    class Scripted(OfflineHelper):
        shared = (*OfflineHelper.shared, "script")
        script = turns

        async def _choose(self, world, model, directive):
            action = directive or self._turn()[0]
            return action, "directive" if directive else "rule"

        def _turn(self):
            said = sum(message["role"] == "assistant" for message in self.messages)
            return self.script[min(said, len(self.script) - 1)]

        async def words(self, action, world, model):
            own = self._turn()
            return own[1] if own[0] == action else next(text for other, text in self.script if other == action)

    return Scripted


def played(agent=OfflineHelper, task=None, user=OfflinePersona, rewards=ProactiveRewards, strategy=None, **options):
    """The episode of one task; `env` settings are given by flag."""
    flags = {name: options.pop(name) for name in list(options) if name.startswith(("env.", "synthetic"))}
    env = ProactiveEnv({"seed": options.get("seed", 10), **flags})
    return asyncio.run(
        josh.play(
            task or env.tasks("train")[0],
            env,
            agent=agent,
            user=user,
            rewards=rewards,
            strategy=strategy or Mainline(branches=0),
            **options,
        )
    )


def with_settings(**settings):
    """The rewards with other settings."""

    def made(goals):
        rewards = ProactiveRewards(goals)
        rewards.config = ProactiveRewards.Config(**settings)
        return rewards

    return made


def facts(episode):
    """The facts of the agent's turns, in the order of the nodes."""
    return [node.turn.facts for node in episode.tree.nodes if node.speaker == "agent" and node.turn.facts]


def reactions(episode):
    """The words for the user's reactions, in the order of the nodes."""
    return [node.turn.facts["reaction"] for node in episode.tree.nodes[1:] if node.speaker == "user"]


def episodes_in(run):
    """The episodes of a run's folder."""
    return [episode for _, episode in stored_episodes(run / "episodes.jsonl", [])]
