"""Prices of models: the given price, else 0 for local models, else the price in litellm's table, else unknown."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.budget import Budget, Price, Spending
from josh.models.chat import ChatModel
from josh.models.hf_loading import is_local
from josh.models.litellm_chat import PREFIX
from josh.models.openai_chat import OPENAI_URL

_TABLE = "model_prices_and_context_window_backup.json"
_MILLION = 1e6


def read_prices(text: str | None) -> dict[str, Price]:
    """Returns the prices in the setting `price`, by model.

    Args:
        text: entries `MODEL=PROMPT/REPLY` in US dollars per million tokens, separated by commas; None for none.

    Raises:
        UsageError: an entry does not have this form.
    """
    prices: dict[str, Price] = {}
    for entry in (text or "").split(",") if text else ():
        model, _, amounts = entry.strip().rpartition("=")
        try:
            prompt, reply = map(float, amounts.split("/"))
        except ValueError:
            prompt = reply = -1.0
        if not model or not (0 <= prompt < inf and 0 <= reply < inf):
            raise UsageError(f"price is {entry.strip()!r}; give MODEL=PROMPT/REPLY in dollars, such as gpt-4o=2.50/10")
        prices[model.removeprefix(PREFIX)] = Price(prompt / _MILLION, reply / _MILLION)
    return prices


def prices_of(models: Iterable[ChatModel], given: dict[str, Price]) -> dict[str, Price | None]:
    """Returns the price of every model by name; None where it is unknown.

    litellm's table holds the prices at the providers' own addresses. The price of a model of the same name at another
    server is unknown.

    Args:
        models: the models.
        given: prices by model, which take precedence.
    """
    prices: dict[str, Price | None] = {}
    for model in models:
        price = given.get(model.name) or _listed(model)
        # Where two servers have a model of this name and one price is unknown, the result is unknown.
        prices[model.name] = price if prices.get(model.name, price) else None
    return prices


def budget_of(spending: Spending, prices: Mapping[str, Price | None]) -> Budget:
    """Returns the limits of a run. Raises UsageError where a limit in dollars is set and a model has no known price."""
    unknown = next((name for name, price in prices.items() if price is None), None)
    if unknown is not None and spending.max_cost is not None:
        raise UsageError(f"max_cost is given, but {unknown} has no known price; give --price {unknown}=PROMPT/REPLY")
    known = {name: price for name, price in prices.items() if price is not None}
    return Budget(spending.max_calls, spending.max_tokens_total, spending.max_cost, known)


def _listed(model: ChatModel) -> Price | None:
    if is_local(model.name):
        return Price(0.0, 0.0)
    if model.endpoint != OPENAI_URL and "://" in model.endpoint:
        return None
    provider, _, rest = model.name.partition("/")
    entry = _table().get(model.name) or _table().get(rest, {})
    if model.name not in _table() and not str(entry.get("litellm_provider", "")).startswith(provider):
        return None  # the table's entry is another provider's model of that name
    prompt, reply = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    return None if prompt is None or reply is None else Price(float(prompt), float(reply))


@cache
def _table() -> dict[str, Any]:
    """Returns litellm's table without importing litellm, which takes seconds; empty where it is not installed."""
    found = find_spec("litellm")
    if found is None or found.origin is None:
        return {}
    try:
        table: dict[str, Any] = json.loads((Path(found.origin).parent / _TABLE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table
