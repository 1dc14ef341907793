"""Tables for ToolWOZ's tests: four of a few rows, and MultiWOZ's where they are at hand."""

import json
import os
from pathlib import Path

import pytest
from places import DATA

from josh.envs.toolwoz.database import Database


def train(number, day, leaves, arrives, start="here", end="there"):
    return {
        "trainID": number,
        "day": day,
        "leaveAt": leaves,
        "arriveBy": arrives,
        "departure": start,
        "destination": end,
    }


def tables():
    """Two of everything, but for trains; rows of lists that nobody shares."""
    return {
        "restaurant": [
            {"id": "7", "name": "Eve's", "area": "north", "food": "thai", "pricerange": "cheap", "location": [1, 2]},
            {"id": "8", "name": "hut", "area": "south", "food": "thai", "pricerange": "cheap", "phone": None},
        ],
        "hotel": [
            {
                "id": number,
                "name": name,
                "area": "north",
                "internet": "yes",
                "parking": "no",
                "pricerange": "cheap",
                "stars": stars,
                "type": "hotel",
            }
            for number, name, stars in (("0", "one", "3"), ("1", "two", "4"))
        ],
        "attraction": [
            {"id": "1", "name": "green", "area": "north", "type": "park", "pricerange": "?"},
            {"id": "2", "name": "stage", "area": "south", "type": "theatre", "pricerange": "free"},
        ],
        "train": [
            train("TR1", "monday", "05:00", "05:51"),
            train("TR1", "monday", "11:00", "11:51"),
            train("TR1", "tuesday", "11:00", "11:51"),
            train("TR2", "monday", "23:21", "01:58"),
            train("TR3", "monday", "23:30", "24:08"),
        ],
    }


def write_tables(folder, **changed):
    """The tables as files, some domains' rows or whole text changed."""
    folder.mkdir(exist_ok=True)
    for domain, rows in {**tables(), **changed}.items():
        text = rows if isinstance(rows, str) else json.dumps(rows)
        (folder / f"{domain}_db.json").write_text(text, encoding="utf-8")
    return folder


def real_database():
    """MultiWOZ's own tables; skips the test where there are none."""
    beside = DATA / "multiwoz"
    folder = Path(os.environ.get("JOSH_TEST_MULTIWOZ") or beside) / "db"
    if not (folder / "train_db.json").exists():
        pytest.skip("MultiWOZ's database is not here; name the folder that db/ is in in JOSH_TEST_MULTIWOZ")
    return Database.load(folder)
