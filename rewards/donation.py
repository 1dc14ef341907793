"""Donations: dollars that the persuadee gives, read only from the persuadee's words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from josh.config import setting
from josh.dialogue import Hit, Speaker
from josh.envs.persuasion.donation import DONATION
from josh.roles import BaseRewards
from josh.tags import RewardTag

CENT = 0.01
"""The smallest amount in dollars that anybody can give."""


class DonationRewards(BaseRewards):
    """A donation tag for at least a cent meets a goal, and earns the dollars in it.

    Attributes:
        min_reward: the smallest donation in dollars that meets a goal; with 0 every amount of at least `CENT` does.
    """

    @dataclass(frozen=True, slots=True)
    class Config:
        """The settings of these rewards."""

        min_reward: float = setting(
            0.0,
            "smallest donation that counts as a win",
            flag="min_reward",
            least=DONATION.low,
            most=DONATION.high,
            unit="dollars",
        )

    config: Config

    reads: ClassVar[Speaker] = Speaker.USER
    tag: ClassVar[RewardTag | None] = DONATION
    unit: ClassVar[str] = "$"
    verb: ClassVar[str] = "donated"
    rate: ClassVar[str] = "donation_rate"
    mean: ClassVar[str] = "mean_donation"

    def __init__(self, rewards: Sequence[Any], min_reward: float | None = None) -> None:
        """Args: rewards: the goals; min_reward: replaces the setting, unless None."""
        super().__init__(rewards)
        self.min_reward = self.config.min_reward if min_reward is None else min_reward

    def is_reward(self, agent_actions: Sequence[Any]) -> tuple[bool, list[Any]]:
        """Returns whether the persuadee gave enough, and the goal that this meets: the first open one.

        Args:
            agent_actions: the texts of the persuadee's turn; the last undisputed tag in them counts.
        """
        amount = self.hit_value(agent_actions) or 0.0
        met = self.rewards[:1] if amount >= max(CENT, self.min_reward) else []
        return bool(met), met

    def hit_value(self, actions: Sequence[Any]) -> float | None:
        """Returns the dollars of the last tag in the texts, in [0, 2]; None without a tag."""
        return DONATION.read("\n".join(map(str, actions)))

    def path_reward(self, goals: Sequence[Any], hits: Sequence[Hit]) -> float:
        """Returns the dollars that a finished path earned."""
        return sum(hit.value for hit in hits if hit.goals)
