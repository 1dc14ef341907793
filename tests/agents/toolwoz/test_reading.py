"""What ToolWOZ's assistant understands of a user's words."""

import pytest
from woz_tables import real_database
from woz_talk import READER

from josh.agents.toolwoz.reading import ASK, BOOK, NO_BOOKING, SEARCH, Reader, Statement
from josh.envs.toolwoz.database import Database
from josh.envs.toolwoz.tasks import made_up
from josh.envs.toolwoz.tools import tools_of
from josh.envs.toolwoz.values import normalize
from josh.users.toolwoz import phrases


@pytest.mark.parametrize(
    ("said", "about", "stated"),
    [
        ("Hi! Could you find me an Indian restaurant in the north?", None, {"food": "indian", "area": "north"}),
        ("It should be moderately priced, and have 4 stars.", "hotel", {"pricerange": "moderate", "stars": "4"}),
        ("A hotel without parking and with internet.", None, {"type": "hotel", "parking": "no", "internet": "yes"}),
        ("Is the hotel in the centre?", "hotel", {"area": "centre"}),
        ("I need a museum.", "hotel", {"type": "museum"}),
        ("A train to Aldermere from Port Elverin.", None, {"destination": "aldermere", "departure": "port elverin"}),
        ("It should leave from Aldermere and be in by 9:45.", "train", {"departure": "aldermere", "arriveBy": "09:45"}),
        ("I want to leave after 11:00 on Friday.", "train", {"leaveAt": "11:00", "day": "friday"}),
        ("A restaurant called The Copper Ladle.", None, {"name": "the copper ladle"}),
        ("Do you have a restaurant that serves Eritrean food?", None, {"food": "eritrean"}),
        ("I do not mind the area.", "restaurant", {"area": ""}),
    ],
)  # fmt: skip
def test_it_hears_what_to_look_for(said, about, stated):
    assert {each.name: each.value for each in READER.read(said, about) if each.kind == SEARCH} == stated


def test_it_hears_what_to_book_what_to_tell_and_what_not_to_do():
    heard = READER.read("Please book a table for 3 people on Sunday at 18:15.", "restaurant")
    assert {each.name: each.value for each in heard if each.kind == BOOK} == {
        "people": "3", "day": "sunday", "time": "18:15", "": "",
    }  # fmt: skip
    heard = READER.read("Book a room for 1 person from Monday for 2 nights, please.", "restaurant")
    assert {each.name: each.value for each in heard if each.kind == BOOK and each.domain == "hotel"} == {
        "people": "1", "day": "monday", "stay": "2", "": "",
    }  # fmt: skip
    asked = READER.read("Could you tell me the phone number, travel time and kind of food?", "train")
    assert [each.name for each in asked if each.kind == ASK] == ["phone", "duration", "food"]
    assert [each.kind for each in READER.read("There is no need to book it.", "hotel")] == [NO_BOOKING]
    assert READER.read("4", "hotel", ("day", "people")) == [Statement("hotel", BOOK, "people", "4")]
    assert READER.read("4", "hotel") == []
    assert [each.name for each in READER.read("It does not matter.", "hotel", ("area", "stars"))] == ["area", "stars"]


@pytest.mark.parametrize("database", [Database.small, real_database], ids=["small", "multiwoz"])
def test_all_that_the_user_can_want_is_understood(database):
    """Every goal's search and booking, and what it falls back to, in whatever words they are put."""
    tables = database()
    hearing, seen = Reader(tools_of(tables)), set()
    for task in made_up(tables, "train", 400, seed=9):
        for domain, wish in task.data["goal"].items():
            for info in filter(None, (wish["info"], wish["info"] | wish["fail_info"])):
                wanted = {name: normalize(value) for name, value in info.items()}
                for said in (
                    f"I need {phrases.thing(domain, info)}.",
                    f"It should {phrases.traits(info)}.",
                ):
                    stated = hearing.read(said, domain)
                    assert {each.name: each.value for each in stated if each.kind == SEARCH} == wanted, said
                    assert {each.domain for each in stated} == {domain}, said
                stated = hearing.read(f"I need {phrases.thing(domain, info)}.", None)
                assert stated[0].domain == domain, info
                seen.update(wanted)
            if wish["book"]:
                said = f"Could you book {phrases.booking(domain, wish['book'])}?"
                stated = {
                    each.name: each.value for each in hearing.read(said, domain) if each.kind == BOOK and each.name
                }
                assert stated == wish["book"], said
    assert {"food", "area", "stars", "parking", "departure", "arriveBy", "leaveAt", "name", "type"} <= seen
