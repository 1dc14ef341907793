"""The former place of what `josh.agents.toolwoz.offline` has; plug-ins import it from here."""

from josh.agents.toolwoz.offline import OfflineToolAgent

__all__ = ["OfflineToolAgent"]
