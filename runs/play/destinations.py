"""Where requests and keys go: the server of a model, and the variable whose key it gets.

1. `owned` gives a provider's model (`openrouter/...`) to its provider, never to another provider's address or key.
2. `Destination` says in words where a model's requests go, and whether that is the plain default.
3. `require_allowed` asks the rules of the command (`josh.trust`) before a key may go there.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from josh.errors import UsageError
from josh.models.hf_loading import is_local
from josh.models.litellm_chat import PREFIX, is_for_litellm
from josh.models.openai_chat import NO_KEY, OPENAI_URL
from josh.models.service import PREFIX as SERVICE
from josh.models.service import is_service
from josh.runs.registry import MCP, OFFLINE, ROLES
from josh.runs.settings import RunSettings
from josh.trust import Trust, trust

Address = tuple[str, str | None, str | None]
"""A model's name, its server's address, and the name of the environment variable with its key."""

OPENAI_KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of hosted models.

    Attributes:
        host: the host of its address.
        variable: the variable with its key.
        sole: whether it serves its own models only, so that no other provider's name can be meant there.
    """

    host: str
    variable: str
    sole: bool = True


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("api.openai.com", OPENAI_KEY),
    "anthropic": Provider("api.anthropic.com", "ANTHROPIC_API_KEY"),
    "gemini": Provider("generativelanguage.googleapis.com", "GEMINI_API_KEY"),
    "mistral": Provider("api.mistral.ai", "MISTRAL_API_KEY"),
    "deepseek": Provider("api.deepseek.com", "DEEPSEEK_API_KEY"),
    "xai": Provider("api.x.ai", "XAI_API_KEY"),
    "cohere": Provider("api.cohere.com", "COHERE_API_KEY"),
    "moonshot": Provider("api.moonshot.ai", "MOONSHOT_API_KEY"),
    "openrouter": Provider("openrouter.ai", "OPENROUTER_API_KEY", sole=False),
    "groq": Provider("api.groq.com", "GROQ_API_KEY", sole=False),
    "together_ai": Provider("api.together.xyz", "TOGETHERAI_API_KEY", sole=False),
    "fireworks_ai": Provider("api.fireworks.ai", "FIREWORKS_AI_API_KEY", sole=False),
    "deepinfra": Provider("api.deepinfra.com", "DEEPINFRA_API_KEY", sole=False),
    "cerebras": Provider("api.cerebras.ai", "CEREBRAS_API_KEY", sole=False),
    "perplexity": Provider("api.perplexity.ai", "PERPLEXITYAI_API_KEY", sole=False),
    "nvidia_nim": Provider("integrate.api.nvidia.com", "NVIDIA_NIM_API_KEY", sole=False),
}
"""Providers by the first part of litellm's names of their models (litellm's documentation, "Providers")."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the requests of a model go.

    Attributes:
        model: the model's name.
        base_url: the address; None for the provider's own.
        api_key_var: the variable with the key; None for the default, `NO_KEY` for no key.
        instead: the address or variable that the settings name, and that belongs to another provider; empty for none.
    """

    model: str
    base_url: str | None
    api_key_var: str | None
    instead: str = ""

    @property
    def by_litellm(self) -> bool:
        """Whether litellm sends the requests."""
        return not is_service(self.model) and is_for_litellm(self.model, self.base_url)

    @property
    def address(self) -> str | None:
        """The address; None where litellm sends the requests to the provider's own."""
        if is_service(self.model):
            return self.model.removeprefix(SERVICE)
        if self.by_litellm:
            return self.base_url
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL

    @property
    def variable(self) -> str | None:
        """The variable whose key is sent; None for the provider's own; `NO_KEY` where no key is sent."""
        default = self.address is None or (self.address.startswith("https:") and not is_service(self.model))
        if self.api_key_var is not None or default:
            return self.api_key_var
        return NO_KEY

    @property
    def own_variable(self) -> str:
        """The variable of the provider's key; empty where only litellm knows it."""
        kind = self.model.removeprefix(PREFIX).partition("/")[0] if self.by_litellm else "openai"
        return PROVIDERS[kind].variable if kind in PROVIDERS else ""

    @property
    def plain(self) -> bool:
        """Whether the requests and the key go to the model's provider as they do without any setting."""
        to_provider = self.address is None or (not self.by_litellm and _same(self.address, OPENAI_URL))
        return to_provider and self.variable in (None, self.own_variable) and not self.instead

    @property
    def words(self) -> str:
        """The model, the address and the variable, in words."""
        name = self.model.removeprefix(PREFIX)
        where = self.address or f"its provider {name.partition('/')[0]}"
        variable = self.own_variable if self.variable is None else self.variable
        key = "without a key" if self.variable == NO_KEY else f"with the key in {variable or 'its own variable'}"
        other = f", not with {self.instead}, which is another provider's" if self.instead else ""
        return f"{'the agent' if is_service(name) else name} at {where}, {key}{other}"


def owned(model: str, base_url: str | None, api_key_var: str | None) -> Destination:
    """Returns where a model's requests go; a provider's model goes to its provider.

    A name such as `openrouter/...` may stand beside settings that are meant for other models, such as one address and
    one key for a whole rotation. These count for it unless they belong to another provider. An address of a server of
    your own is nobody else's, and a router such as OpenRouter serves other providers' models under their names.
    """
    kind = model.removeprefix(PREFIX).partition("/")[0] if "/" in model else ""
    if kind not in PROVIDERS:
        return Destination(model, base_url, api_key_var)
    host = urlsplit(base_url).hostname if base_url else None
    other = {name for name, one in PROVIDERS.items() if name != kind}
    if any(PROVIDERS[name].sole and PROVIDERS[name].host == host for name in other):
        return Destination(_for_litellm(model), None, None, str(base_url))
    if base_url and any(PROVIDERS[name].sole and PROVIDERS[name].variable == api_key_var for name in other):
        return Destination(_for_litellm(model), None, None, str(api_key_var))
    if not base_url and any(PROVIDERS[name].variable == api_key_var for name in other):
        return Destination(_for_litellm(model), None, None, str(api_key_var))
    return Destination(model, base_url, api_key_var)


def trust_flag(every: Iterable[RunSettings]) -> str:
    """Returns the flag, with a blank before it, that resuming runs of these settings needs; empty for none."""
    return " --trust" if any(map(_needs_trust, every)) else ""


def _needs_trust(settings: RunSettings) -> bool:
    """Returns whether a run names code that is not josh's own, or sends a key elsewhere than to its provider."""
    own = Trust(code=set())
    if settings.env.name == MCP[:-1] and settings.env.config.get("command"):
        return True
    for role, known in ROLES.items():
        name = getattr(settings, role).name
        if name and name not in known and not own.may_run(name):
            return True
    user, sides = settings.user, [settings.agent, settings.judge]
    asked = [(side.model, side.base_url, side.api_key_var) for side in sides if side.model]
    asked += rotation_of(user.model, user.base_url, user.api_key_var)
    return settings.tasks.trust_task_endpoints or sends_keys_elsewhere(asked)


def sends_keys_elsewhere(asked: Iterable[Address]) -> bool:
    """Returns whether a key goes elsewhere than to its provider, for a request to one of some models."""
    going = [owned(*each) for each in asked if each[0] != OFFLINE and not is_local(each[0])]
    return any(not (one.plain or one.variable == NO_KEY) for one in going)


def require_allowed(destination: Destination, flags: str) -> None:
    """Raises UsageError where a recorded run would send a key elsewhere than to its provider; names the ways out.

    Args:
        destination: where the requests go.
        flags: the prefix of the speaker's flags, such as `user_`.
    """
    address, variable = destination.address, destination.variable
    if variable == NO_KEY or destination.plain:
        return
    if not destination.by_litellm and (_same(address, OPENAI_URL) or _same(address, os.environ.get("OPENAI_BASE_URL"))):
        address = None
    own = destination.own_variable
    if trust().may_send(address, None if variable == own else variable):
        return
    repeat = f" --{flags}base_url {destination.address}" if address else ""
    repeat += f" --{flags}api_key_var {variable}" if variable else ""
    where = destination.address or "its provider"
    raise UsageError(
        f"the recorded run sends the key in {variable or own or 'a variable'} to {where} for model "
        f"{destination.model.removeprefix(PREFIX)!r}; to allow it, give --trust, or{repeat}"
    )


def _for_litellm(model: str) -> str:
    return model if model.startswith(PREFIX) else PREFIX + model


def _same(address: str | None, other: str | None) -> bool:
    return address is not None and other is not None and address.rstrip("/") == other.rstrip("/")


def rotation_of(model: str, base_url: str | None, api_key_var: str | None) -> list[Address]:
    """Returns the user's models, which take turns.

    Args:
        model: the names, separated by commas.
        base_url: one address for all models, or one for each, separated by commas; None for the default.
        api_key_var: one variable for all models, or one for each, separated by commas; None for the default.

    Raises:
        UsageError: a name is empty, `offline` is one of several, or the numbers of values differ.
    """
    names = [name.strip() for name in model.split(",")]
    if not all(names):
        raise UsageError(f"user_model is {model!r}; one of the names is empty")
    if OFFLINE in names and len(names) > 1:
        raise UsageError(f"user_model is {model!r}; `offline` cannot rotate with chat models")
    urls = one_for_each(base_url, len(names), "user_base_url")
    keys = one_for_each(api_key_var, len(names), "user_api_key_var")
    return list(zip(names, urls, keys, strict=True))


def one_for_each(given: str | None, count: int, flag: str) -> list[str | None]:
    """Returns one value for each model, from one value for all or a list with commas.

    Raises:
        UsageError: the list has neither 1 nor `count` values.
    """
    values: list[str | None] = [value.strip() or None for value in given.split(",")] if given else [None]
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise UsageError(f"{flag} has {len(values)} values for {count} user models; give one, or one for each")
    return values
