"""The former place of what `josh.agents.chat` has; plug-ins import it from here."""

from josh.agents.chat import Persuader

__all__ = ["Persuader"]
