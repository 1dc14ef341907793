"""MultiWOZ as it is published, by a small made-up piece of it."""

import json
import os
from pathlib import Path

import pytest
from places import DATA
from woz_played import earned
from woz_published import dialogue, state, write
from woz_tables import tables, write_tables

from josh.envs.toolwoz.database import Database
from josh.envs.toolwoz.env import ToolwozEnv
from josh.envs.toolwoz.layout import data_files, database_folder
from josh.envs.toolwoz.multiwoz import TEST_TASKS, load_official
from josh.errors import UsageError

DATABASE = Database(tables())
TRAIN = {"info": {"departure": "here", "destination": "there", "day": "monday", "leaveAt": "10:00"}}
HOTEL = {
    "info": {"area": "north", "entrance fee": "free"},
    "fail_info": {"area": "west"},
    "book": {"invalid": True, "pre_invalid": True, "people": "2", "day": "friday", "stay": "2"},
    "fail_book": {"stay": "5"},
    "reqt": ["stars"],
}


def load(folder, dialogues, **files):
    return load_official(write(folder, dialogues, **files) / "data.json", DATABASE)


def one(folder, **parts):
    """The data of a single dialogue's task."""
    [task] = load(folder, {"A1.json": dialogue(**parts)}).splits["train"]
    assert task.id == "A1"
    assert task.data["source"] == "multiwoz"
    return task.data


def reasons(folder, **parts):
    """Why a dialogue is left out, beside another which is not."""
    fine = dialogue(attraction={"info": {"type": "park"}})
    found = load(folder, {"A1.json": dialogue(**parts), "B2.json": fine})
    assert [task.id for task in found.splits["train"]] == ["B2"]
    return found.left_out


def test_the_goal_is_told_without_its_markup(tmp_path):
    message = ["You want a <span class='emphasis'>cheap</span>  hotel &amp; bar.", " ", "Book it."]
    assert one(tmp_path, message=message, hotel={"info": {"area": "north"}})["message"] == [
        "You want a cheap hotel & bar.",
        "Book it.",
    ]


def test_a_goal_may_be_told_in_one_text_with_a_number(tmp_path):
    assert one(tmp_path, message="Task 07131: You want it. Now.", hotel={"info": {"area": "north"}})["message"] == [
        "You want it. Now."
    ]


def test_the_calls_are_those_of_the_goal(tmp_path):
    booked = [{"name": "one", "reference": "X"}, {"name": "two", "reference": "Y"}]
    data = one(tmp_path, hotel=HOTEL, states=[state(), state(hotel=booked)])
    booking = {"name": "two", "people": "2", "day": "friday", "stay": "2"}
    assert data["goal"] == {
        "hotel": {
            "info": {"area": "north"},
            "fail_info": {"area": "west"},
            "book": {"people": "2", "day": "friday", "stay": "2"},
            "fail_book": {"stay": "5"},
            "reqt": ["stars"],
        }
    }
    assert data["targets"] == [
        {"domain": "hotel", "api": "search_hotel", "parameters": {"area": "north"}, "id": "1", "booked": True},
        {"domain": "hotel", "api": "book_hotel", "parameters": booking, "id": "1"},
    ]
    assert data["failures"] == [
        {"domain": "hotel", "api": "search_hotel", "parameters": {"area": "west"}},
        {"domain": "hotel", "api": "book_hotel", "parameters": {**booking, "stay": "5"}},
    ]


def test_a_name_with_an_apostrophe_is_found(tmp_path):
    wanted = {"info": {"area": "north"}, "book": {"people": "2"}}
    data = one(tmp_path, restaurant=wanted, states=[state(restaurant=[{"name": "eve's"}])])
    assert data["targets"][1]["parameters"] == {"name": "eves", "people": "2"}


def test_of_trains_that_share_an_id_the_goal_says_which(tmp_path):
    data = one(tmp_path, train={**TRAIN, "book": {"people": "3"}}, states=[state(train=[{"trainID": "TR1"}])])
    assert [target["id"] for target in data["targets"]] == ["TR1 monday 11:00"] * 2


def test_perfect_calls_earn_every_target(tmp_path):
    last = state(hotel=[{"name": "one"}], train=[{"trainID": "TR1"}])
    data = one(tmp_path, hotel=HOTEL, train={**TRAIN, "book": {"people": "3"}}, states=[last])
    assert sorted(map(str, earned(data, DATABASE))) == ["True"] * 4 + ["failed"] * 2


def test_what_is_booked_stands_in_delex_too_and_there_first(tmp_path):
    wanted = {"info": {"area": "north"}, "book": {"people": "2"}}

    def with_states(name):
        return {"A1.json": dialogue(hotel=wanted, states=[state(hotel=[{"name": name}])])}

    def booked(data, delex):
        [task] = load(tmp_path, with_states(data), delex=json.dumps(with_states(delex))).splits["train"]
        return task.data["targets"][0]["id"]

    assert booked("one", "two") == "1"
    assert booked("one", "[hotel_name]") == "0"


def test_domains_come_in_the_order_in_which_they_are_talked_about(tmp_path):
    first, later = state(), state()
    first["train"]["semi"]["day"] = "monday"
    later["hotel"]["semi"]["area"] = "north"
    goal = {"hotel": {"info": {"area": "north"}}, "train": TRAIN, "attraction": {"info": {"type": "park"}}}
    assert list(one(tmp_path, **goal, states=[first, later])["goal"]) == ["train", "hotel", "attraction"]


def test_the_human_dialogue_comes_along(tmp_path):
    data = one(tmp_path, hotel={"info": {"area": "north"}}, states=[state(), state()])
    turns = [{"role": "user", "content": "I want it."}, {"role": "assistant", "content": "Here."}]
    assert data["dialogue"] == turns * 2


@pytest.mark.parametrize("domain", ["taxi", "police", "hospital"])
def test_dialogues_in_other_domains_are_left_out(tmp_path, domain):
    goal = {domain: {"info": {"department": "x"}}, "hotel": {"info": {"area": "north"}}}
    assert reasons(tmp_path, **goal) == {f"with a goal in {domain}": 1}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ([], "without what was booked"),
        ([{"reference": "X"}], "without what was booked"),
        ([{"name": "three"}], "with a booking of what is not in the database"),
        ([{"name": "Eve's"}], "with a booking of what the goal does not ask for"),
    ],
)
def test_bookings_that_cannot_be_told_are_left_out(tmp_path, name, reason):
    wanted = {"info": {"area": "south"}, "book": {"people": "2"}}
    assert reasons(tmp_path, restaurant=wanted, states=[state(restaurant=name)]) == {reason: 1}


def test_goals_that_no_tool_helps_with_are_left_out(tmp_path):
    assert reasons(tmp_path, hotel={"info": {}, "reqt": ["phone"]}) == {"with nothing to search for or book": 1}
    nothing = {"with nothing to search for or book": 1}
    assert reasons(tmp_path, hotel={"info": {"area": "dontcare"}, "reqt": ["phone"]}) == nothing


def test_goals_that_the_tools_refuse_are_left_out(tmp_path):
    late = {"departure": "cambridge", "leaveAt": "after 9"}
    assert reasons(tmp_path, train={"info": late}) == {"with a wish that the tools refuse": 1}


def test_a_booking_of_nothing_in_particular_is_none(tmp_path):
    data = one(tmp_path, hotel={"info": {"area": "north"}, "book": {"invalid": False}})
    assert [target["api"] for target in data["targets"]] == ["search_hotel"]


def test_attractions_are_not_booked(tmp_path):
    data = one(tmp_path, attraction={"info": {"type": "park"}, "book": {"name": "green"}})
    assert [target["api"] for target in data["targets"]] == ["search_attraction"]


def test_lists_of_ids_make_the_splits(tmp_path):
    park = dialogue(attraction={"info": {"type": "park"}})
    names = [f"A{number:04}" for number in range(TEST_TASKS + 60)]
    dialogues = {f"{name}.json": park for name in reversed(names)}
    held_out = names[50:][::-1]
    folder = write(tmp_path, dialogues, testListFile="\n".join(f"{name}.json" for name in [*held_out, "gone.json"]))
    (folder / "valListFile.txt").write_text("A0001.json\nA0003\n", encoding="utf-8")
    splits = load_official(folder / "data.json", DATABASE).splits
    ids = {split: [task.id for task in tasks] for split, tasks in splits.items()}
    assert ids["val"] == ["A0001", "A0003"]
    assert ids["full_test"] == names[50:]
    assert ids["test"] == names[50 : 50 + TEST_TASKS]
    assert ids["train"] == [name for name in names[:50] if name not in ids["val"]]
    assert all([task.index for task in tasks] == list(range(len(tasks))) for tasks in splits.values())

    (folder / "training_fnames.json").write_text(
        json.dumps(["A0002.json", "A0000.json", "A0060.json"]), encoding="utf-8"
    )
    again = load_official(folder / "data.json", DATABASE).splits
    assert [task.id for task in again["train"]] == ["A0000", "A0002"], "nothing that is held out is trained on"


def test_without_lists_all_is_train(tmp_path):
    splits = load(tmp_path, {"A1.json": dialogue(attraction={"info": {"type": "park"}})}).splits
    assert {split: len(tasks) for split, tasks in splits.items()} == {"train": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot read"),
        ("[]", "is not a JSON object"),
        ('{"A1.json": {"goal": {}}}', "dialogue A1.json has no `goal` with a `log`"),
        ('{"A1.json": {"goal": {"hotel": 3}, "log": []}}', "dialogue A1.json has no `goal`"),
        ("{}", "holds no task: it is empty"),
        (json.dumps({"A1.json": dialogue(taxi={"info": {"leaveAt": "1:00"}})}), "1 with a goal in taxi"),
    ],
)
def test_a_malformed_file_is_refused_in_a_line(tmp_path, text, reason):
    (tmp_path / "data.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=reason) as caught:
        load_official(tmp_path / "data.json", DATABASE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ['["A1.json"', '{"A1.json": 1}', "", "[]", "[1]"])
def test_a_malformed_list_is_refused_in_a_line(tmp_path, text):
    with pytest.raises(UsageError, match="testListFile") as caught:
        load(tmp_path, {"A1.json": dialogue(attraction={"info": {"type": "park"}})}, testListFile=text)
    assert "\n" not in str(caught.value)


def test_that_nothing_is_kept_from_training_is_said(tmp_path, caplog):
    load(tmp_path, {"A1.json": dialogue(attraction={"info": {"type": "park"}})})
    assert "no testListFile: none of its dialogues are kept apart from training" in caplog.text


@pytest.mark.parametrize("layout", ["data.json db", "data/data.json db", "data/data.json data/db", "data.json ."])
def test_files_are_found_where_they_are_published(tmp_path, layout):
    data, tables_at = (tmp_path / part for part in layout.split())
    data.parent.mkdir(exist_ok=True)
    data.write_text("{}", encoding="utf-8")
    tables_at.parent.mkdir(exist_ok=True)
    write_tables(tables_at)
    assert data_files(tmp_path) == data_files(data) == (data,)
    assert database_folder(tmp_path, (data,)) == database_folder(data, (data,)) == tables_at


def test_a_folder_with_nothing_but_a_database_has_no_published_tasks(tmp_path):
    write_tables(tmp_path / "db")
    assert data_files(tmp_path) == ()
    assert database_folder(tmp_path, ()) == tmp_path / "db"
    assert database_folder(tmp_path / "db", ()) == tmp_path / "db"


def test_what_stands_beside_a_data_json_is_not_taken_for_a_database_alone(tmp_path):
    write_tables(tmp_path / "db")
    (tmp_path / "delex.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"delex.json is there, but no data.json"):
        ToolwozEnv({"data": str(tmp_path)})
    with pytest.raises(UsageError, match=r"delex.json holds no task: it is empty"):
        ToolwozEnv({"data": str(tmp_path / "delex.json")}).tasks("train")


def test_the_goals_that_are_at_hand_all_load(tmp_path):
    beside = DATA / "multiwoz"
    folder = Path(os.environ.get("JOSH_TEST_MULTIWOZ") or beside)
    if not (folder / "woz2_delex.json").exists():
        pytest.skip("WOZ's goals are not here; name the folder that woz2_delex.json is in in JOSH_TEST_MULTIWOZ")
    (tmp_path / "data.json").symlink_to(folder / "woz2_delex.json")
    (tmp_path / "db").symlink_to(folder / "db")
    env = ToolwozEnv({"data": str(tmp_path)})
    tasks = env.tasks("train")
    assert len(tasks) == 676
    assert all(env.goals(task) == ["search_restaurant"] for task in tasks)
    assert all(task.data["message"][0].startswith("You ") for task in tasks)
