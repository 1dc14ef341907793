"""States from MBPP (Austin et al., 2021), a data set of small tasks in Python with tests.

Two layouts are read, as JSON lines or as one JSON array: the full one (`text`, `test_setup_code`, `test_list`,
`challenge_test_list`), and the sanitized one (`prompt`, `test_imports`, `test_list`). The tests and their setup are
kept. A request names the function that the tests call; without it no solution could pass them. The reference solution
is left out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from josh.config import listed
from josh.envs.proactive.asserts import function_of
from josh.envs.proactive.states import State, state_from
from josh.errors import UsageError
from josh.texts import json_rows
from josh.threads import plain

SPLITS: Final = {"test": (11, 510), "validation": (511, 600), "train": (601, 974), "prompt": (1, 10)}
"""The published splits: the first and the last `task_id` of each. Besides these, `all` means all rows."""
LAYOUTS: Final = ("full", "sanitized")
DATA_SET: Final = "google-research-datasets/mbpp"


def load_mbpp(path: Path | None, split: str = "test", limit: int | None = None, layout: str = "full") -> list[State]:
    """Returns the states of a file of MBPP, or of MBPP through the package `datasets`, in their order.

    Args:
        path: the file; None for `datasets`.
        split: one of `SPLITS`, or `all`.
        limit: how many states at most; None for all.
        layout: one of `LAYOUTS`, for `datasets` alone; a file shows its own.

    Raises:
        UsageError: the split is unknown or empty, the file cannot be read, or a row is wrong; the error names the line.
    """
    if split not in (*SPLITS, "all"):
        raise UsageError(f"split is {split!r}; give {listed((*SPLITS, 'all'))}")
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; give 1 or more")
    found: list[State] = []
    places: dict[str, str] = {}
    for where, row in _rows(path, split, layout):
        number = _number(row, where)
        if split != "all" and not SPLITS[split][0] <= number <= SPLITS[split][1]:
            continue
        state = state_of_row(row, where)
        if state.id in places:
            raise UsageError(f"{where}: the task_id {number} occurs twice, first at {places[state.id]}; change one")
        places[state.id] = where
        found.append(state)
        if len(found) == limit:
            break
    if not found:
        source = DATA_SET if path is None else path
        first, last = SPLITS.get(split, (0, 0))
        ids = "" if split == "all" else f", which has the task_id {first} to {last}; give another split, or all"
        raise UsageError(f"{source} has no tasks of the split {split}{ids}")
    return found


def state_of_row(row: Mapping[str, Any], where: str) -> State:
    """Returns the state of a row of MBPP.

    Args:
        row: the row, in either layout.
        where: the row's place, for error messages.

    Raises:
        UsageError: the row has no request or no tests, a test does not parse, or the tests call no function.
    """
    number = _number(row, where)
    request = row.get("text", row.get("prompt"))
    if not isinstance(request, str) or not request.strip():
        raise UsageError(f"{where}: the task has no request; give a text as `text` or `prompt`")
    for key in ("test_setup_code", "test_imports", "test_list", "challenge_test_list"):
        _texts(row, key, where)
    tests = _texts(row, "test_list", where)
    if not tests:
        raise UsageError(f"{where}: the task has no tests; give assertions as `test_list`")
    given = {
        "id": f"mbpp-{number}",
        "query": request.strip(),
        "mbpp_setup": "\n".join([*_texts(row, "test_imports", where), *_texts(row, "test_setup_code", where)]),
        "mbpp_tests": tests,
    }
    name = function_of((state := state_from(given, where)).tests, state.setup)
    if name is None:
        raise UsageError(f"{where}: the tests call no function ({tests[0]!r:.60}); give assertions that do")
    challenge = _texts(row, "challenge_test_list", where)
    more = {"mbpp_challenge_tests": challenge} if challenge else {}
    query = f"{given['query']}\nThe name of the function: {name}"
    return state_from({**given, "query": query, "task_id": number, "function": name, **more}, where)


def _number(row: Any, where: str) -> int:
    if not isinstance(row, Mapping):
        raise UsageError(f"{where} is {row!r:.60}; give a JSON object with task_id, text and test_list")
    number = row.get("task_id")
    if isinstance(number, bool) or not isinstance(number, int):
        raise UsageError(f"{where}: task_id is {number!r:.60}; give a whole number")
    return number


def _texts(row: Mapping[str, Any], key: str, where: str) -> list[str]:
    """Returns the texts of a key, a text or a list of texts, without empty ones."""
    given = row.get(key)
    texts = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(one, str) for one in texts):
        raise UsageError(f"{where}: {key} is {given!r:.60}; give a list of texts")
    return [one for one in texts if one.strip()]


def _rows(path: Path | None, split: str, layout: str) -> Iterator[tuple[str, Any]]:
    """Yields the rows with their places."""
    if path is not None:
        yield from ((where, row) for where, row in json_rows(path) if row != [])  # an empty array
        return
    if layout not in LAYOUTS:
        raise UsageError(f"layout is {layout!r}; give {listed(LAYOUTS)}")
    try:
        from datasets import load_dataset
    except ImportError:
        raise UsageError("MBPP needs the package datasets: pip install datasets; or give a file") from None
    for part in SPLITS if split == "all" else (split,):
        try:
            rows = load_dataset(DATA_SET, layout, split=part)
        except Exception as error:
            raise UsageError(
                f"datasets cannot load {DATA_SET} {layout}, split {part}: {plain(error)}; give a file"
            ) from None
        yield from ((f"{DATA_SET} {part} row {number}", dict(row)) for number, row in enumerate(rows, start=1))
