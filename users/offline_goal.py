"""The former place of what `josh.users.toolwoz.offline` has; plug-ins import it from here."""

from josh.users.toolwoz.offline import OfflineGoal

__all__ = ["OfflineGoal"]
