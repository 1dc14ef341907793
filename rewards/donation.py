"""Donations: dollars that the persuadee gives, read from its own words alone."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from josh.envs.persuasion.donation import DONATION
from josh.errors import UsageError
from josh.roles import BaseEnv, BaseRewards, Task
from josh.tree import Hit, Speaker


class DonationRewards(BaseRewards):
    """A goal is met by a donation tag for more than nothing, and worth the dollars in it.

    Attributes:
        min_reward: dollars below which a donation meets no goal; 0 lets every amount above nothing count.
    """

    reads: ClassVar[Speaker] = Speaker.USER
    unit: ClassVar[str] = "$"
    verb: ClassVar[str] = "donated"
    rate: ClassVar[str] = "donation_rate"
    mean: ClassVar[str] = "mean_donation"

    def __init__(self, rewards: Sequence[Any], min_reward: float = 0.0) -> None:
        super().__init__(rewards)
        self.min_reward = min_reward

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Take the setting `min_reward`, if there is one. Raises UsageError when no donation could reach it."""
        wanted = options.get("min_reward")
        if wanted is not None:
            if not DONATION.low <= wanted <= DONATION.high:
                raise UsageError(f"min_reward is {wanted}; give {DONATION.low:g} to {DONATION.high:g} dollars")
            self.min_reward = float(wanted)

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
