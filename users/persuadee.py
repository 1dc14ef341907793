"""The former place of what `josh.users.persuasion.persuadee` has; plug-ins import it from here."""

from josh.users.persuasion.persuadee import Persuadee

__all__ = ["Persuadee"]
