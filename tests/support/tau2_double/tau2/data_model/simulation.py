"""What evaluators return."""

from pydantic import BaseModel


class RewardInfo(BaseModel):
    """A reward."""

    reward: float
