"""The judge of a rescored run; it calls its model only where the recorded run has no reply of this judge."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from josh.branch import TurnContext
from josh.models.gateway import ModelGateway
from josh.models.lessons import Lessons
from josh.models.offline import OfflineModel
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.models.turn_model import BoundModel
from josh.roles import Task
from josh.runs.play.model_factory import ModelFactory
from josh.runs.record.journal import Replies, stored_lessons, stored_replies
from josh.runs.record.prices import prices_of, read_prices
from josh.runs.record.summary import bill
from josh.runs.settings import RunSettings
from josh.scoring import JUDGE, Scorer


class RecordedJudge:
    """Makes the scorers of a run's tasks. Without `judge_model` in the settings, the scorers have no judge.

    The judge's replies go to the journal of the new run. Replies in the journal of the recorded run are copied.
    """

    def __init__(self, settings: RunSettings, recorded: Path, replies: Replies) -> None:
        """Set the judge up.

        Args:
            settings: the run's settings.
            recorded: the folder of the recorded run, whose journal is read and stays as it is.
            replies: the journal of the new run.

        Raises:
            UsageError: the judge's model cannot be set up.
        """
        judge, traffic = settings.judge, settings.traffic
        self._settings = settings
        self._exits = ExitStack()
        factory = ModelFactory(settings.local, traffic.timeout)
        address = (judge.base_url, judge.api_key_var)
        self._model = factory.get(judge.model, *address, "judge", judge.sampling) if judge.model else None
        models = [] if self._model is None or isinstance(self._model, OfflineModel) else [self._model]
        self._prices = prices_of(iter(models), read_prices(settings.spending.price))
        self._gateway = ModelGateway(
            traffic.max_concurrency,
            per_minute=traffic.requests_per_minute,
            max_attempts=traffic.max_attempts,
            max_retry_seconds=traffic.max_retry_seconds,
        )
        if self._model is not None:
            find = self._exits.enter_context(stored_replies(recorded))
            self._gateway.journal, self._gateway.notes = _Journal(find, replies), replies
            self._gateway.lessons = Lessons(stored_lessons(recorded))

    @property
    def asked(self) -> bool:
        """Whether there is a judge, so that the journal may hold replies."""
        return self._model is not None

    @property
    def retries(self) -> int:
        """Number of calls that were repeated after an error."""
        return self._gateway.retries

    def scorer(self, task: Task) -> Scorer:
        """Returns the scorer of a task."""
        return Scorer(task, None if self._model is None else lambda context: self._bound(task, context))

    def add_cost(self, summary: dict[str, Any]) -> None:
        """Add the cost of the judge's new calls, in US dollars, to a summary; without calls it stays unchanged."""
        gateway = self._gateway
        if gateway.account and JUDGE in summary["usage"]:
            summary["usage"][JUDGE]["cost"] = bill(gateway.account, self._prices, gateway.uncounted, gateway.unusable)[
                "cost"
            ]

    async def aclose(self) -> None:
        """Close the connections and the recorded journal."""
        await self._gateway.aclose()
        if self._model is not None:
            await self._model.aclose()
        self._exits.close()

    def _bound(self, task: Task, context: TurnContext) -> BoundModel:
        assert self._model is not None, "only a scorer with a judge binds its model"
        sampling, seed = self._settings.judge.sampling, self._settings.seed
        return BoundModel(self._model, sampling, context, self._gateway, seed, task.id, (context.path,))


class _Journal:
    """Finds replies in the new run's journal, then in the recorded run's; stores them in the new one."""

    def __init__(self, find: Any, replies: Replies) -> None:
        self._find = find
        self._replies = replies

    def find(self, key: ReplyKey) -> JournalEntry | None:
        entry = self._replies.find(key)
        if entry is None:
            entry = self._find(key)
            if entry is not None:
                self._replies.keep({key: entry}, 0.0)
        return entry

    def keep(self, entries: Mapping[ReplyKey, JournalEntry], seconds: float) -> None:
        self._replies.keep(entries, seconds)
