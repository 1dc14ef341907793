"""Files of preferences between actions as files of states, so that a policy can be compared with them.

A preference has a `state` and a `chosen_action` (the README of ProactiveLLM). A file may have several preferences about
the same request: those of later turns, and those with other users. The first state with an id keeps it; the next ones
are `q@1`, `q@2` and so on, and `state_id` names the first. Made-up states are recognised, and have what grades them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from josh.envs.proactive.actions import ACTIONS
from josh.envs.proactive.synthetic import made_up_as
from josh.errors import UsageError
from josh.texts import json_rows

CHOSEN: Final = "chosen_action"
"""The better action in a state, in the row of the state."""
STATE_ID: Final = "state_id"
"""The id of the request that a state is about, where the state has another id."""


def state_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields the rows of a file, each with its place; of a preference the state, with `chosen_action`.

    Raises:
        UsageError: the file cannot be read, or has trajectories, or a preference has no such action.
    """
    met: dict[str, int] = {}
    for place, row in json_rows(path):
        if not isinstance(row, Mapping) or not isinstance(row.get("state"), Mapping) or "query" in row:
            yield place, row
            continue
        if CHOSEN not in row and "assistant_msg" in row:
            raise UsageError(f"{place} is a trajectory; make preferences of the file: josh proactive rewards")
        if row.get(CHOSEN) not in ACTIONS:
            raise UsageError(f"{place}: {CHOSEN} is {row.get(CHOSEN)!r:.40}; give {' or '.join(ACTIONS)}")
        persona = {"persona": row["persona"]} if row.get("persona") is not None else {}
        state = {**_known_of(row["state"]), **persona, **row["state"], CHOSEN: row[CHOSEN]}
        name = state.get("id")
        if name is not None:
            met[str(name)] = met.get(str(name), -1) + 1
            if met[str(name)]:
                state |= {"id": f"{name}@{met[str(name)]}", STATE_ID: str(name)}
        yield place, state


def _known_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a solution of a made-up state needs and what the user knows; empty for any other state."""
    found = made_up_as(str(state.get("id")), str(state.get("query")))
    if found is None:
        return {}
    return {"needs": list(found.needs), **({"hidden": found.hidden} if found.hidden else {})}
