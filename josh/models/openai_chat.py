"""Every server that speaks OpenAI's chat completions (OpenAI, vLLM, SGLang, llama.cpp, Ollama), by the openai SDK."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from josh.errors import FatalError, UsageError
from josh.models.chat import Completion, Request
from josh.roles import Reply
from josh.tree import Usage

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = ""
"""In place of a variable's name: send no key."""
_RETRIED = {408, 409, 429}
_REFUSED = {401: "the key was refused", 402: "the account is empty", 404: "no such model or address"}
"""Answers that every further call would get too. Not 403, with which some routers refuse a single prompt."""


class OpenAIChat:
    """One model on one endpoint."""

    def __init__(
        self,
        name: str,
        base_url: str | None = None,
        api_key_var: str | None = None,
        *,
        timeout: float = 120.0,
        max_attempts: int = 6,
        max_retry_seconds: float = 300.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare to ask a model; nothing is sent yet.

        Args:
            name: the model's name on the server.
            base_url: where the server is, up to and with `/v1`; by default `OPENAI_BASE_URL`, else OpenAI.
            api_key_var: environment variable that holds the key. By default it is `OPENAI_API_KEY`, and no key goes
                to a plain `http://` address; `NO_KEY` sends none anywhere.
            timeout: seconds that one call may take.
            max_attempts: most times a request is sent.
            max_retry_seconds: seconds after which a failing request is not sent again.
            environment: where to look variables up; by default the process's environment.

        Raises:
            UsageError: the key is missing, or the address is none.
        """
        environment = os.environ if environment is None else environment
        self.name = name
        self.base_url = base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL
        try:
            address = urlsplit(self.base_url)
            sound = address.scheme in {"http", "https"} and address.hostname and address.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise UsageError(f"base_url is {self.base_url!r}; give an address such as http://localhost:8000/v1")
        if address.username or address.password or address.query or address.fragment:
            raise UsageError(f"base_url holds more than an address; put the key for {address.hostname} in a variable")
        variable = api_key_var
        if variable is None and address.scheme == "https":
            variable = "OPENAI_API_KEY"
        if variable and not variable.isidentifier():
            raise UsageError("api_key_var is no variable's name; a key itself does not belong on the command line")
        self._key = environment.get(variable, "").strip() if variable else "none"
        if not self._key:
            raise UsageError(f"no key for model {name!r}: set {variable} ({address.netloc} asks for one)")
        self._organization = environment.get("OPENAI_ORGANIZATION") or environment.get("OPENAI_ORG_ID")
        self._timeout = timeout
        self._max_attempts = max_attempts
        self._max_retry_seconds = max_retry_seconds
        self._client: Any = None

    async def complete(self, request: Request, on_retry: Callable[[], None]) -> Completion:
        """Answer a request; see `ChatModel.complete`."""
        body = {
            "model": self.name,
            "messages": list(request.messages),
            "temperature": request.temperature,
            "seed": request.seed,
            **request.options,
        }
        if request.n > 1:
            body["n"] = request.n
        return await self._send(body, request.n, on_retry)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _connect(self) -> Any:
        if self._client is None:
            import httpx
            from openai import AsyncOpenAI, DefaultAioHttpClient

            # As many connections as calls in flight: the run's own limit is the only one.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            self._client = AsyncOpenAI(
                api_key=self._key,
                base_url=self.base_url,
                organization=self._organization,
                timeout=self._timeout,
                max_retries=0,
                http_client=DefaultAioHttpClient(limits=limits, timeout=self._timeout),
            )
        return self._client

    async def _send(self, body: Mapping[str, Any], n: int, on_retry: Callable[[], None]) -> Completion:
        """Send a request until it is answered, at most `max_attempts` times and for `max_retry_seconds`.

        What is worth repeating: 408, 409, 429 (after the time it names), 5xx, lost connections, timeouts, and bodies
        that cannot be read.
        """
        client = self._connect()
        try:
            return await self._post(client, body, n)
        except Exception as error:
            if not _worth_repeating(error):
                raise self._final(error) from None
            first = [error]

        async def again() -> Completion:
            # The failure that led here counts as the first attempt; tenacity costs too much to go through every call.
            if first:
                raise first.pop()
            return await self._post(client, body, n)

        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay

        attempts = AsyncRetrying(
            retry=retry_if_exception(_worth_repeating),
            wait=_pause,
            stop=stop_after_attempt(self._max_attempts) | stop_after_delay(self._max_retry_seconds),
            before_sleep=lambda _: on_retry(),
            reraise=True,
        )
        try:
            return await attempts(again)
        except Exception as error:
            raise self._final(error) from None

    async def _post(self, client: Any, body: Mapping[str, Any], n: int) -> Completion:
        # The SDK's typed call spends four times as long on validating what goes out and comes back.
        try:
            # The client's own timeout is one of silence; a server that trickles would keep it waiting.
            async with asyncio.timeout(self._timeout):
                answer = await client.post("/chat/completions", cast_to=object, body=body)
        except TimeoutError:
            raise NoReplyError(f"no reply within {self._timeout:g} seconds") from None
        except ValueError as error:
            raise UnreadableReplyError("the reply is not JSON") from error
        try:
            return _read(answer, n)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise UnreadableReplyError("the reply is no chat completion") from error

    def _final(self, error: Exception) -> Exception:
        """What a failure that stays is raised as."""
        from openai import APIConnectionError, APIStatusError

        where = f"{self.name} at {self.base_url}"
        if isinstance(error, APIStatusError):
            text = f"{where}: HTTP {error.status_code}, {self._public(error.message)}"
            refused = _REFUSED.get(error.status_code)
            return FatalError(f"{refused}: {text}") if refused else ModelError(text)
        if isinstance(error, APIConnectionError):
            return ModelError(f"{where}: {self._public(str(error.__cause__ or error))}")
        return ModelError(f"{where}: {self._public(str(error) or repr(error))}")

    def _public(self, text: str) -> str:
        """An error text in one line, without the key."""
        text = " ".join(str(text).split())[:300]
        return text.replace(self._key, "***") if self._key != "none" else text


class ModelError(Exception):
    """A request that failed for good."""


class NoReplyError(ModelError):
    """A reply that did not come in time; worth asking again."""


class UnreadableReplyError(ModelError):
    """A reply that makes no sense; worth asking again."""


def _worth_repeating(error: BaseException) -> bool:
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        return error.status_code in _RETRIED or error.status_code >= 500
    return isinstance(error, APIConnectionError | UnreadableReplyError | NoReplyError)


def _pause(state: Any) -> float:
    """Seconds to wait before the next attempt: what the server asks for, else random and growing, up to 30."""
    from openai import APIStatusError
    from tenacity import wait_random_exponential

    error = state.outcome.exception()
    asked = _seconds(error.response.headers.get("retry-after")) if isinstance(error, APIStatusError) else None
    return wait_random_exponential(multiplier=0.5, max=30)(state) if asked is None else asked


def _seconds(header: str | None) -> float | None:
    """A Retry-After header in seconds, at most two minutes; None for no header, or a date."""
    try:
        return min(120.0, max(0.0, float(header))) if header else None
    except ValueError:
        return None


def _read(answer: Any, n: int) -> Completion:
    """The replies in an answer's JSON. Raises one of the errors of a value of the wrong shape."""
    choices = answer["choices"]
    if len(choices) < n:
        raise ValueError(f"{len(choices)} choices where {n} were asked for")
    counts = answer.get("usage") or {}
    usage = Usage(
        prompt_tokens=int(counts.get("prompt_tokens") or 0),
        completion_tokens=int(counts.get("completion_tokens") or 0),
    )
    return Completion(tuple(map(_reply, choices[:n])), usage)


def _reply(choice: Mapping[str, Any]) -> Reply:
    message = choice["message"]
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    logprobs = (choice.get("logprobs") or {}).get("content") or ()
    token_ids = choice.get("token_ids")
    return Reply(
        # Half a surrogate pair, which a cut-off reply may end with, cannot be sent or written.
        text=content.encode("utf-8", "replace").decode("utf-8"),
        tool_calls=tuple(message.get("tool_calls") or ()),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        token_ids=tuple(token_ids) if token_ids else None,
        logprobs=tuple(token["logprob"] for token in logprobs) if logprobs else None,
    )
