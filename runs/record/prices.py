"""What models cost: given by hand, else nothing for local ones, else by the table that litellm brings, else unknown."""

import json
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.budget import Price
from josh.models.chat import ChatModel
from josh.models.hf_loading import is_local
from josh.models.litellm_chat import PREFIX
from josh.models.openai_chat import OPENAI_URL

_TABLE = "model_prices_and_context_window_backup.json"
_MILLION = 1e6


def read_prices(text: str | None) -> dict[str, Price]:
    """Prices as the setting `price` has them: `MODEL=PROMPT/REPLY`, dollars per million tokens, several by commas.

    Raises:
        UsageError: an entry is no such thing.
    """
    prices: dict[str, Price] = {}
    for entry in (text or "").split(",") if text else ():
        model, _, amounts = entry.strip().rpartition("=")
        try:
            prompt, reply = map(float, amounts.split("/"))
        except ValueError:
            prompt = reply = -1.0
        if not model or not (0 <= prompt < inf and 0 <= reply < inf):
            raise UsageError(f"price is {entry.strip()!r}; give MODEL=PROMPT/REPLY in dollars, as in gpt-4o=2.50/10")
        prices[model.removeprefix(PREFIX)] = Price(prompt / _MILLION, reply / _MILLION)
    return prices


def prices_of(models: Iterable[ChatModel], given: dict[str, Price]) -> dict[str, Price | None]:
    """The price of every model by name; None where it is not known.

    The table speaks of providers' own addresses: what another server asks for a model of the same name, it cannot say.

    Args:
        models: the models.
        given: prices that win over the table's.
    """
    prices: dict[str, Price | None] = {}
    for model in models:
        price = given.get(model.name) or _listed(model)
        # Of two servers for one name, the unknown price counts.
        prices[model.name] = price if prices.get(model.name, price) else None
    return prices


def _listed(model: ChatModel) -> Price | None:
    if is_local(model.name):
        return Price(0.0, 0.0)
    if model.endpoint != OPENAI_URL and "://" in model.endpoint:
        return None
    provider, _, rest = model.name.partition("/")
    entry = _table().get(model.name) or _table().get(rest, {})
    if model.name not in _table() and not str(entry.get("litellm_provider", "")).startswith(provider):
        return None  # another provider's model of that name
    prompt, reply = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    return None if prompt is None or reply is None else Price(float(prompt), float(reply))


@cache
def _table() -> dict[str, Any]:
    """Litellm's table, without importing litellm, which takes seconds; empty where there is none."""
    found = find_spec("litellm")
    if found is None or found.origin is None:
        return {}
    try:
        table: dict[str, Any] = json.loads((Path(found.origin).parent / _TABLE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table
