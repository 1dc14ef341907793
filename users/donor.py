"""The former place of what `josh.users.persuasion.donor` has; plug-ins import it from here."""

from josh.users.persuasion.donor import Donor

__all__ = ["Donor"]
