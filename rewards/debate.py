"""Debates: whether the learner ends with the right answer, and which of its sibling turns are better."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from josh.config import setting
from josh.dialogue import Hit, Outcome, Speaker
from josh.envs.debate.answers import ask_judge, find, is_right, resolve, same, standing
from josh.envs.debate.labels import label_pairs
from josh.envs.debate.prompts import answers_unheard, text
from josh.envs.debate.responses import TABLE, responses
from josh.roles import BaseEnv, BaseRewards, Task, TurnModel, TurnTable
from josh.transcript import Transcript
from josh.tree import Pair, Tree


class AnswerRewards(BaseRewards):
    """Reads the answer of each turn, and ends a debate in which both answers agree.

    The facts of a turn: `answers`, in normal form, by `agent` and `user` as they stand after it, None for a speaker
    that has not spoken or whose last turn cannot be read; `right`, whether each is right, None for no answer; and
    `agree`, whether both are the same. A judge is asked only where the rules of `answers.py` find nothing.
    """

    reads: ClassVar[Speaker] = Speaker.USER
    rate: ClassVar[str] = "agreed_on_right"

    def __init__(self, rewards: Sequence[Any]) -> None:
        super().__init__(rewards)
        self.both_first = True

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes from the world whether the user hears the agent before its first turn."""
        self.both_first = answers_unheard(task, env)

    async def facts(self, task: Task, conversation: Transcript, *, judge: TurnModel | None = None) -> Mapping[str, Any]:
        """Returns the answers after the last turn; see the class."""
        data, turn = task.data, conversation.turns[-1]
        answers = dict(self.before(task, conversation))
        speaker, partner = turn.speaker, turn.speaker.other
        spoke = any(message.get("role") == "user" for past in conversation.turns[:-1] for message in past.messages)
        deaf = self.both_first and speaker is Speaker.USER and not spoke
        own, other = answers[speaker], None if deaf else answers[partner]
        words = text(turn.messages)
        found = find(words, data, own, other)
        if found is None and judge is not None and words:
            found = await ask_judge(judge, words, data, own, other)
        answers[speaker] = resolve(found, own, other)
        gold = frozenset(data["gold"])
        right = {side: is_right(answers[side], gold) for side in ("agent", "user")}
        agree = same(answers["agent"], answers["user"], gold)
        return {"answers": {side: answers[side] for side in ("agent", "user")}, "right": right, "agree": agree}

    def ended(self, facts: Mapping[str, Any]) -> Outcome | None:
        """Returns won where both speakers agree on the right answer, lost where they agree on a wrong one."""
        if not facts["agree"]:
            return None
        return Outcome.WON if facts["right"]["agent"] else Outcome.LOST

    def fact_words(self, facts: Mapping[str, Any], speaker: Speaker) -> str:
        """Returns the speaker's answer, and whether it is right: `lion (right)`; and that both agree, where they do."""
        answer, right = facts["answers"][speaker], facts["right"][speaker]
        said = "no answer" if answer is None else f"{answer} ({'right' if right else 'wrong'})"
        return f"{said}, agreed" if facts["agree"] else said

    def before(self, task: Task, conversation: Transcript) -> Mapping[str, str | None]:
        """Returns the answers before the last turn, by speaker."""
        earlier = conversation.turns[:-1]
        facts = earlier[-1].facts if earlier else None
        if facts is not None:
            return facts["answers"]  # type: ignore[no-any-return]
        messages = [message for turn in earlier for message in turn.messages]
        return standing(messages, task.data, both_first=self.both_first)


class DebateRewards(AnswerRewards):
    """Earns the learner's right answer, and labels the learner's turns. For the facts of a turn see `AnswerRewards`."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """The settings of these rewards."""

        learner: str = setting(
            "user", "whose last answer earns and whose turns are labelled", choices=("user", "agent")
        )

    config: Config

    mean: ClassVar[str] = "learner_right"
    turn_table: ClassVar[TurnTable | None] = TABLE

    def pairs(self, task: Task, tree: Tree) -> Iterable[Pair]:
        """Returns the pairs of the learner's sibling turns; see `josh.envs.debate.labels`."""
        return label_pairs(tree, Speaker(self.config.learner))

    def turn_cells(self, task: Task, tree: Tree) -> Iterable[tuple[int, str, str]]:
        """Returns the responses of the learner; see `josh.envs.debate.responses`."""
        return responses(tree, frozenset(task.data["gold"]), Speaker(self.config.learner))

    async def score(self, task: Task, conversation: Transcript) -> Mapping[str, float]:
        """Returns the scores of a debate, each 0 or 1.

        `right` and `partner_right`: the last answer of the learner, and of its partner, is right; `agree`: the two are
        the same. An answer that is missing or unreadable is not right.
        """
        facts = next((turn.facts for turn in reversed(conversation.turns) if turn.facts is not None), None)
        if facts is None:
            return {"right": 0.0, "partner_right": 0.0, "agree": 0.0}
        learner = Speaker(self.config.learner)
        right = facts["right"]
        return {
            "right": float(bool(right[learner])),
            "partner_right": float(bool(right[learner.other])),
            "agree": float(facts["agree"]),
        }

    def path_reward(
        self, goals: Sequence[Any], hits: Sequence[Hit], *, scores: Mapping[str, float] | None = None
    ) -> float:
        """Returns 1.0 where the learner's last answer is right, else 0.0."""
        return (scores or {}).get("right", 0.0)
