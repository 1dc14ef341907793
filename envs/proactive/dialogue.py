"""The world of one branch: its state, the agent's latest action, and the user's latest reaction."""

from collections.abc import Mapping
from typing import Any

from josh.envs.proactive.personas import Persona
from josh.envs.proactive.states import State, answered, next_turn, rejected, render_state


class StateWorld:
    """A state that changes with the conversation.

    The agent says which action it takes (`act`), and the user how it reacts (`react`). A reaction changes the state, so
    that after a turn of the agent the world still shows the state in which the agent chose.

    Attributes:
        state: the state.
        persona: the user.
        action: the action of the agent's turn; None where the agent names none, and after the user's turn.
        by: who chose it; see `actions.py`.
        reaction: the user's reply and meta; None where the user has not reacted to the last turn of the agent.
    """

    __slots__ = ("_shows_persona", "action", "by", "persona", "reaction", "state")

    def __init__(self, state: State, persona: Persona, *, shows_persona: bool = False) -> None:
        """Args: state: the first state; persona: the user; shows_persona: whether the text of a state names it."""
        self.state = state
        self.persona = persona
        self.action: str | None = None
        self.by: str | None = None
        self.reaction: Mapping[str, Any] | None = None
        self._shows_persona = shows_persona

    def fork(self) -> "StateWorld":
        """Returns a world for a sibling branch."""
        twin = StateWorld(self.state, self.persona, shows_persona=self._shows_persona)
        twin.action, twin.by, twin.reaction = self.action, self.by, self.reaction
        return twin

    @property
    def rendered(self) -> str:
        """The text in which a policy sees the state."""
        return render_state(self.state, self.persona.line if self._shows_persona else "")

    def act(self, action: str, by: str) -> None:
        """Notes the action of a turn of the agent, and who chose it; the user's earlier reaction is gone."""
        self.action, self.by, self.reaction = action, by, None

    def react(self, reply: str, meta: Mapping[str, Any], question: str = "") -> None:
        """Takes the user's reaction, and changes the state.

        Args:
            reply: the user's words.
            meta: how it reacts; see `reactions.py`.
            question: the agent's message.
        """
        state = self.state
        if meta["answered_clarification"]:
            state = answered(state, question, reply, float(meta["answer_clarity"]))
        elif meta["reject_signal"]:
            state = rejected(state)
        self.state = next_turn(state)
        self.reaction = {"user_reply": reply, "meta": dict(meta)}
        self.action = self.by = None

    def observe(self) -> dict[str, Any]:
        """Returns the state as a row and as text, the action and who chose it, and the user's reaction."""
        return {
            "state": self.state.row,
            "rendered": self.rendered,
            "action": self.action,
            "by": self.by,
            "reaction": None if self.reaction is None else dict(self.reaction),
        }
