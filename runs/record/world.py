"""The world and the rewards of a recorded run, for commands that read it; neutral ones where its code may not run."""

import logging
from pathlib import Path

from josh.errors import JoshError
from josh.roles import BaseEnv, BaseRewards
from josh.runs.registry import rewards_class
from josh.runs.settings import RunSettings, env_of
from josh.trust import UntrustedError

log = logging.getLogger("josh")


def world_of(settings: RunSettings, folder: Path, *, careful: bool = False) -> tuple[BaseEnv, type[BaseRewards]]:
    """Returns the environment and the rewards class of a recorded run.

    Where the run names code that this command may not run (`josh.trust`), the neutral base class takes its place: sides
    and rewards have plain names, and no task has people, groups or further metrics. A warning says so.

    Args:
        settings: the run's settings.
        folder: the run's folder, for the warning.
        careful: let the neutral classes also take the place of classes that are gone.

    Raises:
        UsageError: a plug-in that may run cannot be loaded, unless `careful`.
    """
    env, rewards = BaseEnv({}), BaseRewards
    try:
        env = env_of(settings)
        rewards = rewards_class(settings.rewards, env)
    except UntrustedError as error:
        log.warning("%s has plain names, without people and groups: %s", folder, error, extra={"once": True})
    except JoshError:
        if not careful:
            raise
    return env, rewards
