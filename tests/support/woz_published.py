"""A small made-up piece of MultiWOZ in the layout it is published in."""

import json

from woz_tables import write_tables


def state(**booked):
    """What the system knows: of every domain nothing, or what was booked in it, in order."""
    return {
        domain: {"semi": {"area": "", "name": "not mentioned"}, "book": {"booked": booked.get(domain, []), "day": ""}}
        for domain in ("taxi", "police", "restaurant", "hospital", "hotel", "attraction", "train")
    }


def dialogue(message="You want it.", states=(), **goal):
    """A dialogue with a goal, in which the system is in one state after another."""
    empty = {domain: {} for domain in ("taxi", "police", "hospital", "hotel", "attraction", "train", "restaurant")}
    turns = [[{"text": " I want it. ", "metadata": {}}, {"text": "Here.\n", "metadata": state}] for state in states]
    return {
        "goal": {**empty, "eod": True, "message": message, **goal},
        "log": [turn for pair in turns for turn in pair],
    }


def write(folder, dialogues, **files):
    """A folder in the official layout; `files` are texts, by name without `.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(folder / "db")
    (folder / "data.json").write_text(json.dumps(dialogues), encoding="utf-8")
    for name, text in files.items():
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder
