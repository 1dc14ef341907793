"""Persuaders without a model: one that draws its actions, and two scripted ones.

They write sections as a chat model does. What they believe follows from the person's answers, which they understand
where the person is the offline one.
"""

import math
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Final

from josh.agents.ptom.planner import Planner
from josh.envs.ptom.hearing import asked_in, disclosed_in, spoken
from josh.envs.ptom.scenarios import CORE, OPTIONS, REVEALED, Fact, Scenario
from josh.envs.ptom.sections import ACT, ASK, DISCLOSE, Belief, Chance, Planned, written
from josh.messages import text_of
from josh.roles import BaseEnv, Task, TurnModel

UNKNOWN: Final = 0.5
"""How much a person is thought to care about a dimension of which nothing is known."""
_HEARD: Final = (("matters a great deal", 0.9), ("matters somewhat", 0.5), ("hardly matters", 0.1))
OPEN_QUESTION: Final = "What matters most to you in this choice?"
_ODDS: Final = {ASK: 2.0, DISCLOSE: 4.0, ACT: 3.0}


class OfflinePlanner(Planner):
    """Draws what it does: it asks, tells a fact that favours its option, or recommends. It is mediocre on purpose.

    At temperature 1 an action is drawn by fixed odds, and a fact uniformly; at 0 it takes the likeliest.
    """

    needs_model: ClassVar[bool] = False

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the scenario; no opening message is needed. Raises UsageError where the task has none."""
        super().start(task, env, options)
        self.messages_internal = self.messages_internal[:1]

    async def step(self, *, model: TurnModel, env: Any = None, **_: Any) -> bool:
        """Says one message and returns True."""
        rng = Random(model.draw())
        said, heard = ([text_of(one) for one in self.messages if one["role"] == role] for role in ("assistant", "user"))
        desires = believed(self.scenario, heard)
        kind, words = self.choose(said, desires, model.temperature, rng)
        planned = self.planned(kind, words, said, desires)
        return self.say(planned, written(planned), env)

    def planned(self, kind: str, words: str, said: Sequence[str], desires: Mapping[str, float]) -> Planned:
        """Returns the whole turn, with all sections; see `choose` for the arguments."""
        return Planned(kind, words, belief_of(desires), _WHY[kind], self.chances(said, desires))

    def choose(
        self, said: Sequence[str], desires: Mapping[str, float], temperature: float, rng: Random
    ) -> tuple[str, str]:
        """Returns what is done, and the words.

        Args:
            said: the persuader's words so far.
            desires: what it believes.
            temperature: 0 takes the likeliest; at least 0.
            rng: makes the choice.
        """
        untold = _untold(self.scenario, said)
        odds = {kind: value for kind, value in _ODDS.items() if kind != DISCLOSE or untold}
        if temperature > 0:
            kind = rng.choices(list(odds), [value ** (1 / temperature) for value in odds.values()])[0]
        else:
            kind = max(odds, key=lambda one: odds[one])
        if kind == ASK:
            asked = [name for name in self.scenario.dimensions if any(spoken(name) in text.lower() for text in said)]
            left = [name for name in self.scenario.dimensions if name not in asked]
            openly = rng.random() < 0.5 or not left
            return ASK, OPEN_QUESTION if openly else f"How much does {spoken(rng.choice(left))} matter to you?"
        if kind == DISCLOSE:
            return DISCLOSE, (rng.choice(untold) if temperature > 0 else untold[0]).content
        return ACT, self.recommendation()

    def recommendation(self) -> str:
        """Returns the words that recommend the persuader's option."""
        goal = self.scenario.goal
        name = self.scenario.names[goal]
        return f"I recommend Option {goal}{'' if name == f'Option {goal}' else f', {name}'}."

    def chances(self, said: Sequence[str], desires: Mapping[str, float]) -> dict[str, Chance]:
        """Returns what the persuader expects of each action: a logistic of what the told facts are worth by belief."""
        told = [fact for text in said for fact in disclosed_in(text, self.scenario.facts)]
        now = _worth(self.scenario, told, desires)
        untold = _untold(self.scenario, said)
        best = max((_worth(self.scenario, [fact], desires) for fact in untold), default=0.0)
        asked = any(any(asked_in(text, self.scenario.dimensions)) for text in said)
        found = {ASK: now + (0.0 if asked else 0.5), DISCLOSE: now + best - (0.0 if asked or told else 0.3), ACT: now}
        return {kind: Chance(round(1 / (1 + math.exp(-value)), 2)) for kind, value in found.items()}


class AskFirst(OfflinePlanner):
    """Asks what matters, tells the facts that favour its option and matter to the person, and recommends."""

    facts: ClassVar[int] = 3
    """Most facts that it tells."""

    def choose(
        self, said: Sequence[str], desires: Mapping[str, float], temperature: float, rng: Random
    ) -> tuple[str, str]:
        """Returns the next action of the script, and its words."""
        if not said:
            return ASK, OPEN_QUESTION
        if len(said) == 1 and self.scenario.condition != REVEALED:
            return ASK, f"And what else is important to you in {self.scenario.names[self.scenario.goal]}?"
        untold = sorted(_untold(self.scenario, said), key=lambda fact: -desires.get(fact.dimension, 0.0))
        told = sum(bool(disclosed_in(text, self.scenario.facts)) for text in said)
        if untold and told < self.facts and (desires.get(untold[0].dimension, 0.0) > CORE or not told):
            return DISCLOSE, untold[0].content
        return ACT, self.recommendation()


class RecommendAtOnce(OfflinePlanner):
    """Recommends its option in its first message, and again after every answer."""

    def choose(
        self, said: Sequence[str], desires: Mapping[str, float], temperature: float, rng: Random
    ) -> tuple[str, str]:
        """Returns a recommendation."""
        return ACT, self.recommendation()


_WHY: Final = {
    ASK: "I do not know enough of what matters to them.",
    DISCLOSE: "This fact speaks for the option, and may matter to them.",
    ACT: "They have heard what speaks for it.",
}


def believed(scenario: Scenario, heard: Sequence[str]) -> dict[str, float]:
    """Returns how much a person seems to care about each dimension, by its own words; its values under `REVEALED`."""
    if scenario.condition == REVEALED:
        return {name: scenario.strengths.get(name, 0.0) for name in scenario.dimensions}
    found = dict.fromkeys(scenario.dimensions, UNKNOWN)
    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(heard).lower()):
        value = next((number for words, number in _HEARD if words in sentence), None)
        named = [name for name in scenario.dimensions if sentence.startswith(spoken(name))]
        found |= dict.fromkeys(named if value is not None else (), value or 0.0)
    return found


def belief_of(desires: Mapping[str, float]) -> Belief:
    """Returns a belief with its confidence and its entropy in bits."""
    total = sum(desires.values())
    shares = [value / total for value in desires.values() if value > 0] if total else []
    entropy = -sum(share * math.log2(share) for share in shares)
    known = sum(value != UNKNOWN for value in desires.values())
    level = "low" if not known else "mid" if known < 2 else "high"
    return Belief(desires, level, round(abs(entropy), 2))


def _untold(scenario: Scenario, said: Sequence[str]) -> list[Fact]:
    """Returns the facts that favour the persuader's option and were not told."""
    told = {fact.id for text in said for fact in disclosed_in(text, scenario.facts)}
    return [fact for fact in scenario.facts if fact.favors == scenario.goal and fact.id not in told]


def _worth(scenario: Scenario, facts: Sequence[Fact], desires: Mapping[str, float]) -> float:
    signs = {key: 1.0 if key == scenario.goal else -1.0 for key in OPTIONS}
    return sum(signs.get(fact.favors, 0.0) * desires.get(fact.dimension, 0.0) for fact in facts)
