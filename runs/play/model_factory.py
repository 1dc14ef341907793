"""The chat models of a run: which is asked where, with which key; each is made once."""

from collections.abc import Sequence

from josh.errors import UsageError
from josh.models.chat import ChatModel
from josh.models.hf import HFChat
from josh.models.hf_loading import LocalModel, is_local, look_for
from josh.models.litellm_chat import PREFIX, LiteLLMChat, is_for_litellm
from josh.models.offline import OfflineModel, RecordedModel
from josh.models.openai_chat import OpenAIChat
from josh.runs.registry import OFFLINE

Address = tuple[str, str | None, str | None]
"""A model's name, its address, and the environment variable with its key."""


class ModelFactory:
    """Makes chat models, and keeps them."""

    def __init__(self, local: LocalModel, timeout: float, *, recorded: bool = False, rehearsed: bool = False) -> None:
        """Set the factory up.

        Args:
            local: how models that run here are loaded.
            timeout: seconds that one call may take.
            recorded: make models that give no reply, because every reply comes from the journal.
            rehearsed: look for models that run here, and do not load them.
        """
        self._local = local
        self._timeout = timeout
        self._recorded = recorded
        self._rehearsed = rehearsed
        self._made: dict[Address, ChatModel] = {}

    @property
    def models(self) -> Sequence[ChatModel]:
        """The models made so far."""
        return list(self._made.values())

    def get(self, name: str, base_url: str | None, api_key_var: str | None) -> ChatModel:
        """A model by its name, address and the variable with its key. Raises UsageError where it cannot be asked."""
        if is_local(name):
            if base_url:
                raise UsageError(f"model {name!r} runs here, and an address is given for it, {base_url}; leave one out")
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
    """The user's models, from names, addresses and variables that may be several by commas. Raises UsageError."""
    names = [name.strip() for name in model.split(",")]
    if not all(names):
        raise UsageError(f"user_model is {model!r}; one of the names is empty")
    if OFFLINE in names and len(names) > 1:
        raise UsageError(f"user_model is {model!r}; `offline` cannot rotate with chat models")
    urls = one_for_each(base_url, len(names), "user_base_url")
    keys = one_for_each(api_key_var, len(names), "user_api_key_var")
    return list(zip(names, urls, keys, strict=True))


def one_for_each(given: str | None, count: int, flag: str) -> list[str | None]:
    """One value per model, from one for all or a list with commas."""
    values: list[str | None] = [value.strip() or None for value in given.split(",")] if given else [None]
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise UsageError(f"{flag} has {len(values)} values for {count} user models; give one, or one for each")
    return values
