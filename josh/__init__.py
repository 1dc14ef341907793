"""josh teaches a dialogue agent from its own best conversations."""

from josh.api import JOSH
from josh.dialogue import Outcome, Speaker, Turn
from josh.driver import Search
from josh.episode import play
from josh.errors import FatalError, JoshError, UsageError
from josh.outcomes import Episode
from josh.roles import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards, Task, ToolError
from josh.search import Strategy
from josh.transcript import Conversation
from josh.tree import Expand, Node, Tree

__all__ = [
    "JOSH",
    "BaseEnv",
    "BaseJOSHAgent",
    "BaseJOSHUser",
    "BaseRewards",
    "Conversation",
    "Episode",
    "Expand",
    "FatalError",
    "JoshError",
    "Node",
    "Outcome",
    "Search",
    "Speaker",
    "Strategy",
    "Task",
    "ToolError",
    "Tree",
    "Turn",
    "UsageError",
    "play",
]
