"""josh teaches a dialogue agent from its own best conversations."""

from importlib import import_module

TYPE_CHECKING = False  # not imported from typing, so that the command line can handle Ctrl-C a little earlier
if TYPE_CHECKING:
    from typing import Any

    from josh.api import JOSH, AsyncJOSH
    from josh.conversation import Conversation
    from josh.dialogue import Outcome, Speaker, Turn
    from josh.driver import Search
    from josh.episode import play
    from josh.errors import FatalError, JoshError, UsageError
    from josh.outcomes import Episode
    from josh.roles import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards, Task, ToolError
    from josh.runs.train.trl_environment import environment_factory
    from josh.search import Strategy
    from josh.transcript import Transcript
    from josh.tree import Expand, Node, Pair, Tree

_MODULES = {
    "api": ("JOSH", "AsyncJOSH"),
    "conversation": ("Conversation",),
    "dialogue": ("Outcome", "Speaker", "Turn"),
    "driver": ("Search",),
    "episode": ("play",),
    "errors": ("FatalError", "JoshError", "UsageError"),
    "outcomes": ("Episode",),
    "roles": ("BaseEnv", "BaseJOSHAgent", "BaseJOSHUser", "BaseRewards", "Task", "ToolError"),
    "runs.train.trl_environment": ("environment_factory",),
    "search": ("Strategy",),
    "transcript": ("Transcript",),
    "tree": ("Expand", "Node", "Pair", "Tree"),
}

__all__ = [
    "JOSH",
    "AsyncJOSH",
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
    "Pair",
    "Search",
    "Speaker",
    "Strategy",
    "Task",
    "ToolError",
    "Transcript",
    "Tree",
    "Turn",
    "UsageError",
    "environment_factory",
    "play",
]


def __getattr__(name: str) -> "Any":
    """Import a name when it is first used, so that the command line can begin before everything is imported."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("josh-dialogue")
        except PackageNotFoundError:
            return "not installed"
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
