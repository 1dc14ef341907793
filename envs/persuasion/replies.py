"""Classifies what a persuadee does by its words: gives, refuses, asks, thanks and so on (names of the corpus's acts).

The cues are our own. Acts that both sides have (greetings, thanks, questions about the other) have the cues of
`cues.py`. `tests/envs/persuasion/test_replies.py` measures them against the labels of the 300 annotated dialogues.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from josh.envs.persuasion import acts as s
from josh.envs.persuasion.amounts import dollars
from josh.envs.persuasion.reading import NAMED

AGREE: Final = "agree-donation"
NAME_AMOUNT: Final = "provide-donation-amount"
REFUSE: Final = "disagree-donation"
REFUSE_MORE: Final = "disagree-donation-more"
POSITIVE: Final = "positive-reaction-to-donation"
NEGATIVE: Final = "negative-reaction-to-donation"
NEUTRAL: Final = "neutral-reaction-to-donation"
ASK_CHARITY: Final = "ask-org-info"
ASK_PROCEDURE: Final = "ask-donation-procedure"
ASK_PARTNER: Final = "ask-persuader-donation-intention"
GIVING: Final = frozenset((AGREE, NAME_AMOUNT))
REFUSING: Final = frozenset((REFUSE, REFUSE_MORE))

_GIVE: Final = r"(?:donat\w*|donte|donaet|contribut\w*|giv(?:e|ing)|pledg\w*|spare|chip in|pitch in)"
_WILL: Final = (
    r"(?:i(?:'ll| will| shall|'d| would| could| can| might as well| am going to|'m going to|'m gonna| want to"
    r"| choose to| "
    r"decided to)|let me|let's|i am|i'm|put me)"
)
_AMOUNT_ONLY: Final = re.compile(
    r"^(?:(?:ok|okay|sure|yes|yeah|well|maybe|probably|about|around|how about|i think|i guess|let's say|let's do|i'd "
    r"say|i would say|i was thinking|i am thinking|i'm thinking|say|perhaps|just|only|at least|would"
    r"|all of my)[, .]*)*"
    r"(?:\$ ?\d*\.?\d+|\.?\d+ ?(?:\$|cents?|dollars?|%|percent)|(?:a|one|two|five|ten|fifty|twenty) (?:dollars?"
    r"|cents?|penny)"
    r"|half(?: of (?:it|my \w+))?|all of it)\b"
)
_GIVES: Final = re.compile(
    rf"\b{_WILL} (?:\w+ ){{0,5}}?{_GIVE}\b|\bi(?:'ll| will| would|'d| can| could) (?:do|say|go with|start with"
    rf"|be able to "
    rf"do|match|join|help)\b|\b(?:willing|happy|glad|love|like|able|ready|going|okay|ok|fine|open"
    rf"|inclined) (?:\w+ )?(?:to|with) "
    rf"(?:\w+ ){{0,3}}?(?:{_GIVE}|help|do (?:that|it|so|\$?\d))\b|\bcount me in\b|\bi(?:'m| am) in\b"
    rf"|\bput me down\b|\byou(?:'ve| have) "
    r"convinced me\b|\bsign me up\b|\bmy (?:donation|contribution) (?:will|would|is)\b"
)
_YES: Final = re.compile(
    r"^(?:hi,? |well,? |oh,? |ok,? |okay,? )*(?:yes|yeah|yep|yea|sure|absolutely|definitely|of course|certainly"
    r"|i guess so|i would"
    r"(?!n't| not)|ok|okay|alright|i think so|why not|sounds good|that (?:sounds|works|would))\b"
)
_REFUSES: Final = re.compile(
    rf"\b(?:not|n't|never|cannot|cant|wont|dont|no longer) (?:\w+ ){{0,5}}?(?:{_GIVE}|afford|part with"
    rf"|interested|able to help|"
    rf"comfortable|at this time|right now|today|this time)\b|\bno,? (?:thank|thanks|sorry|not|to be)\b"
    r"|\b(?:rather|prefer) (?:not|to (?:keep|wait|not|do))\b|\b(?:keep|need) (?:\w+ )?(?:my|the|this|all"
    r"|every) (?:\w+ )?(?:payment|"
    r"money|earnings|pay|penny|cent)\b|\bpass on\b|\bi(?:'ll| will) pass\b|\b(?:donate|give) (?:nothing|0|zero"
    r"|\$ ?0)\b(?!\.)"
    r"|\bnot (?:interested|today|now|right now|at this)\b|\bno more\b|\ball i can (?:afford|give|do)\b"
)
_NO: Final = re.compile(r"^(?:well,? |sorry,? |um,? )*(?:no|nope|nah|not really|not (?:right )?now|not today|sorry)\b")
_CONDITION: Final = re.compile(
    r"\b(?:if i|if they|if it|maybe later|in the future|later|consider\w*|think about|might|someday|another time"
    r"|not sure|"
    r"depend\w*|before i|have (?:donated|given)|donated (?:to|before|in)|used to|already|usually|typically"
    r"|always|every)\b"
)
_ASKS: Final = re.compile(
    r"\?|^(?:what|where|how|who|why|when|which|do|does|did|is|are|can|could|would you|will you|have you)\b(?!.*\.$)"
)
_ASKS_PARTNER: Final = re.compile(
    rf"\b(?:have you|do you|are you|will you|did you|would you|how much (?:do|are|will|did|have|would) you"
    rf"|what about you|"
    rf"how about you)\b(?=.*(?:{_GIVE}|donat|support|you\?))|\byour (?:donation|contribution)\b"
)
_ASKS_PROCEDURE: Final = re.compile(
    r"\b(?:how (?:do|can|would|will|does|is|are) (?:i|we|one|it|that|this|the (?:donation|money|payment))"
    r"|where (?:do|can|would) i|"
    r"(?:credit|card|paypal|website|link|deduct\w*|minimum|least amount|taken|out of (?:my|the)|monthly|one time"
    r"|tax)\b)"
)
_PERSONAL: Final = re.compile(r"\b(?:you|your|yours)\b")
_CHARITY: Final = re.compile(
    r"\b(?:charity|organi[sz]ation|they|them|their|it|save the children|children|kids|money|donations?|fund\w*"
    r"|percent\w*|"
    r"countr\w*|help\w*|work|heard|legit\w*|about|this)\b"
)
_LIKES: Final = re.compile(
    r"\b(?:great|good|wonderful|awesome|amazing|nice|love|agree|important|glad|worthy|worthwhile|noble|fantastic"
    r"|excellent|cool|"
    r"wow|sad|terrible|horrible|awful|heart|impress\w*|incredible|interesting|true|help\w*|happy|deserve|right"
    r"|beautiful|admire)\b"
)
_DISLIKES: Final = re.compile(
    r"\b(?:scam|skeptic\w*|sceptic\w*|trust|wary|worr\w*|concern\w*|not sure|doubt\w*|overhead|ceo|salar\w*"
    r"|corrupt\w*|waste|"
    r"local\w*|own (?:country|family|kids)|poor myself|struggl\w*|tight|broke\b|afford|too many"
    r"|don't know (?:much|enough|if)|"
    r"hard|difficult|unfortunately|but)\b"
)
_ANSWERED: Final = (
    (
        s.POSITIVE_ANSWER,
        re.compile(r"^(?:yes|yeah|yep|yea|yup|sure|i do|i have|i am|i did|absolutely|definitely|of course)\b"),
    ),
    (
        s.NEGATIVE_ANSWER,
        re.compile(r"^(?:no|nope|not|i don't|i have not|i haven't|i do not|i've never|never|nah)\b"),
    ),
    (s.NEUTRAL_ANSWER, re.compile(r"^(?:maybe|i'm not sure|i am not sure|it depends|sometimes|kind of|somewhat)\b")),
)
_PRAISES: Final = re.compile(r"^(?:that|it|this|they)\b.*\b(?:great|good|wonderful)\b")
_WANTS_TO_KNOW: Final = re.compile(r"\b(?:tell me|know (?:about|if|how|what|where))\b")
_SHARED: Final = frozenset((s.GREETING, s.THANK, s.WELCOME, s.CLOSING, s.OFF_TASK))
_INQUIRIES: Final = frozenset((s.SOURCE_INQUIRY, s.TASK_INQUIRY, s.PERSONAL_INQUIRY))


@lru_cache(maxsize=16384)
def reply_acts(text: str, heard: frozenset[str] = frozenset()) -> frozenset[str]:
    """Returns the persuadee acts in a reply, by the corpus's names; `{"other"}` where there is no cue.

    Args:
        text: the reply; reward tags in it are not read.
        heard: the persuader acts that it answers (`josh.envs.persuasion.acts`): "yes" means another thing after a
            request than after a question.
    """
    found = decision_acts(text, heard)
    for sentence in s.sentences(text):
        found |= _sentence(sentence, heard, bool(found & (GIVING | REFUSING)))
    return frozenset(found) or frozenset((s.OTHER,))


def decision_acts(text: str, heard: Iterable[str] = ()) -> set[str]:
    """Returns the acts that decide in a reply: to give, an amount, or a refusal; empty where it decides nothing.

    A reply that gives on a condition, or later, decides nothing.
    """
    asks = set(heard)
    requested, amounts = bool(asks & s.ASKS), bool(asks & {s.ASK_AMOUNT, s.ASK_MORE, s.FOOT, s.INFORMATION})
    gives = refuses = amount = False
    for place, sentence in enumerate(s.sentences(text)):
        if not sentence:
            continue
        if _REFUSES.search(sentence) or (requested and not place and _NO.match(sentence)):
            refuses = True
            continue
        if _CONDITION.search(sentence):
            continue
        said = _GIVES.search(sentence) is not None
        only = (amounts or requested) and _AMOUNT_ONLY.match(sentence) is not None
        yes = requested and not place and _YES.match(sentence) is not None
        question = sentence.endswith("?") and not only
        if (said or only or yes) and not question:
            gives = True
            amount = amount or dollars(sentence) is not None or only
    if refuses and not gives:
        return {REFUSE_MORE if s.ASK_MORE in asks else REFUSE}
    if gives and not refuses:
        return {NAME_AMOUNT} if amount else {AGREE}
    return set()


def _sentence(sentence: str, heard: frozenset[str], decided: bool) -> set[str]:
    if not sentence:
        return set()
    found = set(s.sentence_acts(sentence) & _SHARED)
    if _ASKS.search(sentence):
        return found | {_question(sentence)} if s.GREETING not in found else found
    return found or (set() if decided else _reaction(sentence, heard))


def _reaction(sentence: str, heard: frozenset[str]) -> set[str]:
    """Returns the act of a sentence that neither decides nor asks, nor is mere courtesy."""
    if heard & _INQUIRIES:
        answers = {act for act, pattern in _ANSWERED if pattern.match(sentence)}
        if answers:
            return answers
    if _DISLIKES.search(sentence) and not _PRAISES.match(sentence):
        return {NEGATIVE}
    if _LIKES.search(sentence):
        return {POSITIVE}
    if s.ACKNOWLEDGEMENT in s.sentence_acts(sentence):
        return {s.ACKNOWLEDGEMENT}
    return {NEUTRAL} if NAMED.search(sentence) else set()


def _question(sentence: str) -> str:
    if _ASKS_PARTNER.search(sentence):
        return ASK_PARTNER
    if _ASKS_PROCEDURE.search(sentence):
        return ASK_PROCEDURE
    if _PERSONAL.search(sentence) and not _WANTS_TO_KNOW.search(sentence):
        return s.PERSONAL_INQUIRY
    return ASK_CHARITY if _CHARITY.search(sentence) else s.TASK_INQUIRY
