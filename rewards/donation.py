"""Donations: dollars that the persuadee gives, read from its own words alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from josh.config import setting
from josh.dialogue import Hit, Speaker
from josh.envs.persuasion.donation import DONATION
from josh.roles import BaseRewards


class DonationRewards(BaseRewards):
    """A goal is met by a donation tag for more than nothing, and worth the dollars in it.

    Attributes:
        min_reward: dollars below which a donation meets no goal; 0 lets every amount above nothing count.
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
    unit: ClassVar[str] = "$"
    verb: ClassVar[str] = "donated"
    rate: ClassVar[str] = "donation_rate"
    mean: ClassVar[str] = "mean_donation"

    def __init__(self, rewards: Sequence[Any], min_reward: float | None = None) -> None:
        """Args: rewards: the goals; min_reward: what counts instead of the setting."""
        super().__init__(rewards)
        self.min_reward = self.config.min_reward if min_reward is None else min_reward

    def is_reward(self, agent_actions: Sequence[Any]) -> tuple[bool, list[Any]]:
        """Say whether the persuadee gave enough, and which goal that meets: the first one open.

        Args:
            agent_actions: the texts of the persuadee's turn; the last tag in them counts.
        """
        amount = self.hit_value(agent_actions) or 0.0
        met = self.rewards[:1] if amount > 0 and amount >= self.min_reward else []
        return bool(met), met

    def hit_value(self, actions: Sequence[Any]) -> float | None:
        """The dollars of the last tag in the texts, in [0, 2]; None without a tag."""
        return DONATION.read("\n".join(map(str, actions)))

    def path_reward(self, goals: Sequence[Any], hits: Sequence[Hit]) -> float:
        """The dollars a finished path earned."""
        return sum(hit.value for hit in hits if hit.goals)
