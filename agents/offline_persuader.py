"""The former place of what `josh.agents.persuasion.offline` has; plug-ins import it from here."""

from josh.agents.persuasion.offline import OfflinePersuader, UniformPersuader

__all__ = ["OfflinePersuader", "UniformPersuader"]
