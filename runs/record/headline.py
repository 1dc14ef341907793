"""A one-line description of a run: its tasks, its search, its temperature and seed, and its two speakers."""

from collections.abc import Mapping
from typing import Any

from josh.models.turn_model import PERSON
from josh.runs.record.folder import IMPORTED, HowPlayed
from josh.runs.record.summary import counted
from josh.runs.settings import RunSettings


def headline(settings: RunSettings, plays: Mapping[str, Any], search: HowPlayed, tasks: int) -> str:
    """Returns a line that describes a run.

    Args:
        settings: its settings.
        plays: the plug-ins by role, as in `config.json`.
        search: how its trees grow.
        tasks: number of its tasks.
    """
    agent, user = (plays[role].rpartition(":")[2] for role in ("agent", "user"))
    model, user_model = model_names(settings)
    speakers = f"{agent} ({model}) and {user} ({user_model})"
    if search == IMPORTED:
        sides = f": {agent} and {user}" if {agent, user} != {search.words} else ""
        return f"{counted(tasks, _called(settings, plays))}, {search.words}{sides}"
    return f"{counted(tasks, _called(settings, plays))}, {search.words}{sampled(settings)}: {speakers}"


def _called(settings: RunSettings, plays: Mapping[str, Any]) -> str:
    """Returns the noun for a task of a run."""
    return str(plays.get("task") or f"{short_name(str(settings.env.name))} task")


def sampled(settings: RunSettings) -> str:
    """Returns the agent's temperature and the seed of a run in words, such as ` at temperature 1, seed 10`."""
    temperature = settings.agent.sampling.temperature
    own = "" if "agent" in settings.people or temperature is None else f" at temperature {temperature:g}"
    return f"{own}, seed {settings.seed}"


def model_names(settings: RunSettings) -> tuple[str, str]:
    """Returns the names of the agent's and the user's model; `PERSON` for a side that a person plays."""
    people, sides = settings.people, {"agent": settings.agent, "user": settings.user}
    agent, user = (PERSON if side in people else chosen.model for side, chosen in sides.items())
    return agent, user


def short_name(name: str) -> str:
    """Returns a plug-in's name without the folders of its file."""
    return name.rpartition("/")[2].replace(".py:", "-")
