"""What proactive help is worth: `w_task * R_task - w_interrupt * C_interrupt`, and which action was the better one.

R_task is the score of the last message that delivers; see `ProactiveRewards.facts`. C_interrupt is the sum of the
prices of the agent's messages (`josh.envs.proactive.cost`). Both follow from the stored conversation, so other weights
need no call. Without a score for its task, a conversation has no reward and is in no pair.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from josh.config import setting
from josh.dialogue import Hit, Outcome, Speaker
from josh.envs.proactive.actions import ACTIONS, CLARIFY, action_in
from josh.envs.proactive.code import code_in
from josh.envs.proactive.cost import Weights, unpriced
from josh.envs.proactive.env import state_of
from josh.envs.proactive.prompts import JUDGE
from josh.envs.proactive.questions import question_acts
from josh.envs.proactive.reactions import closes, delivers
from josh.envs.proactive.states import CODING, State
from josh.errors import UsageError
from josh.messages import text_of
from josh.reading import read_text
from josh.rewards.proactive_worth import action_pairs, meta_in, scores_of, told_in
from josh.rewards.sandbox.run import Sandbox, shared_sandbox
from josh.rewards.sandbox.tools import TOOLS
from josh.roles import BaseEnv, BaseRewards, Task, TurnModel
from josh.transcript import PastTurn, Transcript
from josh.tree import Pair, Tree
from josh.trust import require_execution

UNTESTED: Final = 0.5
"""R_task of code for which there are no tests, as published."""
LATER: Final = "later"
"""Instead of a tool: the tests are not run now, so conversations have no reward until `josh rescore` runs them."""
_MOST = 10
"""The judge's best mark."""


class ProactiveRewards(BaseRewards):
    """Earns the task's score less the cost of the agent's messages."""

    @dataclass(frozen=True, slots=True)
    class Config(Weights):
        """The weights, and how tasks are scored."""

        allow_exec: str | None = setting(
            None,
            f"the sandbox in which the tests of the states run a model's code: {', '.join(TOOLS)}; `{LATER}` runs no "
            "test now, so that such conversations have no reward",
            flag="allow_exec",
            choices=(*TOOLS, LATER, None),
            way=f"{', '.join(TOOLS)} or {LATER}",
        )
        grades: Path | None = setting(None, "folder that keeps how code did in its tests")
        planning_score: float | None = setting(
            None, "R_task of a plan, where no judge scores it (default: it has none)", least=0, most=1
        )

    config: Config

    mean: ClassVar[str] = "utility"

    @staticmethod
    def unread(config: Mapping[str, Any]) -> Mapping[str, str]:
        """Returns the weights that the chosen formula lacks."""
        return {f"rewards.{name}": reason for name, reason in unpriced(config).items()}

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the task. Raises UsageError where its tests may not be run."""
        state = state_of(task)
        self.state = state
        self.interactions = bool(getattr(env.config, "interactions", True))
        self.multi_turn = bool(getattr(env.config, "multi_turn", False))
        if state.tests and self.config.allow_exec is None:
            raise UsageError(
                f"task {task.id} has tests, which run the code that a model wrote; give --allow_exec "
                f"{'|'.join(TOOLS)} to run them in a sandbox, or {LATER} to run none now"
            )
        if state.tests and self.config.allow_exec != LATER:
            self._sandbox()

    async def facts(self, task: Task, conversation: Transcript, *, judge: TurnModel | None = None) -> Mapping[str, Any]:
        """Returns what is true after the last turn.

        After a turn of the agent:
            action: `Clarify` or `Execute`; None where the agent names none.
            questions, words: the numbers of question marks outside code, and of words.
            code: whether the message has code.
            grade: how many of its texts or tests the solution has or passes (`passed`, `total`), and why the first test
                fails (`error`); None where nothing is graded.
            task: R_task of the message, from 0 to 1; None where it delivers nothing, or nothing scores it.
            delivers: whether it has code or, in planning, more than 50 words.
            done: whether the task is completed: the code passes its tests, or there are none; the plan is whole.
            over: whether the conversation ends here.
        After a turn of the user:
            reaction: `answered`, `rejected`, `silent` or `continues`; None where the user names none.
            done, over: as above.
        """
        turn = conversation.turns[-1]
        if turn.speaker is Speaker.USER:
            return self._after_user(conversation)
        text = "\n\n".join(filter(None, map(text_of, turn.messages)))
        action = action_of(turn)
        delivered = delivers(text, self.state.domain) and not (action == CLARIFY and self.state.domain != CODING)
        grade = await self._grade(task, text) if delivered else None
        score = await self._task_score(text, grade, judge) if delivered else None
        whole = grade is not None and grade["passed"] == grade["total"]
        done = delivered and (whole if self._is_graded(task) else True)
        last = self.interactions and (done or closes(self._before(turn), action, multi_turn=self.multi_turn))
        return {
            "action": action,
            "questions": question_acts(text),
            "words": len(text.split()),
            "code": code_in(text) is not None,
            "grade": grade,
            "task": score,
            "delivers": delivered,
            "done": done,
            "over": last,
        }

    def ended(self, facts: Mapping[str, Any]) -> Outcome | None:
        """Returns won where the conversation ends with the task completed, lost where it ends without."""
        if not facts["over"]:
            return None
        return Outcome.WON if facts["done"] else Outcome.LOST

    def fact_words(self, facts: Mapping[str, Any], speaker: Speaker) -> str:
        """Returns the action, the grade and the score of a turn of the agent; the reaction of the user."""
        if speaker is Speaker.USER:
            return str(facts.get("reaction") or "")
        grade, score = facts.get("grade"), facts.get("task")
        words = [str(facts["action"])] if facts.get("action") else []
        words += (
            [f"{facts['questions']} question{'' if facts['questions'] == 1 else 's'}"] if facts["questions"] else []
        )
        words += [f"{grade['passed']} of {grade['total']} passed"] if grade else []
        words += [f"R_task {score:g}"] if score is not None else []
        return ", ".join([*words, *(["done"] if facts["done"] else [])])

    async def score(self, task: Task, conversation: Transcript) -> Mapping[str, float]:
        """Returns `task` (R_task), `interrupt` (C_interrupt) and `reward`; without R_task `interrupt` alone."""
        turns = [(turn.speaker, turn.facts, turn.observed) for turn in conversation.turns[1:]]
        return scores_of(told_in(turns), self.config)

    def path_reward(
        self, goals: Sequence[Any], hits: Sequence[Hit], *, scores: Mapping[str, float] | None = None
    ) -> float:
        """Returns the reward; without R_task, the weighted cost with a minus sign."""
        found = scores or {}
        return found.get("reward", 0.0 - self.config.interrupt * found.get("interrupt", 0.0))

    def pairs(self, task: Task, tree: Tree) -> Iterable[Pair]:
        """Returns one pair for each decision point; see `josh.rewards.proactive_worth`."""
        return action_pairs(tree, self.config)

    def _after_user(self, conversation: Transcript) -> Mapping[str, Any]:
        turn, earlier = conversation.turns[-1], conversation.turns[:-1]
        done = any(bool((past.facts or {}).get("done")) for past in earlier[-1:])
        return {"reaction": reaction_of(turn), "done": done, "over": not self.interactions}

    def _before(self, turn: PastTurn) -> State:
        """Returns the state in which a turn was taken, from the world's report; the task's where there is none."""
        row = turn.observed.get("state") if isinstance(turn.observed, Mapping) else None
        return self.state if row is None else replace(self.state, prev_reject=int(row["prev_reject"]))

    def _is_graded(self, task: Task) -> bool:
        return bool(task.data.get("needs") or self.state.tests)

    async def _grade(self, task: Task, text: str) -> dict[str, Any] | None:
        """Returns how many of its tests a solution passes; None where it has none, or none are run now."""
        state, needs = self.state, task.data.get("needs")
        solution = (code_in(text) or "") if state.domain == CODING else text
        if needs:
            return {"passed": sum(need in solution for need in needs), "total": len(needs)}
        if not state.tests or self.config.allow_exec == LATER:
            return None
        grade = await self._sandbox().graded(solution, state.tests, state.setup)
        error = {"error": grade.error} if grade.error else {}
        return {"passed": grade.passed, "total": grade.total, **error}

    def _sandbox(self) -> Sandbox:
        """Returns the sandbox; raises UsageError where it does not work here, or a recorded run alone names it."""
        tool = self.config.allow_exec or ""
        require_execution(tool)
        return shared_sandbox(tool, None if self.config.grades is None else str(self.config.grades))

    async def _task_score(self, text: str, grade: Mapping[str, int] | None, judge: TurnModel | None) -> float | None:
        """Returns R_task of a message that delivers: 1 or 0 by its tests; else by the rule of the domain."""
        if grade is not None:
            return float(grade["passed"] == grade["total"])
        if self.state.domain == CODING:
            return None if self.state.tests else UNTESTED
        if judge is not None:
            return await _judged(judge, self.state.query, text)
        return self.config.planning_score


async def _judged(judge: TurnModel, query: str, plan: str) -> float | None:
    """Returns the judge's mark for a plan, from 0 to 1; None where its reply has none."""
    reply = await judge.reply([{"role": "user", "content": JUDGE.format(query=query, plan=plan)}])
    found = re.search(r"\d+(?:\.\d+)?", read_text(reply.text).speech)
    return None if found is None or float(found[0]) > _MOST else round(float(found[0]) / _MOST, 4)


def action_of(turn: PastTurn) -> str | None:
    """Returns the action of a turn: the one that its agent names, else the search's directive."""
    named = action_in(turn.actions)
    return named or (turn.directive if turn.directive in ACTIONS else None)


def reaction_of(turn: PastTurn) -> str | None:
    """Returns how the user reacts, from the world's report of its turn; None where it reports nothing."""
    meta = meta_in(turn.observed)
    if not meta:
        return None
    names = {"answered_clarification": "answered", "reject_signal": "rejected", "silence": "silent"}
    return next((name for key, name in names.items() if meta.get(key)), "continues")
