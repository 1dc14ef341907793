"""The figures of confirmations: how winning paths fared when their words were said again to fresh users."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from josh.outcomes import Episode, golden_leaf

MOST = 0.8
"""The share of users from which on a path counts as one that wins with most of them: four of five."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The confirmations of one task.

    Attributes:
        wins: number of winning paths that were said again.
        conversations: number of conversations with fresh users.
        turns: number of turns in them.
        share: the share of users with whom the golden path won again; None where it was not said again.
        reward: its mean reward with them.
    """

    wins: int
    conversations: int
    turns: int
    share: float | None = None
    reward: float = 0.0


def confirmed_in(episode: Episode) -> Confirmed | None:
    """Returns the figures of an episode's confirmations; None where it has none."""
    found = [node.confirmation for node in episode.tree.nodes if node.confirmation is not None]
    if not found:
        return None
    conversations, turns = sum(len(one.replays) for one in found), len(episode.again)
    leaf = None if episode.error else golden_leaf(episode)
    golden = None if leaf is None else episode.tree.nodes[leaf].confirmation
    if golden is None or not golden.users:
        return Confirmed(len(found), conversations, turns)
    return Confirmed(len(found), conversations, turns, golden.share, golden.reward)


class ConfirmedTotals:
    """The sums over the tasks of a run."""

    def __init__(self) -> None:
        self._wins = self._golden = self._most = self._conversations = self._turns = 0
        self._share = self._reward = 0.0

    def add(self, one: Confirmed) -> None:
        """Add the confirmations of one task."""
        self._wins += one.wins
        self._conversations += one.conversations
        self._turns += one.turns
        if one.share is not None:
            self._golden += 1
            self._share += one.share
            self._reward += one.reward
            self._most += one.share >= MOST

    def rows(self) -> dict[str, Any]:
        """Returns the key `confirmed` of a summary, as `schema.ConfirmedRow` has it; no key where there are none."""
        if not self._wins:
            return {}
        means = (
            None if not self._golden else total / self._golden for total in (self._share, self._reward, self._most)
        )
        share, reward, most = means
        counts = {"conversations": self._conversations, "turns": self._turns}
        figures = {"share": share, "reward": reward, "in_most": most}
        return {"confirmed": {"wins": self._wins, "golden": self._golden, **figures, **counts}}


def describe_confirmed(found: Mapping[str, Any], unit: str) -> str:
    """Returns the figures in words, such as `.28 of the users, $0.18; ...`."""
    cost = f"{found['conversations']:,} conversations, {found['turns']:,} turns"
    if found["share"] is None:
        return f"no golden path ({found['wins']} wins said again; {cost})"
    return (
        f"with {found['share']:.2f} of fresh users, {unit}{found['reward']:.2f} on average; {found['in_most']:.2f} of "
        f"{found['golden']} golden paths with four of five ({cost})"
    )
