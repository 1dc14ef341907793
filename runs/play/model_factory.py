"""Creates the chat models of a run, each once for its name, address and key."""

import re
from collections.abc import Sequence

from josh.errors import UsageError
from josh.models.chat import ChatModel, Sampling
from josh.models.hf import HFChat
from josh.models.hf_loading import LocalModel, is_local, look_for
from josh.models.litellm_chat import PREFIX, LiteLLMChat
from josh.models.offline import OfflineModel, RecordedModel
from josh.models.openai_chat import NO_KEY, OpenAIChat
from josh.models.service import ServiceModel, is_service
from josh.runs.play.destinations import Address, Destination, owned, require_allowed
from josh.runs.registry import OFFLINE

_OF_SIDE = re.compile(r"(?<!\w)(base_url|api_key_var)\b")
"""The names of settings in the errors of models, which do not know whose they are."""


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
        self._going: dict[Destination, dict[str, None]] = {}

    @property
    def models(self) -> Sequence[ChatModel]:
        """The models created so far."""
        return list(self._made.values())

    def announced(self, *, keyless: bool) -> list[str]:
        """Returns where requests and keys go, one line for each model that does not go to the plain default.

        Args:
            keyless: also name addresses that get no key.
        """
        going = {one: who for one, who in self._going.items() if not one.plain and (keyless or one.variable != NO_KEY)}
        return [f"{_listed(list(who))}: {one.words}" for one, who in going.items()]

    def get(
        self,
        name: str,
        base_url: str | None,
        api_key_var: str | None,
        who: str = "agent",
        sampling: Sampling | None = None,
    ) -> ChatModel:
        """Returns a chat model.

        Args:
            name: see `Address`, as for the next two.
            base_url: the server's address.
            api_key_var: the variable with the key.
            who: the speaker: `agent`, `user` or `judge`, or `user of task ID` where a task's row sets the model.
            sampling: the speaker's sampling, which may have a chat template for a local model.

        Raises:
            UsageError: the model cannot be set up, or a recorded run would send a key to an address that it chose.
        """
        if base_url and (is_local(name) or is_service(name)):
            has = "is local" if is_local(name) else "names an address"
            raise UsageError(f"model {name!r} {has}, but base_url is {base_url}; leave one of them out")
        if is_local(name):
            api_key_var = None
        going = owned(name, base_url, api_key_var)
        side, _, task = who.partition(" ")
        flags = "" if side == "agent" else f"{side}_"
        if not (self._recorded or name == OFFLINE or is_local(name)):
            if going not in self._going and not task:  # the run has checked a task's row already
                require_allowed(going, flags)
            self._going.setdefault(going, {})[who] = None
        key = (name, base_url, api_key_var)
        if key not in self._made:
            try:
                self._made[key] = self._make(going, sampling, flags)
            except UsageError as error:
                raise UsageError(_OF_SIDE.sub(rf"{flags}\1", str(error))) from None
        made = self._made[key]
        if isinstance(made, HFChat) and sampling is not None:
            made.require_template(sampling, flags)
        return made

    def _make(self, going: Destination, sampling: Sampling | None, flags: str) -> ChatModel:
        name = going.model
        if name == OFFLINE:
            return OfflineModel()
        if self._recorded:
            return RecordedModel(name.removeprefix(PREFIX))
        if is_local(name):
            return self._load(name, sampling, flags)
        if is_service(name):
            return ServiceModel(name, going.api_key_var, timeout=self._timeout)
        kind = LiteLLMChat if going.by_litellm else OpenAIChat
        return kind(name, going.base_url, going.api_key_var, timeout=self._timeout)

    def _load(self, name: str, sampling: Sampling | None, flags: str) -> ChatModel:
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
            sampling=sampling,
            flags=flags,
        )


def _listed(names: list[str]) -> str:
    """Returns the first three names, and the number of further ones."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
