"""Persuaders that follow a fixed script: the same acts in the same order, for every persuadee.

They are reference policies for a tuned model: a policy that reads the replies has to beat the best one that does not.
`python -m josh.runs.systems.persuasion best_script` found the scripts, on people of the training split only.
"""

from collections.abc import Collection
from random import Random
from typing import ClassVar

from josh.agents.persuasion.offline import OfflinePersuader

Script = tuple[tuple[str, ...], ...]


class ScriptPersuader(OfflinePersuader):
    """Says a fixed script, one act per turn, in the offline persuader's phrases; repeats the script's last turn.

    Attributes:
        script: the acts of every turn, in the order in which they are said.
    """

    script: ClassVar[Script] = (
        ("personal-story",),
        ("emotion-appeal",),
        ("self-modeling",),
        ("donation-information",),
        ("source-related-inquiry",),
        ("praise-user",),
        ("personal-story",),
        ("donation-information",),
        ("proposition-of-donation",),
        ("proposition-of-donation",),
    )

    def choose(self, turn: int, reply: str, done: Collection[str], temperature: float, rng: Random) -> tuple[str, ...]:
        """Returns the script's acts for this turn."""
        return self.script[min(turn, len(self.script) - 1)]


class DenseScriptPersuader(ScriptPersuader):
    """Says a fixed script of up to three acts per turn, as many as the offline persuader says in one turn."""

    script = (
        ("greeting", "emotion-appeal", "self-modeling"),
        ("logical-appeal", "self-modeling", "personal-related-inquiry"),
        ("personal-story", "donation-information", "source-related-inquiry"),
        ("personal-story", "emotion-appeal", "source-related-inquiry"),
        ("emotion-appeal", "foot-in-the-door", "source-related-inquiry"),
        ("praise-user", "donation-information", "source-related-inquiry"),
        ("off-task", "personal-story", "source-related-inquiry"),
        ("praise-user", "personal-story", "donation-information"),
        ("self-modeling", "donation-information", "proposition-of-donation"),
        ("donation-information", "proposition-of-donation", "ask-donation-amount"),
    )
