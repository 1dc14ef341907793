"""The reward tag of Persuasion for Good."""

from josh.tags import RewardTag

DONATION = RewardTag(words=("DONATE", "GIVE"), low=0.0, high=2.0)
"""Persuasion for Good: a persuadee gives between nothing and the two dollars the task paid."""
