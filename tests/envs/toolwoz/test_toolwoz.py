"""The ToolWOZ world: tasks, prompts, tools and what is measured."""

import json

import pytest
from playing import run
from woz_played import earned
from woz_published import dialogue, write
from woz_tables import write_tables

from josh.cli import main
from josh.dialogue import Speaker
from josh.envs.toolwoz.env import SYNTHETIC_TASKS, ToolwozEnv
from josh.envs.toolwoz.tasks import perfect_calls
from josh.errors import UsageError
from josh.roles import Task, fork
from josh.testing import EnvConformance

PARK = dialogue(attraction={"info": {"type": "park"}})


def made_up(**options):
    return ToolwozEnv({"seed": 4, **options})


def said(*texts, role="assistant"):
    return [{"role": role, "content": text} for text in texts]


class TestConformance(EnvConformance):
    def make(self):
        return made_up()


class TestConformanceWithPublishedTasks(EnvConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        lists = {"valListFile": "B2.json", "testListFile": "gone.json"}
        self.written = write(tmp_path, {"A1.json": PARK, "B2.json": PARK}, **lists)

    def make(self):
        env = ToolwozEnv({"data": str(self.written)})
        env.splits = ("train", "val")
        return env


def test_tasks_are_made_up_where_there_are_none():
    env = made_up()
    assert env.splits == ("train", "val", "test")
    assert [len(env.tasks(split)) for split in env.splits] == [SYNTHETIC_TASKS] * 3
    assert {task.data["source"] for task in env.tasks("train")} == {"generated"}
    assert env.tasks("test")[7].id == "generated-test-0007"


def test_made_up_tasks_follow_the_seed_and_the_number_asked_for():
    assert made_up(synthetic_tasks=3).tasks("train") == made_up().tasks("train")[:3]
    assert made_up(seed=5).tasks("train") != made_up().tasks("train")
    assert ToolwozEnv({}).tasks("val") == made_up(seed=0).tasks("val")


def test_tasks_are_made_up_over_a_database_of_ones_own(tmp_path):
    env = made_up(data=str(write_tables(tmp_path / "db").parent))
    names = {"eves", "hut", "one", "two", "tr2", "tr3"}
    tasks = env.tasks("train")
    booked = [target["parameters"] for task in tasks for target in task.data["targets"] if "book_" in target["api"]]
    assert booked
    assert {call.get("name") or call["trainID"] for call in booked} <= names
    assert env.tools(tasks[0])[0]["function"]["parameters"]["properties"]["food"]["enum"] == ["thai"]


def test_published_tasks_are_played_where_they_are_given(tmp_path):
    folder = write(tmp_path, {"A1.json": PARK, "B2.json": PARK, "C3.json": PARK}, testListFile="B2.json")
    env = ToolwozEnv({"data": str(folder)})
    assert env.splits[0] == "train"
    assert set(env.splits) == {"train", "val", "test", "full_test"}
    assert [task.id for task in env.tasks("train")] == ["A1", "C3"]
    assert [task.id for task in env.tasks("test")] == [task.id for task in env.tasks("full_test")] == ["B2"]
    with pytest.raises(UsageError, match=r"no val tasks \(it has 1 full_test, 2 train, 1 test\)"):
        env.tasks("val")


def test_dialogues_that_are_no_tasks_are_counted(tmp_path, capsys):
    taxi = dialogue(taxi={"info": {"leaveAt": "17:15"}}, attraction={"info": {"type": "park"}})
    folder = write(tmp_path / "data", {"A1.json": PARK, "B2.json": taxi, "C3.json": taxi})
    played = run(str(tmp_path / "records"), "--env", "toolwoz", "--data", str(folder))
    missing = "2 rows of the data, in all splits: 2 with a goal in taxi"
    assert f"left out        {missing}\n" in capsys.readouterr().out
    assert json.loads((played / "config.json").read_text())["left_out"] == {"with a goal in taxi": 2}
    assert f"Left out are {missing}" in (played / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "split", "reason"),
    [
        ({}, "dev", "no split named 'dev'; known: train, val, test"),
        ({}, "full_test", "no split named 'full_test'; known: train, val, test"),
        ({"synthetic_tasks": 0}, "train", "synthetic_tasks is 0"),
        ({"data": "nowhere"}, "train", "nowhere does not exist; give the folder of MultiWOZ's data.json"),
    ],
)
def test_wrong_settings_are_refused(options, split, reason):
    with pytest.raises(UsageError, match=reason):
        ToolwozEnv(options).tasks(split)


def test_a_split_of_multiwoz_needs_its_data(capsys):
    assert main(["--env", "toolwoz", "--task_split", "full_test"]) == 2
    wanted = "no task_split named 'full_test'; known: train, val, test; 'full_test' needs --data with MultiWOZ\n"
    assert wanted in capsys.readouterr().err


def test_a_number_of_made_up_tasks_is_refused_beside_published_ones(tmp_path):
    folder = write(tmp_path, {"A1.json": PARK})
    with pytest.raises(UsageError, match="synthetic_tasks is given"):
        ToolwozEnv({"data": str(folder), "synthetic_tasks": 3}).tasks("train")


def test_goals_are_the_tools_to_call():
    env = made_up()
    for task in env.tasks("train"):
        goals = env.goals(task)
        assert goals == [target["api"] for target in task.data["targets"]]
        assert set(goals) <= {tool["function"]["name"] for tool in env.tools(task)}


def test_every_task_can_be_done_in_its_world():
    env = made_up()
    for task in env.tasks("train"):
        outcomes = list(earned(task.data, env.database))
        assert outcomes.count(True) == len(env.goals(task))
        assert outcomes.count("failed") == len(task.data["failures"])


def test_branches_book_for_themselves():
    env = made_up()
    task = next(task for task in env.tasks("train") if any("book" in goal for goal in env.goals(task)))
    world = env.world(task)
    twin = fork(world)
    for name, arguments in perfect_calls(task.data):
        world.call(name, arguments)
    assert world.bookings
    assert not twin.bookings
    assert not env.world(task).bookings


def test_the_user_knows_the_goal_and_the_assistant_does_not():
    env = made_up()
    for task in env.tasks("train"):
        assert " ".join(task.data["message"]) in env.user_prompt(task)
        assert env.agent_prompt(task) == env.agent_prompt(env.tasks("test")[0])
        assert "{" not in env.user_prompt(task) + env.agent_prompt(task)


def test_braces_in_a_goal_do_no_harm():
    data = {"message": ["You want {this}."]}
    assert "You want {this}." in made_up().user_prompt(Task("x", 0, data))


def test_the_user_speaks_first_for_fifteen_rounds():
    assert (ToolwozEnv.opens, ToolwozEnv.max_rounds) == (Speaker.USER, 15)


def test_groups_do_not_depend_on_the_order_of_domains():
    env = made_up(synthetic_tasks=100)
    found = {tuple(env.groups(task).items()) for task in env.tasks("train")}
    assert (("domains", "attraction"), ("goals", "1")) in found
    assert all(domains == " + ".join(sorted(domains.split(" + "))) for (_, domains), _ in found)
    assert len({domains for (_, domains), _ in found}) <= 4 + 6 + 4


def details(env, domain, info, reqt, row_id=None):
    target = {"domain": domain, "id": row_id}
    return Task("x", 0, {"goal": {domain: {"info": info, "reqt": reqt}}, "targets": [target]})


def test_details_are_told_in_the_assistants_words_however_they_are_spaced():
    env = made_up()
    hut = env.database.rows("restaurant")[0]
    task = details(env, "restaurant", {"name": hut["name"]}, ["phone", "postcode"])
    phone, postcode = hut["phone"], hut["postcode"].upper()
    assert env.metrics(task, []) == {"details_told": 0.0}
    assert env.metrics(task, said(f"Ring {phone[:5]} {phone[5:]}.")) == {"details_told": 0.5}
    assert env.metrics(task, said(f"{phone}, then", f"{postcode[:3]} {postcode[3:]}")) == {"details_told": 1.0}
    assert env.metrics(task, said(f"{phone} {postcode}", role="user")) == {"details_told": 0.0}


def test_details_are_those_of_what_is_booked_or_of_anything_that_fits():
    env = made_up()
    first, second = env.database.find("restaurant", {"food": "british"})[:2]
    anything = details(env, "restaurant", {"food": "british"}, ["phone"])
    booked = details(env, "restaurant", {"food": "british"}, ["phone"], first["id"])
    assert env.metrics(anything, said(second["phone"])) == {"details_told": 1.0}
    assert env.metrics(booked, said(second["phone"])) == {"details_told": 0.0}
    assert env.metrics(booked, said(first["phone"])) == {"details_told": 1.0}


def test_a_price_is_told_in_any_currency_sign():
    env = made_up()
    train = env.database.rows("train")[0]
    info = {name: train[name] for name in ("departure", "destination", "day", "leaveAt")}
    task = details(env, "train", info, ["price"], train["trainID"])
    assert env.metrics(task, said("It costs £" + train["price"].removesuffix(" pounds") + " each.")) == {
        "details_told": 1.0
    }


def test_nothing_is_measured_where_nothing_is_asked_for():
    env = made_up()
    assert env.metrics(details(env, "hotel", {"area": "north"}, []), said("Hello.")) == {}
    assert env.metrics(details(env, "hotel", {"area": "north"}, ["stars"]), said("4")) == {}
