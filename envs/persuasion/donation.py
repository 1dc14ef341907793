"""The reward tag of Persuasion for Good."""

from josh.tags import RewardTag

DONATION = RewardTag(words=("DONATE", "GIVE"), low=0.0, high=2.0)
"""A persuadee gives between $0 and the $2 that the task paid."""
