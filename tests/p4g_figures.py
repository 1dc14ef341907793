"""What the donor's tests need of the real corpus; they skip where it is not at hand. And a line without a model."""

import csv
import os
from functools import lru_cache
from pathlib import Path
from random import Random

import openpyxl
import pytest

ROOT = Path(__file__).resolve().parent.parent


class Dice:
    """What a step sees of a model, without a model."""

    def __init__(self, seed=1, temperature=1.0):
        self.temperature = temperature
        self.rng = Random(seed)

    def draw(self):
        return self.rng.randrange(1, 2**31)


def corpus_file(name):
    folder = Path(os.environ.get("JOSH_TEST_CORPUS") or ROOT.parent / "shared" / "data" / "persuasionforgood")
    if not (folder / name).is_file():
        pytest.skip(f"no {name} of Persuasion for Good; set JOSH_TEST_CORPUS to its folder")
    return folder / name


@lru_cache(maxsize=1)
def annotated_turns():
    """The 300 annotated dialogues, as persuader turns (acts by label, text)."""
    book = openpyxl.load_workbook(corpus_file("300_dialog.xlsx"), read_only=True)
    rows = book.active.iter_rows(values_only=True)
    column = {name: place for place, name in enumerate(next(rows))}
    dialogues = {}
    for row in rows:
        if row[column["B4"]] == 0:
            turns = dialogues.setdefault(row[column["B2"]], {})
            labels, words = turns.setdefault(row[column["Turn"]], (set(), []))
            labels.add(row[column["er_label_1"]] or "other")
            words.append(str(row[column["Unit"]]))
    book.close()
    return [
        [(frozenset(labels), " ".join(words)) for _, (labels, words) in sorted(turns.items())]
        for turns in dialogues.values()
    ]


@lru_cache(maxsize=1)
def surveyed_persuadees():
    """The corpus's persuadees, once per dialogue, as (id, traits)."""
    with corpus_file("full_info.csv").open(encoding="utf-8", newline="") as file:
        return [
            (row["B3"], {name.removesuffix(".x"): value or None for name, value in row.items() if name.endswith(".x")})
            for row in csv.DictReader(file)
            if row["B4"] == "1"
        ]
