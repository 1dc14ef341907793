"""Probes with scripted models: a server that plays model, baseline and judge, and right answers to items."""

import json
import re
from pathlib import Path

from josh.cli import main
from josh.runs.probe.items import ITEMS

SOLUTIONS = {
    "arithmetic": ["42", "45", "84", "12", "795", "636", "322", "39", "8", "-9", "36", "9", "120", "38", "205", "3.50"],
    "extraction": [
        '{"name": "Tomas Berg", "age": 34, "job": "baker"}',
        '{"quantity": 3, "color": "blue", "room": 12}',
        '{"day": "Friday", "time": "15:30", "place": "Hall B"}',
        '{"invoice": 4471, "total": 89.90, "due": "2031-05-14"}',
        '{"flight": "KX208", "from": "Oslo", "to": "Rome", "delay": 40}',
        '{"email": "ana.ruiz@example.org", "phone": "555-0142"}',
        '{"items": ["flour", "eggs", "butter"]}',
        '{"door_locked": false, "window_open": true}',
        '{"city": "Bergen", "temperature": 7, "raining": true}',
        '{"title": "The Salt Road", "author": "Jane Harris", "pages": 312}',
        '{"winner": "Ajora", "loser": "Belmont"}',
        '{"name": "Lena Koch", "phone": null}',
        '{"name": "Omar", "city": "Cairo", "cats": 2}',
        '{"lamp": 45, "desk": 120}',
        '{"day": 9, "month": "March", "year": 1987}',
        '{"ticket": 88, "closed_by": "Ivo", "days": 6}',
    ],
    "format": [
        "lantern lantern lantern",
        "BLUE",
        "blue\nred\nyellow",
        "1, 2, 3, 4, 5",
        "f-e-d-c-b-a",
        "The small boat crossed the lake at noon.",
        "The garden is full of roses.",
        "The sea is wide and blue. Its waves never rest.",
        "How cold is the winter in your town?",
        "good morning, dear neighbor!",
        "elpam",
        "apple, cherry, mango, pear",
        "- a knife\n- a whisk\n- a pan\n- a grater",
        "WE MEET AT DAWN",
        "[2, 4, 6]",
        "The bicycle " + "rolls quietly along the long road by the river " * 4 + "today.",
    ],
    "facts": ["Yes.", "No."] * 8,
}
"""A right reply to each item, by kind and in order."""
ANSWERS = {one.prompt: SOLUTIONS[one.kind][int(one.id.rpartition("-")[2]) - 1] for one in ITEMS}
CATEGORIES = ("writing", "roleplay", "extraction", "math", "coding", "reasoning", "stem", "humanities")
JUDGING = "double brackets"
_ASSISTANTS = re.compile(r"### Assistant ([AB])\n(.*?)(?=\n\n##|\Z)", re.DOTALL)


def write_questions(path, count=80):
    """Writes questions of two turns, ten of each category in turn, in MT-Bench's form."""
    rows = [
        {
            "question_id": 81 + number,
            "category": CATEGORIES[number * len(CATEGORIES) // count],
            "turns": [f"Question {number}, first turn?", f"Question {number}, second turn?"],
        }
        for number in range(count)
    ]
    return write_lines(path, rows)


def write_references(path, ids, text="the right answer"):
    """Writes right answers of two turns, in the form of MT-Bench's reference_answer."""
    rows = [
        {"question_id": one, "model_id": "teacher", "choices": [{"index": 0, "turns": [f"{text} 1", f"{text} 2"]}]}
        for one in ids
    ]
    return write_lines(path, rows)


def write_lines(path, rows):
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return Path(path)


def speaks(judge, model="the tuned answer", baseline="the base answer", wrong=()):
    """Returns what a server says: `judge(texts)` decides, where texts has the last answers of A and B, or one answer.

    Args:
        judge: returns the text of a verdict.
        model: the model's answer to every question.
        baseline: the baseline's.
        wrong: kinds of items that the model gets wrong.
    """
    kinds = {one.prompt: one.kind for one in ITEMS}

    def respond(body):
        messages = body["messages"]
        asked = messages[-1]["content"]
        if messages[0]["role"] == "system" and JUDGING in messages[0]["content"]:
            pairs = _ASSISTANTS.findall(asked)
            if pairs:
                return judge(dict(pairs))
            return judge({"": asked.rpartition("### Assistant\n")[2]})
        if asked in ANSWERS:
            return "ok" if body["model"] == "tuned" and kinds[asked] in wrong else ANSWERS[asked]
        return model if body["model"] == "tuned" else baseline

    return respond


def probe(url, *flags, code=0):
    """Runs `josh probe` with the server's models; returns the numbers."""
    assert main(["probe", "--model", "tuned", "--baseline", "base", "--base_url", url, *map(str, flags)]) == code
    return figures()


def figures():
    """Returns the numbers of the latest probe in `records/`."""
    found = max(Path("records").glob("probe-*/probe.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(found.read_text())
