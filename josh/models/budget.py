"""The budget of a run, and the cost of its calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from josh.config import setting
from josh.dialogue import NO_USAGE, Usage

NONE: Mapping[tuple[str, str], Usage] = MappingProxyType({})
"""No usage, by speaker and model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The settings of a run's budget and prices."""

    max_calls: int | None = setting(
        None, "stop the run after so many model calls; resume it with more", least=1, resumable=True
    )
    max_tokens_total: int | None = setting(
        None, "stop the run after so many tokens, prompts and replies together", least=1, resumable=True
    )
    max_cost: float | None = setting(
        None, "stop the run after so many US dollars", above=0, unit="US dollars", resumable=True
    )
    price: str | None = setting(
        None,
        "US dollars per million tokens as MODEL=PROMPT/REPLY, several separated by commas (default: litellm's)",
        resumable=True,
    )


class Price(NamedTuple):
    """US dollars per token."""

    prompt: float
    completion: float


def cost(usage: Usage, price: Price) -> float:
    """Returns the cost of some calls in US dollars; discounts for cached prompts are unknown and not counted."""
    return usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a run, over all its resumptions; None for no limit. Calls in flight still finish at a limit.

    Attributes:
        calls: most answers that were or may have been billed, usable or not; never exceeded.
        tokens: tokens, prompts and replies together, after which no further call is sent.
        cost: US dollars after which no further call is sent; every model that is called needs a price.
        prices: the models' prices, by name.
    """

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    prices: Mapping[str, Price] | None = None

    def spent(
        self, account: Mapping[tuple[str, str], Usage], in_flight: int, unusable: Mapping[tuple[str, str], Usage] = NONE
    ) -> str:
        """Returns the limit that is reached, by its setting's name and value; empty for none.

        Args:
            account: the usage so far, by speaker and model.
            in_flight: number of calls in flight.
            unusable: the usage of the answers that could not be used, by speaker and model.
        """
        total = sum(unusable.values(), sum(account.values(), NO_USAGE))
        if self.calls is not None and total.calls + in_flight >= self.calls:
            return f"max_calls {self.calls}"
        if self.tokens is not None and total.prompt_tokens + total.completion_tokens >= self.tokens:
            return f"max_tokens_total {self.tokens}"
        if self.cost is not None:
            prices = self.prices or {}
            used = [*account.items(), *unusable.items()]
            if sum(cost(usage, prices[model]) for (_, model), usage in used if usage.calls) >= self.cost:
                return f"max_cost ${self.cost:g}"
        return ""


NO_BUDGET = Budget()
