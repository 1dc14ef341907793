"""The world of one branch: what the persuader recommends, so that the person's verdict can be judged."""

from typing import Any

from josh.envs.ptom.hearing import recommended_in
from josh.envs.ptom.scenarios import Scenario


class GameWorld:
    """Knows the option that was recommended last.

    A persuader with sections says what it does (`say`); the words of another one are read when the person hears them
    (`hear`).

    Attributes:
        scenario: the scenario.
        option: the option that was recommended last, `A` or `B`; None before the first recommendation.
    """

    __slots__ = ("_said", "option", "scenario")

    def __init__(self, scenario: Scenario) -> None:
        """Args: scenario: the scenario."""
        self.scenario = scenario
        self.option: str | None = None
        self._said = False

    def fork(self) -> "GameWorld":
        """Returns a world for a sibling branch."""
        twin = GameWorld(self.scenario)
        twin.option, twin._said = self.option, self._said
        return twin

    def say(self, words: str, kind: str | None) -> str | None:
        """Takes the persuader's words, and returns the option that they recommend; see `recommended_in`."""
        self._said = True
        found = recommended_in(words, self.scenario, kind)
        self.option = found or self.option
        return found

    def hear(self, words: str) -> None:
        """Takes the persuader's words where it has not said itself what it does."""
        if not self._said:
            self.say(words, None)
        self._said = False

    def observe(self) -> dict[str, Any]:
        """Returns the recommended option."""
        return {"recommended": self.option}
