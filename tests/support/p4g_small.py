"""A Persuasion for Good corpus of six made-up chats, written in each form the real one comes in."""

import csv
import json
import os
from pathlib import Path

import openpyxl
import pytest
from places import DATA

from josh.envs.persuasion.personas import ATTRIBUTES

NAN = float("nan")
NAMES = ("ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal", "ivy", "jon")
# id, persuader, persuadee, donation, intended, labelled. ann, bob, cat and hal hang together.
CHATS = (
    ("20180101-1_live", "ann", "bob", 0.5, 1.0, True),
    ("20180102-2_live", "bob", "cat", 0.0, None, True),
    ("20180103-3_live", "dan", "eve", 2.0, 0.0, True),
    ("BAD_20180104-4_live", "fay", "gus", 50.0, None, False),
    ("20180105-5_live", "ann", "hal", 0.0, None, False),
    ("20180106-6_live", "ivy", "jon", 0.1, None, False),
)
# role, turn, sentences with their labels
LINES = (
    (0, 0, (("Hello, you.", "greeting"), ("Nice day.", "off-task"), ("Hi again.", "greeting"))),
    (1, 0, (("Hi there.", "greeting"),)),
    (0, 1, (("Would you give?", "proposition-of-donation"),)),
    (1, 1, (("I may.", "agree-donation"), ("A bit.", "provide-donation-amount"))),
)


def worker(name):
    return f"WORKER_{name}"


def answers(name):
    """The survey of one person: cat mistyped her age, hal left all of it out."""
    if name == "hal":
        return {each.name: None for each in ATTRIBUTES}
    number = NAMES.index(name)
    given = {each.name: each.low + number % 3 if each.numeric else next(iter(each.shares)) for each in ATTRIBUTES}
    return given | {"age": 3.0 if name == "cat" else 20.0 + number, "loyalty": 4.333333333}


def write_original(folder, annotations=True):
    """`full_info.csv`, `full_dialog.csv` and, by default, the workbooks of the labelled chats."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [each.name for each in ATTRIBUTES]
    info, dialog, sentences, intentions = [], [], [], []
    for chat, persuader, persuadee, donation, intended, labelled in CHATS:
        for role, person in enumerate((persuader, persuadee)):
            survey = ["" if answers(person)[name] is None else answers(person)[name] for name in columns]
            info.append([chat, worker(person), role, donation if role else 0.0, 2, *survey])
            if labelled:
                intentions.append([chat, worker(person), role, intended if role else 7.0, donation, 2])
        for role, turn, parts in LINES:
            dialog.append([len(dialog), " ".join(text for text, _ in parts), turn, role, chat])
            for text, label in parts if labelled else ():
                labels = [label, None] if role == 0 else [None, label]
                sentences.append([len(sentences), chat, role, turn, text, *labels, None, None, 0, 1, 0])
    write_csv(folder / "full_info.csv", ["B2", "B3", "B4", "B6", "B7", *(f"{name}.x" for name in columns)], info)
    write_csv(folder / "full_dialog.csv", ["", "Unit", "Turn", "B4", "B2"], dialog)
    if annotations:
        write_sheet(folder / "300_info.xlsx", ["B2", "B3", "B4", "B5", "B6", "B7"], intentions)
        labels = ["er_label_1", "ee_label_1", "er_label_2", "ee_label_2"]
        header = ["B2", "B4", "Turn", "Unit", *labels, "neg", "neu", "pos"]
        write_sheet(folder / "300_dialog.xlsx", [None, *header], sentences)
    return folder


def write_convokit(folder, new):
    """The ConvoKit form, in its newer or older dialect, its utterances in a jumbled order."""
    folder.mkdir(parents=True, exist_ok=True)
    utterances, conversations = [], {}
    for chat, persuader, persuadee, donation, intended, labelled in CHATS:
        root = str(len(utterances))
        facts = {
            "dialogue_id": chat,
            "user_er": worker(persuader),
            "user_ee": worker(persuadee),
            "donation_er": 0.0,
            "donation_ee": donation,
            "is_annotated": intended is not None,
            "intended": NAN if intended is None else intended,
        }
        conversations[root] = {"meta": facts, "vectors": []} if new else facts
        for role, turn, parts in LINES:
            meta = {"role": role, "user_turn_id": turn, "label_1": [label for _, label in parts] if labelled else NAN}
            text, speaker = " ".join(text for text, _ in parts), worker((persuader, persuadee)[role])
            common = {"id": str(len(utterances)), "text": text, "meta": meta, "timestamp": None}
            if new:
                ours = {"conversation_id": root, "speaker": speaker, "reply-to": None, "vectors": []}
            else:
                ours = {"root": root, "user": speaker, "reply_to": None}
            utterances.append(common | ours)
    jumbled = utterances[::2] + utterances[1::2]
    (folder / "utterances.jsonl").write_text("".join(json.dumps(each) + "\n" for each in jumbled), encoding="utf-8")
    (folder / "conversations.json").write_text(json.dumps(conversations), encoding="utf-8")
    people = {}
    for name in NAMES:
        survey = {key: NAN if value is None else value for key, value in answers(name).items()}
        people[worker(name)] = {"meta": survey, "vectors": []} if new else survey
    (folder / ("speakers.json" if new else "users.json")).write_text(json.dumps(people), encoding="utf-8")
    return folder


FORMS = {
    "original": write_original,
    "old ConvoKit": lambda folder: write_convokit(folder, new=False),
    "new ConvoKit": lambda folder: write_convokit(folder, new=True),
}


def write_csv(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_sheet(path, header, rows):
    workbook = openpyxl.Workbook()
    for row in (header, *rows):
        workbook.active.append(row)
    workbook.save(path)


def real_corpus():
    """The folder of the real corpus; skips the test where there is none."""
    beside = DATA / "persuasionforgood"
    folder = Path(os.environ.get("JOSH_TEST_CORPUS") or beside)
    if not (folder / "full_info.csv").exists():
        pytest.skip("the real corpus is not here; name its folder in JOSH_TEST_CORPUS")
    return folder
