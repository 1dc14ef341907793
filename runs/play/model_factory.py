"""Creates the chat models of a run, each once for its name, address and key."""

from collections.abc import Sequence

from josh.errors import UsageError
from josh.models.chat import ChatModel
from josh.models.hf import HFChat
from josh.models.hf_loading import LocalModel, is_local, look_for
from josh.models.litellm_chat import PREFIX, LiteLLMChat, is_for_litellm
from josh.models.offline import OfflineModel, RecordedModel
from josh.models.openai_chat import OpenAIChat
from josh.models.service import ServiceModel, is_service
from josh.runs.registry import OFFLINE

Address = tuple[str, str | None, str | None]
"""A model's name, its server's address, and the name of the environment variable with its key."""


class ModelFactory:
    """Creates chat models, and returns the same object for the same address."""

    def __init__(self, local: LocalModel, timeout: float, *, recorded: bool = False, rehearsed: bool = False) -> None:
        """Set the factory up.

        Args:
            local: how local models are loaded.
            timeout: time limit of one call, in seconds.
            recorded: create models that cannot reply, because every reply comes from the journal.
            rehearsed: check that local models exist, without loading them.
        """
        self._local = local
        self._timeout = timeout
        self._recorded = recorded
        self._rehearsed = rehearsed
        self._made: dict[Address, ChatModel] = {}

    @property
    def models(self) -> Sequence[ChatModel]:
        """The models created so far."""
        return list(self._made.values())

    def get(self, name: str, base_url: str | None, api_key_var: str | None) -> ChatModel:
        """Returns a chat model; see `Address` for the arguments. Raises UsageError where it cannot be set up."""
        if base_url and (is_local(name) or is_service(name)):
            has = "is local" if is_local(name) else "names an address"
            raise UsageError(f"model {name!r} {has}, but base_url is {base_url}; leave one of them out")
        if is_local(name):
            api_key_var = None
        key = (name, base_url, api_key_var)
        if key not in self._made:
            self._made[key] = self._make(name, base_url, api_key_var)
        return self._made[key]

    def _make(self, name: str, base_url: str | None, api_key_var: str | None) -> ChatModel:
        if name == OFFLINE:
            return OfflineModel()
        if self._recorded:
            return RecordedModel(name.removeprefix(PREFIX))
        if is_local(name):
            return self._load(name)
        if is_service(name):
            return ServiceModel(name, api_key_var, timeout=self._timeout)
        if is_for_litellm(name, base_url):
            return LiteLLMChat(name, base_url, api_key_var, timeout=self._timeout)
        return OpenAIChat(name, base_url, api_key_var, timeout=self._timeout)

    def _load(self, name: str) -> ChatModel:
        local = self._local
        if self._rehearsed:
            look_for(name, local.load_in_4bit)
            return RecordedModel(name)
        return HFChat(
            name,
            dtype=local.dtype,
            load_in_4bit=local.load_in_4bit,
            threads=local.torch_threads,
            batch_size=local.batch_size,
        )


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
