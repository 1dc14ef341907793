"""josh teaches a dialogue agent from its own best conversations."""

from josh.api import JOSH
from josh.errors import FatalError, JoshError, UsageError
from josh.roles import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards

__all__ = [
    "JOSH",
    "BaseEnv",
    "BaseJOSHAgent",
    "BaseJOSHUser",
    "BaseRewards",
    "FatalError",
    "JoshError",
    "UsageError",
]
