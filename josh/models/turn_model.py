"""The chat model of one turn, bound to its place in the tree (`roles.TurnModel`)."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from josh.branch import TurnContext
from josh.dialogue import NO_USAGE, Sample, Usage
from josh.messages import Message, dumps
from josh.models.call import NO_CLOCK, Call, Clock
from josh.models.chat import ChatModel, Completion, ModelError, Request, Sampling
from josh.models.gateway import ModelGateway
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.models.retry import refuses_several
from josh.roles import Reply
from josh.seeds import derive

PERSON = "person"
"""The model's name in the journal and the tree for words that a person typed."""
LEFT = "left"


@dataclass(slots=True)
class BoundModel:
    """The chat model of one turn. The turn's place gives every seed, and the journal key of every reply.

    The first request of new siblings is the same, so they share one request for several replies (`n`), with the eldest
    sibling's seed, and the run pays for the prompt once. Where a model gives only one reply, the other siblings send
    their own requests, with their own seeds. The result does not depend on which sibling asks first.
    """

    model: ChatModel
    sampling: Sampling
    context: TurnContext
    gateway: ModelGateway
    seed: int
    """The run's seed."""
    task: str
    """The task's id."""
    priority: tuple[Any, ...] = ()
    """Requests with a smaller priority get a slot first."""
    share: bool = True
    """Whether new siblings may share a request."""
    clock: Clock | None = None
    """The task's clock."""
    recorded: bool = False
    """Whether a person's words must come from the journal, so that nobody is asked."""
    keep_samples: bool = False
    """Whether to keep the tokens of each request (`Turn.samples`)."""
    directed: bool = True
    """Whether to add the turn's directive to its requests, because the plug-in does not take it."""

    @property
    def temperature(self) -> float:
        """Sampling temperature of this speaker."""
        return self.sampling.temperature

    def draw(self) -> int:
        """Returns the next seed of this turn; see `roles.TurnModel.draw`."""
        context = self.context
        seed = self._seed(context.path, context.draws)
        context.draws += 1
        if context.seed is None:
            context.seed, context.model = seed, self.model.name
        return seed

    def shared_draw(self) -> int:
        """Returns the next seed that is the same for all siblings; see `roles.TurnModel.shared_draw`."""
        context = self.context
        seed = derive(
            self.seed, self.task, context.decision, context.depth, context.speaker, f"shared {context.shared_draws}"
        )
        context.shared_draws += 1
        return seed

    async def reply(self, messages: Sequence[Message], **options: Any) -> Reply:
        """Ask for one reply; see `roles.TurnModel.reply`."""
        context, gateway = self.context, self.gateway
        if self.directed and context.directive is not None:
            messages = with_directive(messages, context.directive)
        draw, seed = context.draws, self.draw()
        siblings = context.siblings if self.share and draw == 0 and len(context.siblings) > 1 else ()
        digest = self._digest(messages, options, siblings)
        key = self._key(context.path, draw, digest)
        entry = gateway.journal.find(key) if gateway.journal is not None else None
        request = Request(messages, self.sampling, seed, options=options, keep_samples=self.keep_samples)
        refused = False
        if entry is None and siblings and not self._gets_single_replies:
            try:
                entry = (await self._shared_replies(request, digest)).get(key)
            except ModelError as error:
                refused = refuses_several(error)
                if not refused:
                    raise
        if entry is None:
            call = self._call(request, lambda got: {key: self._filed(got, 0, seed)})
            entry = (await call.entries())[key]
            if refused:
                # The request itself is valid; the model refuses several replies.
                gateway.single_reply_only.add(self._model_key)
        context.usage += entry.usage
        if context.seed == seed:
            context.seed, context.choice = entry.seed, entry.choice
        if self.keep_samples:
            self._keep(entry)
        return entry.reply

    async def hear(self, messages: Sequence[Message], ask: Callable[[], Awaitable[str | None]]) -> str | None:
        """Returns a person's words; see `roles.HumanInput.hear`."""
        context, gateway = self.context, self.gateway
        key = self._key(context.path, context.draws, self._digest(messages, {"from": PERSON}, ()))
        context.draws += 1
        context.model = PERSON
        entry = gateway.journal.find(key) if gateway.journal is not None else None
        if entry is None:
            if self.recorded:
                raise ModelError(f"the journal has no words of a person to these {len(messages)} messages")
            began = time.monotonic()
            change = (self.clock or NO_CLOCK).change
            change(waiting=1)
            try:
                text = await ask()
            finally:
                change(waiting=-1)
            entry = JournalEntry(Reply(text or "", finish_reason="stop" if text else LEFT), PERSON, 0)
            if gateway.journal is not None:
                gateway.journal.keep({key: entry}, time.monotonic() - began)
            # No model was called, but the account needs an entry: a run with an empty account is discarded.
            gateway.account.setdefault((str(context.speaker), PERSON), NO_USAGE)
        return None if entry.reply.finish_reason == LEFT else entry.reply.text

    def _keep(self, entry: JournalEntry) -> None:
        """Keep the request's sample, without the prompt tokens that the previous sample on the path already holds."""
        context, reply = self.context, entry.reply
        if reply.token_ids is None or reply.prompt_ids is None:
            return
        prefix = next(
            (at for at, (old, new) in enumerate(zip(context.sequence, reply.prompt_ids, strict=False)) if old != new),
            min(len(context.sequence), len(reply.prompt_ids)),
        )
        context.sequence = reply.prompt_ids + reply.token_ids
        new = reply.prompt_ids[prefix:]
        sample = Sample(prefix, new, reply.token_ids, reply.logprobs, reply.finish_reason, entry.model)
        context.samples = (*context.samples, sample)

    @property
    def _model_key(self) -> tuple[str, str]:
        return self.model.endpoint, self.model.name

    @property
    def _gets_single_replies(self) -> bool:
        return self._model_key in self.gateway.single_reply_only

    async def _shared_replies(self, request: Request, digest: str) -> Mapping[ReplyKey, JournalEntry]:
        """Returns the entries of the request that the new siblings share; only for some of them, if it got fewer."""
        context, gateway = self.context, self.gateway
        keys = [self._key(path, 0, digest) for path in context.siblings]
        if gateway.journal is not None:
            kept = {key: entry for key in keys if (entry := gateway.journal.find(key))}
            if kept:
                return kept  # in an earlier session the endpoint gave fewer replies than requested
        seed = self._seed(context.siblings[0], 0)

        def file(got: Completion) -> dict[ReplyKey, JournalEntry]:
            if len(got.replies) == 1:
                gateway.single_reply_only.add(self._model_key)
            return {key: self._filed(got, choice, seed) for choice, key in enumerate(keys[: len(got.replies)])}

        call = context.common.get(digest)
        if not isinstance(call, Call) or call.dropped:
            several = replace(request, seed=seed, n=len(keys))
            call = self._call(several, file)
            context.common[digest] = call
        return await call.entries()

    def _call(self, request: Request, file: Callable[[Completion], Mapping[ReplyKey, JournalEntry]]) -> Call:
        return self.gateway.call(self.model, request, self.context.speaker, self.priority, file, self.clock)

    def _filed(self, got: Completion, choice: int, seed: int) -> JournalEntry:
        usage = Usage(calls=1) + got.usage if choice == 0 else Usage()
        return JournalEntry(got.replies[choice], self.model.name, seed, choice, usage)

    def _seed(self, path: str, draw: int) -> int:
        return derive(self.seed, self.task, path, self.context.depth, self.context.speaker, draw)

    def _key(self, path: str, draw: int, digest: str) -> ReplyKey:
        return ReplyKey(self.task, path, self.context.depth, str(self.context.speaker), draw, digest)

    def _digest(self, messages: Sequence[Message], options: Mapping[str, Any], siblings: Sequence[str]) -> str:
        """Returns a hash of the request and its siblings. The place and these give the seed, so it is not hashed."""
        drawn = self.sampling.added_to(options)
        asked = dumps([self.seed, self.model.name, self.temperature, messages, drawn, siblings])
        return blake2b(asked.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def with_directive(messages: Sequence[Message], directive: str) -> list[Message]:
    """Returns the messages with an instruction for one reply: at the end of the system prompt, or as a new one."""
    if messages and messages[0].get("role") == "system":
        prompt = f"{messages[0].get('content') or ''}\n\n{directive}".strip()
        return [{**messages[0], "content": prompt}, *messages[1:]]
    return [{"role": "system", "content": directive}, *messages]
