"""What a run may spend, and what its calls cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from josh.config import setting
from josh.dialogue import NO_USAGE, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a run may spend."""

    max_calls: int | None = setting(
        None, "model calls after which the run stops; resume it with more", least=1, resumable=True
    )
    max_tokens_total: int | None = setting(
        None, "the same in tokens, prompts and replies together", least=1, resumable=True
    )
    max_cost: float | None = setting(None, "the same in US dollars", above=0, unit="US dollars", resumable=True)
    price: str | None = setting(
        None,
        "dollars per million tokens as MODEL=PROMPT/REPLY, several by commas (default: litellm's)",
        resumable=True,
    )


class Price(NamedTuple):
    """US dollars per token."""

    prompt: float
    completion: float


def cost(usage: Usage, price: Price) -> float:
    """What some calls cost, in US dollars; discounts for cached prompts are not known, and not counted."""
    return usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend, over all its resumptions; None for no limit. Calls in flight are brought to their end.

    Attributes:
        calls: most calls; never exceeded by calls that are answered.
        tokens: tokens, prompts and replies together, after which no further call goes out.
        cost: US dollars after which no further call goes out; every model that is called needs a price.
        prices: what models cost, by name.
    """

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None
    prices: Mapping[str, Price] | None = None

    def spent(self, account: Mapping[tuple[str, str], Usage], in_flight: int) -> str:
        """Which limit is reached, in words; empty while there is none.

        Args:
            account: what was spent so far, by speaker and model.
            in_flight: calls that are about to be answered.
        """
        total = sum(account.values(), NO_USAGE)
        if self.calls is not None and total.calls + in_flight >= self.calls:
            return f"max_calls {self.calls}"
        if self.tokens is not None and total.prompt_tokens + total.completion_tokens >= self.tokens:
            return f"max_tokens_total {self.tokens}"
        if self.cost is not None:
            prices = self.prices or {}
            if sum(cost(usage, prices[model]) for (_, model), usage in account.items() if usage.calls) >= self.cost:
                return f"max_cost ${self.cost:g}"
        return ""


NO_BUDGET = Budget()
