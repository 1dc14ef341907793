"""A made-up corpus in the form of Persuasion for Good, big enough to learn from: everyone takes part once."""

import csv
from pathlib import Path
from random import Random

from josh.envs.persuasion.personas import ATTRIBUTES

TOPICS = ("schools", "water", "doctors", "shelters", "meals", "books", "blankets", "teachers", "vaccines", "farms")
ASKS = (
    "Hello, how are you today?",
    "Have you heard of Save the Children? They pay for {}.",
    "The charity has built {} in many countries.",
    "Did you know that {} change the life of a child?",
    "Would you like to donate some of your payment for {}?",
    "How much would you like to give?",
    "That is kind of you. The research team sends the money for {}.",
    "Thank you for your time.",
)
ANSWERS = (
    ("Hi, I am fine, and my {} too!", "hello there. How is your {} today?", "Good morning from my {} room"),
    ("Yes, I have heard of their {0} and {1}.", "no, what do they do with {0}?", "I know their {0}, not the {1}"),
    ("That is great, {0} and {1} are important", "Where are these {0}?", "I think {0} are wonderful."),
    ("no, that is sad about the {0} and {1}", "I did not know that about {0}. Wow!", "Are the {0} far from {1}?"),
    ("Yes, I would like to donate for {0}.", "Sure, I will give for {0} and {1}.", "No, I need my money for {0}."),
    ("I will donate $0.50 for {0}", "50 cents for {0} and {1}.", "I can give 1 dollar for {0}"),
    ("I am glad that the {0} are paid", "Good to know about {0}, and {1}?", "nice, {0} it is"),
    ("You are welcome, goodbye to your {0}", "thanks to you and the {0}!", "Have a good day with {0}."),
)
PLACES = ("garden", "kitchen", "village", "river", "street", "market", "office", "harbour", "forest", "valley")


def write_talks(folder, dialogues=60, seed=1):
    """Writes the corpus, and returns its folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng, columns = Random(seed), [each.name for each in ATTRIBUTES]
    info, said = [], []
    for number in range(dialogues):
        chat = f"20180101-{number:06}_1_live"
        gives = rng.random() < 0.5
        for role in (0, 1):
            survey = [
                rng.choice((each.low, each.high)) if each.numeric else rng.choice(list(each.shares))
                for each in ATTRIBUTES
            ]
            info.append([chat, f"w{number}-{role}", role, 0.5 * (role and gives), 2, *survey])
        for turn, (ask, answers) in enumerate(zip(ASKS, ANSWERS, strict=True)):
            about = rng.sample(TOPICS, 2) if turn else [rng.choice(PLACES)] * 2
            answer = answers[2] if turn == 4 and not gives else rng.choice(answers[:2])
            if turn == 5 and not gives:
                answer = "No, nothing for {0}, I have to say no to {1}."
            for role, text in enumerate((ask, answer)):
                said.append([len(said), f"{text.format(*about)} {rng.choice(PLACES) * role}".strip(), turn, role, chat])
    _write(folder / "full_info.csv", ["B2", "B3", "B4", "B6", "B7", *(f"{name}.x" for name in columns)], info)
    _write(folder / "full_dialog.csv", ["", "Unit", "Turn", "B4", "B2"], said)
    return folder


def _write(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
