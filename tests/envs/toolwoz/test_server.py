"""ToolWOZ's tools and the server that answers them."""

import json
from random import Random

import pytest
from woz_tables import real_database, tables

from josh.branch import Branch
from josh.envs.toolwoz.database import KEYS, Database
from josh.envs.toolwoz.server import WozWorld
from josh.envs.toolwoz.tools import DAYS, PARAMETERS, domain_of, tools_of
from josh.envs.toolwoz.values import satisfies
from josh.roles import BaseRewards, ToolError
from josh.testing import ScriptedAgent, ScriptedUser

TABLE = {"name": "the copper ladle", "people": "2", "day": "friday", "time": "18:30"}


def target(api, parameters, row=None):
    return {"domain": domain_of(api), "api": api, "parameters": parameters, "id": row, "booked": row is not None}


def failure(api, parameters):
    return {"domain": domain_of(api), "api": api, "parameters": parameters}


def world(*targets, failures=(), database=None):
    return WozWorld(database or Database.small(), targets, failures)


def found(answer):
    return [row["name"] for row in answer]


def british(row="20508"):
    """The user wants British food in the centre at a moderate price, and books the only such place."""
    return target("search_restaurant", {"area": "centre", "food": "british", "pricerange": "moderate"}, row)


@pytest.fixture(params=["small", "real"])
def database(request):
    return Database.small() if request.param == "small" else real_database()


def schemas(database):
    return {tool["function"]["name"]: tool["function"]["parameters"]["properties"] for tool in tools_of(database)}


class TestTools:
    def test_there_are_eight_with_the_published_names_and_parameters(self, database):
        assert {name: tuple(properties) for name, properties in schemas(database).items()} == PARAMETERS
        assert all(tool["type"] == "function" and tool["function"]["description"] for tool in tools_of(database))

    def test_nothing_is_required_and_everything_is_text(self, database):
        for tool in tools_of(database):
            assert tool["function"]["parameters"]["required"] == []
            properties = tool["function"]["parameters"]["properties"].values()
            assert all(each["type"] == "string" and each["description"] for each in properties)

    def test_they_can_be_written_as_json_and_are_the_same_every_time(self, database):
        assert json.loads(json.dumps(tools_of(database))) == list(tools_of(database)) == list(tools_of(database))

    def test_whatever_an_enum_offers_is_there_to_be_found(self, database):
        for name, properties in schemas(database).items():
            for parameter, each in properties.items() if name.startswith("search_") else ():
                assert each.get("enum", ["some"]), f"{parameter} of {name} offers nothing"
                assert all(database.find(domain_of(name), {parameter: value}) for value in each.get("enum", ()))

    def test_days_stand_in_the_order_of_the_week(self, database):
        for name in ("search_train", "book_hotel", "book_restaurant"):
            assert schemas(database)[name]["day"]["enum"] == list(DAYS)

    def test_names_and_times_are_free(self, database):
        for properties in schemas(database).values():
            assert not any("enum" in properties.get(name, {}) for name in ("name", "leaveAt", "arriveBy", "trainID"))


class TestASearch:
    def test_that_asks_for_all_the_user_wants_is_served_what_will_be_booked(self):
        wanted = target("search_restaurant", {"area": "centre", "food": "british"}, "20503")
        played = world(wanted)
        assert found(played.call("search_restaurant", {"area": "Centre", "food": "British"})) == ["bell and barrow"]

    def test_that_asks_for_more_is_served_it_too_while_it_matches(self):
        played = world(target("search_restaurant", {"food": "british"}, "20503"))
        assert found(played.call("search_restaurant", {"food": "british", "area": "centre"})) == ["bell and barrow"]
        assert found(played.call("search_restaurant", {"food": "british", "area": "north"})) == ["nan's pantry"]
        assert found(played.call("search_restaurant", {"food": "british", "area": "west"})) == []

    def test_that_asks_for_a_part_is_served_what_the_user_does_not_want(self):
        played = world(british())
        for part in ({}, {"food": "british"}, {"area": "centre", "food": "british"}, {"pricerange": "moderate"}):
            (row,) = played.call("search_restaurant", part)
            assert satisfies(row, part)
            assert not satisfies(row, british()["parameters"])

    def test_that_asks_for_a_part_which_leaves_no_choice_is_served_what_will_be_booked(self):
        played = world(target("search_hotel", {"area": "centre", "internet": "yes", "stars": "4"}, "1"))
        assert found(played.call("search_hotel", {"area": "centre", "stars": "4"})) == ["hotel aldermere"]

    def test_that_asks_for_something_else_is_served_the_first_that_matches(self):
        played = world(british())
        assert found(played.call("search_restaurant", {"food": "thai"})) == ["lotus ferry"]
        assert found(played.call("search_restaurant", {"area": "centre", "food": "thai"})) == ["lotus ferry"]
        assert found(played.call("search_restaurant", {"name": "nans pantry"})) == ["nan's pantry"]

    def test_with_nothing_to_be_booked_is_served_the_first_of_those_the_user_wants(self):
        played = world(target("search_attraction", {"area": "centre", "type": "museum"}))
        asked = {"area": "centre", "type": "museum"}
        assert found(played.call("search_attraction", asked)) == ["aldermere museum of weaving"]
        assert found(played.call("search_attraction", {"type": "museum"})) == ["tannery gallery"]

    def test_of_a_domain_that_the_user_has_no_wish_in_is_served_the_first_that_matches(self):
        assert found(world(british()).call("search_hotel", {"area": "west"})) == ["larch cottage"]
        assert found(world().call("search_hotel", {})) == ["the minster arms"]

    def test_that_nothing_matches_is_served_nothing(self):
        assert world(british()).call("search_restaurant", {"food": "welsh"}) == []

    def test_that_the_task_has_fail_is_served_nothing(self):
        failing = failure("search_restaurant", {"area": "centre", "food": "thai"})
        played = world(british(), failures=[failing])
        assert played.call("search_restaurant", {"food": "thai", "area": "centre", "name": "dontcare"}) == []
        # Of the two Thai places one is in the centre, and to this user it is not there.
        assert found(world(british()).call("search_restaurant", {"food": "thai"})) == ["lotus ferry"]
        assert found(played.call("search_restaurant", {"food": "thai"})) == ["the lime leaf"]

    def test_for_a_time_fails_for_every_earlier_one_too(self):
        ride = {"departure": "aldermere", "destination": "port elverin", "day": "monday"}
        trains = sorted(Database.small().find("train", ride), key=lambda row: row["arriveBy"])
        early, late = trains[1], trains[3]
        wanted = target("search_train", {**ride, "arriveBy": late["arriveBy"]}, late["trainID"])
        failing = failure("search_train", {**ride, "arriveBy": early["arriveBy"]})
        played = world(wanted, failures=[failing])
        for train in trains[:2]:
            assert played.call("search_train", {**ride, "arriveBy": train["arriveBy"]}) == []
        (between,) = played.call("search_train", {**ride, "arriveBy": trains[2]["arriveBy"]})
        assert between["trainID"] == trains[2]["trainID"]
        assert played.call("search_train", wanted["parameters"])[0]["trainID"] == late["trainID"]

    def test_that_asks_for_all_the_user_wants_does_not_fail(self):
        failing = failure("search_restaurant", {"food": "british"})
        played = world(british(), failures=[failing])
        assert found(played.call("search_restaurant", british()["parameters"])) == ["the copper ladle"]
        assert played.call("search_restaurant", {"food": "british"}) == []

    def test_that_asks_for_more_than_that_fails_where_the_task_says_so(self):
        more = {**british()["parameters"], "name": "the copper ladle"}
        played = world(british(), failures=[failure("search_restaurant", more)])
        assert played.call("search_restaurant", more) == []
        assert found(played.call("search_restaurant", british()["parameters"])) == ["the copper ladle"]

    def test_answers_with_rows_that_may_be_changed(self):
        played = world(british())
        (row,) = played.call("search_restaurant", british()["parameters"])
        before = dict(row)
        row.pop("id")
        row["location"].append("here")
        (again,) = played.fork().call("search_restaurant", british()["parameters"])
        assert again["id"] == before["id"]
        assert "here" not in again["location"]

    def test_says_nothing_by_values_that_ask_for_nothing(self):
        asked = {**british()["parameters"], "name": None}
        assert found(world(british()).call("search_restaurant", asked)) == ["the copper ladle"]

    def test_does_not_hand_out_another_train_of_the_same_id_as_the_wrong_one(self):
        few = Database(tables())
        wanted = target("search_train", {"day": "monday", "leaveAt": "06:00", "arriveBy": "12:00"}, "TR1")
        played = world(wanted, database=few)
        assert [row["trainID"] for row in played.call("search_train", {"day": "monday"})] == ["TR2"]
        assert [row["leaveAt"] for row in played.call("search_train", wanted["parameters"])] == ["11:00"]


class TestABooking:
    wanted = target("book_restaurant", TABLE, "20508")

    def test_of_what_the_user_wants_is_made(self):
        answer = world(self.wanted).call("book_restaurant", {**TABLE, "people": 2, "name": "The Copper Ladle"})
        assert answer["success"] is True
        assert len(answer["reference"]) == 8

    def test_is_kept_once(self):
        played = world(self.wanted)
        first, second = (played.call("book_restaurant", TABLE) for _ in range(2))
        assert first == second
        (booking,) = played.bookings
        assert booking.tool == "book_restaurant"
        assert dict(booking.arguments) == TABLE
        assert booking.reference == first["reference"]

    def test_has_the_same_number_in_every_branch_and_another_for_another_booking(self):
        other = {**TABLE, "day": "sunday"}
        numbers = [
            world(target("book_restaurant", wanted)).call("book_restaurant", wanted)["reference"]
            for wanted in (TABLE, TABLE, other)
        ]
        assert numbers[0] == numbers[1] != numbers[2]

    def test_that_lacks_something_says_what(self):
        played = world(self.wanted)
        answer = played.call("book_restaurant", {"name": TABLE["name"], "day": "friday"})
        assert answer == {"success": False, "message": "The booking needs people and time too."}
        assert played.bookings == ()

    def test_that_the_task_has_fail_is_refused(self):
        failing = failure("book_restaurant", {**TABLE, "time": "19:00"})
        answer = world(self.wanted, failures=[failing]).call("book_restaurant", {**TABLE, "time": "19:00"})
        assert answer["success"] is False
        assert answer["reason"] == "The restaurant is fully booked for what you asked."

    @pytest.mark.parametrize("wrong", [{"day": "sunday"}, {"name": "lotus ferry"}, {"people": 7}])
    def test_of_anything_else_is_not_made_and_gives_nothing_away(self, wrong):
        answer = world(self.wanted).call("book_restaurant", {**TABLE, **wrong})
        assert answer["success"] is False
        assert not any(value in answer["message"] for value in TABLE.values())

    def test_in_a_domain_that_the_user_has_no_wish_in_is_not_made(self):
        asked = {"name": "kiln hill house", "people": 1, "day": "monday", "stay": 2}
        assert world(self.wanted).call("book_hotel", asked)["success"] is False

    def test_of_an_attraction_is_never_made(self):
        answer = world(target("search_attraction", {"type": "park"})).call("book_attraction", {"name": "dyer's green"})
        assert answer["success"] is False
        assert "take no bookings" in answer["message"]

    def test_of_a_train_goes_by_its_id(self):
        number = Database.small().rows("train")[0]["trainID"]
        played = world(target("book_train", {"trainID": number, "people": "3"}))
        assert played.call("book_train", {"trainID": number.lower(), "people": 3})["success"] is True


class TestARefusal:
    """What a tool refuses comes back as a sentence that helps."""

    @pytest.mark.parametrize(
        ("name", "arguments", "says"),
        [
            ("search_taxi", {}, "there is no tool 'search_taxi'; known: search_restaurant, "),
            ("search_hotel", {"food": "thai"}, "search_hotel takes no 'food'; known: area, internet, name, "),
            (
                "search_hotel",
                {"area": ["north"]},
                "area of search_hotel is no text or number; give one, or leave it out",
            ),
            ("search_hotel", {"area": {"in": "north"}}, "area of search_hotel is no text"),
            ("search_hotel", {"parking": True}, "parking of search_hotel is no text"),
            ("search_train", {"leaveAt": "noon"}, "leaveAt of search_train is 'noon'; give a time such as 09:15"),
            ("book_restaurant", {**TABLE, "time": "7pm"}, "time of book_restaurant is '7pm'; give a time"),
            ("book_hotel", {"people": 2}, "book_hotel needs the name of a hotel; search_hotel gives it"),
            ("book_hotel", {"name": "any"}, "book_hotel needs the name of a hotel"),
            ("book_train", {"trainID": "TR0"}, "there is no train with the trainID 'tr0'; search_train gives those"),
        ],
    )
    def test_says_what_would_do(self, name, arguments, says):
        with pytest.raises(ToolError) as refused:
            world(british()).call(name, arguments)
        assert str(refused.value).startswith(says)

    def test_names_the_first_fault_of_several(self):
        with pytest.raises(ToolError, match="leaveAt of search_train is 'late'"):
            world().call("search_train", {"leaveAt": "late", "arriveBy": "early"})

    def test_a_time_that_asks_for_nothing_is_none_to_refuse(self):
        assert world().call("search_train", {"leaveAt": "any", "arriveBy": ""})

    def test_leaves_no_booking(self):
        played = world(TestABooking.wanted)
        with pytest.raises(ToolError):
            played.call("book_restaurant", {"name": "nowhere"})
        assert played.bookings == ()


class TestBranches:
    def test_book_apart_and_share_all_else(self):
        trunk = Branch(ScriptedAgent(), ScriptedUser(), world(TestABooking.wanted), BaseRewards(["book_restaurant"]))
        left, right = trunk.fork(), trunk.fork()
        assert left.world.call("book_restaurant", TABLE)["success"] is True
        assert len(left.world.bookings) == len(left.fork().world.bookings) == 1
        assert right.world.bookings == trunk.world.bookings == ()
        assert right.world.call("search_hotel", {}) == left.world.call("search_hotel", {})

    def test_answer_alike(self):
        trunk = world(british())
        asked = [("search_restaurant", {"food": "british"}), ("search_hotel", {}), ("book_attraction", {})]
        assert [trunk.call(*each) for each in asked] == [trunk.fork().call(*each) for each in asked]


SEARCHED = {
    "restaurant": ("area", "food", "pricerange"),
    "hotel": ("area", "internet", "parking", "pricerange", "stars", "type"),
    "attraction": ("area", "type"),
    "train": ("arriveBy", "day", "departure", "destination"),
}


@pytest.mark.parametrize("domain", KEYS)
def test_whatever_a_user_wants_a_full_search_gets_and_a_partial_one_only_where_there_is_no_other(database, domain):
    draws = Random(2)
    for _ in range(150):
        row = draws.choice(database.rows(domain))
        columns = draws.sample(SEARCHED[domain], draws.randint(1, len(SEARCHED[domain])))
        wanted = {column: row[column] for column in columns}
        if not database.find(domain, wanted):  # it arrives on the next day
            continue
        search = target(f"search_{domain}", wanted, database.row_id(domain, row))
        played = WozWorld(database, [search], [])
        assert played.call(f"search_{domain}", wanted) == [row]
        part = {column: row[column] for column in columns[1:]}
        (served,) = played.call(f"search_{domain}", part)
        fitting = {id(each) for each in database.find(domain, wanted)}
        others = [each for each in database.find(domain, part) if id(each) not in fitting]
        assert served == (others[0] if others else row)
        assert json.loads(json.dumps(served)) == served
