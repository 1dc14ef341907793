"""Debaters that are asked, before their turn, how sure they are: by samples, and by probabilities of answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from josh.agents.debate.debater import Debater
from josh.agents.debate.offline import OfflineDebater
from josh.config import setting
from josh.envs.debate.features import AFTER, ANSWER_ONLY, ENTRY, log_probability
from josh.envs.debate.prompts import question_alone
from josh.envs.debate.speech import Position, Traits, offline_turn
from josh.models.hf_loading import is_local
from josh.roles import BaseEnv, Task, TurnModel

QUESTION, CONVERSATION = "question", "conversation"


@dataclass(frozen=True, slots=True)
class Survey:
    """The settings of a debater that is surveyed."""

    samples: int = setting(20, "answers that are sampled before the turn, for their entropy", least=2, most=1000)
    asked: str = setting(
        QUESTION,
        "what the sampled answers reply to: the question alone, or the conversation",
        choices=(QUESTION, CONVERSATION),
    )


class Featured(Debater):
    """Says what its model replies, after samples and probabilities of its answers; they are an action of the turn."""

    Config = Survey
    config: Survey
    shared: ClassVar[tuple[str, ...]] = ("unread", "task", "surveyed")

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the row. Raises UsageError where the task is none."""
        super().start(task, env, options)
        self.task = task
        self.local = is_local(str(options.get("model") or ""))
        self.surveyed: Mapping[str, Any] | None = None

    async def step(self, *, model: TurnModel, **more: Any) -> bool:
        """Asks for the features, then says one message; see `Persuader.step`."""
        if self.surveyed is None:
            self.surveyed = await self.survey(model)
        over = await super().step(model=model, **more)
        if over:
            self.recent_actions = [{"name": ENTRY, "arguments": {}, "result": self.surveyed}]
        return over

    async def survey(self, model: TurnModel) -> Mapping[str, Any]:
        """Returns the sampled texts, and the log-probabilities of both answers where the model gives them."""
        question = [{"role": "user", "content": question_alone(self.task.data, "agent featured")}]
        asked = question if self.config.asked == QUESTION else self.messages_internal
        texts = [(await model.reply(asked)).text for _ in range(self.config.samples)]
        before = self.task.data.get("answers") or {}
        answers = [before.get(side) for side in ("agent", "user")]
        return {"samples": texts, "log_p": await self._weigh(model, question, answers)}

    async def _weigh(
        self, model: TurnModel, question: Sequence[Mapping[str, Any]], answers: Sequence[str | None]
    ) -> list[float | None]:
        """Returns the log-probability of each answer after "Final answer:"; None where the model gives none."""
        if self.local:
            found: list[float | None] = []
            for answer in answers:
                asked = {"after": AFTER, "text": f" {answer}"}
                reply = None if answer is None else await model.reply(list(map(dict, question)), logprobs_of=asked)
                found.append(None if reply is None or not reply.logprobs else round(sum(reply.logprobs), 6))
            return found
        alone = [{"role": "user", "content": f"{question[0]['content']}\n\n{ANSWER_ONLY}"}]
        reply = await model.reply(alone, logprobs=True, top_logprobs=20)
        return [None if answer is None else log_probability(answer, reply.likely) for answer in answers]


@dataclass(frozen=True, slots=True)
class OfflineSurvey(Traits):
    """The settings of an offline debater that is surveyed."""

    samples: int = setting(20, "answers that are sampled before the turn, for their entropy", least=2, most=1000)


class OfflineFeatured(OfflineDebater):
    """An offline debater that first says several times what it would answer to the question alone."""

    Config = OfflineSurvey
    config: OfflineSurvey
    name = "offline_featured"

    def step(self, *, model: TurnModel, directive: str | None = None, **_: Any) -> bool:
        """Says one turn. Returns True: the turn is over."""
        alone = Position(self.task, "agent")
        texts = [offline_turn(alone, None, self.config, model)[1] for _ in range(self.config.samples)]
        super().step(model=model, directive=directive)
        self.recent_actions = [{"name": ENTRY, "arguments": {}, "result": {"samples": texts, "log_p": [None, None]}}]
        return True
