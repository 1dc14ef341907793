"""An agent that runs elsewhere, behind an address that takes and returns JSON, as a chat model of a run."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from josh.messages import text_of
from josh.models.causes import Message
from josh.models.chat import SAMPLED, Completion, ModelError, Request
from josh.models.openai_chat import NO_KEY, address_of, answered, key_in
from josh.redact import Redactor

PREFIX = "service:"
"""The prefix of the names of such models; the service's address follows."""
TEXT_FIELDS = ("reply", "response", "message", "content", "text", "output", "answer")
"""The fields of an answer that may hold the agent's words; the first that does counts."""


def is_service(name: str) -> bool:
    """Returns whether a model's name is that of a service."""
    return name.startswith(PREFIX)


class ServiceModel:
    """One service. A request is a POST of `messages`, `seed`, `temperature` and the options, `session_id` for one.

    The answer is a text, a JSON object with the text in one of `TEXT_FIELDS` and, if the agent calls tools of the
    world, `tool_calls` in the chat-completions format; a list of such objects; or a chat completion.
    """

    concurrency = None

    def __init__(
        self,
        name: str,
        api_key_var: str | None = None,
        *,
        timeout: float = 120.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Set the service up; no request is sent yet.

        Args:
            name: `PREFIX` and the address.
            api_key_var: environment variable with the key; by default no key is sent.
            timeout: seconds that one call may take.
            environment: the environment variables; by default the process's.

        Raises:
            UsageError: the address is not valid, or the key is missing.
        """
        self.name = name
        self.endpoint = name.removeprefix(PREFIX)
        address = address_of(self.endpoint, "the agent's address")
        environment = os.environ if environment is None else environment
        self._key = key_in(environment, api_key_var, f"model {name!r}", address.netloc) if api_key_var else NO_KEY
        self._message = Message(self.endpoint, Redactor.of(self._key), keyed=bool(self._key))
        self._timeout = timeout
        self._client: Any = None

    async def complete(self, request: Request) -> Completion:
        """Send a request once; see `ChatModel.complete`. It returns one reply, also where `n` asks for several."""
        body = {name: value for name, value in request.body.items() if name not in ("n", *SAMPLED)}
        call = self._ask({**body, "messages": list(request.messages)})
        return await answered(call, 1, self._timeout, self._message)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _ask(self, body: Mapping[str, Any]) -> Any:
        from openai import Omit

        client = self._connect()
        options = {} if self._key else {"headers": {"Authorization": Omit()}}
        return completion_of(await client.post(self.endpoint, cast_to=object, body=body, options=options))

    def _connect(self) -> Any:
        if self._client is None:
            import httpx
            from openai import AsyncOpenAI, DefaultAioHttpClient

            # No limit on connections: the gateway limits the calls in flight.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            self._client = AsyncOpenAI(
                api_key=self._key or "none",
                base_url=self.endpoint,
                timeout=self._timeout,
                max_retries=0,
                http_client=DefaultAioHttpClient(limits=limits, timeout=self._timeout),
            )
        return self._client


def completion_of(answer: Any) -> Any:
    """Returns a service's answer as a chat completion.

    Raises:
        ModelError: the answer has neither words nor tool calls, or is an HTML page.
    """
    if isinstance(answer, str) and answer.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):  # the service did not say that it is JSON
            answer = json.loads(answer)
    if isinstance(answer, str) and answer.lstrip()[:9].lower().startswith(("<html", "<!doctype")):
        raise ModelError("the service answers an HTML page; is its address right?")
    if isinstance(answer, Mapping) and ("choices" in answer or "error" in answer):
        return answer  # `answered` reads chat completions, and errors that came with a status of success
    parts = answer if isinstance(answer, list) else [answer]
    texts: list[str] = []
    calls: list[Any] = []
    for part in parts:
        text, called = _words_of(part), part.get("tool_calls") if isinstance(part, Mapping) else None
        if text is None and not called:
            wanted = ", ".join(TEXT_FIELDS)
            raise ModelError(f"the service answers {part!r:.100}; give a text, or an object with one of {wanted}")
        texts.append(text or "")
        calls += called or []
    message = {"role": "assistant", "content": "\n".join(filter(None, texts)), "tool_calls": calls or None}
    finish = "tool_calls" if calls else "stop"
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def _words_of(part: Any) -> str | None:
    """Returns the agent's words in an answer; None where it has none."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return None
    found = next((part[name] for name in TEXT_FIELDS if part.get(name) is not None), None)
    if isinstance(found, Mapping):
        return text_of(dict(found))
    if isinstance(found, list):
        return text_of({"content": found})
    return found if isinstance(found, str) else None
