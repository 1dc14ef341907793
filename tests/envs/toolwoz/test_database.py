"""The tables of restaurants, hotels, attractions and trains."""

import copy
import json
import re
from random import Random

import pytest
from woz_tables import real_database, tables, train, write_tables

from josh.envs.toolwoz.database import KEYS, Database, is_time
from josh.envs.toolwoz.values import constraints, normalize
from josh.errors import UsageError


@pytest.fixture(params=["small", "real"])
def database(request):
    return Database.small() if request.param == "small" else real_database()


@pytest.fixture
def few():
    return Database(tables())


def ids(database, domain, **constraints):
    return [database.row_id(domain, row) for row in database.find(domain, constraints)]


def meets(row, column, value):
    """One constraint, the slow way."""
    have = normalize(row.get(column))
    if column == "leaveAt":
        return have >= value
    if column == "arriveBy":
        return have <= value and normalize(row["leaveAt"]) <= have
    return have == value


@pytest.mark.parametrize("domain", KEYS)
def test_a_search_finds_what_going_through_all_rows_finds(database, domain):
    draws = Random(1)
    columns = [name for name, value in database.rows(domain)[0].items() if isinstance(value, str)]
    for _ in range(100):
        row = draws.choice(database.rows(domain))
        asked = constraints({column: row[column] for column in draws.sample(columns, 3) if row.get(column) is not None})
        slow = [each for each in database.rows(domain) if all(meets(each, *item) for item in asked.items())]
        assert database.find(domain, asked) == slow
        assert database.matches(domain, asked).bit_count() == len(slow)


@pytest.mark.parametrize("domain", KEYS)
def test_every_row_has_an_id_of_its_own_and_is_known_by_it(database, domain):
    names = [database.row_id(domain, row) for row in database.rows(domain)]
    assert len(set(names)) == len(names)
    assert [database.known_as(domain, name) for name in names] == [1 << place for place in range(len(names))]


@pytest.mark.parametrize("domain", ["restaurant", "hotel", "attraction"])
def test_every_place_is_found_by_its_name(database, domain):
    for row in database.rows(domain):
        assert row in database.find(domain, {"name": row["name"].replace("'", "").upper()})
        assert row in database.find(domain, {"name": row["name"]})


def test_case_blanks_apostrophes_and_numbers_make_no_difference(few):
    assert ids(few, "restaurant", name=" eve\u2019s ") == ["7"]
    assert ids(few, "hotel", stars=4) == ["1"]
    assert ids(few, "hotel", stars=4.0, type="Hotel") == ["1"]


def test_values_that_ask_for_nothing_are_passed_over(few):
    assert ids(few, "restaurant", area="dontcare", food="", name=None, pricerange="any") == ["7", "8"]
    assert few.find("restaurant", {}) == list(few.rows("restaurant"))


def test_a_value_or_a_column_that_is_not_there_is_met_by_nothing(few):
    assert ids(few, "restaurant", food="welsh") == []
    assert ids(few, "restaurant", chef="eve") == []
    assert ids(few, "restaurant", location="[1, 2]") == []


def test_trains_leave_then_or_later_and_arrive_then_or_earlier(few):
    assert ids(few, "train", leaveAt="11:00", day="monday") == ["TR1 monday 11:00", "TR2", "TR3"]
    assert ids(few, "train", leaveAt="11:01", day="monday") == ["TR2", "TR3"]
    assert ids(few, "train", arriveBy="5:51") == ["TR1 monday 05:00"]
    assert ids(few, "train", arriveBy="05:50") == []
    assert ids(few, "train", leaveAt="10:59", arriveBy="11:51", day="tuesday") == ["TR1 tuesday 11:00"]


def test_what_arrives_before_it_leaves_arrives_on_the_next_day(few):
    assert ids(few, "train", arriveBy="23:59", leaveAt="12:00") == []
    assert ids(few, "train", arriveBy="24:08", leaveAt="12:00") == ["TR3"]


@pytest.mark.parametrize("value", ["noon", "9", "25:00", "10:60", "1100"])
def test_what_is_no_time_is_met_by_no_train(few, value):
    assert not is_time(normalize(value))
    assert ids(few, "train", leaveAt=value) == []


def test_trains_that_share_an_id_are_told_apart_and_known_by_it_together(few):
    assert [few.row_id("train", row) for row in few.rows("train")] == [
        "TR1 monday 05:00",
        "TR1 monday 11:00",
        "TR1 tuesday 11:00",
        "TR2",
        "TR3",
    ]
    assert few.known_as("train", "TR1") == 0b111
    assert few.known_as("train", "tr1 Tuesday 11:00") == 0b100
    assert few.known_as("train", "TR1 sunday 11:00") == few.known_as("train", "TR9") == few.known_as("hotel", "9") == 0


def test_the_first_of_a_set_is_the_first_of_the_file(few):
    assert few.first("train", 0b1010)["leaveAt"] == "11:00"
    assert few.first("train", 0) is None


def test_the_values_of_a_column_are_sorted_and_say_something(few):
    assert few.values("attraction", "pricerange") == ("free",)
    assert few.values("restaurant", "area") == ("north", "south")


def test_a_deep_copy_of_what_holds_a_database_shares_it(few):
    assert copy.deepcopy({"database": few})["database"] is few


def test_the_small_town_is_read_once_and_is_large_enough_to_play_in():
    small = Database.small()
    assert small is Database.small()
    assert {domain: len(small.rows(domain)) for domain in KEYS} == {
        "restaurant": 24,
        "hotel": 12,
        "attraction": 16,
        "train": 280,
    }
    for domain in ("restaurant", "hotel", "attraction"):
        assert any("'" in row["name"] for row in small.rows(domain))
        assert all(re.fullmatch("01632960[0-9]{3}", row["phone"]) for row in small.rows(domain))


def test_the_small_town_has_nothing_of_multiwoz_but_the_shape():
    small, real = Database.small(), real_database()
    for domain, column in {**KEYS, "train": "departure"}.items():
        assert set(small.rows(domain)[0]) == set(real.rows(domain)[0])
        assert not set(small.values(domain, column)) & set(real.values(domain, column))


def test_tables_come_back_from_their_files_as_they_were_written(tmp_path):
    database = Database.load(write_tables(tmp_path))
    assert {domain: list(database.rows(domain)) for domain in KEYS} == tables()


def test_a_missing_table_is_named_with_all_that_are_needed(tmp_path):
    with pytest.raises(UsageError, match=r"no file .*restaurant_db\.json; give a folder that holds restaurant_db"):
        Database.load(tmp_path / "nowhere")


HOTEL = tables()["hotel"][0]
SPOILT = {
    "no JSON": ({"hotel": "[{"}, r"cannot read .*hotel_db\.json: "),
    "no list": ({"hotel": {"a": 1}}, "hotel_db.json is not a list of JSON objects"),
    "no objects": ({"hotel": ["a"]}, "is not a list of JSON objects"),
    "no rows": ({"hotel": []}, "is not a list of JSON objects"),
    "no stars": (
        {"hotel": [HOTEL, {**HOTEL, "id": "2", "stars": None}]},
        r"row 2 has no stars; every hotel needs id, ",
    ),
    "two ids": ({"hotel": [HOTEL, HOTEL]}, r"2 rows have id 0; give each its own"),
    "no time": ({"train": [train("TR1", "monday", "soon", "11:00")]}, r"row 1 has leaveAt 'soon'; give a time such as"),
    "two trains": ({"train": tables()["train"][:1] * 2}, r"2 rows have trainID and day and leaveAt TR1, monday, 05:00"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_table_is_refused_in_one_line(tmp_path, kind):
    changed, says = SPOILT[kind]
    with pytest.raises(UsageError, match=says) as refused:
        Database.load(write_tables(tmp_path, **changed))
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    folder = write_tables(tmp_path)
    (folder / "train_db.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"cannot read .*train_db\.json"):
        Database.load(folder)


def test_rows_can_be_written_as_json(database):
    for domain in KEYS:
        assert json.loads(json.dumps(database.rows(domain))) == list(database.rows(domain))
