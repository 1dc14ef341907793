"""Preferences between the actions at one decision point, as rows of training files.

1. The rewards of each trajectory follow from its messages, the user's reactions, and R_task (`Scoring`).
2. Trajectories with the same state, user and conversation before them are siblings. Of two siblings with different
   actions, those with the largest difference are the pair: `josh.rewards.proactive_worth`, as in a run.
3. A pair is a row of one of three kinds (`KINDS`):
    action: the prompt is the text of the state, and the answers are the two actions.
    text: the prompt is the conversation, and the answers are the two messages.
    classification: `text`, the text of the state, and `label`, the better action.
4. Of rows that say the same the first is kept, and rows that contradict each other are left out (`distinct`).
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from josh.dialogue import Outcome, Speaker
from josh.envs.proactive.actions import ACTIONS
from josh.envs.proactive.env import ProactiveEnv
from josh.envs.proactive.prompts import SYSTEM, decision
from josh.envs.proactive.states import PLANNING
from josh.messages import Message, dumps
from josh.rewards.proactive import ProactiveRewards
from josh.rewards.proactive_worth import UNSCORED, best_pair, scores_of
from josh.roles import BaseRewards, Task
from josh.runs.registry import PlugIn, new_rewards
from josh.runs.systems.proactive_rows import Said, Trajectory
from josh.transcript import PastTurn, Transcript

Row = dict[str, Any]
ACTION, TEXT, CLASSIFICATION = "action", "text", "classification"
SAME_TEXT: Final = "pairs of the same text"
WORDLESS: Final = "messages without words"
REPEATED, CONTRADICTORY = "repeated rows", "contradictory rows"
ONE_ACTION: Final = "one action only"
AT_ONCE: Final = 16
"""How many conversations are scored at once."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A trajectory with its rewards.

    Attributes:
        trajectory: the trajectory.
        cost: C_interrupt of its conversation.
        task: R_task; None where nothing scores it.
        reward: the reward; None without R_task.
    """

    trajectory: Trajectory
    cost: float
    task: float | None
    reward: float | None

    @property
    def candidate(self) -> Row:
        """The trajectory as an entry of `candidates`."""
        one = self.trajectory
        return {
            "action": one.action,
            "text": one.message.text,
            "reward": self.reward,
            "task_score": self.task,
            "interrupt_cost": self.cost,
            "is_mainline": one.is_mainline,
            "is_variant": one.is_variant,
        }


class Scoring:
    """Scores trajectories by the rewards of the proactive world, without a call to a model.

    What a run found of a message is not found again: its code is not run again, and no judge is asked. Only a plan that
    neither has graded gets the `planning_score` that is given.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Args: config: settings of `ProactiveRewards`, by name. Raises UsageError where one is wrong."""
        self._chosen = PlugIn(config=config)
        self._rewards: BaseRewards = new_rewards(ProactiveRewards, self._chosen, [])
        self._env = ProactiveEnv({})

    @property
    def weights(self) -> Any:
        """The weights."""
        return self._rewards.config

    def scored(self, trajectories: Iterable[Trajectory]) -> list[Scored]:
        """Returns trajectories with their rewards, in the given order. Raises UsageError where code may not be run."""
        return asyncio.run(self._scored(list(trajectories)))

    async def _scored(self, trajectories: Sequence[Trajectory]) -> list[Scored]:
        room = asyncio.Semaphore(AT_ONCE)

        async def score(one: Trajectory) -> Scored:
            async with room:
                told = [(await self._facts(one, said), said.meta) for said in one.said]
            found = scores_of(told, self.weights)
            return Scored(one, found["interrupt"], found.get("task"), found.get("reward"))

        tasks = [asyncio.ensure_future(score(one)) for one in trajectories]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _facts(self, one: Trajectory, said: Said) -> Mapping[str, Any]:
        facts = said.facts
        if facts is not None and facts["delivers"]:
            given = self.weights.planning_score
            plan = one.state.domain == PLANNING and not facts.get("grade") and not facts.get("judged")
            if facts["task"] is None or (plan and given is not None):
                facts = {**await self._found(one, said), "delivers": True}
        return await self._found(one, said) if facts is None else facts

    async def _found(self, one: Trajectory, said: Said) -> Mapping[str, Any]:
        """Returns what the rewards find of a message."""
        needs = one.state.extra.get("needs")
        task = Task(one.state.id, 0, {"state": one.state.row, **({"needs": needs} if needs else {})})
        rewards: Any = new_rewards(ProactiveRewards, self._chosen, [])
        rewards.start(task, self._env, {})
        start = PastTurn(Speaker.USER, (), (), (), None, None)
        answer: Message = {"role": "assistant", "content": said.text}
        turn = PastTurn(Speaker.AGENT, (answer,), (answer,), ((said.action,),), {"state": one.state.row}, None)
        found: Mapping[str, Any] = await rewards.facts(task, Transcript((start, turn), Outcome.ALIVE))
        return found


@dataclass(frozen=True, slots=True)
class ActionPair:
    """A pair of siblings.

    Attributes:
        better: the better one.
        worse: the other one.
        siblings: all trajectories at this point, in their order.
    """

    better: Scored
    worse: Scored
    siblings: tuple[Scored, ...]

    @property
    def columns(self) -> Row:
        """The published columns: those of the README, then the flat ones of the later code."""
        pair = {one.trajectory.action: one for one in (self.better, self.worse)}
        both = [(action, pair[action]) for action in ACTIONS if action in pair]
        named = (("chosen", self.better), ("rejected", self.worse))
        return {
            "state": self.better.trajectory.state.row,
            **{f"{name}_action": one.trajectory.action for name, one in named},
            **{f"{name}_text": one.trajectory.message.text for name, one in named},
            "rewards": {action: one.reward for action, one in both},
            "task_scores": {action: one.task for action, one in both},
            "interrupt_costs": {action: one.cost for action, one in both},
            "candidates": [one.candidate for one in self.siblings],
            "persona": self.better.trajectory.persona,
            **{f"{name}_assistant_msg": one.trajectory.full_text for name, one in named},
            **{f"{name}_reward": one.reward for name, one in named},
            **{f"{name}_task_score": one.task for name, one in named},
            **{f"{name}_interrupt_cost": one.cost for name, one in named},
        }

    @property
    def margin(self) -> float:
        """The difference of the rewards."""
        return round((self.better.reward or 0.0) - (self.worse.reward or 0.0), 10)


def action_pairs_of(scored: Iterable[Scored], none: Counter[str]) -> Iterator[ActionPair]:
    """Yields the pair of each group of siblings, in the order of their first trajectories.

    Args:
        scored: trajectories with their rewards.
        none: counts the groups without a pair, by reason.
    """
    groups: dict[bytes, list[Scored]] = {}
    for one in scored:
        groups.setdefault(one.trajectory.place, []).append(one)
    for siblings in groups.values():
        acting = {number: one.trajectory.action for number, one in enumerate(siblings)}
        if len(set(acting.values())) < len(ACTIONS):
            none[ONE_ACTION] += 1
            continue
        worth = {number: UNSCORED if one.reward is None else one.reward for number, one in enumerate(siblings)}
        pair = best_pair(acting, worth)
        if pair.label:
            yield ActionPair(siblings[pair.better], siblings[pair.worse], tuple(siblings))
        else:
            none[pair.note] += 1


# Rows


@dataclass(frozen=True, slots=True)
class KindRow:
    """A row of a training file.

    Attributes:
        row: the row.
        action: the better action.
        state_id: the id of its state.
        key: what it says.
        contrary: what a row says that contradicts it.
    """

    row: Row
    action: str
    state_id: str
    key: str
    contrary: str


def rows_of_kind(kind: str, pairs: Iterable[ActionPair], dropped: Counter[str]) -> list[KindRow]:
    """Returns the rows of pairs that neither repeat nor contradict each other.

    Args:
        kind: one of `KINDS`.
        pairs: the pairs.
        dropped: counts what is left out, by reason.
    """
    first: dict[str, KindRow] = {}
    for pair in pairs:
        asked = _prompt(kind, pair)
        better, worse = (_answer(kind, one) for one in (pair.better, pair.worse))
        if better.strip() == worse.strip():
            dropped[SAME_TEXT] += 1
            continue
        if not all(text.strip() for text in (better, worse, *(message["content"] for message in asked))):
            dropped[WORDLESS] += 1
            continue
        one = pair.better.trajectory
        key, contrary = (dumps([asked, *answers]) for answers in ((better, worse), (worse, better)))
        found = KindRow(KINDS[kind](asked, better, worse, pair), one.action, one.state.id, key, contrary)
        if first.setdefault(key, found) is not found:
            dropped[REPEATED] += 1
    kept = [one for one in first.values() if one.contrary not in first]
    dropped[CONTRADICTORY] += len(first) - len(kept)
    return kept


def _prompt(kind: str, pair: ActionPair) -> list[Message]:
    one = pair.better.trajectory
    if kind != TEXT:
        return decision(one.rendered)
    first = (one.said[0].state or one.state.row)["query"]
    found: list[Message] = [
        {"role": "system", "content": SYSTEM[one.state.domain]},
        {"role": "user", "content": str(first)},
    ]
    for said in one.said[: one.at]:
        found += [{"role": "assistant", "content": said.text}, {"role": "user", "content": said.reply}]
    return found


def _answer(kind: str, one: Scored) -> str:
    return one.trajectory.message.text if kind == TEXT else one.trajectory.action


def _compared(asked: Sequence[Message], better: str, worse: str, pair: ActionPair) -> Row:
    said: Sequence[Message] = [{"role": "assistant", "content": text} for text in (better, worse)]
    answers = {"prompt": asked, "chosen": [said[0]], "rejected": [said[1]], "completion": [said[0]]}
    return {**answers, "margin": pair.margin, **pair.columns}


def _classified(asked: Sequence[Message], better: str, _: str, pair: ActionPair) -> Row:
    return {"text": asked[0]["content"], "label": better, "margin": pair.margin, **pair.columns}


KINDS: Final = MappingProxyType({ACTION: _compared, TEXT: _compared, CLASSIFICATION: _classified})
"""The kinds of rows, each with the function that makes one of prompt, both answers and pair."""
