"""Reads the rows of slime's persuasion example (examples/persuasion/prepare_persuasion_data.py, simonucl/slime).

A row is `{"conversation_id", "persuader_id", "persuadee_id", "split", "persuader_persona", "persuadee_persona",
"ground_truth_donation", "dialogue_id"}`, with or without `index`. A persona is ConvoKit's record of a person.
"""

import math
from collections.abc import Mapping
from typing import Any

from josh.envs.persuasion.corpus import anonymous
from josh.errors import UsageError

_NEEDED = ("conversation_id", "persuader_id", "persuadee_id", "persuader_persona", "persuadee_persona")
DONATION = "ground_truth_donation"
"""What the persuadee gave in the recorded conversation, in dollars; None where unknown."""


def is_slime_row(row: Any) -> bool:
    """Returns whether a row of a task file has the form of slime's example."""
    return isinstance(row, Mapping) and "id" not in row and all(name in row for name in _NEEDED)


def from_slime(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Returns the row in josh's form, with the ids of people hashed as those of the corpus.

    Args:
        row: the row.
        place: the file and line, for errors.

    Raises:
        UsageError: a persona is not an object, or an answer is not a number where it has to be one.
    """
    name = str(row.get("dialogue_id") or row["conversation_id"])
    data: dict[str, Any] = {"conversation_id": name}
    for side in ("persuader", "persuadee"):
        answers = row[f"{side}_persona"]
        if not isinstance(answers, Mapping):
            raise UsageError(f"{place}: {side}_persona is {answers!r:.60}; give an object with the person's answers")
        person = anonymous(str(row[f"{side}_id"]), answers, f"{place}: {side}_persona")
        data[side] = {"id": person.id, "traits": dict(person.traits)}
    if DONATION in row:
        given = row[DONATION]
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | float)):
            raise UsageError(f"{place}: {DONATION} is {given!r:.60}; give dollars, or null")
        data[DONATION] = given if given is not None and math.isfinite(given) else None
    return {"id": f"p4g-{name}", "split": row.get("split"), "data": data, "metadata": row.get("metadata") or {}}
