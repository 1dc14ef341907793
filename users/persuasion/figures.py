"""The numbers of the statistical persuadee (`person.py`), each with its source.

- corpus: estimated from the 1,017 surveys and donations (who gives, how much) or from the 300 annotated dialogues
  (which act is followed by a commitment or by which reaction);
- tuned: chosen so that human act sequences, replayed, give the corpus's donation rate and mean;
- design: our own choice of size, with the sign taken from the corpus where it has one.
"""

from collections.abc import Mapping
from typing import Final

from josh.envs.persuasion import acts as s
from josh.envs.persuasion import reading

COUNTED: Final = (
    s.CREDIBILITY, s.LOGICAL, s.EMOTION, s.SELF_MODELING, s.FOOT, s.STORY, s.INFORMATION, s.SOURCE_INQUIRY,
    s.TASK_INQUIRY, s.PERSONAL_INQUIRY, s.PROPOSITION, s.ASK_AMOUNT, s.ASK_MORE, s.GREETING, s.ACKNOWLEDGEMENT,
    s.PRAISE, s.OFF_TASK,
)  # fmt: skip
"""The acts whose uses are counted, in the order of `State.uses`."""

GAIN: Final = {
    s.INFORMATION: 0.35, s.STORY: 0.35, s.EMOTION: 0.25, s.SELF_MODELING: 0.20, s.PRAISE: 0.20, s.LOGICAL: 0.15,
    s.FOOT: 0.15, s.SOURCE_INQUIRY: 0.15, s.GREETING: 0.10, s.OFF_TASK: 0.10, s.CREDIBILITY: 0.05,
    s.TASK_INQUIRY: 0.05, s.PERSONAL_INQUIRY: 0.05, s.ACKNOWLEDGEMENT: 0.05,
}  # fmt: skip
"""Willingness won by the first use of an act (design; ranked like the corpus's effects of earlier uses)."""
FADE: Final = 0.6
"""Factor on an act's gain at every further use (design)."""

HAZARD: Final = {
    s.PROPOSITION: 2.09, s.ASK_AMOUNT: 2.05, s.INFORMATION: 1.07, s.ASK_MORE: 1.0, s.FOOT: 0.89, s.STORY: 0.50,
    s.SELF_MODELING: 0.49, s.PRAISE: 0.42, s.LOGICAL: 0.26, s.CREDIBILITY: -0.35, s.EMOTION: -0.80,
    s.PERSONAL_INQUIRY: -1.97, s.SOURCE_INQUIRY: -3.0,
}  # fmt: skip
"""Log-odds of committing right after an act (corpus: discrete-time logit, 2,144 turns, 236 first commitments)."""
BASE_HAZARD: Final = -3.49
"""Log-odds of committing in the first turn without any of these acts (corpus)."""
PER_TURN: Final = 0.14
"""Rise of the log-odds per turn (corpus)."""
SHIFT: Final = -1.36
"""Tuned: makes replayed human sequences give at the corpus's rate of .519."""
UNOPENED_COST: Final = 1.5
"""Log-odds lost while giving has not been mentioned (design: people do not give to someone who never asks)."""

REPEAT_COST: Final = 0.20
"""Reactance from the third and every later use of a strategy or request (sign: corpus; size: design)."""
INSIST_COST: Final = 0.45
"""Reactance from a request after a refusal (sign: corpus; size: design)."""
RUSH_COST: Final = 0.50
"""Reactance from a request in the first turn (sign: corpus; size: design)."""
REFUSAL: Final = 0.10
"""Chance of an outright no to a request (corpus)."""
REFUSAL_PER_REACTANCE: Final = 0.10
"""Rise of that chance per unit of reactance (design)."""
LEAVE_REFUSED: Final = 0.35
"""Chance that a second or later refusal ends the conversation (design; the corpus paid people to stay)."""
PATIENCE: Final = 2.0
"""Reactance above which a person may walk away (design)."""
LEAVE_PRESSED: Final = 0.15
"""Chance of walking away per unit of reactance above `PATIENCE` (design)."""
FINAL_WORD: Final = 0.6
"""Share of the people leaving who say so with a donation of $0; the others leave without a decision (design)."""
CURIOUS_TURNS: Final = 6
"""Turns during which people ask at the corpus's average rate; later they ask less (corpus: .3 a turn, then .15)."""

CONFUSION: Final = {
    reading.GIBBERISH: 1.0, reading.FOREIGN: 1.0, reading.SALAD: 1.0, reading.ECHOED: 1.0, reading.SILENT: 0.7,
    reading.REPEATED: 0.7, reading.FRAGMENT: 0.5, reading.OFF_TOPIC: 0.4, reading.LONG: 0.7,
}  # fmt: skip
"""Confusion from a turn that is nothing but this fault; a share of it from a turn that holds some (design).

People hardly ever meet such turns: in the corpus a persuader repeats a sentence in 19 of 10,600 turns, and echoes the
persuadee in 8. Of 24 turns that hold nothing but small talk none is followed by a commitment (of all turns .11), and 21
are answered with small talk.
"""
SUBSIDING: Final = 0.7
"""Share of the confusion that is left after a clear turn (design)."""
CONFUSED_COST: Final = 2.0
"""Log-odds of giving lost per unit of confusion (design). The confusion also lowers the gift, as lost trust does."""
BEARABLE: Final = 1.5
"""Confusion above which a person may walk away (design)."""
LEAVE_CONFUSED: Final = 0.25
"""Chance of walking away per unit of confusion above `BEARABLE` (design)."""
AGAIN_COST: Final = 0.35
"""Reactance from a sentence that has been said before, word for word (sign: corpus, repeated strategies)."""
AGAIN_SHARE: Final = 0.5
"""Share of its log-odds that a request keeps when it is repeated word for word (design)."""
ASIDE: Final = (0.35, 0.6, 0.85)
"""Chance that a person asks what a first, second or later turn in a row off the topic is about (design; in the corpus,
21 of 24 go along with the first ones)."""
PUZZLED_AFTER: Final = 3
"""Turns after which a person wonders what the talk is about, if nobody has named the charity or giving (corpus: nine
tenths of the persuaders name one of them in their first four turns)."""
WONDERING: Final = 0.4
"""Chance that they then ask (design)."""

AMOUNT_CENTRE: Final = 1.23
"""Willingness at which gifts are spread like the corpus's (tuned to the donors' mean of $.678)."""
AMOUNTS: Final = {
    0.01: 24, 0.02: 6, 0.03: 8, 0.05: 51, 0.10: 96, 0.15: 49, 0.20: 86, 0.25: 49, 0.30: 76, 0.40: 4, 0.50: 130,
    0.60: 2, 0.70: 4, 0.75: 24, 0.80: 4, 0.85: 2, 1.00: 257, 1.25: 4, 1.50: 16, 1.70: 4, 2.00: 112,
}  # fmt: skip
"""Donors' gifts up to $2 in dollars, per thousand gifts (corpus, odd cents rounded)."""

TRAIT_SHARE: Final = 0.8
"""Factor on the traits' log-odds (design: below 1, because they were fitted on the same people)."""
NUMERIC_TRAITS: Final = {
    "extrovert": (3.20, 0.92, -0.034), "agreeable": (3.93, 0.85, 0.208), "conscientious": (3.90, 0.74, -0.030),
    "neurotic": (2.57, 0.98, 0.061), "open": (3.66, 0.69, 0.046), "care": (4.57, 0.92, 0.160),
    "fairness": (4.80, 0.89, 0.035), "loyalty": (3.45, 1.14, 0.082), "authority": (3.86, 1.15, 0.053),
    "purity": (3.58, 1.44, 0.054), "freedom": (4.46, 1.09, -0.034), "conform": (3.83, 1.51, 0.039),
    "tradition": (3.54, 1.55, -0.005), "benevolence": (4.47, 1.42, 0.059), "universalism": (4.53, 1.46, 0.035),
    "self_direction": (4.49, 1.38, -0.034), "stimulation": (3.79, 1.43, -0.173), "hedonism": (3.54, 1.38, -0.032),
    "achievement": (3.66, 1.45, -0.037), "power": (3.58, 1.40, -0.082), "security": (4.23, 1.44, 0.086),
    "rational": (4.08, 0.76, 0.097), "intuitive": (3.10, 1.01, 0.004), "age": (36.88, 11.55, 0.088),
    "income": (5.82, 3.18, 0.012),
}  # fmt: skip
"""Mean, standard deviation and standardised log-odds slope of the numeric attributes (corpus, ridge logit)."""
CATEGORICAL_TRAITS: Final[Mapping[str, Mapping[str, float]]] = {
    "sex": {"Female": -0.044, "Male": 0.044},
    "race": {"White": 0.072, "Other": -0.217},
    "edu": {"Less than four-year college": 0.161, "Four-year college": -0.113, "Postgraduate": -0.355},
    "marital": {"Married": 0.122, "Unmarried": -0.120},
    "employment": {"Employed for wages": -0.085, "Other": 0.152},
    "religion": {"Atheist": -0.077, "Catholic": 0.079, "Protestant": -0.104, "Other religion": 0.057},
    "ideology": {"Conservative": -0.020, "Liberal": -0.033, "Moderate": 0.068},
}
"""Log-odds of giving of the survey's categories, relative to the average (corpus, same fit)."""

REACTION_ACTS: Final = (
    "positive-reaction-to-donation", "negative-reaction-to-donation", "neutral-reaction-to-donation",
    "ask-org-info", "ask-donation-procedure", "ask-persuader-donation-intention", "task-related-inquiry",
    "personal-related-inquiry", "positive-to-inquiry", "negative-to-inquiry", "neutral-to-inquiry",
    "acknowledgement", "greeting", "thank", "you-are-welcome", "closing", "off-task", "other",
)  # fmt: skip
"""The persuadee acts besides decisions, in the order of the columns of `REACTIONS`."""
REACTIONS: Final[Mapping[str, tuple[int, ...]]] = {
    s.CREDIBILITY: (323, 61, 49, 317, 74, 30, 78, 28, 0, 0, 0, 127, 0, 25, 0, 0, 12, 75),
    s.LOGICAL: (401, 105, 22, 89, 67, 41, 83, 10, 0, 0, 0, 96, 0, 22, 0, 0, 13, 86),
    s.EMOTION: (440, 98, 34, 111, 38, 34, 103, 34, 0, 0, 0, 132, 0, 0, 0, 0, 9, 64),
    s.SELF_MODELING: (392, 34, 14, 101, 61, 27, 68, 81, 0, 0, 0, 149, 0, 61, 0, 0, 14, 155),
    s.FOOT: (285, 100, 54, 92, 54, 15, 38, 23, 0, 0, 0, 146, 0, 31, 0, 0, 8, 146),
    s.STORY: (539, 67, 11, 101, 45, 22, 56, 90, 0, 0, 0, 202, 0, 11, 0, 0, 45, 101),
    s.INFORMATION: (182, 40, 23, 108, 122, 34, 57, 17, 0, 0, 0, 139, 0, 77, 0, 0, 6, 119),
    s.SOURCE_INQUIRY: (72, 24, 0, 331, 18, 12, 36, 30, 428, 367, 30, 12, 0, 0, 0, 0, 6, 36),
    s.TASK_INQUIRY: (188, 23, 34, 85, 23, 6, 34, 6, 403, 193, 108, 17, 0, 17, 0, 0, 6, 51),
    s.PERSONAL_INQUIRY: (166, 46, 33, 26, 7, 0, 26, 119, 503, 179, 106, 7, 0, 0, 0, 0, 26, 40),
    s.PROPOSITION: (173, 70, 42, 201, 85, 32, 39, 14, 0, 0, 0, 21, 0, 7, 0, 0, 4, 53),
    s.ASK_AMOUNT: (66, 66, 25, 74, 90, 25, 41, 0, 0, 0, 0, 8, 0, 16, 0, 0, 8, 90),
    s.ASK_MORE: (161, 97, 50, 32, 0, 0, 0, 0, 0, 0, 0, 161, 0, 0, 0, 0, 0, 97),
    s.ASK_REASON: (0, 833, 0, 0, 0, 167, 0, 0, 0, 0, 0, 167, 0, 0, 0, 0, 0, 0),
    s.CONFIRM: (49, 0, 50, 0, 0, 73, 0, 0, 0, 0, 0, 122, 0, 49, 0, 0, 0, 98),
    s.GREETING: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 18, 725, 7, 0, 0, 39, 70),
    s.ACKNOWLEDGEMENT: (327, 29, 40, 112, 79, 29, 72, 18, 0, 0, 0, 151, 0, 68, 0, 0, 25, 90),
    s.PRAISE: (315, 20, 34, 67, 47, 27, 40, 34, 0, 0, 0, 94, 0, 128, 0, 0, 34, 141),
    s.THANK: (231, 14, 14, 46, 19, 9, 42, 9, 0, 0, 0, 93, 0, 0, 412, 0, 9, 157),
    s.CLOSING: (20, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 39, 0, 157, 0, 725, 0, 0),
    s.OFF_TASK: (103, 13, 13, 77, 26, 13, 0, 13, 0, 0, 0, 77, 0, 38, 0, 0, 628, 90),
    s.OTHER: (198, 56, 13, 80, 35, 13, 61, 19, 0, 0, 0, 56, 0, 51, 0, 0, 29, 350),
}
"""Of a thousand replies to a persuader act, how many hold each reaction (corpus, 3,027 replies), without decisions.

Answers, thanks, greetings and talk of charity are kept only where they fit the act that they answer.
"""
