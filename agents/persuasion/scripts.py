"""Persuaders that hardly need a mind: the same acts in the same order, whoever listens.

What a tuned model should be held against: a policy that listens has to beat the best one that does not. The scripts
were found by `python -m josh.runs.systems.best_script`, on people of the training split alone.
"""

from collections.abc import Collection
from random import Random
from typing import ClassVar

from josh.agents.persuasion.offline import OfflinePersuader

Script = tuple[tuple[str, ...], ...]


class ScriptPersuader(OfflinePersuader):
    """Says a fixed script, one act a turn, in the offline persuader's phrases; its last turn is said again and again.

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
        """What the script has for this turn."""
        return self.script[min(turn, len(self.script) - 1)]


class DenseScriptPersuader(ScriptPersuader):
    """The same with up to three acts a turn, as many as the offline persuader says at once."""

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
