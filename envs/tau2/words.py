"""Words that the agent, the user and the world of τ²-bench agree on."""

from typing import Final

GREETING: Final = "Hi! How can I help you today?"
"""What the agent says before the user's first words, as in the benchmark."""
STOP, TRANSFER, OUT_OF_SCOPE = MARKERS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
"""The markers by which the benchmark's user ends a conversation."""
ANYTHING_ELSE: Final = "Is there anything else I can help you with?"
"""How the offline agent says that it is done; the offline user then leaves."""
AGREED: Final = "Do you agree?"
"""How the offline agent asks before it changes something; the offline user then agrees, and does nothing else."""
TRANSFERRED: Final = "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."
"""What the policies ask the agent to say after a transfer."""


def ends(text: str) -> bool:
    """Returns whether a user's words end the conversation."""
    return any(marker in text for marker in MARKERS)
