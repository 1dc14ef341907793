"""Classifies the persuasion acts in a text by cue words (act names as in Wang et al., ACL 2019).

A text is classified sentence by sentence; a sentence may hold several acts. The cues are our own: we chose them with
all 300 annotated dialogues in view, and corrected them by the errors on 200 of these. The cues for requests are the
most careful ones, because a listener's commitment depends on requests. Nothing here is learnt or random: every decision
follows from one line of `CUES`.

Precision and recall per turn, against the labels of the other 100 dialogues (which are therefore not quite unseen): any
request .74, .69; amount questions .65, .83; propositions .61, .53; donation information .69, .74; credibility .70, .64;
foot in the door .54, .81; emotion .46, .62; logic .42, .36; stories .38, .32. The labels allow one act per sentence,
and often differ between similar sentences.
"""

from functools import lru_cache
from typing import Final

from josh.envs.persuasion.amounts import dollars
from josh.envs.persuasion.cues import CUES

CREDIBILITY: Final = "credibility-appeal"
LOGICAL: Final = "logical-appeal"
EMOTION: Final = "emotion-appeal"
SELF_MODELING: Final = "self-modeling"
FOOT: Final = "foot-in-the-door"
STORY: Final = "personal-story"
INFORMATION: Final = "donation-information"
SOURCE_INQUIRY: Final = "source-related-inquiry"
TASK_INQUIRY: Final = "task-related-inquiry"
PERSONAL_INQUIRY: Final = "personal-related-inquiry"
PROPOSITION: Final = "proposition-of-donation"
ASK_AMOUNT: Final = "ask-donation-amount"
ASK_MORE: Final = "ask-donate-more"
ASK_REASON: Final = "ask-not-donate-reason"
CONFIRM: Final = "confirm-donation"
GREETING: Final = "greeting"
ACKNOWLEDGEMENT: Final = "acknowledgement"
PRAISE: Final = "praise-user"
COMMENT: Final = "comment-partner"
THANK: Final = "thank"
WELCOME: Final = "you-are-welcome"
CLOSING: Final = "closing"
POSITIVE_ANSWER: Final = "positive-to-inquiry"
NEUTRAL_ANSWER: Final = "neutral-to-inquiry"
NEGATIVE_ANSWER: Final = "negative-to-inquiry"
OFF_TASK: Final = "off-task"
OTHER: Final = "other"

STRATEGIES: Final = frozenset(
    (
        CREDIBILITY, LOGICAL, EMOTION, SELF_MODELING, FOOT, STORY, INFORMATION,
        SOURCE_INQUIRY, TASK_INQUIRY, PERSONAL_INQUIRY,
    )
)  # fmt: skip
"""The paper's ten persuasion strategies."""
ASKS: Final = frozenset((PROPOSITION, ASK_AMOUNT, ASK_MORE))
"""The acts that ask for a yes or a no."""


READ_CHARACTERS: Final = 4000
"""Characters of a turn that a listener reads (the longest of the corpus's 10,600 persuader turns has 100 words)."""


def acts(text: str) -> frozenset[str]:
    """Returns the acts in the part of `text` that is read, by the corpus's names; `{"other"}` where there is no cue."""
    found: frozenset[str] = frozenset().union(*map(sentence_acts, sentences(text)))
    return found - {OTHER} or _NOTHING


def anchor(text: str) -> float | None:
    """Returns the amount in dollars (above 0) that `text` suggests to the listener; None where it names none.

    It is the last amount in a request or in a remark on small gifts; without such a sentence, the last amount anywhere.
    """
    anywhere = None
    for sentence in reversed(sentences(text)):
        amount = dollars(sentence)
        if amount is not None:
            if sentence_acts(sentence) & ANCHORING:
                return amount
            anywhere = anywhere or amount
    return anywhere


_NOTHING: Final = frozenset((OTHER,))
ANCHORING: Final = ASKS | {FOOT, CONFIRM}
"""The acts whose amounts a listener takes for a suggestion."""


def part_read(text: str) -> str:
    """Returns the part of a turn that a listener reads: its first `READ_CHARACTERS`, from its first word on."""
    return text if len(text) <= READ_CHARACTERS else text.strip()[:READ_CHARACTERS]


def sentences(text: str) -> tuple[str, ...]:
    """Returns the sentences in the part of a text that is read, in lower case; an empty line or text gives ""."""
    return _sentences(part_read(text))


@lru_cache(maxsize=512)
def _sentences(text: str) -> tuple[str, ...]:
    text = text.replace("\u2019", "'").lower()
    for end in (". ", "! ", "? "):
        text = text.replace(end, end[0] + "\n")
    return tuple(map(str.strip, text.split("\n")))


@lru_cache(maxsize=8192)
def sentence_acts(sentence: str) -> frozenset[str]:
    """Returns the acts in a sentence in lower case; `{"other"}` where there is no cue."""
    found = {act for act, cue in CUES if cue.search(sentence)}
    for act, weaker in _OUTRANKED:
        if act in found:
            found -= weaker
    return frozenset(found) or _NOTHING


_SMALL_TALK: Final = frozenset((ACKNOWLEDGEMENT, POSITIVE_ANSWER, NEGATIVE_ANSWER, NEUTRAL_ANSWER, COMMENT, OFF_TASK))
_APPEALS: Final = frozenset((CREDIBILITY, LOGICAL, EMOTION, STORY, SELF_MODELING))
_OUTRANKED: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    (ASK_MORE, frozenset((PROPOSITION, ASK_AMOUNT, CONFIRM, INFORMATION)) | _APPEALS | _SMALL_TALK),
    (CONFIRM, frozenset((PROPOSITION, INFORMATION, SELF_MODELING, THANK)) | _SMALL_TALK),
    (ASK_AMOUNT, frozenset((PROPOSITION, INFORMATION, TASK_INQUIRY, PERSONAL_INQUIRY)) | _APPEALS | _SMALL_TALK),
    (SOURCE_INQUIRY, frozenset((PROPOSITION, TASK_INQUIRY, PERSONAL_INQUIRY)) | _APPEALS | _SMALL_TALK),
    (PROPOSITION, frozenset((TASK_INQUIRY, PERSONAL_INQUIRY, INFORMATION, ASK_REASON)) | _APPEALS | _SMALL_TALK),
    (PERSONAL_INQUIRY, frozenset((TASK_INQUIRY,)) | _APPEALS | _SMALL_TALK),
    (TASK_INQUIRY, _APPEALS | _SMALL_TALK),
    (FOOT, frozenset((LOGICAL, CREDIBILITY)) | _SMALL_TALK),
    (INFORMATION, frozenset((LOGICAL, CREDIBILITY)) | _SMALL_TALK),
    (STORY, frozenset((LOGICAL, SELF_MODELING)) | _SMALL_TALK),
    (SELF_MODELING, frozenset((LOGICAL,)) | _SMALL_TALK),
    (EMOTION, frozenset((CREDIBILITY, LOGICAL)) | _SMALL_TALK),
    (CREDIBILITY, frozenset((LOGICAL,)) | _SMALL_TALK),
    (LOGICAL, _SMALL_TALK),
    (CLOSING, frozenset((GREETING, PRAISE)) | _SMALL_TALK),
    (WELCOME, frozenset((THANK, GREETING)) | _SMALL_TALK),
    (THANK, frozenset((GREETING, PRAISE)) | _APPEALS | _SMALL_TALK),
    (PRAISE, _SMALL_TALK),
    (NEUTRAL_ANSWER, frozenset((POSITIVE_ANSWER, NEGATIVE_ANSWER, ACKNOWLEDGEMENT))),
    (POSITIVE_ANSWER, frozenset((ACKNOWLEDGEMENT,))),
    (GREETING, _SMALL_TALK),
)
"""Pairs of an act and the acts that it removes from the same sentence, in the order in which they are applied."""
