"""A persuadee without a model: a statistical donor, calibrated on Persuasion for Good (Wang et al., ACL 2019).

The donor reads the persuader's words (`reading.py` of the world), answers as a person does (`person.py`), and says it
in sentences of its own (`donor_phrases.py`). Its numbers (`figures.py`) are from the corpus, tuned, or our own choice.

So replayed human dialogues match the corpus by construction: that is calibration, not validation. This donor's
answers to a policy that no human played depend on the design constants. Never report its donation rate as an effect on
people.
"""

import copy
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from josh.envs.persuasion import acts as s
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.reading import read
from josh.messages import Message, flip_roles
from josh.roles import BaseEnv, BaseJOSHUser, Task, TurnModel
from josh.seeds import derive
from josh.tags import RewardTag
from josh.users.persuasion import donor_phrases
from josh.users.persuasion.person import Person, State, draw_person, respond


class Donor(BaseJOSHUser):
    """The statistical persuadee: gives, refuses, asks, stalls or walks away, in fixed sentences.

    What it does not understand, or has heard before, it asks about, in words that take up the persuader's.

    It takes the person from `task.data["persuadee"]`: `id` and `traits` (the 32 survey attributes by name, such as
    `agreeable`, `age`, `religion`). The same persuadee is the same person in the whole run. A task without a
    persuadee gets a person with average traits, drawn by the task's id.

    It states a commitment with a donation tag, after which the conversation is over.

    Attributes:
        spread: how much people differ beyond their traits: the standard deviation of the log-odds of giving. The
            corpus's repeat participants suggest 3 (`DonorFirm`: the person matters most); at 0.8 (`DonorMild`) the
            persuader's words matter most. Human act sequences give the same donation rate with all three values.
    """

    spread: ClassVar[float] = 1.5
    writes: ClassVar[RewardTag | None] = DONATION

    def __init__(self, person: Person | None = None) -> None:
        self.person = person or Person()
        self.state = State()
        self.said: frozenset[str] = frozenset()

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the persuadee of this task in this run (`options["seed"]`, 0 by default)."""
        super().start(task, env, options)
        persuadee = task.data.get("persuadee") or {}
        place = persuadee.get("id") or task.id
        seed = derive(options.get("seed", 0), "donor", place)
        self.person = draw_person(persuadee.get("traits") or {}, self.spread, seed)
        self.state = State()
        self.said = frozenset()

    def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Answers the persuader's words since this user's last turn.

        Returns:
            The agent, and whether the conversation is over.
        """
        rng = Random(model.draw())
        words, own, theirs = spoken(agent.messages)
        if words is None and not self.state.turns:
            self._say(agent, donor_phrases.choose(s.GREETING, (), None, "", self.said, rng))
            return agent, False
        heard = read(words or "", own, theirs, bool(theirs) and "?" in theirs[-1])
        self.state, response = respond(self.person, self.state, heard, rng)
        acts = heard.acts | heard.again
        sentence = donor_phrases.choose(response.act, acts, response.amount, heard.about, self.said, rng)
        self._say(agent, sentence, response.amount, heard.about)
        return agent, response.leaves

    def hear(self, messages: Sequence[Message]) -> list[Message]:
        """Returns the messages with the two roles swapped, and the tags in the persuader's words defused."""
        return flip_roles(messages, DONATION.defuse)

    def fork(self) -> "Donor":
        """Returns a copy for a sibling branch. Attributes are replaced and never changed, so that copies share them."""
        return copy.copy(self)

    def _say(self, agent: Any, sentence: str, amount: float | None = None, about: str = "") -> None:
        self.said |= {sentence}
        agent.add_message({"role": "user", "content": donor_phrases.fill(sentence, amount, about)})


class DonorMild(Donor):
    """A donor who differs little from others: the persuader's words matter most."""

    spread = 0.8


class DonorFirm(Donor):
    """A donor who has mostly decided before the conversation, as the corpus's repeat participants had."""

    spread = 3.0


def spoken(messages: Sequence[Mapping[str, Any]]) -> tuple[str | None, list[str], list[str]]:
    """Returns the persuader's words since the last user message, the earlier ones, and the user's own messages.

    The first is None where there is no message of the persuader since then.
    """
    latest: list[str] = []
    own: list[str] = []
    theirs: list[str] = []
    for message in messages:
        role, text = message.get("role"), str(message.get("content") or "")
        if role == "user":
            theirs.append(text)
            own += latest
            latest = []
        elif role == "assistant":
            latest.append(text)
    return "\n".join(latest) if latest else None, own, theirs
