"""The patterns by which `answers.py` reads a turn. All expect the spelling that `plain` gives."""

import re
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SPELLINGS = (
    (re.compile(r"[\u2018\u2019\u00b4]"), "'"),
    (re.compile(r"</?[a-z]+>|[*`#_]+", re.IGNORECASE), " "),
    (re.compile(r"\bcan't\b|\bcannot\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon't\b", re.IGNORECASE), "will not"),
    (re.compile(r"n't\b", re.IGNORECASE), " not"),
    (re.compile(r"\b(it|that|he|she|what)'s\b", re.IGNORECASE), r"\1 is"),
    (re.compile(r"\b(you|we|they)'re\b", re.IGNORECASE), r"\1 are"),
    (re.compile(r"\bi'm\b", re.IGNORECASE), "I am"),
    (re.compile(r"\bi'll\b", re.IGNORECASE), "I will"),
    (re.compile(r"\bi'd\b", re.IGNORECASE), "I would"),
    (re.compile(r"\b(St|Dr|Mr|Mrs|Ms|Jr|Sr|Mt)\."), r"\1"),
    # Hedges and assurances are not denials.
    (re.compile(r"\bnot (?:\w+ )?(?:sure|certain|positive|confident)\b(?=\s*(?:[,.;!]|but\b|$))", re.IGNORECASE), " "),
    (re.compile(r"\b(?:no|without (?:a |any )?) ?doubt\b", re.IGNORECASE), " "),
)
BECAUSE = r"because|since|as|but|and|for|which|who|due|with|although|though|while|from|in"
FINAL = re.compile(
    r"\bfinal answer\s*(?:is\b|would be\b|remains\b|stays\b|[:=\u2013\u2014-])[\s:]*(?=([^\n]*))", re.IGNORECASE
)
YOURS = re.compile(r"\b(?:your|their|his|her|partner's)\s+$", re.IGNORECASE)
STATED = re.compile(
    r"(?:\b(?:the|my)\s+(?:(?:correct|right|best|true|own|real|likely)\s+)?(?:answer|guess|choice)"
    r"(?:\s+to\s+(?:the|this|your)\s+question)?|^\s*answer(?=\s*[:=]))"
    r"\s*(?:is|remains|stays|must be|has to be|should be|would be|[:=])\s+(?=([^\n]*))",
    re.IGNORECASE | re.MULTILINE,
)
NAME = r"[A-Z0-9][\w'-]*(?:\s+(?:(?:of|the|de|and|von|van|la)\s+)*[A-Z0-9][\w'-]*)*"
IT_IS = re.compile(
    r"\b(?:[Ii]t (?:is|was|must be|has to be)"
    r"|I (?:would |still |will )*(?:say|think|believe|guess|choose)(?: (?:that )?it is)?)"
    r"\s+(?:probably |still |definitely |clearly |surely )?((?:the |an? )?"
    rf"(?!I\b){NAME})(?=\s*(?:[.,;!?)]|$|(?:{BECAUSE}|that)\b))"
)
CLAUSE = re.compile(
    r"[.;!?,:]+(?=\s|$)|\n|\s[-\u2013\u2014]\s|[()\"\u201c\u201d]|\b(?:but|although|though|whereas|while|however|because)\b",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"(?<=[.!?])\s")
NOT_OWN = re.compile(
    r"\b(?:you|your|he|she|they|who|people|some|many|if|whether|suppose|not|never|doubt|deny)\b", re.IGNORECASE
)
CUT = re.compile(
    rf"[.,;:!?()\[\]\"\u201c\u201d]|\s[-\u2013\u2014]\s|\s(?:{BECAUSE}|is|not|instead|rather|than)\b|$", re.IGNORECASE
)
END = re.compile(
    r"(?<=\w\w)[.!?]+(?=\s|$)|[;:()\[\]\"\u201c\u201d]|,|\s[-\u2013\u2014]\s|\s(?:because|since|but|which|although|though|while)\b|[.!?]*$",
    re.IGNORECASE,
)
LEAD = re.compile(
    r"(?:that\s+|it (?:is|was)\s+|still\s+|probably\s+|maybe\s+|perhaps\s+|definitely\s+|certainly\s+|clearly\s+"
    r"|most likely\s+|likely\s+|i (?:still )?(?:think|believe|say|keep|choose)\s+"
    r"|i (?:am |will |still )*(?:stick(?:ing)?|stay(?:ing)?|go(?:ing)?) with\s+"
    r"|(?:the|my) answer (?:is|remains|stays)\s+"
    r"|[\"\u201c'\s])*",
    re.IGNORECASE,
)
NO_VALUE = _words(
    "not never no neither nor wrong incorrect right correct clear obvious simple unclear uncertain different same yours"
    " based found given easy hard known"
)
NOTHING = frozenset(
    ("none", "unknown", "i do not know", "do not know", "unsure", "not sure", "idk", "n a", "no idea", "no answer", "")
)
AGREE = re.compile(
    r"^\s*agreed?\b|\bI (?:(?:now|fully|completely|totally|do|must|can|have to|also|would) )*agree\b"
    r"|\byou are (?:(?:absolutely|quite|completely|probably|indeed|of course) )*(?:right|correct)\b"
    r"|\byou (?:have )?(?:convinced|persuaded) me\b|\bI (?:stand|am) corrected\b"
    r"|\bI (?:will |now |can )*(?:accept|take|adopt|go with|share) your answer\b",
    re.IGNORECASE,
)
DISAGREE = re.compile(
    r"^\s*disagree\b|\bI (?:(?:strongly|still|must|have to|respectfully|do|completely) )*disagree\b"
    r"|\b(?:do|can|could|will) not (?:\w+ )?agree\b"
    r"|\bI (?:will |still )*(?:keep|hold|stand by|stick (?:with|to)|stay with|keep to) my\b"
    r"|\bI am (?:still )?not (?:convinced|persuaded)\b|\byou are (?:\w+ )?(?:wrong|mistaken|incorrect)\b"
    r"|\byou are not (?:right|correct)\b",
    re.IGNORECASE,
)
TURN_ROUND = re.compile(r"\b(?:but|however|although|though)\b", re.IGNORECASE)
DENIALS = _words("not never neither nor no without doubt unlike than instead except deny")
OF_OTHERS = _words("you your partner he she they people some many if whether suppose would")
PAST = _words("thought said wrong mistaken earlier originally initially previously")
REFUTED = _words("not wrong incorrect false mistaken unlikely impossible")
COMMON = _words(
    "i it is was he she we they you me him her us them who what which that this these those there here yes no not and"
    " or of in on at to for by with from as be are were will can up down one all if so do go my your"
)


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Returns a text in the spelling that the patterns expect: without contractions, markup and hedges."""
    for pattern, instead in SPELLINGS:
        text = pattern.sub(instead, text)
    return text
