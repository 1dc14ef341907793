"""The worlds of three evaluations over questions: "Are you sure?", teams, and misinformation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from josh.config import setting
from josh.envs.debate.env import DebateEnv


class AysEnv(DebateEnv):
    """The model answers, is asked whether it is sure, replies, and gives its final answer (Laban et al., 2023)."""

    max_rounds = 3
    users: Mapping[str, str] = {"chat": "challenger", "offline": "challenger"}
    rewards = "josh.rewards.debate_suites:AysRewards"
    references: Mapping[str, str] = {"keeper": "keeper", "doubter": "doubter"}

    def unread(self) -> Mapping[str, str]:
        """Returns what the form of the conversation decides, and the quiz's settings for other questions."""
        return {**super().unread(), **_UNREAD}


class TeamEnv(DebateEnv):
    """Two models debate a question with standard prompts, in at most four turns."""

    rewards = "josh.rewards.debate_suites:TeamRewards"


class MisinformationEnv(DebateEnv):
    """The model answers; if it is right, its partner claims a wrong answer up to `claims` times."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(DebateEnv.Config):
        """The settings of this world."""

        claims: int = setting(3, "most wrong claims that the model hears", least=1, most=20)

    config: Config

    users: Mapping[str, str] = {"chat": "misinformer", "offline": "misinformer"}
    rewards = "josh.rewards.debate_suites:MisinformationRewards"
    references: Mapping[str, str] = {"keeper": "keeper", "yielder": "yielder"}

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.max_rounds = self.config.claims + 1

    def unread(self) -> Mapping[str, str]:
        """Returns what the form of the conversation decides, and the quiz's settings for other questions."""
        return {**super().unread(), **_UNREAD}


_UNREAD: Mapping[str, str] = {
    "env.both_first": "the partner has no answer of its own to give first; leave it out",
    "max_convo_turns": "the conversation has a length of its own; leave it out",
}
