"""The former place of `josh.agents.chat.Persuader`; plug-ins import it from here."""

from josh.agents.chat import Persuader

__all__ = ["Persuader"]
