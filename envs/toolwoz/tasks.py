"""The data of ToolWOZ's tasks: a user's goal and the calls that earn; and made-up goals over any database.

A task's data, the same for made-up tasks and those of MultiWOZ (Budzianowski et al., 2018), in plain JSON:

    goal        a wish for each domain, in the order of the conversation: `info` (values to search for, by parameter),
                `fail_info` (values to search for first, for which nothing matches), `book` and `fail_book` (the same
                for the booking), `reqt` (names of details to ask for). All five keys exist; unused ones are empty.
                Values of `fail_info` and `fail_book` replace those of `info` and `book`.
    message     the goal in natural sentences, in the second person.
    targets     the calls that earn: `domain`, `api`, `parameters` (see `values.constraints`), `id` (of the row to
                book; None for a search without a booking after it), and for a search `booked` (whether a booking
                follows). At most one target for each api.
    failures    the calls that must fail: `domain`, `api`, `parameters`. A search finds nothing, a booking is refused.
    dialogue    the human conversation as messages of `user` and `assistant`; empty without one.
    source      "generated" or "multiwoz".
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from josh.envs.toolwoz.database import KEYS, Database, Row
from josh.envs.toolwoz.tools import DAYS, PARAMETERS
from josh.envs.toolwoz.values import constraints, normalize, satisfies
from josh.envs.toolwoz.wording import Wish, goal_sentences
from josh.errors import UsageError
from josh.roles import Task
from josh.seeds import derive

SPLITS = ("train", "val", "test")
"""The splits of made-up tasks."""
PARTS = ("info", "fail_info", "book", "fail_book", "reqt")
"""The parts of a wish."""

Goal: TypeAlias = Mapping[str, Wish]


def task_data(
    goal: Goal,
    message: Sequence[str],
    chosen: Mapping[str, Row],
    database: Database,
    source: str,
    dialogue: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Returns a task's data, with calls computed from the goal (Lattimer et al., 2024, arXiv:2409.04617, §4.1).

    Args:
        goal: see the module.
        message: the goal in sentences.
        chosen: the row to book, for every domain with a booking.
        database: the database that the rows belong to.
        source: "generated" or "multiwoz".
        dialogue: the human conversation.
    """
    return {
        "goal": {domain: {part: _copied(wish[part]) for part in PARTS} for domain, wish in goal.items()},
        "message": list(message),
        "targets": _all_targets(goal, chosen, database),
        "failures": [failure for domain, wish in goal.items() for failure in _failures(domain, wish, chosen)],
        "dialogue": [dict(each) for each in dialogue],
        "source": source,
    }


def perfect_calls(data: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Returns calls, as name and arguments, that earn all targets of a task; failing calls precede their target."""
    calls: list[tuple[str, dict[str, str]]] = []
    for target in data["targets"]:
        failing = [each for each in data["failures"] if each["api"] == target["api"]]
        calls.extend((each["api"], dict(each["parameters"])) for each in (*failing, target))
    return calls


def made_up(database: Database, split: str, count: int, seed: int) -> list[Task]:
    """Makes up tasks.

    No two tasks of a list have the same set of earning calls. Each possible set belongs to one split, so that tasks of
    two splits never share one, with any seeds. A longer list begins with the tasks of a shorter one.

    Args:
        database: the database to ask for.
        split: one of `SPLITS`.
        count: number of tasks.
        seed: the seed of all draws.

    Raises:
        UsageError: the database is too small for so many, or holds nothing that has a name of its own.
    """
    pools = {domain: pool for domain in KEYS if (pool := _pool(database, domain))}
    if not pools:
        raise UsageError("nothing in the database has a name of its own; give --data with another database")
    seen: set[str] = set()
    tasks = []
    for index in range(count):
        for attempt in range(_ATTEMPTS):
            chance = random.Random(derive("toolwoz", seed, split, index, attempt))
            goal, chosen = _wishes(database, pools, chance)
            targets = _all_targets(goal, chosen, database)
            earns = json.dumps(sorted((each["api"], each["parameters"]) for each in targets), sort_keys=True)
            if earns not in seen and SPLITS[derive("split", earns) % len(SPLITS)] == split:
                break
        else:
            raise UsageError(f"synthetic_tasks is {count}, and {split} has no more than {index} in it; give fewer")
        seen.add(earns)
        data = task_data(goal, goal_sentences(goal, chance), chosen, database, "generated")
        tasks.append(Task(f"generated-{split}-{index:04d}", index, data))
    return tasks


def _copied(part: Any) -> Any:
    return dict(part) if isinstance(part, Mapping) else list(part)


def _all_targets(goal: Goal, chosen: Mapping[str, Row], database: Database) -> list[dict[str, Any]]:
    return [target for domain, wish in goal.items() for target in _targets(domain, wish, chosen, database)]


def _targets(domain: str, wish: Wish, chosen: Mapping[str, Row], database: Database) -> Iterator[dict[str, Any]]:
    row = chosen.get(domain)
    row_id = None if row is None else database.row_id(domain, row)
    # Any search would meet a wish without constraints, so such a wish makes no target.
    if search := _only(f"search_{domain}", wish["info"]):
        yield {
            "domain": domain,
            "api": f"search_{domain}",
            "parameters": search,
            "id": row_id,
            "booked": row is not None,
        }
    if row is not None:
        yield {
            "domain": domain,
            "api": f"book_{domain}",
            "parameters": _booking(domain, wish["book"], row),
            "id": row_id,
        }


def _failures(domain: str, wish: Wish, chosen: Mapping[str, Row]) -> Iterator[dict[str, Any]]:
    # A failing call must differ from the call that earns, or the latter would fail, too.
    if wish["fail_info"]:
        failing = _only(f"search_{domain}", {**wish["info"], **wish["fail_info"]})
        if not satisfies(wish["info"], failing):
            yield {"domain": domain, "api": f"search_{domain}", "parameters": failing}
    if wish["fail_book"] and domain in chosen:
        failing = _booking(domain, {**wish["book"], **wish["fail_book"]}, chosen[domain])
        if not satisfies(_booking(domain, wish["book"], chosen[domain]), failing):
            yield {"domain": domain, "api": f"book_{domain}", "parameters": failing}


def _booking(domain: str, book: Mapping[str, Any], row: Row) -> dict[str, str]:
    key = KEYS[domain]
    return constraints({key: row[key]}) | _only(f"book_{domain}", book)


def _only(api: str, values: Mapping[str, Any]) -> dict[str, str]:
    return constraints({name: value for name, value in values.items() if name in PARAMETERS[api]})


# From here on: made-up goals.

_DOMAIN_COUNTS = (0.3, 0.4, 0.3)
_BY_NAME = 0.12
_BOOKING = 0.7
_SHARED = 0.7
_FAILING_SEARCH = 0.25
_FAILING_BOOKING = 0.15
_MOST_CONSTRAINTS = 4
_ATTEMPTS = 1000
_UNKNOWN = ("", "?", None)
_TRAITS = {
    "restaurant": ("food", "pricerange", "area"),
    "hotel": ("type", "pricerange", "area", "stars", "internet", "parking"),
    "attraction": ("type", "area"),
}
_BOOKED = {"restaurant": ("people", "day", "time"), "hotel": ("people", "day", "stay"), "train": ("people",)}
_DETAILS = {
    "restaurant": ("phone", "address", "postcode", "food", "pricerange", "area"),
    "hotel": ("phone", "address", "postcode", "pricerange", "type", "stars", "area"),
    "attraction": ("phone", "address", "postcode", "entrance fee", "type", "area"),
    "train": ("trainID", "price", "duration", "leaveAt", "arriveBy"),
}


def _wishes(
    database: Database, pools: Mapping[str, Sequence[Row]], chance: random.Random
) -> tuple[dict[str, Wish], dict[str, Row]]:
    """A goal, and the rows to be booked."""
    [count] = chance.choices((1, 2, 3), _DOMAIN_COUNTS)
    domains = chance.sample(list(pools), min(count, len(pools)))
    rows = {domain: chance.choice(pools[domain]) for domain in domains}
    # One party on one journey: mostly the same people on the same day.
    party = {
        "people": _draw("people", chance),
        "day": rows["train"]["day"] if "train" in rows else _draw("day", chance),
    }
    goal: dict[str, Wish] = {}
    chosen: dict[str, Row] = {}
    for domain in domains:
        info = _info(domain, rows[domain], chance)
        book = {}
        if domain in _BOOKED and chance.random() < _BOOKING:
            chosen[domain] = rows[domain]
            shared = party if chance.random() < _SHARED else {}
            book = {name: shared.get(name) or _draw(name, chance) for name in _BOOKED[domain]}
        goal[domain] = {
            "info": info,
            "fail_info": _fail_info(database, domain, info, chance),
            "book": book,
            "fail_book": _fail_book(book, chance),
            "reqt": _requests(database, domain, info, bool(book), chance),
        }
    return goal, chosen


def _pool(database: Database, domain: str) -> list[Row]:
    """Returns the rows that a booking can name uniquely; some of MultiWOZ's trains share an ID."""
    rows, key = database.rows(domain), KEYS[domain]
    times = Counter(normalize(row[key]) for row in rows)
    return [row for row in rows if times[normalize(row[key])] == 1]


def _info(domain: str, row: Row, chance: random.Random) -> dict[str, str]:
    if domain == "train":
        info = {name: str(row[name]) for name in ("departure", "destination", "day")}
        leaves, arrives = _minutes(row["leaveAt"]), -(-_minutes(row["arriveBy"]) // 15) * 15
        # A user does not ask for a time of arrival after midnight.
        if chance.random() < 0.5 and leaves < arrives < 24 * 60:
            return {**info, "arriveBy": _clock(arrives)}
        return {**info, "leaveAt": _clock(leaves // 15 * 15)}
    known = [name for name in _TRAITS[domain] if _is_known(row, name)]
    if not known or chance.random() < _BY_NAME:
        return {"name": str(row["name"])}
    picked = chance.sample(known, chance.randint(1, min(_MOST_CONSTRAINTS, len(known))))
    return {name: str(row[name]) for name in known if name in picked}


def _fail_info(database: Database, domain: str, info: Mapping[str, str], chance: random.Random) -> dict[str, str]:
    """Returns the search with one value changed so that nothing matches; empty for most goals."""
    if domain == "train" or len(info) < 2 or chance.random() >= _FAILING_SEARCH:
        return {}
    others = [{**info, name: value} for name in info for value in database.values(domain, name)]
    chance.shuffle(others)
    return next((other for other in others if not database.matches(domain, other)), {})


def _fail_book(book: Mapping[str, str], chance: random.Random) -> dict[str, str]:
    """Returns another day, time or length of stay, which the server refuses; empty for most goals."""
    names = [name for name in ("day", "time", "stay") if name in book]
    if not names or chance.random() >= _FAILING_BOOKING:
        return {}
    name = chance.choice(names)
    value = _draw(name, chance)
    while value == book[name]:
        value = _draw(name, chance)
    return {name: value}


def _requests(
    database: Database, domain: str, info: Mapping[str, str], booked: bool, chance: random.Random
) -> list[str]:
    """Returns up to two details that every fitting row has; without a booking at least one, if there is any."""
    fitting = database.find(domain, info)
    known = [name for name in _DETAILS[domain] if name not in info and all(_is_known(row, name) for row in fitting)]
    return chance.sample(known, min(chance.randint(0 if booked else 1, 2), len(known)))


def _is_known(row: Row, name: str) -> bool:
    return row.get(name) not in _UNKNOWN


def _draw(name: str, chance: random.Random) -> str:
    """Draws a value for a booking."""
    if name == "day":
        return chance.choice(DAYS)
    if name == "time":
        return _clock(15 * chance.randint(4 * 11, 4 * 20))
    return str(chance.randint(1, 5 if name == "stay" else 8))


def _minutes(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
