"""Chat models of providers without OpenAI's API (Anthropic, Gemini, Bedrock, ...), by litellm."""

import logging
import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.causes import Message
from josh.models.chat import SAMPLED, Completion, Request
from josh.models.openai_chat import address_of, answered, key_in
from josh.redact import Redactor, redactor

PREFIX = "litellm:"
"""The prefix of a model's name that selects litellm for every address."""
_NO_KEY = "none"
_KEYLESS = {"openai", "hosted_vllm", "anthropic", "ollama", "ollama_chat"}
"""Providers for which litellm uses only the given key. For others it also looks for credentials elsewhere."""
_NEEDED = ("_API_KEY", "_API_TOKEN", "_API_BASE")
"""Suffixes of variables that a call needs; for other variables litellm has defaults and other sources."""
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")


def is_for_litellm(name: str, base_url: str | None, environment: Mapping[str, str] | None = None) -> bool:
    """Returns whether litellm serves a model: its name has `PREFIX`, or is `provider/model` without an address.

    Args:
        name: the model's name.
        base_url: the model's address, if any.
        environment: may hold `OPENAI_BASE_URL`; by default the process's environment.
    """
    environment = os.environ if environment is None else environment
    return name.startswith(PREFIX) or ("/" in name and not base_url and not environment.get("OPENAI_BASE_URL"))


class LiteLLMChat:
    """One model of one provider; by default litellm takes its key and address from the environment."""

    concurrency = None

    def __init__(
        self, name: str, base_url: str | None = None, api_key_var: str | None = None, *, timeout: float = 120.0
    ) -> None:
        """Set up a model; no request is sent yet. Loads litellm, which takes seconds.

        Args:
            name: the model's name in litellm, such as `anthropic/claude-sonnet-4-5`, with or without `PREFIX`.
            base_url: the provider's address; by default litellm's.
            api_key_var: environment variable that holds the key. By default it is the provider's own variable, and a
                given `http://` address gets no key; with `NO_KEY` no address gets one.
            timeout: seconds that one call may take.

        Raises:
            UsageError: litellm is not installed or does not know the provider, the key is missing, or the address is
                not valid.
        """
        self.name = name.removeprefix(PREFIX)
        if "://" in self.name:
            raise UsageError(f"model is {self.name!r}, an address; give it as base_url, and the model's name as model")
        if self.name.startswith((".", "/", "~")) or (self.name and Path(self.name).is_dir()):
            raise UsageError(f"model is {self.name!r}, a folder; give hf:{self.name}, or the name on your server")
        litellm = _load(self.name)
        key = key_in(os.environ, api_key_var, f"model {self.name!r}", "its provider") if api_key_var else None
        redact = Redactor.of(key) if key else redactor(os.environ)
        given = address_of(base_url) if base_url else None
        if key is None and (api_key_var is not None or (given and given.scheme == "http")):
            key = _NO_KEY
        try:
            _, provider, found, address = litellm.get_llm_provider(self.name, api_base=base_url, api_key=key)
        except Exception:
            raise UsageError(
                f"litellm does not know the provider of model {self.name!r}; give PROVIDER/MODEL, or the base_url of "
                "your server"
            ) from None
        self.endpoint: str = base_url or provider
        if given and key == _NO_KEY and provider not in _KEYLESS:
            raise UsageError(f"model {self.name!r} at {base_url} needs a key; name its variable with api_key_var")
        wanted = litellm.validate_environment(self.name, api_key=key, api_base=address)["missing_keys"]
        missing = [variable for variable in wanted if variable.endswith(_NEEDED) and not os.environ.get(variable)]
        if missing:
            raise UsageError(f"no key for model {self.name!r}: litellm looks for {', '.join(missing)}")
        if provider in litellm.openai_compatible_providers and not (key or found):
            raise UsageError(f"no key for model {self.name!r}: litellm finds none; name its variable with api_key_var")
        self._message = Message(f"{self.name} at {self.endpoint}", redact, keyed=key != _NO_KEY)
        self._timeout = timeout
        self._asked = {
            "model": self.name,
            "api_base": base_url,
            "api_key": key,
            "timeout": timeout,
            "max_retries": 0,
            "num_retries": 0,
            "drop_params": True,  # some providers do not support a seed or several replies
            "_skip_mcp_handler": True,  # otherwise every request with tools needs the package mcp
        }

    async def complete(self, request: Request) -> Completion:
        """Send a request once; see `ChatModel.complete`. Litellm drops options that the provider does not support."""
        return await answered(self._ask(request), request.n, self._timeout, self._message)

    async def aclose(self) -> None:
        """Close litellm's connections, which all its models share."""
        from litellm import in_memory_llm_clients_cache as clients
        from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients as close

        await close()  # type: ignore[no-untyped-call]
        # The cache's keys contain the id of the event loop: a later loop with this id would get a closed client.
        clients.flush_cache()  # type: ignore[no-untyped-call]

    async def _ask(self, request: Request) -> Any:
        import litellm
        from openai import APIError

        # Many requests share messages and tools, and some of litellm's providers change them.
        body = deepcopy({"messages": list(request.messages), **request.body})
        if request.keep_samples:
            body = {name: value for name, value in body.items() if name not in SAMPLED}
        if request.sampling.extra_body:
            # Litellm leaves out what its tables do not know of a model; the user knows better.
            body["allowed_openai_params"] = list(request.sampling.extra_body)
        try:
            answer = await litellm.acompletion(**{**self._asked, **body})
        except APIError as error:
            if isinstance(error.__context__, ImportError):
                raise error.__context__ from None
            raise
        return answer.model_dump(include={"choices", "usage"}, exclude_none=True)


def _load(name: str) -> Any:
    """Returns the module litellm, set up without network access at import, `.env` files and log output."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    # Calls OpenAI-compatible providers without the openai SDK, which takes twice the time.
    os.environ.setdefault("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "True")
    try:
        import litellm
    except ImportError as error:
        raise UsageError(f"model {name!r} needs litellm ({error}): pip install litellm") from None
    litellm.suppress_debug_info = True
    if "LITELLM_LOG" not in os.environ:
        for logger in _LOGGERS:
            logging.getLogger(logger).setLevel(logging.CRITICAL)
    return litellm
