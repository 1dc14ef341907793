"""What was played, in a line."""

from collections.abc import Mapping
from typing import Any

from josh.models.turn_model import PERSON
from josh.runs.record.summary import counted
from josh.runs.settings import BEST, HUMAN, OFFLINE, RunSettings


def headline(settings: RunSettings, plays: Mapping[str, Any], tasks: int) -> str:
    """What was played, in a line."""
    agent, user = (plays[role].rpartition(":")[2] for role in ("agent", "user"))
    way = (
        f"searched with a beam of {settings.beam_size}{' to the end' if settings.stop == BEST else ''}"
        if settings.josh
        else f"{counted(settings.rollouts, 'conversation')} each"
    )
    model, user_model = model_names(settings)
    cast = f"{agent} ({model}) and {user} ({user_model})"
    return f"{counted(tasks, plays.get('task') or f'{short_name(settings.env)} task')}, {way}: {cast}"


def model_names(settings: RunSettings) -> tuple[str, str]:
    """Who gives both sides their words."""
    agent, user = settings.model, settings.user_model or OFFLINE
    return PERSON if settings.agent == HUMAN else agent, PERSON if settings.user == HUMAN else user


def short_name(name: str) -> str:
    """A plug-in's name without the folders of its file."""
    return name.rpartition("/")[2].replace(".py:", "-")
