"""What a task wants, the calls that grant it, and tasks that are made up."""

import json
import random
from collections import Counter

import pytest
from woz_played import earned
from woz_tables import real_database, tables

from josh.envs.toolwoz.database import KEYS, Database
from josh.envs.toolwoz.tasks import PARTS, SPLITS, made_up, perfect_calls, task_data
from josh.envs.toolwoz.tools import DAYS, PARAMETERS
from josh.envs.toolwoz.values import normalize, satisfies
from josh.envs.toolwoz.wording import goal_sentences
from josh.errors import UsageError

SMALL = Database.small()


def wish(**parts):
    return {part: [] if part == "reqt" else {} for part in PARTS} | parts


@pytest.fixture(params=("small", "real"))
def database(request):
    return SMALL if request.param == "small" else real_database()


@pytest.fixture(scope="module")
def many():
    return made_up(SMALL, "train", 400, 5)


def wishes(tasks):
    return [(domain, wish) for task in tasks for domain, wish in task.data["goal"].items()]


def test_a_goal_becomes_calls():
    hut = SMALL.rows("restaurant")[2]
    wanted = wish(
        info={"food": "British", "area": "dontcare"},
        fail_info={"food": "welsh"},
        book={"people": 2, "day": "friday", "time": "9:15"},
        fail_book={"time": "09:00"},
        reqt=["phone"],
    )
    data = task_data({"restaurant": wanted}, ["You are hungry."], {"restaurant": hut}, SMALL, "generated")
    booking = {"name": "nans pantry", "people": "2", "day": "friday", "time": "09:15"}
    assert data == {
        "goal": {"restaurant": wanted},
        "message": ["You are hungry."],
        "targets": [
            {
                "domain": "restaurant",
                "api": "search_restaurant",
                "parameters": {"food": "british"},
                "id": hut["id"],
                "booked": True,
            },
            {"domain": "restaurant", "api": "book_restaurant", "parameters": booking, "id": hut["id"]},
        ],
        "failures": [
            {"domain": "restaurant", "api": "search_restaurant", "parameters": {"food": "welsh"}},
            {"domain": "restaurant", "api": "book_restaurant", "parameters": {**booking, "time": "09:00"}},
        ],
        "dialogue": [],
        "source": "generated",
    }


def test_a_search_that_nothing_is_booked_after_wants_no_row_in_particular():
    data = task_data({"attraction": wish(info={"type": "museum"})}, [], {}, SMALL, "generated")
    assert [(target["id"], target["booked"]) for target in data["targets"]] == [(None, False)]


def test_what_is_wanted_cannot_be_a_failure():
    same = wish(info={"area": "north", "stars": "4"}, fail_info={"area": "North"})
    assert task_data({"hotel": same}, [], {}, SMALL, "generated")["failures"] == []


def test_failing_calls_come_before_those_that_earn():
    hut = SMALL.rows("hotel")[0]
    wanted = wish(info={"area": "north"}, book={"stay": "2"}, fail_book={"stay": "5"})
    calls = perfect_calls(task_data({"hotel": wanted}, [], {"hotel": hut}, SMALL, "generated"))
    assert [(api, arguments.get("stay")) for api, arguments in calls] == [
        ("search_hotel", None),
        ("book_hotel", "5"),
        ("book_hotel", "2"),
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_perfect_calls_earn_every_target_of_made_up_tasks(database, split):
    for task in made_up(database, split, 400, 1):
        outcomes = Counter(earned(task.data, database))
        failures = len(task.data["failures"])
        assert outcomes == Counter({True: len(task.data["targets"]), "failed": failures}) - Counter(), task.data


def test_made_up_tasks_are_of_many_kinds(many):
    assert {len(task.data["goal"]) for task in many} == {1, 2, 3}
    asked = wishes(many)
    assert {domain for domain, _ in asked} == set(KEYS)
    assert {domain for domain, wish in asked if wish["book"]} == {"restaurant", "hotel", "train"}
    assert {name for domain, wish in asked for name in wish["info"] if domain != "train"} == {
        "food", "pricerange", "area", "type", "stars", "internet", "parking", "name"
    }  # fmt: skip
    assert {name for _, wish in asked for name in wish["fail_book"]} == {"day", "time", "stay"}
    assert {domain for domain, wish in asked if wish["fail_info"]} >= {"restaurant", "hotel"}


def test_trains_are_wanted_by_day_and_time(many):
    for domain, wish in wishes(many):
        if domain == "train":
            assert list(wish["info"])[:3] == ["departure", "destination", "day"]
            assert len(wish["info"]) == 4
            assert wish["info"].get("leaveAt") or wish["info"].get("arriveBy") < "24:00"


def test_a_failing_search_finds_nothing_and_leads_to_one_that_does(many):
    failing = [(domain, wish) for domain, wish in wishes(many) if wish["fail_info"]]
    assert failing
    for domain, wish in failing:
        assert not SMALL.find(domain, wish["fail_info"])
        assert SMALL.find(domain, wish["info"])
        assert sum(wish["info"][name] != wish["fail_info"][name] for name in wish["info"]) == 1


def test_details_asked_for_are_known_of_everything_that_fits_and_not_what_was_searched_by(many):
    for domain, wish in wishes(many):
        assert wish["book"] or wish["reqt"]
        for name in wish["reqt"]:
            assert name not in wish["info"]
            assert all(row[name] not in ("", "?") for row in SMALL.find(domain, wish["info"]))


def test_each_api_is_wanted_once_at_most(many):
    for task in many:
        apis = [target["api"] for target in task.data["targets"]]
        assert len(apis) == len(set(apis))
        assert all(set(target["parameters"]) <= set(PARAMETERS[target["api"]]) for target in task.data["targets"])


def test_everything_wanted_is_told(many):
    for task in many:
        text = " ".join(task.data["message"]).lower()
        for wish in task.data["goal"].values():
            for part in PARTS[:4]:
                values = [value for name, value in wish[part].items() if name not in ("internet", "parking")]
                assert all(value in text for value in values), (values, text)
        assert "{" not in text
        assert "  " not in text


def test_sentences_are_sentences(many):
    for task in many:
        for sentence in task.data["message"]:
            assert sentence[0].isupper()
            assert sentence.endswith(".")


@pytest.mark.parametrize("seed", range(5))
def test_what_would_do_instead_is_told_after_what_is_wanted_first(seed):
    info, book = {"food": "thai", "area": "north"}, {"people": "2", "day": "friday", "time": "18:15"}
    wanted = wish(info=info, fail_info={**info, "food": "french"}, book=book, fail_book={"time": "17:00"})
    sentences = goal_sentences({"restaurant": wanted}, random.Random(seed))
    [wished], [instead] = ([each for each in sentences if food in each] for food in ("French", "Thai"))
    [booked], [then] = ([each for each in sentences if time in each] for time in ("17:00", "18:15"))
    assert "north" in wished
    assert "north" not in instead
    assert "2 people" in booked
    assert [wished, instead, booked, then] == sentences[1:]


def test_the_same_seed_makes_the_same_tasks_however_many_are_asked_for(many):
    assert made_up(SMALL, "train", 30, 5) == many[:30]
    assert made_up(SMALL, "train", 30, 6) != many[:30]


def test_no_two_tasks_want_the_same_be_it_in_another_split_or_with_another_seed():
    def constraints(split, seed):
        tasks = made_up(SMALL, split, 150, seed)
        found = {
            json.dumps(sorted((each["api"], each["parameters"]) for each in task.data["targets"])) for task in tasks
        }
        assert len(found) == len(tasks)
        return found

    train, val, test = (constraints(split, seed) for seed, split in enumerate(SPLITS))
    assert not train & val
    assert not train & test
    assert not val & test


def test_bookings_name_one_thing_alone():
    database = real_database()
    times = Counter(row["trainID"] for row in database.rows("train"))
    assert max(times.values()) > 1
    booked = [
        target["id"]
        for task in made_up(database, "train", 200, 0)
        for target in task.data["targets"]
        if target["api"] == "book_train"
    ]
    assert booked
    assert all(times[train] == 1 for train in booked)


def test_parties_mostly_stay_together(many):
    together = apart = 0
    for task in many:
        people = [wish["book"]["people"] for wish in task.data["goal"].values() if wish["book"]]
        together += len(people) > 1 and len(set(people)) == 1
        apart += len(set(people)) > 1
        days = {wish["book"].get("day", DAYS[0]) for wish in task.data["goal"].values() if wish["book"]}
        assert days <= set(DAYS)
    assert together > apart > 0


def test_a_database_that_is_too_small_for_so_many_is_refused():
    # Of all but attractions there are two by each name, so that only these can be asked for.
    namesakes = {domain: [{**row, KEYS[domain]: "same"} for row in rows] for domain, rows in tables().items()}
    few = Database({**namesakes, "attraction": tables()["attraction"]})
    assert made_up(few, "train", 1, 0)[0].data["goal"].keys() == {"attraction"}
    with pytest.raises(UsageError, match=r"synthetic_tasks is 100.*give fewer"):
        made_up(few, "train", 100, 0)
    with pytest.raises(UsageError, match="nothing"):
        made_up(Database(namesakes), "train", 1, 0)


def test_data_are_plain_json(many):
    for task in many:
        assert json.loads(json.dumps(task.data)) == task.data
        assert all(normalize(value) == value for each in task.data["targets"] for value in each["parameters"].values())
        assert not any(
            satisfies(target["parameters"], failure["parameters"])
            for target in task.data["targets"]
            for failure in task.data["failures"]
            if failure["api"] == target["api"]
        )
