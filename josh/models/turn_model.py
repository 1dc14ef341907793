"""The chat model of one turn, bound to its place in the tree (`roles.TurnModel`)."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from josh.branch import TurnContext
from josh.dialogue import NO_USAGE, Sample, Usage
from josh.messages import Message, dumps
from josh.models.call import NO_CLOCK, Call, Clock
from josh.models.chat import ChatModel, Completion, ContextError, Lesson, ModelError, Request, Sampling
from josh.models.gateway import ModelGateway
from josh.models.lessons import SEVERAL, effective
from josh.models.reply_journal import JournalEntry, ReplyKey
from josh.models.retry import refuses_several
from josh.models.sendable import kept_of, sendable, tool_names, with_readable_calls
from josh.roles import Reply
from josh.seeds import derive

log = logging.getLogger("josh")

PERSON = "person"
"""The model's name in the journal and the tree for words that a person typed."""
LEFT = "left"
TOO_LONG = "too_long"
"""Instead of why a reply ended: the conversation does not fit into the model's context; the text is the refusal."""


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
        messages = with_readable_calls(messages)
        sent = sendable(messages, context.thoughts, tool_names(options))
        if self.directed and context.instruction is not None:
            messages, sent = (with_directive(each, context.instruction) for each in (messages, sent))
        draw, seed = context.draws, self.draw()
        siblings = context.siblings if self.share and draw == 0 and len(context.siblings) > 1 else ()
        digests = self._digests(messages, options, siblings)
        entry = self._find(context.path, draw, digests)
        if entry is None:
            request = Request(sent, self.sampling, seed, options=options, keep_samples=self.keep_samples)
            try:
                entry = await self._ask(request, draw, digests, siblings)
            except ContextError as error:
                if gateway.journal is not None:
                    refused = JournalEntry(Reply(str(error), finish_reason=TOO_LONG), self.model.name, seed)
                    gateway.journal.keep({self._key(context.path, draw, digests[()]): refused}, 0.0)
                raise
        if entry.reply.finish_reason == TOO_LONG:
            raise ContextError(entry.reply.text)
        context.usage += entry.usage
        context.finishes = (*context.finishes, entry.reply.finish_reason)
        if kept := kept_of(entry.reply):
            context.thoughts = (*context.thoughts, kept)
        if context.seed == seed:
            context.seed, context.choice = entry.seed, entry.choice
        if self.keep_samples:
            self._keep(entry)
        return entry.reply

    async def _ask(self, request: Request, draw: int, digests: "Digests", siblings: Sequence[str]) -> JournalEntry:
        """Returns the entry of a request that the journal does not have, from its model."""
        context, gateway = self.context, self.gateway
        entry, refused = None, ""
        if siblings and not self._gets_single_replies:
            try:
                entry = _of(await self._shared_replies(request, digests), context.path)
            except ModelError as error:
                if not refuses_several(error):
                    raise
                refused = str(error)
        if entry is None:
            call = self._call(
                request,
                lambda got: {self._key(context.path, draw, digests[got.lessons]): self._filed(got, 0, request.seed)},
            )
            entry = _of(await call.entries(), context.path)
            assert entry is not None, "an answered call has an entry for its turn"
            if refused:
                # The request itself is valid; the model refuses several replies.
                gateway.learn(Lesson(*self._model_key, SEVERAL), refused)
        return entry

    async def hear(self, messages: Sequence[Message], ask: Callable[[], Awaitable[str | None]]) -> str | None:
        """Returns a person's words; see `roles.HumanInput.hear`."""
        context, gateway = self.context, self.gateway
        key = self._key(context.path, context.draws, self._digests(messages, {"from": PERSON}, ())[()])
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
            where = f"{self.model.name} at {self.model.endpoint}"
            log.warning("%s returns no tokens, so its turns have no samples; vLLM does", where, extra={"once": True})
            return
        prefix = next(
            (at for at, (old, new) in enumerate(zip(context.sequence, reply.prompt_ids, strict=False)) if old != new),
            min(len(context.sequence), len(reply.prompt_ids)),
        )
        context.sequence = reply.prompt_ids + reply.token_ids
        new = reply.prompt_ids[prefix:]
        logprobs, own = reply.logprobs, reply.model_logprobs
        if own is None and logprobs is not None:
            # A server's are the model's own (vLLM's default), and those of the sampling where it changes nothing.
            own = logprobs if len(logprobs) == len(reply.token_ids) else None
            logprobs = own if self.sampling.as_the_model else None
        sample = Sample(prefix, new, reply.token_ids, logprobs, reply.finish_reason, entry.model, own)
        context.samples = (*context.samples, sample)

    @property
    def _model_key(self) -> tuple[str, str]:
        return self.model.endpoint, self.model.name

    @property
    def _gets_single_replies(self) -> bool:
        return self.gateway.lessons.single(*self._model_key)

    async def _shared_replies(self, request: Request, digests: "Digests") -> Mapping[ReplyKey, JournalEntry]:
        """Returns the entries of the request that the new siblings share; only for some of them, if it got fewer."""
        context, gateway, digest = self.context, self.gateway, digests[()]
        kept = {
            self._key(path, 0, digest): entry for path in context.siblings if (entry := self._find(path, 0, digests))
        }
        if kept:
            return kept  # in an earlier session the endpoint gave fewer replies than requested
        seed = self._seed(context.siblings[0], 0)

        def file(got: Completion) -> dict[ReplyKey, JournalEntry]:
            if len(got.replies) == 1:
                gateway.learn(Lesson(*self._model_key, SEVERAL))
            paths = context.siblings[: len(got.replies)]
            return {
                self._key(path, 0, digests[got.lessons]): self._filed(got, choice, seed)
                for choice, path in enumerate(paths)
            }

        call = context.common.get(digest)
        if not isinstance(call, Call) or call.dropped:
            several = replace(request, seed=seed, n=len(context.siblings))
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

    def _find(self, path: str, draw: int, digests: "Digests") -> JournalEntry | None:
        """Returns the journal's reply to a request, under any lessons that an earlier request may have followed."""
        journal, lessons = self.gateway.journal, self.gateway.lessons
        if journal is None:
            return None
        states = (*lessons.known_for(*self._model_key), ()) if lessons else ((),)
        for digest in dict.fromkeys(digests[state] for state in states):
            entry = journal.find(self._key(path, draw, digest))
            if entry is not None:
                return entry
        return None

    def _digests(self, messages: Sequence[Message], options: Mapping[str, Any], siblings: Sequence[str]) -> "Digests":
        drawn = self.sampling.added_to(options)
        return Digests([self.seed, self.model.name, self.temperature, messages, drawn, siblings])


class Digests(dict[tuple[Lesson, ...], str]):
    """Hashes of a request and its siblings, by the lessons that it followed; computed when they are asked for.

    The place and the siblings give the seed, so it is not hashed. Lessons that change nothing do not change the hash.
    """

    __slots__ = ("_asked",)

    def __init__(self, asked: list[Any]) -> None:
        """Args: asked: run seed, model, temperature, messages, the other fields, siblings."""
        super().__init__()
        self._asked = asked

    def __missing__(self, lessons: tuple[Lesson, ...]) -> str:
        fields = {"temperature", "seed", *self._asked[4]}
        changed = effective(lessons, fields) if lessons else []
        asked = dumps([*self._asked, changed] if changed else self._asked)
        found = blake2b(asked.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
        self[lessons] = found
        return found


def _of(entries: Mapping[ReplyKey, JournalEntry], path: str) -> JournalEntry | None:
    """Returns the entry of a turn among those of one call; None where the call got no reply for it."""
    return next((entry for key, entry in entries.items() if key.path == path), None)


def with_directive(messages: Sequence[Message], directive: str) -> list[Message]:
    """Returns the messages with an instruction for one reply: at the end of the system prompt, or as a new one."""
    if messages and messages[0].get("role") == "system":
        prompt = f"{messages[0].get('content') or ''}\n\n{directive}".strip()
        return [{**messages[0], "content": prompt}, *messages[1:]]
    return [{"role": "system", "content": directive}, *messages]
