"""Planning theory of mind: whether the person took the persuader's option, and how well the persuader understood it.

A conversation succeeds where the person accepts, and the option that was recommended last is the persuader's. Scores
follow from the recorded conversation, so `josh rescore` computes them again; `ptom_measures.py` has their formulas.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from josh.dialogue import Hit, Outcome, Speaker
from josh.envs.ptom.env import scenario_of
from josh.envs.ptom.hearing import action_in, disclosed_in, recommended, recommended_in, thought_in
from josh.envs.ptom.scenarios import TIE, Scenario
from josh.envs.ptom.verdict import ACCEPT, DECLINE, verdict_in
from josh.messages import text_of
from josh.rewards.ptom_measures import Thought, measured
from josh.roles import BaseEnv, BaseRewards, Task
from josh.transcript import PastTurn, Transcript

NATURAL, OTHER, DECLINED = SATISFACTION = (0.9, 0.6, 0.2)
"""How satisfied a person is: it took its natural option; it took another one, or has none; it declined."""
_UNCLEAR: Final = "unclear_recommendation"
_NOT_ASKED: Final = object()
"""Instead of a world's report, for callers that have no worlds."""


class PtomRewards(BaseRewards):
    """Earns 1 where the person accepts the persuader's option, else 0."""

    reads: ClassVar[Speaker] = Speaker.USER
    verb: ClassVar[str] = "accepted"
    mean: ClassVar[str] = "mean_success"
    scenario: Scenario | None = None

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the scenario. Raises UsageError where the task has none."""
        self.scenario = scenario_of(task)

    def is_reward(self, agent_actions: Sequence[Any], *, observed: Any = _NOT_ASKED) -> tuple[bool, list[Any]]:
        """Returns whether a person accepts the persuader's option, and the goal that this meets.

        Args:
            agent_actions: the texts of the person's turn.
            observed: the world's report, with the option that was recommended last; None, where there is no world,
                meets no goal: then `ended` judges by the words. A caller without worlds leaves it out, and means the
                persuader's option.
        """
        verdict = verdict_in("\n".join(map(str, agent_actions)))
        option = self._goal if observed is _NOT_ASKED else (observed or {}).get("recommended")
        met = self.rewards[:1] if verdict == ACCEPT and option == self._goal else []
        return bool(met), met

    def hit_value(self, actions: Sequence[Any]) -> float | None:
        """Returns 1 for an acceptance and 0 for a refusal, which ends the conversation as lost; None without either."""
        verdict = verdict_in("\n".join(map(str, actions)))
        return None if verdict is None else float(verdict == ACCEPT)

    def path_reward(
        self, goals: Sequence[Any], hits: Sequence[Hit], *, scores: Mapping[str, float] | None = None
    ) -> float:
        """Returns 1 for a success, else 0."""
        found = (scores or {}).get("success")
        return super().path_reward(goals, hits) if found is None else found

    async def facts(self, task: Task, conversation: Transcript) -> Mapping[str, Any]:
        """Returns what is true after the last turn.

        After a turn of the persuader: `action` (None where it names none), `recommended` (the option, or None), and
        `disclosed` (ids of facts). After a turn of the person: `verdict` (`accept`, `decline` or None), `recommended`
        (the option that the verdict is about), and `success`.
        """
        scenario, turn = scenario_of(task), conversation.turns[-1]
        words = _words(turn)
        if turn.speaker is Speaker.AGENT:
            kind = action_in(turn.actions)
            return {
                "action": kind,
                "recommended": recommended_in(words, scenario, kind),
                "disclosed": [fact.id for fact in disclosed_in(words, scenario.facts)],
            }
        option, verdict = _option(conversation, scenario), verdict_in(words)
        success = verdict == ACCEPT and option == scenario.goal
        return {"verdict": verdict, "recommended": option, "success": success}

    def ended(self, facts: Mapping[str, Any]) -> Outcome | None:
        """Returns won or lost where the person gave its verdict."""
        if facts.get("verdict") is None:
            return None
        return Outcome.WON if facts["success"] else Outcome.LOST

    def fact_words(self, facts: Mapping[str, Any], speaker: Speaker) -> str:
        """Returns the action, the recommended option and the disclosed facts; the verdict of a person."""
        if speaker is Speaker.USER:
            return str(facts.get("verdict") or "")
        words = [str(facts["action"])] if facts.get("action") else []
        words += [f"recommends {facts['recommended']}"] if facts.get("recommended") else []
        return ", ".join([*words, *facts.get("disclosed", ())])

    async def score(self, task: Task, conversation: Transcript) -> Mapping[str, float]:
        """Returns the scores of a conversation; a score that it says nothing about is missing.

        Returns:
            `success`; `accepted` and `satisfaction` where there is a verdict, and `unclear_recommendation`, 1 where it
            is about no option; and those of `measured`, where the persuader wrote sections.
        """
        scenario = scenario_of(task)
        turns = conversation.by(Speaker.AGENT)
        verdicts = [one for turn in conversation.by(Speaker.USER) if (one := verdict_in(_words(turn))) is not None]
        option = _option(conversation, scenario)
        success = bool(verdicts) and verdicts[-1] == ACCEPT and option == scenario.goal
        found = {"success": float(success)}
        if verdicts:
            found |= {
                "accepted": float(verdicts[-1] == ACCEPT),
                "satisfaction": satisfaction(scenario, verdicts[-1], option),
                _UNCLEAR: float(option is None),
            }
        thoughts = [Thought(action_in(turn.actions), thought_in(turn.actions) or {}) for turn in turns]
        return found | measured(thoughts, scenario.strengths, float(success))

    @property
    def _goal(self) -> str | None:
        return None if self.scenario is None else self.scenario.goal


def satisfaction(scenario: Scenario, verdict: str, option: str | None) -> float:
    """Returns how satisfied a person is with its verdict about an option; see `SATISFACTION`."""
    if verdict == DECLINE:
        return DECLINED
    return NATURAL if option == scenario.natural and scenario.natural != TIE else OTHER


def _option(conversation: Transcript, scenario: Scenario) -> str | None:
    """Returns the option that was recommended last."""
    return recommended([(_words(turn), turn.actions) for turn in conversation.by(Speaker.AGENT)], scenario)


def _words(turn: PastTurn) -> str:
    return "\n\n".join(filter(None, map(text_of, turn.messages)))
