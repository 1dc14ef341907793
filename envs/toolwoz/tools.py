"""ToolWOZ's eight tools (Lattimer et al., 2024, arXiv:2409.04617): a search and a booking in each of four domains."""

from collections.abc import Mapping
from typing import Any

from josh.envs.toolwoz.database import Database

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "search_restaurant": ("area", "food", "name", "pricerange"),
    "book_restaurant": ("name", "people", "day", "time"),
    "search_hotel": ("area", "internet", "name", "parking", "pricerange", "stars", "type"),
    "book_hotel": ("name", "people", "day", "stay"),
    "search_attraction": ("area", "name", "type"),
    "book_attraction": ("name",),
    "search_train": ("arriveBy", "day", "departure", "destination", "leaveAt"),
    "book_train": ("trainID", "people"),
}
"""The tools, each with the names of its parameters."""

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_DOES = {
    "search_restaurant": "Look up a restaurant. Answers with one that matches, or with an empty list where none does.",
    "book_restaurant": "Book a table. Answers whether the booking was made, with its reference number.",
    "search_hotel": "Look up a hotel or guesthouse. Answers with one that matches, or an empty list where none does.",
    "book_hotel": "Book a room. Answers whether the booking was made, with its reference number.",
    "search_attraction": "Look up a sight or a place to go. Answers with one that matches, or an empty list.",
    "book_attraction": "Attractions take no bookings; this says so.",
    "search_train": "Look up a train. Answers with one that matches, or with an empty list where none does.",
    "book_train": "Book seats on a train. Answers whether the booking was made, with its reference number.",
}
_MEANS = {
    "area": "part of town",
    "arriveBy": "latest time of arrival, such as 17:45",
    "day": "day of the week",
    "departure": "station it leaves from",
    "destination": "station it goes to",
    "food": "cuisine",
    "internet": "whether it has internet",
    "leaveAt": "earliest time of departure, such as 09:15",
    "name": "its name",
    "parking": "whether it has parking",
    "people": "for how many people, such as 2",
    "pricerange": "how dear it is",
    "stars": "how many stars it has",
    "stay": "how many nights, such as 3",
    "time": "time of day, such as 18:30",
    "trainID": "the train's ID, as search_train gives it",
    "type": "what kind of place it is",
}
_OPEN = frozenset(("name", "arriveBy", "leaveAt"))


def domain_of(tool: str) -> str:
    """Returns the domain of a tool of `PARAMETERS`."""
    return tool.split("_")[1]


def tools_of(database: Database) -> tuple[dict[str, Any], ...]:
    """Returns the schemas of the eight tools in the chat-completions format, in the order of `PARAMETERS`.

    All parameters are optional strings. A search parameter with few possible values has the database's values as its
    `enum`, sorted. Days are in the order of the week; a booking takes all seven.
    """
    return tuple(_schema(database, tool) for tool in PARAMETERS)


def _schema(database: Database, tool: str) -> dict[str, Any]:
    properties = {name: _property(database, tool, name) for name in PARAMETERS[tool]}
    parameters = {"type": "object", "properties": properties, "required": []}
    return {"type": "function", "function": {"name": tool, "description": _DOES[tool], "parameters": parameters}}


def _property(database: Database, tool: str, name: str) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "string", "description": _MEANS[name]}
    if tool.startswith("search_") and name not in _OPEN:
        values = database.values(domain_of(tool), name)
        described["enum"] = [day for day in DAYS if day in values] if name == "day" else list(values)
    elif name == "day":
        described["enum"] = list(DAYS)
    return described
