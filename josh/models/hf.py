"""Models of transformers that run in this process: `hf:FOLDER` or `hf:ORG/NAME`, with `+ADAPTER` for a LoRA adapter.

On a real GPU, vLLM or llama.cpp behind `--base_url` is the first choice: they are faster, and serve larger models. This
module is for models that josh has just trained, for tests, and for machines without such a server.

Why it does not call `generate` of transformers: that has one random state for a whole batch, so a reply would depend on
the other requests of its batch, and a search could not be repeated or resumed. Why it batches: the leaves of a search
ask concurrently, and one request at a time would leave the processor idle.

The life of a request:

1. `complete` renders the prompt with the chat template and puts the request into the queue.
2. When no further request arrives, the oldest request and those of similar length become a batch. Requests that arrive
   during a batch form the next one.
3. A worker thread samples the batch (`decoding.py`); each reply has its own seed, and known prefixes are not read again
   (`kv_cache.py`). A batch that does not fit into memory is split.
4. The replies are decoded and delivered.

`hf_loading.py` finds and loads the model.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from josh.dialogue import Usage
from josh.errors import UsageError
from josh.messages import dumps
from josh.models.chat import SAMPLED, Completion, ContextError, ModelError, Request, Sampling
from josh.models.chat_template import FOLDED, ChatTemplate, template_text, without_row
from josh.models.decoding import TokenReply, TokenRequest, generate, logprobs_of
from josh.models.hf_loading import PROBE, base_and_adapter, load_model, stop_tokens
from josh.models.token_history import TokenHistory
from josh.roles import Reply
from josh.threads import plain

BATCH_SIZE = 64
"""The default number of replies per batch: on two CPU cores, larger batches are not faster."""
MAX_TOKENS = 512
"""Most tokens of a reply, unless the request or the model's `generation_config.json` sets a limit."""
PREFIX_BYTES = 1 << 30
"""Most memory of the prefix cache on a CPU. On a GPU there is no prefix cache: batches need its memory."""
SMALL = 20_000_000
"""Number of parameters below which several threads gain little; on a machine without idle cores they took three times
as long."""
LOGPROBS_OF = "logprobs_of"
"""The option of a request for the log-probabilities of a text; see `HFChat.complete`."""
_OWN = ("temperature", "seed", "n")
_OPTIONS = ("max_tokens", "max_completion_tokens", "top_p", "min_p", "stop", "chat_template", "chat_template_kwargs")
_SETTLED = 20
"""Iterations of the event loop without a new request, after which a batch that is not full starts."""


@dataclass(slots=True)
class _Waiting:
    """A request in the queue, and the future of its replies."""

    asked: TokenRequest
    done: "asyncio.Future[list[TokenReply]]"


class HFChat:
    """One model on this machine's GPU, if it has one, else on its CPU.

    A reply depends only on the messages, the request's seed and the reply's number in the request. It does not depend
    on concurrent requests, except for rounding (see `josh.models.decoding`).

    Attributes:
        exact: whether a conversation continues with the tokens that were sampled in it (`token_history.py`), which
            on-policy training needs; else its text is tokenized anew for each reply.
        name: the given name; the journal's keys contain it.
        endpoint: the same, because every model has its own queue.
        concurrency: most requests in flight: one batch to sample, and one to collect during that time.
        batches: number of batches so far.
    """

    def __init__(
        self,
        name: str,
        *,
        dtype: str = "auto",
        load_in_4bit: bool = False,
        threads: int | None = None,
        batch_size: int = BATCH_SIZE,
        sampling: Sampling | None = None,
        flags: str = "",
    ) -> None:
        """Load a model, which takes seconds to minutes.

        Args:
            name: `hf:` and a folder or an id on the Hugging Face hub; with `+` and a folder or id of an adapter.
            dtype: one of `DTYPES`; `auto` is the checkpoint's own on a GPU, and float32 on a CPU.
            load_in_4bit: hold the weights in 4 bits (NF4, by bitsandbytes); needs CUDA.
            threads: torch's threads; None is 1 for a model below `SMALL`, and torch's default for others.
            batch_size: most replies per batch, at least 1. A request for more replies is a batch by itself.
            sampling: the sampling of the speaker who asks first; its chat template counts where the model has none.
            flags: the prefix of this speaker's flags, such as `user_`.

        Raises:
            UsageError: a package, the model, its tokenizer, its chat template or the adapter is missing or does not
                work.
        """
        base, adapter = base_and_adapter(name)
        tokenizer, model = load_model(name, base, adapter, dtype, load_in_4bit)
        self._use(name, tokenizer, model, threads, batch_size, sampling or Sampling(), flags)

    @classmethod
    def of(
        cls,
        model: Any,
        tokenizer: Any,
        *,
        name: str = "model",
        threads: int | None = None,
        batch_size: int = BATCH_SIZE,
        sampling: Sampling | None = None,
        exact: bool = False,
        engine: Callable[[Sequence[TokenRequest]], list[list[TokenReply]]] | None = None,
    ) -> "HFChat":
        """Use a model that is in memory already, such as one that a trainer trains.

        The caller sets the model to evaluation mode, calls `forget` after its weights have changed, and keeps it:
        `aclose` does not free it.

        Args:
            model: a causal language model of transformers.
            tokenizer: its tokenizer, with a chat template.
            name: the model's name in records.
            threads: see `__init__`.
            batch_size: see `__init__`.
            sampling: see `__init__`.
            exact: see the class.
            engine: samples the replies to a batch of requests instead of the model, such as a trainer's vLLM, whose
                weights are the model's; called in one thread. None for the model itself.

        Raises:
            UsageError: the tokenizer has no chat template, or the model is of a kind that josh cannot run.
        """
        made = cls.__new__(cls)
        made._use(name, tokenizer, model, threads, batch_size, sampling or Sampling(), "", exact=exact, engine=engine)
        return made

    def _use(
        self,
        name: str,
        tokenizer: Any,
        model: Any,
        threads: int | None,
        batch_size: int,
        sampling: Sampling,
        flags: str,
        *,
        exact: bool = False,
        engine: Callable[[Sequence[TokenRequest]], list[list[TokenReply]]] | None = None,
    ) -> None:
        self.name = self.endpoint = name
        self.exact = exact
        self._engine = engine
        self.concurrency = 2 * batch_size
        self.batches = 0
        self._batch_size = batch_size
        self._queue: list[_Waiting] = []
        self._pump: asyncio.Task[None] | None = None
        self._closed = False
        self._tokenizer, self._model = tokenizer, model
        self._histories: dict[int, TokenHistory] = {}
        self._rows = int(self._model.get_input_embeddings().weight.shape[0])
        self._templates: dict[str, tuple[ChatTemplate, frozenset[int]]] = {}
        self._folded = False
        self.require_template(sampling, flags)
        given = {} if self._tokenizer.chat_template else sampling.added_to({})
        self._template, self.stop_tokens = self._templated(given)
        config = self._model.config.get_text_config()
        self._context = int(getattr(config, "max_position_embeddings", 0) or self._tokenizer.model_max_length)
        self._prefixes = _prefixes(self._model)
        self._limit = int(getattr(self._model.generation_config, "max_new_tokens", None) or MAX_TOKENS)
        pad = self._tokenizer.pad_token_id
        self._pad = min(self.stop_tokens) if pad is None else int(pad)
        small = self._model.num_parameters() < SMALL
        self._threads = 1 if threads is None and small else threads
        # One thread for all batches: OpenMP keeps a separate pool for every thread that calls it.
        self._worker = ThreadPoolExecutor(1, "josh-hf", initializer=self._set_threads)
        if engine is None:
            self._worker.submit(self._try_out).result()

    async def complete(self, request: Request) -> Completion:
        """Answer a request; see `ChatModel.complete`.

        Its options may be `max_tokens`, `top_p`, `min_p`, `stop`, `chat_template` and `chat_template_kwargs`. With the
        option `logprobs_of`, a table of two texts, nothing is sampled: the reply has the `text` and the log-probability
        of each of its tokens, where the assistant's turn begins with `after`. With `tokens` in that table instead, it
        has the log-probability of each of these tokens, right after the prompt.

        Raises:
            UsageError: the request has an option that a local model does not support.
            ContextError: the conversation does not fit into the model's context.
            ModelError: it does not fit into the machine's memory, the chat template refuses it, or the model is closed.
        """
        self._check_open()
        if LOGPROBS_OF in request.options:
            return await self._weighed(request)
        asked = self._asked(request)
        made = await self.sample(asked)
        usage = Usage(prompt_tokens=len(asked.prompt), completion_tokens=sum(len(one.token_ids) for one in made))
        replies = tuple(self._reply(one, asked) for one in made)
        if self.exact:
            history = self._history(self._templated(request.body)[0])
            for one, reply in zip(made, replies, strict=True):
                ended = one.finish_reason == "stop" and one.token_ids[-1] in self.stop_tokens | asked.ends
                history.note(request.messages, None, reply.text, asked.prompt, one.token_ids, ended=ended)
        return Completion(replies, usage)

    async def sample(self, asked: TokenRequest) -> list[TokenReply]:
        """Sample replies to a prompt in tokens, in one batch with the other requests of this moment.

        Raises:
            ModelError: it does not fit into the machine's memory, or the model is closed.
        """
        self._check_open()
        waiting = _Waiting(asked, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.ensure_future(self._run())
        made = await waiting.done
        self._check_open()
        return made

    def forget(self) -> None:
        """Forget the tokens of all conversations so far, and the cached states of prefixes, which the weights gave."""
        self._histories.clear()
        self._prefixes = _prefixes(self._model)

    @property
    def rewritten(self) -> int:
        """Number of prompts that the chat template wrote otherwise than the sampled tokens; see `TokenHistory`."""
        return sum(history.rewritten for history in self._histories.values())

    @property
    def read_share(self) -> float:
        """Share of the tokens of all prompts so far that the model read; the others were in the prefix cache."""
        known = self._prefixes
        return float(known.read / known.asked) if known is not None and known.asked else 1.0

    def _history(self, template: ChatTemplate) -> TokenHistory:
        return self._histories.setdefault(id(template), TokenHistory(template))

    async def _weighed(self, request: Request) -> Completion:
        """Answers a request for the log-probabilities of a text; see `complete`."""
        options = dict(request.options)
        given = options.pop(LOGPROBS_OF)
        begun, text = str(given.get("after", "")), str(given.get("text", ""))
        asked = self._asked(replace(request, options=options))
        if "tokens" in given:
            prompt, tokens = asked.prompt, list(given["tokens"])
        else:
            template, _ = self._templated(replace(request, options=options).body)
            before, whole = template.ids(begun), template.ids(begun + text)
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, whole, strict=False)))
            prompt, tokens = (*asked.prompt, *whole[:same]), whole[same:]
        if len(prompt) + len(tokens) > self._context:
            raise ContextError(f"{self.name}: the conversation has {len(prompt)} tokens, the context {self._context}")
        run = asyncio.get_running_loop().run_in_executor
        found = await run(self._worker, logprobs_of, self._model, prompt, tokens)
        self._check_open()
        return Completion((Reply(text, logprobs=tuple(found)),), Usage(prompt_tokens=len(prompt) + len(tokens)))

    async def aclose(self) -> None:
        """Stop the current batch, after at most one more token, and free the model's memory."""
        self._closed = True
        await asyncio.to_thread(self._worker.shutdown, cancel_futures=True)
        self._tokenizer = self._model = self._prefixes = None
        gc.collect()  # a model's modules refer to each other in cycles

        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def require_template(self, sampling: Sampling, flags: str) -> None:
        """Raises UsageError where a speaker's requests have no chat template, or one that does not work.

        Args:
            sampling: the speaker's sampling.
            flags: the prefix of the speaker's flags, such as `user_`.
        """
        if not (self._tokenizer.chat_template or sampling.chat_template):
            way = f"give a chat model, or --{flags}chat_template FILE"
            raise UsageError(f"model {self.name!r} has no chat template; {way}")
        self._templated(sampling.added_to({}))

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError(f"{self.name} is closed")

    def _try_out(self) -> None:
        """Sample two short replies. Raises UsageError where `decoding.py` does not support the model's architecture."""
        try:
            prompt = tuple(self._template.prompt([{"role": "user", "content": PROBE}])[0])
            generate(self._model, [TokenRequest(prompt, seed=1, n=2, limit=2)], frozenset(), self._pad, self._decode)
        except Exception as error:
            what = f"model {self.name!r} is a {type(self._model).__name__}, which josh cannot run in its own process"
            raise UsageError(f"{what}; serve it and give --base_url: {plain(error)[:300]}") from None

    def _set_threads(self) -> None:
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)  # affects this thread only

    def _asked(self, request: Request) -> TokenRequest:
        asked_for = SAMPLED if request.keep_samples else ()
        options = {name: value for name, value in request.body.items() if value is not None and name not in asked_for}
        strange = next((name for name in options if name not in (*_OPTIONS, *_OWN)), None)
        if strange:
            way = f"give only {', '.join(_OPTIONS)}"
            if strange == "tools":
                way = "give an agent that writes its calls as text (--agent react)"
            raise UsageError(f"{self.name} is a local model without the option {strange!r}; {way}")
        template, ends = self._templated(options)
        try:
            prompts = self._history(template) if self.exact else template
            prompt, changes = prompts.prompt(request.messages)
        except ValueError as error:
            raise ModelError(f"{self.name}: its chat template refuses the conversation: {plain(error)[:300]}") from None
        if FOLDED in changes and not self._folded:
            self._folded = True
            print(
                f"josh: the chat template of {self.name} has no system role; the system prompt is put before the first "
                "user message",
                file=sys.stderr,
            )
        if prompt and max(prompt) >= self._rows:
            token = self._tokenizer.convert_ids_to_tokens(next(one for one in prompt if one >= self._rows))
            raise ModelError(f"{self.name}: the model has no row for the token {token!r} of the conversation")
        room = self._context - len(prompt)
        if room < 1 or not prompt:
            said = f"the conversation has {len(prompt)} tokens, the model's context {self._context}"
            raise (ModelError if not prompt else ContextError)(f"{self.name}: {said}")
        limit = options.get("max_completion_tokens") or options.get("max_tokens") or self._limit
        stop = options.get("stop") or ()
        return TokenRequest(
            tuple(prompt),
            request.seed,
            request.n,
            float(options.get("temperature", request.sampling.temperature)),
            float(options.get("top_p") or 1.0),
            min(int(limit), room),
            (stop,) if isinstance(stop, str) else tuple(stop),
            float(options.get("min_p") or 0.0),
            request.keep_samples,
            ends,
        )

    def _templated(self, options: Mapping[str, Any]) -> tuple[ChatTemplate, frozenset[int]]:
        """Returns the template of a request, and its stop tokens. Raises UsageError if it does not fit the model."""
        given = {name: options[name] for name in ("chat_template", "chat_template_kwargs") if options.get(name)}
        key = dumps(given, sort_keys=True)
        if key not in self._templates:
            text = template_text(given.get("chat_template"))
            try:
                template = ChatTemplate(self._tokenizer, text, given.get("chat_template_kwargs") or {})
            except UsageError as error:
                raise UsageError(f"model {self.name!r} {error}") from None
            missing = without_row(self._tokenizer, self._rows, template.text)
            if missing is not None:
                raise UsageError(
                    f"model {self.name!r}: its tokenizer has the token {missing!r}, for which the model has no row (it "
                    f"has {self._rows}); give the model and the tokenizer that belong together"
                )
            self._templates[key] = template, stop_tokens(self.name, template, self._model)
        return self._templates[key]

    async def _run(self) -> None:
        """Answer the requests in the queue, batch by batch, until it is empty."""
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                await self._settle()
                batch = self._next_batch()
                if batch:
                    work = [one.asked for one in batch]
                    try:
                        results: Sequence[list[TokenReply] | Exception]
                        results = await loop.run_in_executor(self._worker, self._made, work)
                    except Exception as error:
                        results = [error] * len(batch)
                    self.batches += 1
                    for one, result in zip(batch, results, strict=True):
                        self._deliver(one, result)
        except asyncio.CancelledError:
            self._queue.clear()  # its futures belong to the event loop that is closing
            raise

    async def _settle(self) -> None:
        """Wait for more requests: each reply of a batch makes a leaf send its next request a moment later."""
        seen, still = len(self._queue), 0
        while still < _SETTLED and sum(one.asked.n for one in self._queue) < self._batch_size:
            await asyncio.sleep(0)
            still = still + 1 if len(self._queue) == seen else 0
            seen = len(self._queue)

    def _next_batch(self) -> list[_Waiting]:
        """Take the oldest request out of the queue, and the requests whose prompts are closest to it in length."""
        self._queue = [one for one in self._queue if not one.done.done()]  # without cancelled requests
        if not self._queue:
            return []
        size = len(self._queue[0].asked.prompt)
        near = sorted(self._queue, key=lambda one: abs(len(one.asked.prompt) - size))
        batch: list[_Waiting] = []
        rows = 0
        for one in near:
            if batch and rows + one.asked.n > self._batch_size:
                break
            batch.append(one)
            rows += one.asked.n
        taken = set(map(id, batch))
        self._queue = [one for one in self._queue if id(one) not in taken]
        return batch

    def _deliver(self, one: _Waiting, result: "list[TokenReply] | Exception") -> None:
        if one.done.done():
            return
        if isinstance(result, list):
            one.done.set_result(result)
        else:
            one.done.set_exception(ModelError(f"{self.name}: {plain(result)[:300]}"))

    def _made(self, batch: Sequence[TokenRequest]) -> "list[list[TokenReply] | Exception]":
        """Answer a batch, in halves where it does not fit into memory. Runs in the worker's thread."""
        import torch

        if self._engine is not None:
            return list(self._engine(batch))
        try:
            return list(
                generate(
                    self._model,
                    batch,
                    self.stop_tokens,
                    self._pad,
                    self._decode,
                    lambda: self._closed,
                    self._prefixes,
                )
            )
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                return [error]
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return self._made(batch[:half]) + self._made(batch[half:])

    def _decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def _reply(self, made: TokenReply, asked: TokenRequest) -> Reply:
        text = self._decode(made.token_ids)
        for stop in asked.stop:
            text = text.partition(stop)[0]
        if not asked.logprobs:
            return Reply(text, finish_reason=made.finish_reason)
        tokens, logprobs, own = tuple(made.token_ids), tuple(made.logprobs), tuple(made.model_logprobs)
        return Reply(text, (), made.finish_reason, tokens, logprobs, asked.prompt, model_logprobs=own)


def _prefixes(model: Any) -> Any:
    if model.device.type != "cpu":
        return None
    from josh.models.kv_cache import Prefixes

    return Prefixes(PREFIX_BYTES)
