"""Chat models on servers with OpenAI's API (OpenAI, vLLM, SGLang, llama.cpp, Ollama), by the openai SDK."""

import asyncio
import json
import os
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from josh.errors import UsageError
from josh.models.answer import read_answer
from josh.models.causes import Message, failure, not_usable
from josh.models.chat import Completion, Request
from josh.redact import Redactor, in_json

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = ""
"""Instead of a variable's name: send no key."""


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
        """Set up a model; no request is sent yet.

        Args:
            name: the model's name on the server.
            base_url: the server's address, up to and with `/v1`; by default `OPENAI_BASE_URL`, else OpenAI.
            api_key_var: environment variable that holds the key. By default it is `OPENAI_API_KEY`, and an `http://`
                address gets no key; with `NO_KEY` no address gets one.
            timeout: seconds that one call may take.
            environment: the environment variables; by default the process's.

        Raises:
            UsageError: the key is missing, or the address is not valid.
        """
        environment = os.environ if environment is None else environment
        self.name = name
        self.base_url = base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL
        address = address_of(self.base_url)
        variable = api_key_var
        if variable is None and address.scheme == "https":
            variable = "OPENAI_API_KEY"
        self._key = key_in(environment, variable, f"model {name!r}", address.netloc) if variable else "none"
        self._message = Message(f"{name} at {self.base_url}", Redactor.of(self._key), keyed=bool(variable))
        self._organization = environment.get("OPENAI_ORGANIZATION") or environment.get("OPENAI_ORG_ID")
        self._timeout = timeout
        self._client: Any = None

    @property
    def endpoint(self) -> str:
        """The server's address."""
        return self.base_url.rstrip("/")

    async def complete(self, request: Request) -> Completion:
        """Send a request once; see `ChatModel.complete`.

        Transient errors: 408, 409, 429, 5xx, lost connections, timeouts, and bodies that cannot be parsed.
        """
        body = {"model": self.name, "messages": list(request.messages), **request.body}
        # The SDK's typed call takes four times as long, because it validates requests and responses.
        call = self._connect().post("/chat/completions", cast_to=object, body=body)
        return await answered(call, request.n, self._timeout, self._message)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _connect(self) -> Any:
        if self._client is None:
            import httpx
            from openai import AsyncOpenAI, DefaultAioHttpClient

            # No limit on connections: the gateway limits the calls in flight.
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


def address_of(base_url: str, name: str = "base_url") -> SplitResult:
    """Returns the parts of a server's address.

    Args:
        base_url: the address.
        name: its name in error messages.

    Raises:
        UsageError: the text is not an HTTP address, or also holds a password, a query or a fragment.
    """
    try:
        address = urlsplit(base_url)
        sound = address.scheme in {"http", "https"} and address.hostname and address.port != 0
        sound = sound and not any(one.isspace() for one in base_url)
    except ValueError:
        sound = False
    if not sound:
        raise UsageError(f"{name} is {Redactor.of()(base_url)!r}; give an address such as http://localhost:8000/v1")
    if address.username or address.password or address.query or address.fragment:
        raise UsageError(f"{name} holds more than an address; put the key of {address.hostname} into a variable")
    return address


def key_in(environment: Mapping[str, str], variable: str, name: str, where: str) -> str:
    """Returns the key in a variable.

    Args:
        environment: the environment variables.
        variable: the variable's name.
        name: what needs it, such as `model 'm'`, for the error.
        where: the server or provider that asks for the key, for the error.

    Raises:
        UsageError: the variable's name is not valid, or it holds no key, or a key with an impossible character.
    """
    if not variable.isidentifier():
        raise UsageError("api_key_var is not a variable's name; never give the key itself on the command line")
    key = environment.get(variable, "").strip()
    if not key:
        raise UsageError(f"no key for {name}: set {variable} ({where} asks for one)")
    check_key(key, variable)
    return key


def check_key(key: str, variable: str) -> None:
    """Raises UsageError where a key has a character that an HTTP header cannot hold, such as one copied along."""
    place, odd = next(((at, one) for at, one in enumerate(key, 1) if not " " <= one <= "~"), (0, ""))
    if odd:
        raise UsageError(
            f"the key in {variable} has the character U+{ord(odd):04X} at place {place} of {len(key)}, which no key "
            "has; copy the key again"
        )


async def answered(call: Awaitable[Any], n: int, timeout: float, message: Message) -> Completion:
    """Await an SDK's answer to a chat-completions request, and turn its errors into ours.

    Args:
        call: returns the answer's JSON, or its text where the Content-Type is not JSON, or raises an error of the
            openai SDK or of litellm, whose errors inherit from the SDK's; ImportError means that a provider's package
            is missing.
        n: number of replies that were requested.
        timeout: seconds to wait.
        message: makes the texts of errors; its known secrets are removed from replies, too.

    Raises:
        FatalError, RetryableError, ModelError: see `ChatModel.complete`.
    """
    try:
        # The client's own timeout restarts with every byte; a slow stream of bytes would never reach it.
        async with asyncio.timeout(timeout):
            answer = await call
    except Exception as error:
        raise failure(error, timeout, message) from None
    if isinstance(answer, str) and answer.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):  # the server did not say that it is JSON
            answer = json.loads(answer)
    try:
        known = in_json(answer, message.redact.known) if message.redact.secrets else answer
        return read_answer(known, n)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError):
        raise not_usable(answer, message) from None
