"""The former place of what `josh.agents.persuasion.scripts` has; plug-ins import it from here."""

from josh.agents.persuasion.scripts import DenseScriptPersuader, ScriptPersuader

__all__ = ["DenseScriptPersuader", "ScriptPersuader"]
