"""A persuadee without a model that decides like the statistical donor and has the words of the corpus's people.

1. The donor's person (`person.py`) hears the turn and decides: gives an amount, refuses, asks, leaves.
2. `corpus_words.py` chooses a line that a person wrote in answer to a similar turn, with the act of the decision. It
   never takes a line of the dialogue or of the person being played, nor of anybody in the test split.
3. Amounts in a line are replaced by the amount of the decision.
4. A person who gives says so, and talks on as people do. The tag comes with their last words: when the partner says
   goodbye, when they have said as much as some person of the corpus, or in the run's last round.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final

from josh.config import setting
from josh.envs.persuasion import acts as s
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.reading import read
from josh.envs.persuasion.replies import NAME_AMOUNT, NEUTRAL, REFUSE, REFUSE_MORE
from josh.errors import UsageError
from josh.roles import BaseEnv, Task, TurnModel
from josh.seeds import derive
from josh.users.persuasion import donor_phrases
from josh.users.persuasion.corpus_words import BEFORE, GAVE, REFUSED, Words, words_of
from josh.users.persuasion.donor import Donor, spoken
from josh.users.persuasion.person import LEAVE, LEAVE_PUZZLED, PUZZLED, Response, respond

GOODBYE_AFTER: Final = 4
"""Turns after which a person takes a goodbye for the end."""
LEAST_TURNS: Final = 10
"""Turns that a person who gives is there for at least (corpus: the task asked for ten turns of each side)."""
LEANING: Final = 0.2
"""Log-odds of giving beside the donor's (tuned: the persuaders' words, in ten rounds of each of 990 dialogues, then
earn at the corpus's rate of .519. The donor, tuned on whole dialogues of the 300 annotated ones, gives at .47 there).
"""


class CorpusPersuadee(Donor):
    """The statistical donor with the words of the corpus's people (`--corpus`); needs scikit-learn."""

    shared: ClassVar[tuple[str, ...]] = ("words", "allowed")

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """The settings of this user."""

        talks_on: bool = setting(
            True, "talk on after deciding to give, as people do, and write the tag in the last message; else at once"
        )

    config: Config
    words: Words
    allowed: Any

    @classmethod
    def learned_from(cls, env: BaseEnv) -> Collection[str]:
        """Returns the ids of the people whose lines it says: persuadees of the training split."""
        return corpus_of(env).speakers

    def start(self, task: Task, env: BaseEnv, options: Mapping[str, Any]) -> None:
        """Takes the person, and the lines that they may say. Raises UsageError where there is no corpus."""
        super().start(task, env, options)
        self.words = corpus_of(env)
        persuadee = str((task.data.get("persuadee") or {}).get("id") or task.id)
        persuader = str((task.data.get("persuader") or {}).get("id") or "")
        self.allowed = self.words.without(persuadee, task.data.get("conversation_id"))
        if persuader:
            self.allowed = self.allowed & self.words.without(persuader, None)
        if not self.allowed.any():
            raise UsageError(f"task {task.id}: the corpus has no words of other people; give the whole corpus")
        rng = Random(derive(options.get("seed", 0), "words", persuadee, task.id))
        self.voice = rng.randrange(len(self.words.lengths))
        self.length = max(LEAST_TURNS, self.words.lengths[self.voice])
        self.person = replace(self.person, propensity=self.person.propensity + LEANING)
        self.last = int(options.get("max_convo_turns") or env.max_rounds)
        self.lines: tuple[int, ...] = ()
        self.gift: float | None = None
        self.named = False

    def step(self, agent: Any, *, model: TurnModel, **_: Any) -> tuple[Any, bool]:
        """Answers the persuader's words since this user's last turn.

        Returns:
            The agent, and whether the conversation is over.
        """
        rng = Random(model.draw())
        latest, own, theirs = spoken(agent.messages)
        turn = len(theirs)
        heard = read(latest or "", own, theirs, bool(theirs) and "?" in theirs[-1])
        acts = heard.acts | heard.again
        if self.gift is None:
            self.state, response = respond(self.person, self.state, heard, rng)
        else:
            response = Response(NAME_AMOUNT if acts & {s.ASK_AMOUNT, s.CONFIRM} and not self.named else s.OTHER)
        ending = turn + 1 >= self.last or (s.CLOSING in acts and turn >= GOODBYE_AFTER)
        if response.amount:
            self.gift = response.amount
            over = ending or not self.config.talks_on
        elif self.gift is not None:
            over = ending or turn + 1 >= self.length
        else:
            over = response.leaves and (response.act != s.CLOSING or turn >= GOODBYE_AFTER)
        text = self._line(latest or "", response, turn, heard.fault is not None, over, rng)
        decided = self.gift if over and self.gift is not None else response.amount if over else None
        if decided is not None:
            text = f"{text}\n{DONATION.write(decided)}"  # on a line of its own, no word before it disputes it
        agent.add_message({"role": "user", "content": text})
        return agent, over

    def fork(self) -> "CorpusPersuadee":
        """Returns a copy for a sibling branch, which shares the words."""
        copied = super().fork()
        assert isinstance(copied, CorpusPersuadee)
        return copied

    def _line(self, heard: str, response: Response, turn: int, puzzled: bool, over: bool, rng: Random) -> str:
        """Returns the words of a response, with its amount."""
        words, act = self.words, response.act
        if puzzled and act in (*PUZZLED.values(), LEAVE_PUZZLED):
            sentence = donor_phrases.choose(act, (), None, "", self.said, rng)
            self.said |= {sentence}
            return sentence
        stage = GAVE if self.gift is not None else REFUSED if self.state.refusals else BEFORE
        firm = False
        if response.amount:
            allowed, firm, stage = words.giving & ~words.refusing, True, BEFORE
            allowed = allowed & (words.staged[BEFORE])
        elif self.gift is not None and act == NAME_AMOUNT:
            allowed, firm = words.giving & (words.amount > 0) & ~words.refusing, True
        elif self.gift is not None:
            allowed = ~words.refusing & words.staged[GAVE]
        elif act in (REFUSE, REFUSE_MORE):
            allowed, firm = words.refusing & ~words.giving & (words.amount == 0), True
        else:
            allowed = words.plain & ~words.staged[GAVE]
            act = {LEAVE: s.CLOSING, LEAVE_PUZZLED: s.CLOSING}.get(act, NEUTRAL if act in PUZZLED.values() else act)
            firm = act == s.CLOSING and over
        allowed = allowed & self.allowed
        if not allowed.any():
            allowed, firm = self.allowed & words.plain, False
        if not allowed.any():
            allowed = self.allowed
        chosen = words.choose(
            heard,
            act=act,
            stage=stage,
            turn=turn,
            allowed=allowed,
            said=self.lines,
            voice=self.voice,
            rng=rng,
            firm=firm,
        )
        self.lines = (*self.lines, chosen)
        text = words.texts[chosen]
        if self.gift is not None and words.amount[chosen]:
            self.named = True
            text = with_amount(text, self.gift)
        return text


def corpus_of(env: BaseEnv) -> Words:
    """Returns the words of an environment's corpus. Raises UsageError where it has none."""
    folder = getattr(env.config, "corpus", None)
    if folder is None:
        raise UsageError("user corpus_persuadee speaks with the words of the corpus's people; give --corpus DIR")
    if not Path(folder).is_dir():
        raise UsageError(f"corpus is {str(folder)!r}, but user corpus_persuadee needs the folder of the corpus")
    return words_of(Path(folder), env.config.split_rule)


_SUM: Final = re.compile(
    r"\$ ?\d[\d,]*(?:\.\d+)?(?: ?(?:dollars?|cents?))?|\$ ?\.\d+|(?<![\d.])\d*\.?\d+ ?(?:\$|(?:dollars?|cents?"
    r"|bucks?)\b)|(?<!\d)\.\d+"
    r"|\b(?:a|one|two|three|four|five|ten|twenty|twenty[- ]five|fifty|few|couple of) (?:dollars?|cents?|bucks?"
    r"|pennies|penny|quarters?|"
    r"dimes?)\b|\bhalf a dollar\b|\b\d+\.\d\d\b",
    re.IGNORECASE,
)


def with_amount(text: str, amount: float) -> str:
    """Returns a line with another amount in place of those that it names, written in the line's own way."""
    return _SUM.sub(lambda found: _like(found[0], amount), text)


def _like(written: str, amount: float) -> str:
    cents = round(100 * amount)
    plain = f"{amount:.0f}" if amount == int(amount) else f"{amount:.2f}"
    short = plain.removeprefix("0") if re.match(r"\$? ?\.", written) else plain
    lower = written.lower()
    if "$" in written:
        return f"{short}$" if written.rstrip().endswith("$") and not written.startswith("$") else f"${short}"
    if re.fullmatch(r"\d*\.\d+", written):
        return f"{amount:.2f}" if not written.startswith(".") else f"{amount:.2f}".removeprefix("0")
    if amount >= 1 or "dollar" in lower:
        return f"{short} dollar{'s' if amount != 1 else ''}"
    return f"{cents} cent{'s' if cents != 1 else ''}"
