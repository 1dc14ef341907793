"""Which model is asked where, and with which key."""

from collections.abc import Mapping
from dataclasses import replace

from josh.errors import UsageError
from josh.models.hf_loading import PREFIX as HF
from josh.models.litellm_chat import PREFIX, is_for_litellm
from josh.models.openai_chat import OPENAI_URL
from josh.runs.settings import OFFLINE, RunSettings


def user_overrides(called: str) -> dict[str, str]:
    """What a task's row may say of the user's model, and what it stands for: `user_model`, `user_base_url`, ...

    Args:
        called: what the world calls its user; the same keys may begin with that.
    """
    return {f"{who}_{kind}": kind for who in (called, "user") for kind in ("model", "base_url", "api_key_var")}


def with_addresses(settings: RunSettings, variables: Mapping[str, str]) -> RunSettings:
    """Settings that name every address, so that they are recorded, and a resumption asks the same servers."""
    user_model = settings.user_model or OFFLINE
    model, base_url = explicit(settings.model, settings.base_url, variables)
    if not settings.user_base_url:
        pairs = [explicit(name.strip(), None, variables) for name in user_model.split(",")]
        user_model = ",".join(name for name, _ in pairs)
        urls = {url for _, url in pairs}
        user_base_url = urls.pop() if len(urls) == 1 else ",".join(url or "" for _, url in pairs)
        settings = replace(settings, user_model=user_model, user_base_url=user_base_url)
    return replace(settings, model=model, base_url=base_url)


def explicit(name: str, base_url: str | None, variables: Mapping[str, str]) -> tuple[str, str | None]:
    """A model's name and address, so that they say all by themselves who is asked."""
    if base_url or name in {OFFLINE, ""} or name.startswith((PREFIX, HF)):
        return name, base_url
    if is_for_litellm(name, None, variables):
        return PREFIX + name, None
    return name, variables.get("OPENAI_BASE_URL") or OPENAI_URL


def one_for_each(given: str | None, count: int, flag: str) -> list[str | None]:
    """One value per model, from one for all or a list with commas."""
    values: list[str | None] = [value.strip() or None for value in given.split(",")] if given else [None]
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise UsageError(f"{flag} has {len(values)} values for {count} user models; give one, or one for each")
    return values
