"""What a report's page holds, read back from it, and the run that it is of."""

import json
import re

from josh.runs.record.stored import stored_episodes

TOY = ("--env", "toy_world:World")
TWICE = ("--env", "toy_twice:World", "--josh", "--beam_size", 1)


def block(page, name):
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(found[1]) if found else None


def head(folder, page="report.html"):
    return block(folder / page, "head")


def trees(folder, page="report.html"):
    """The trees of a page, wherever they lie, in the order of its tasks."""
    shown = head(folder, page)
    if not shown["files"]:
        pieces = [block(folder / page, f"chunk-{at}") for at in range(max(row["chunk"] for row in shown["tasks"]) + 1)]
    else:
        texts = [(folder / file).read_text("utf-8") for file in shown["files"]]
        pieces = [json.loads(re.fullmatch(rf"joshChunk\({at}, (.*)\);\n", text)[1]) for at, text in enumerate(texts)]
    return [pieces[row["chunk"]][row["place"]] for row in shown["tasks"]]


def episodes(folder):
    return [episode for _, episode in stored_episodes(folder / "episodes.jsonl", [])]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())
