"""`josh play`: a person on one side of a conversation, which is recorded like any other."""

from collections.abc import Mapping
from typing import Any

from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.outcomes import Episode
from josh.roles import BaseEnv
from josh.runs.record.summary import OUTCOME_WORDS, counted
from josh.runs.registry import HUMAN, STRATEGIES, env_class
from josh.runs.resolve import defaults_of, resolve
from josh.runs.settings import NOT_FOR_PLAY, RunSettings, core, schema_of
from josh.terminal import say, show_messages
from josh.tree import walk


def play_settings(given: Mapping[str, Any], side: str) -> RunSettings:
    """The settings of a run in which a person plays.

    Args:
        given: settings of `josh run`; one task is played, unless they say how many.
        side: `agent`, `user`, or what the environment calls these.

    Raises:
        UsageError: there is no such side, or a setting is wrong, or says how the person is to be played.
    """
    taken = side_of(side, env_class(given.get("env") or core()["env"].default))
    schema = schema_of(given, strategies=tuple(STRATEGIES))
    of_side = [flag for flag, one in schema.items() if one.path[:1] == (taken,)]
    strange = next((name for name in (*NOT_FOR_PLAY, *schema.of("strategy"), *of_side) if name in given), None)
    if strange in of_side:
        raise UsageError(
            f"{strange} is {given[strange]!r}, but you play the {taken}; leave it out, or take another side"
        )
    if strange:
        raise UsageError(f"{strange} is given; a person has one conversation at a time, leave it out")
    defaults = {name: value for name, value in defaults_of(given).items() if name not in of_side}
    start = given.get("start_index", core()["start_index"].default)
    own = {taken: HUMAN, "max_concurrency": 1}
    return resolve({"end_index": start + 1, **given, **own}, defaults)


def side_of(name: str, env: type[BaseEnv]) -> str:
    """`agent` or `user`, by that or by what an environment calls them. Raises UsageError."""
    sides = {"user": "user", "agent": "agent"} | {called: side for side, called in env.speakers.items()}
    if name not in sides:
        known = (f"{side} ({env.speakers[side]})" if env.speakers[side] != side else side for side in ("user", "agent"))
        raise UsageError(f"as is {name!r}; give {' or '.join(known)}")
    return sides[name]


class Onlooker:
    """Tells the person how a conversation ended, where others have a progress bar."""

    def __init__(self, names: Mapping[str, str], side: str, unit: str) -> None:
        """Args: names: what the sides are called; side: the person's; unit: what rewards are counted in."""
        self._names = names
        self._side = side
        self._unit = unit

    def __enter__(self) -> "Onlooker":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to let go of."""

    async def tick(self) -> None:
        """Nothing changes by itself."""

    def finished(self, episode: Episode) -> None:
        """Print what was said after the person's last words, and the outcome."""
        tree = episode.tree
        path = walk(tree, len(tree.nodes) - 1)[1:]
        unseen = path
        for place, index in enumerate(path, 1):
            if tree.nodes[index].speaker is Speaker(self._side):
                unseen = path[place:]
        show_messages([message for index in unseen for message in tree.nodes[index].turn.messages], self._names)
        say("---")
        if episode.scored:
            last = tree.nodes[path[-1]]
            left = last.speaker is Speaker(self._side) and not last.turn.messages
            outcome = "you left" if left else OUTCOME_WORDS[episode.outcomes[episode.reported[0]]]
            rounds = counted(round(episode.rounds), "round")
            say(f"{episode.task.id}: {outcome}, {self._unit}{episode.reward:.2f} after {rounds}")
        else:
            say(f"{episode.task.id}: {episode.error}")
