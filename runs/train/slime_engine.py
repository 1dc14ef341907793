"""slime's rollout engine (SGLang behind its router) as a chat model: tokens in, tokens out, with log-probabilities."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from josh.dialogue import Usage
from josh.models.chat import Completion, ContextError, ModelError, Request
from josh.models.chat_template import ChatTemplate
from josh.models.token_history import TokenHistory
from josh.roles import Reply

Post = Callable[..., Awaitable[Mapping[str, Any]]]
"""Sends a JSON payload: `await post(url, payload, headers=headers)`."""


class SlimeEngine:
    """The chat model of one rollout. Its prompts continue with the very tokens that it sampled (`TokenHistory`).

    Attributes:
        aborted: whether the engine gave a request up, because slime has enough samples.
        meta: the engine's `meta_info` of each reply, by the tokens of its prompt and its own.
    """

    concurrency = None

    def __init__(
        self,
        name: str,
        url: str,
        template: ChatTemplate,
        params: Mapping[str, Any],
        post: Post,
        *,
        context: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Set the model up; no request is sent yet.

        Args:
            name: its name in records.
            url: the address of `/generate`.
            template: writes the prompts.
            params: slime's sampling parameters; `max_new_tokens` holds for the tokens of the whole response. They are
                copied for each request.
            post: sends a request.
            context: most tokens of prompt and reply; None for no limit.
            headers: HTTP headers of each request.
        """
        self.name = self.endpoint = name
        self.aborted = False
        self.meta: dict[tuple[tuple[int, ...], tuple[int, ...]], Mapping[str, Any]] = {}
        self._url = url
        self._template = template
        self._params = dict(params)
        self._post = post
        self._context = context
        self._headers = headers
        self._history = TokenHistory(template)
        self._first: int | None = None

    async def complete(self, request: Request) -> Completion:
        """Sample one reply; see `ChatModel.complete`."""
        tools = request.options.get("tools")
        prompt = tuple(self._history.prompt(request.messages, tools)[0])
        if self._first is None:
            self._first = len(prompt)
        limit = self._room(len(prompt))
        payload = {
            "input_ids": list(prompt),
            "sampling_params": {**self._params, "max_new_tokens": limit},
            "return_logprob": True,
        }
        output = await self._post(self._url, payload, headers=self._headers)
        meta = output["meta_info"]
        why = str(meta["finish_reason"]["type"])
        if why == "abort":
            self.aborted = True
            raise ModelError("the engine gave the request up")
        sampled = [(float(one[0]), int(one[1])) for one in meta.get("output_token_logprobs") or ()]
        tokens = tuple(token for _, token in sampled)
        if not tokens:
            raise ModelError("the engine sampled no token")
        tokenizer = self._template.tokenizer
        text = str(tokenizer.decode(list(tokens), skip_special_tokens=True))
        ended = why == "stop" and tokens[-1] in set(tokenizer.all_special_ids)
        self._history.note(request.messages, tools, text, prompt, tokens, ended=ended)
        self.meta[prompt, tokens] = meta
        logprobs = tuple(logprob for logprob, _ in sampled)
        reply = Reply(text, (), why, tokens, logprobs, prompt)
        return Completion((reply,), Usage(prompt_tokens=len(prompt), completion_tokens=len(tokens)))

    async def aclose(self) -> None:
        """Does nothing: slime owns the engine."""

    def _room(self, size: int) -> int:
        """Returns how many tokens a reply may have after a prompt. Raises ContextError where it may have none."""
        assert self._first is not None, "the first prompt has been counted"
        rooms = [int(self._params.get("max_new_tokens") or 1024) - (size - self._first)]
        if self._context:
            rooms.append(self._context - size)
        if min(rooms) < 1:
            raise ContextError(f"the conversation has {size} tokens, and no room for a reply is left")
        return min(rooms)
