"""Every server that speaks OpenAI's chat completions (OpenAI, vLLM, SGLang, llama.cpp, Ollama), by the openai SDK."""

import asyncio
import os
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from josh.dialogue import Usage
from josh.errors import FatalError, UsageError
from josh.models.chat import Completion, ModelError, Request, RetryableError
from josh.redact import Redactor, in_json
from josh.roles import Reply

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = ""
"""In place of a variable's name: send no key."""
_PASSING = {408, 409, 429}
_REFUSED = {401: "the key was refused", 402: "the account is empty", 404: "no such model or address"}
"""Answers that every further call would get too. Not 403, with which some routers refuse a single prompt."""


class OpenAIChat:
    """One model on one endpoint."""

    concurrency = None

    def __init__(
        self,
        name: str,
        base_url: str | None = None,
        api_key_var: str | None = None,
        *,
        timeout: float = 120.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare to ask a model; nothing is sent yet.

        Args:
            name: the model's name on the server.
            base_url: where the server is, up to and with `/v1`; by default `OPENAI_BASE_URL`, else OpenAI.
            api_key_var: environment variable that holds the key. By default it is `OPENAI_API_KEY`, and no key goes
                to a plain `http://` address; `NO_KEY` sends none anywhere.
            timeout: seconds that one call may take.
            environment: where to look variables up; by default the process's environment.

        Raises:
            UsageError: the key is missing, or the address is none.
        """
        environment = os.environ if environment is None else environment
        self.name = name
        self.base_url = base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL
        address = address_of(self.base_url)
        variable = api_key_var
        if variable is None and address.scheme == "https":
            variable = "OPENAI_API_KEY"
        self._key = key_in(environment, variable, name, address.netloc) if variable else "none"
        self._redact = Redactor.of(self._key)
        self._organization = environment.get("OPENAI_ORGANIZATION") or environment.get("OPENAI_ORG_ID")
        self._timeout = timeout
        self._client: Any = None

    @property
    def endpoint(self) -> str:
        """The address."""
        return self.base_url.rstrip("/")

    async def complete(self, request: Request) -> Completion:
        """Send a request once; see `ChatModel.complete`.

        Worth asking again: 408, 409, 429, 5xx, lost connections, timeouts, and bodies that cannot be read.
        """
        body = {"model": self.name, "messages": list(request.messages), **request.body}
        # The SDK's typed call spends four times as long on validating what goes out and comes back.
        call = self._connect().post("/chat/completions", cast_to=object, body=body)
        return await answered(call, request.n, self._timeout, f"{self.name} at {self.base_url}", self._redact)

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


def address_of(base_url: str) -> SplitResult:
    """The parts of a server's address. Raises UsageError where it is none, or holds a password."""
    try:
        address = urlsplit(base_url)
        sound = address.scheme in {"http", "https"} and address.hostname and address.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise UsageError(f"base_url is {Redactor.of()(base_url)!r}; give an address such as http://localhost:8000/v1")
    if address.username or address.password or address.query or address.fragment:
        raise UsageError(f"base_url holds more than an address; put the key for {address.hostname} in a variable")
    return address


def key_in(environment: Mapping[str, str], variable: str, name: str, where: str) -> str:
    """The key in a variable, for a model's name and whom it is for. Raises UsageError where there is none."""
    if not variable.isidentifier():
        raise UsageError("api_key_var is no variable's name; a key itself does not belong on the command line")
    key = environment.get(variable, "").strip()
    if not key:
        raise UsageError(f"no key for model {name!r}: set {variable} ({where} asks for one)")
    return key


async def answered(call: Awaitable[Any], n: int, timeout: float, where: str, redact: Redactor) -> Completion:
    """Await an SDK's answer to a chat-completions request, and sort out what may have gone wrong.

    Args:
        call: gives the answer's JSON, or raises one of the openai SDK's errors, or of litellm's, which inherit from
            them; ImportError stands for a package that a provider needs.
        n: how many replies were asked for.
        timeout: seconds to wait.
        where: whom to name in errors.
        redact: takes secrets out of errors, and the known ones out of replies.

    Raises:
        FatalError, RetryableError, ModelError: see `ChatModel.complete`.
    """
    from openai import APIConnectionError, APIError

    def message(text: object) -> str:
        return f"{where}: {redact(' '.join(str(text).split()))[:300]}"

    try:
        # The client's own timeout is one of silence; a server that trickles would keep it waiting.
        async with asyncio.timeout(timeout):
            answer = await call
    except TimeoutError:
        raise RetryableError(message(f"no reply within {timeout:g} seconds")) from None
    except APIConnectionError as error:
        raise RetryableError(message(error.__cause__ or error)) from None
    except APIError as error:
        # Litellm has errors with a status that are no APIStatusError.
        status = getattr(error, "status_code", None)
        raise _refusal(error, status, message(f"HTTP {status}, {error.message}")) from None
    except ImportError as error:
        raise FatalError(message(error)) from None
    except ValueError:
        raise RetryableError(message("the reply is not JSON")) from None
    except Exception as error:
        raise ModelError(message(str(error) or repr(error))) from None
    try:
        return _read(in_json(answer, redact.known) if redact.secrets else answer, n)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        raise RetryableError(message("the reply is no chat completion")) from None


def _refusal(error: Any, status: int | None, text: str) -> Exception:
    """What an HTTP status means; one below 400 came with a body that could not be read."""
    if status is None or status < 400:
        return RetryableError(text)
    if status == 429 and "insufficient_quota" in str(error.message):
        return FatalError(f"the account is empty: {text}")  # waiting does not help
    if status in _REFUSED:
        return FatalError(f"{_REFUSED[status]}: {text}")
    if status in _PASSING or status >= 500:
        # Litellm keeps the headers apart, and makes up a response or leaves it out.
        headers = getattr(error, "litellm_response_headers", None)
        return RetryableError(
            text, status, _seconds(headers or getattr(getattr(error, "response", None), "headers", {}))
        )
    return ModelError(text, status)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """How long an answer asks to stay away, by its Retry-After header: seconds, or a date."""
    header = headers.get("retry-after") or ""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _read(answer: Any, n: int) -> Completion:
    """The replies in an answer's JSON, at most `n`. Raises one of the errors of a value of the wrong shape."""
    choices = sorted(answer["choices"], key=lambda choice: choice.get("index") or 0)
    if not choices:
        raise ValueError("no choices")
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
