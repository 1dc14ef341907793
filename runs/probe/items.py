"""The verifiable items of a probe: 64 short tasks of general ability, each with an exact grader.

Four kinds, 16 items each: arithmetic, extraction of facts into JSON, constraints of format and length, and questions
about facts that the prompt states, with the answer yes or no. No item needs knowledge of the world, and no empty or
constant reply passes more than the half of one kind (`yes` passes 8 items, `no` the other 8).
"""

from dataclasses import dataclass
from typing import Any, Final

from josh.runs.probe.graders import (
    Grader,
    ends_with,
    every,
    exactly,
    items,
    json_value,
    lines,
    lower_case,
    number,
    sentences,
    words,
    yes_no,
)

ARITHMETIC, EXTRACTION, FORMAT, FACTS = "arithmetic", "extraction", "format", "facts"
KINDS: Final = (ARITHMETIC, EXTRACTION, FORMAT, FACTS)


@dataclass(frozen=True, slots=True)
class Item:
    """One verifiable item.

    Attributes:
        id: its name in records; unique, and the same in every version that has the item unchanged.
        kind: one of `KINDS`.
        prompt: the message of the user.
        grader: says whether a reply is right.
    """

    id: str
    kind: str
    prompt: str
    grader: Grader


_ARITHMETIC: Final[tuple[tuple[str, float], ...]] = (
    ("What is 17 + 25?", 42),
    ("What is 93 - 48?", 45),
    ("What is 12 * 7?", 84),
    ("What is 96 / 8?", 12),
    ("What is 306 + 489?", 795),
    ("What is 1000 - 364?", 636),
    ("What is 23 * 14?", 322),
    ("What is (8 + 5) * 3?", 39),
    ("What is 50 - 6 * 7?", 8),
    ("What is 6 - 15?", -9),
    ("What is 15 percent of 240?", 36),
    ("What is the mean of 4, 8 and 15?", 9),
    ("A box holds 24 pens. How many pens do 5 boxes hold?", 120),
    ("Mia has 32 stickers. She gives 9 to Leo and then buys 15. How many stickers does she have now?", 38),
    ("How many minutes are 3 hours and 25 minutes?", 205),
    ("Three notebooks cost 10.50 euros together, each the same. How many euros does one cost?", 3.5),
)
_EXTRACTION: Final[tuple[tuple[str, str, Any], ...]] = (
    (
        "name (text), age (number), job (text)",
        "I am Tomas Berg, 34 years old, and I work as a baker.",
        {"name": "Tomas Berg", "age": 34, "job": "baker"},
    ),
    (
        "quantity (number), color (text), room (number)",
        "Please bring 3 blue mugs to room 12.",
        {"quantity": 3, "color": "blue", "room": 12},
    ),
    (
        "day (text), time (text), place (text)",
        "The workshop is on Friday at 15:30 in Hall B.",
        {"day": "Friday", "time": "15:30", "place": "Hall B"},
    ),
    (
        "invoice (number), total (number), due (text)",
        "Invoice 4471: total 89.90 euros, due 2031-05-14.",
        {"invoice": 4471, "total": 89.9, "due": "2031-05-14"},
    ),
    (
        "flight (text), from (text), to (text), delay (number of minutes)",
        "Flight KX208 from Oslo to Rome is 40 minutes late.",
        {"flight": "KX208", "from": "Oslo", "to": "Rome", "delay": 40},
    ),
    (
        "email (text), phone (text)",
        "Write to ana.ruiz@example.org or call 555-0142.",
        {"email": "ana.ruiz@example.org", "phone": "555-0142"},
    ),
    (
        "items (list of texts, in the order of the note)",
        "For the cake we need flour, eggs and butter.",
        {"items": ["flour", "eggs", "butter"]},
    ),
    (
        "door_locked (true or false), window_open (true or false)",
        "The door is not locked, and the window is open.",
        {"door_locked": False, "window_open": True},
    ),
    (
        "city (text), temperature (number), raining (true or false)",
        "In Bergen it is 7 degrees and it is raining.",
        {"city": "Bergen", "temperature": 7, "raining": True},
    ),
    (
        "title (text), author (text), pages (number)",
        "The Salt Road, a novel by Jane Harris, has 312 pages.",
        {"title": "The Salt Road", "author": "Jane Harris", "pages": 312},
    ),
    (
        "winner (text), loser (text)",
        "Final result: Ajora 3, Belmont 1.",
        {"winner": "Ajora", "loser": "Belmont"},
    ),
    (
        "name (text), phone (text, or null where the note gives none)",
        "Name: Lena Koch. Phone: not given.",
        {"name": "Lena Koch", "phone": None},
    ),
    (
        "name (text), city (text), cats (number)",
        "Omar lives in Cairo with his two cats.",
        {"name": "Omar", "city": "Cairo", "cats": 2},
    ),
    ("lamp (number), desk (number)", "The lamp costs 45 dollars, the desk 120.", {"lamp": 45, "desk": 120}),
    (
        "day (number), month (text), year (number)",
        "She was born on 9 March 1987.",
        {"day": 9, "month": "March", "year": 1987},
    ),
    (
        "ticket (number), closed_by (text), days (number)",
        "Ticket 88 was closed by Ivo after 6 days.",
        {"ticket": 88, "closed_by": "Ivo", "days": 6},
    ),
)
_FORMAT: Final[tuple[tuple[str, Grader], ...]] = (
    (
        "Write the word lantern three times, with one space between the words, and nothing else.",
        exactly("lantern lantern lantern"),
    ),
    ("Reply with the word BLUE in capital letters, and nothing else.", exactly("BLUE", case=True)),
    (
        "Write the words red, yellow and blue in alphabetical order, one word per line, and nothing else.",
        items("blue", "red", "yellow"),
    ),
    ("Write the whole numbers from 1 to 5, separated by commas, and nothing else.", items("1", "2", "3", "4", "5")),
    (
        "Write the first six letters of the alphabet in reverse order with a hyphen between two letters, and nothing "
        "else.",
        exactly("f-e-d-c-b-a"),
    ),
    (
        "Repeat this sentence, and write nothing else: The small boat crossed the lake at noon.",
        exactly("The small boat crossed the lake at noon."),
    ),
    (
        "Write one sentence of at most 12 words that contains the word garden.",
        every(words(3, 12, "garden"), sentences(1)),
    ),
    ("Describe the sea in exactly two sentences.", every(sentences(2), words(6, 120))),
    (
        "Write one question that contains the word winter. Write nothing else.",
        every(words(3, 40, "winter"), ends_with("?"), sentences(1)),
    ),
    (
        "Write a greeting of at least two words that contains the word morning, in lower-case letters only.",
        every(lower_case(), words(2, 40, "morning")),
    ),
    ("Write the word maple backwards, and nothing else.", exactly("elpam")),
    (
        "Sort these words by the alphabet, separate them by commas, and write nothing else: pear, apple, mango, cherry",
        items("apple", "cherry", "mango", "pear"),
    ),
    (
        "List exactly four tools of a kitchen, one per line. Begin each line with a hyphen and a space, and write "
        "nothing else.",
        lines(4, "- "),
    ),
    (
        "Write the sentence 'we meet at dawn' in capital letters, and nothing else.",
        exactly("WE MEET AT DAWN", case=True),
    ),
    ("Write a JSON array of the numbers 2, 4 and 6, in this order, and nothing else.", json_value([2, 4, 6])),
    ("Write a text of 30 to 60 words about the bicycle.", words(30, 60, "bicycle")),
)
_FACTS: Final[tuple[tuple[str, bool], ...]] = (
    ("The library opens at 9:00 and closes at 17:00. Is it open at 12:00?", True),
    ("The library opens at 9:00 and closes at 17:00. Is it open at 20:00?", False),
    ("Anna is taller than Ben, and Ben is taller than Carl. Is Anna taller than Carl?", True),
    ("Anna is taller than Ben, and Ben is taller than Carl. Is Carl taller than Anna?", False),
    ("The soup contains carrots, onions and cream. Does it contain cream?", True),
    ("The soup contains carrots, onions and salt. Does it contain cream?", False),
    ("All cups in this shop are green. Rosa bought a cup in this shop. Is her cup green?", True),
    ("All cups in this shop are green. Rosa bought a cup in this shop. Is her cup red?", False),
    ("The bus left at 8:10, and Paul came to the stop at 8:05. Was he there before it left?", True),
    ("The bus left at 8:10, and Paul came to the stop at 8:20. Was he there before it left?", False),
    ("A ticket costs 6 euros, and Nora has 10 euros. Can she pay for one ticket?", True),
    ("A ticket costs 6 euros, and Nora has 10 euros. Can she pay for two tickets?", False),
    ("The key is in the drawer, and the drawer is in the desk. Is the key in the desk?", True),
    ("The key is on the shelf, and the drawer is empty. Is the key in the drawer?", False),
    ("The meeting was moved from Monday to Thursday. Is the meeting on Thursday?", True),
    ("The meeting was moved from Monday to Thursday. Is the meeting on Monday?", False),
)


def _made() -> tuple[Item, ...]:
    found = [(ARITHMETIC, f"{question} Reply with the number only.", number(value)) for question, value in _ARITHMETIC]
    found += [
        (
            EXTRACTION,
            f"Read the note and reply with one JSON object that has exactly these keys: {keys}.\nNote: {note}",
            json_value(wanted),
        )
        for keys, note, wanted in _EXTRACTION
    ]
    found += [(FORMAT, prompt, grader) for prompt, grader in _FORMAT]
    found += [(FACTS, f"{text} Answer yes or no.", yes_no(truth)) for text, truth in _FACTS]
    counts = dict.fromkeys(KINDS, 0)
    made = []
    for kind, prompt, grader in found:
        counts[kind] += 1
        made.append(Item(f"{kind}-{counts[kind]}", kind, prompt, grader))
    return tuple(made)


ITEMS: Final = _made()
"""All items, in order."""

OPEN_PROMPTS: Final = (
    "Describe a rainy afternoon in a small town.",
    "Explain to a child why leaves fall in autumn.",
    "Tell me how to make a cup of tea.",
    "What makes a good friend?",
    "Write a short message to thank a neighbor for watering your plants.",
    "Describe the taste of a ripe orange.",
    "Give me some advice for a long train journey.",
    "How do I keep bread fresh?",
    "Write the beginning of a story about a lighthouse.",
    "What should I think about before I buy a used car?",
    "Explain what a budget is.",
    "Describe a busy market in the morning.",
    "How can I remember the names of new people?",
    "Tell me about a bridge that you would like to build.",
    "What are the advantages of walking to work?",
    "Write a polite answer to an invitation that you cannot accept.",
    "Explain how a key opens a lock.",
    "Describe a quiet place where one can read.",
    "How do I plan a meal for six guests?",
    "What can one learn from playing chess?",
    "Write a few lines about snow on a mountain.",
    "How should I prepare for an exam?",
    "Explain why we sleep.",
    "Describe an old tree in a park.",
    "Give me an idea for a gift for my grandmother.",
    "What is the difference between a river and a lake?",
    "Write an announcement for a lost umbrella.",
    "How can a team make its meetings shorter?",
    "Describe how a candle burns.",
    "What would you pack for a week at the sea?",
    "Explain how to ride a bicycle uphill.",
    "Write a short letter to a friend who has moved away.",
)
"""Open questions, on whose replies the drift is measured."""
