"""The assistant and the user of ToolWOZ that need no model: how they understand each other, and how they do."""

import asyncio
import json
import shutil
from collections import Counter
from importlib.util import find_spec
from random import Random

import pytest
from woz_tables import real_database

from josh.agents.toolwoz.offline import OfflineToolAgent
from josh.agents.toolwoz.reading import ASK, BOOK, NO_BOOKING, SEARCH, Ear, Told
from josh.branch import Branch
from josh.cli import main
from josh.envs.toolwoz.database import KEYS, Database
from josh.envs.toolwoz.env import ToolwozEnv
from josh.envs.toolwoz.tasks import made_up
from josh.envs.toolwoz.tools import tools_of
from josh.envs.toolwoz.values import plain
from josh.episode import TaskClock, play
from josh.errors import UsageError
from josh.rewards.tool_goals import ToolGoals
from josh.roles import BaseEnv, Task, fork
from josh.runs.play.runtime import Runtime
from josh.runs.resolve import resolve
from josh.testing import AgentConformance, FixedModel, UserConformance
from josh.tree import conversation, internal_conversation, leaves
from josh.users.toolwoz import phrases as offline_goal_words
from josh.users.toolwoz.offline import PATIENCE, OfflineGoal

needs_trl = pytest.mark.skipif(find_spec("trl") is None, reason="the packages of josh-dialogue[train] are not there")

ENV = ToolwozEnv({"synthetic_tasks": 60, "seed": 3})
TASKS = ENV.tasks("train")
HARD = next(task for task in TASKS if len(task.data["targets"]) == 5)
TABLE = {
    "info": {"food": "italian", "area": "north"},
    "fail_info": {"food": "korean", "area": "north"},
    "book": {"people": "3", "day": "sunday", "time": "18:15"},
    "fail_book": {"day": "friday"},
    "reqt": ["phone"],
}


class Dice:
    """A line without a model."""

    def __init__(self, seed=1, temperature=1.0):
        self.temperature = temperature
        self.rng = Random(seed)

    def draw(self):
        return self.rng.randrange(1, 2**31)


class Desk:
    """An assistant that says what a test has it say."""

    def __init__(self):
        self.messages = []

    def add_message(self, message):
        self.messages.append(message)


def agent_of(task=HARD):
    agent = OfflineToolAgent()
    agent.start(task, ENV, {})
    return agent


def user_of(**goal):
    """A user with a goal, written as MultiWOZ has it."""
    user = OfflineGoal()
    user.start(Task("wished", 0, {"goal": goal}), ENV, {})
    return user


def answers(user, *said, seed=1):
    """What a user says to begin with and to each of an assistant's messages, and whether it then leaves."""
    desk, line = Desk(), Dice(seed)
    _, over = user.step(desk, model=line)
    for words in said:
        assert not over
        desk.add_message({"role": "assistant", "content": words})
        _, over = user.step(desk, model=line)
    return [message["content"] for message in desk.messages if message["role"] == "user"], over


def step(agent, world, line):
    async def waiting():
        done = agent.step(model=line, env=world)
        return done if isinstance(done, bool) else await done

    return asyncio.run(waiting())


def turn(agent, said, world, seed=1, temperature=0.0):
    """Have the assistant answer: the calls that it makes, as name and arguments, and its words."""
    agent.add_message({"role": "user", "content": said})
    calls, line = [], Dice(seed, temperature)
    while not step(agent, world, line):
        calls.extend((action["name"], action["arguments"]) for action in agent.recent_actions)
        agent.recent_actions = []
    return calls, agent.messages[-1]["content"]


def trees(**settings):
    """The finished tree of every task of a run."""
    casting = Runtime(resolve({"env": "toolwoz", **settings}, {}))

    async def playing():
        searches = [casting.search(task) for task in casting.tasks]
        for search, task in zip(searches, casting.tasks, strict=True):
            await play(search, task, casting.env, max_rounds=casting.max_rounds(task), clock=TaskClock(600.0))
        return [search.tree for search in searches]

    return list(zip(casting.tasks, asyncio.run(playing()), strict=True))


def success(played):
    return sum(not tree.nodes[tree.root or max(leaves(tree))].open for _, tree in played) / len(played)


def world_of(task):
    return ENV.world(task)


class TestTheAgent(AgentConformance):
    def make(self):
        agent = agent_of()
        agent.add_message({"role": "user", "content": "Hello, I need a cheap restaurant in the north."})
        return agent


class TestTheUser(UserConformance):
    def make(self):
        return user_of(restaurant=TABLE)


# How well they do


def test_at_temperature_0_nearly_every_task_is_done():
    assert success(trees(synthetic_tasks=150, temperature=0, seed=1)) > 0.95


def test_over_multiwoz_s_own_tables_as_well(tmp_path):
    folder = tmp_path / "data"
    database = real_database()
    folder.mkdir()
    for domain in KEYS:
        (folder / f"{domain}_db.json").write_text(json.dumps(list(database.rows(domain))), encoding="utf-8")
    assert success(trees(synthetic_tasks=80, temperature=0, data=str(folder))) > 0.95
    assert 0.25 < success(trees(synthetic_tasks=150, temperature=1, data=str(folder))) < 0.6


def test_at_temperature_1_it_is_mediocre_and_in_between_it_is_in_between():
    plain_runs = success(trees(synthetic_tasks=200, temperature=1, seed=1))
    cooler = success(trees(synthetic_tasks=200, temperature=0.5, seed=1))
    assert 0.3 < plain_runs < 0.55
    assert cooler > plain_runs + 0.15


def test_a_search_finds_what_plain_conversations_miss():
    played = trees(synthetic_tasks=60, josh=True, seed=1)
    assert success(played) > 0.85
    several = [tree for task, tree in played if len(task.data["targets"]) > 2 and not tree.nodes[tree.root].open]
    assert several
    assert all(len(tree.collapses) > 1 for tree in several)
    assert any(tree.nodes[leaf].open == tree.goals for _, tree in played for leaf in leaves(tree)), "nothing is lost"


def test_the_same_settings_play_the_same():
    once, twice = (trees(synthetic_tasks=6, josh=True, seed=4) for _ in range(2))
    assert [tree for _, tree in once] == [tree for _, tree in twice]


# What the assistant says and does


def test_a_search_is_followed_by_an_offer_and_a_booking_by_its_number():
    task, wish = next(
        (task, wish)
        for task in TASKS
        if (wish := task.data["goal"].get("restaurant")) and len(wish["info"]) > 1 and wish["book"]
        if not task.data["failures"]
    )
    agent, world = agent_of(task), world_of(task)
    info = {name: plain(value) for name, value in wish["info"].items()}
    calls, _ = turn(agent, f"Hello, I need {offline_goal_words.thing('restaurant', info)}.", world)
    assert calls == [("search_restaurant", info)]
    (row,) = world.call(*calls[0])
    assert plain(row["name"]) in plain(agent.messages[-1]["content"])
    calls, words = turn(agent, f"Please book {offline_goal_words.booking('restaurant', wish['book'])}.", world)
    assert calls == [("book_restaurant", {"name": row["name"], **wish["book"]})]
    assert world.bookings[0].reference in words


def test_calls_and_answers_belong_together_and_stay_with_the_agent():
    for _, tree in trees(synthetic_tasks=12, temperature=1, seed=2):
        for leaf in leaves(tree):
            told = internal_conversation(tree, leaf)
            calls = [call for message in told for call in message.get("tool_calls", ())]
            answered = [message["tool_call_id"] for message in told if message["role"] == "tool"]
            assert [call["id"] for call in calls] == answered
            assert len(set(answered)) == len(answered)
            assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in calls)
            assert {message["role"] for message in conversation(tree, leaf)} == {"user", "assistant"}
            assert all(message["content"] for message in conversation(tree, leaf))


def test_one_step_is_one_completion():
    agent, world = agent_of(), world_of(HARD)
    agent.add_message({"role": "user", "content": "Hello, I need a cheap Indian restaurant in the north."})
    assert step(agent, world, Dice(temperature=0)) is False
    assert [message["role"] for message in agent.messages_internal] == ["system", "user", "assistant", "tool"]
    assert [action["name"] for action in agent.recent_actions] == ["search_restaurant"]
    assert len(agent.messages) == 1
    assert step(agent, world, Dice(temperature=0)) is True
    assert agent.messages[-1] == agent.messages_internal[-1]


def test_it_knows_nothing_of_the_goal_but_what_it_is_told():
    """Started on a task without data, it does in a world the very same as one that was given all there is."""
    for seed in range(12):
        knowing, ignorant = agent_of(HARD), OfflineToolAgent()
        ignorant.start(Task("other", 7, {}), ENV, {})
        for said in ("Hello, I need a cheap place to stay.", "It should be in the west."):
            assert turn(knowing, said, world_of(HARD), seed, 1.0) == turn(ignorant, said, world_of(HARD), seed, 1.0)


def test_it_goes_wrong_at_a_temperature_and_never_without():
    said = "Hello, I need a cheap Indian restaurant in the north."
    whole = ("search_restaurant", {"area": "north", "food": "indian", "pricerange": "cheap"})
    assert {str(turn(agent_of(), said, world_of(HARD), seed)[0]) for seed in range(20)} == {str([whole])}
    hot = [turn(agent_of(), said, world_of(HARD), seed, 1.0) for seed in range(120)]
    searches = Counter(len(calls[0][1]) if calls else 0 for calls, _ in hot)
    assert set(searches) == {0, 2, 3}, "it asks or boasts, leaves something out, or does it well"
    assert all(share > 10 for share in searches.values())
    assert len({words for _, words in hot}) > 12


def test_a_wrong_booking_is_noticed_and_made_good_when_it_is_asked_for_again():
    task = next(task for task in TASKS if task.data["targets"][-1]["api"] == "book_train" and not task.data["failures"])
    goal = task.data["goal"]["train"]
    agent, world = agent_of(task), world_of(task)
    turn(agent, f"I need {offline_goal_words.thing('train', goal['info'])}.", world)
    people = goal["book"]["people"]
    wrong, told = turn(agent, f"Please book seats for {int(people) + 1} people.", world)
    assert wrong[0][1]["people"] != people
    assert "booking" in told
    assert "reference" not in told
    _, told = turn(agent, f"Please try again to book seats for {people} people.", world)
    assert world.bookings[0].reference in told


def test_it_books_nothing_that_it_has_not_found():
    agent, world = agent_of(), world_of(HARD)
    assert turn(agent, "I need a restaurant in the north that serves Eritrean food.", world)[0]
    calls, words = turn(agent, "Please book it for 2 people on Monday at 18:00.", world)
    assert calls == []
    assert "find" in words or "found" in words


def test_it_says_so_where_its_tools_are_no_use():
    with pytest.raises(UsageError, match="needs tools such as search_hotel"):
        OfflineToolAgent().start(TASKS[0], BaseEnv({}), {})


def test_it_greets_where_it_has_to_begin():
    agent = agent_of()
    assert step(agent, None, FixedModel()) is True
    assert agent.messages[-1]["content"].endswith("?")


# What it understands

EAR = Ear(tools_of(Database.small()))


@pytest.mark.parametrize(
    ("said", "about", "told"),
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
def test_it_hears_what_to_look_for(said, about, told):
    assert {each.name: each.value for each in EAR.hear(said, about) if each.kind == SEARCH} == told


def test_it_hears_what_to_book_what_to_tell_and_what_not_to_do():
    heard = EAR.hear("Please book a table for 3 people on Sunday at 18:15.", "restaurant")
    assert {each.name: each.value for each in heard if each.kind == BOOK} == {
        "people": "3", "day": "sunday", "time": "18:15", "": "",
    }  # fmt: skip
    heard = EAR.hear("Book a room for 1 person from Monday for 2 nights, please.", "restaurant")
    assert {each.name: each.value for each in heard if each.kind == BOOK and each.domain == "hotel"} == {
        "people": "1", "day": "monday", "stay": "2", "": "",
    }  # fmt: skip
    asked = EAR.hear("Could you tell me the phone number, travel time and kind of food?", "train")
    assert [each.name for each in asked if each.kind == ASK] == ["phone", "duration", "food"]
    assert [each.kind for each in EAR.hear("There is no need to book it.", "hotel")] == [NO_BOOKING]
    assert EAR.hear("4", "hotel", ("day", "people")) == [Told("hotel", BOOK, "people", "4")]
    assert EAR.hear("4", "hotel") == []
    assert [each.name for each in EAR.hear("It does not matter.", "hotel", ("area", "stars"))] == ["area", "stars"]


@pytest.mark.parametrize("database", [Database.small, real_database], ids=["small", "multiwoz"])
def test_all_that_the_user_can_want_is_understood(database):
    """Every goal's search and booking, and what it falls back to, in whatever words they are put."""
    tables = database()
    hearing, seen = Ear(tools_of(tables)), set()
    for task in made_up(tables, "train", 400, seed=9):
        for domain, wish in task.data["goal"].items():
            for info in filter(None, (wish["info"], wish["info"] | wish["fail_info"])):
                wanted = {name: plain(value) for name, value in info.items()}
                for said in (
                    f"I need {offline_goal_words.thing(domain, info)}.",
                    f"It should {offline_goal_words.traits(info)}.",
                ):
                    told = hearing.hear(said, domain)
                    assert {each.name: each.value for each in told if each.kind == SEARCH} == wanted, said
                    assert {each.domain for each in told} == {domain}, said
                told = hearing.hear(f"I need {offline_goal_words.thing(domain, info)}.", None)
                assert told[0].domain == domain, info
                seen.update(wanted)
            if wish["book"]:
                said = f"Could you book {offline_goal_words.booking(domain, wish['book'])}?"
                told = {each.name: each.value for each in hearing.hear(said, domain) if each.kind == BOOK and each.name}
                assert told == wish["book"], said
    assert {"food", "area", "stars", "parking", "departure", "arriveBy", "leaveAt", "name", "type"} <= seen


# What the user says and does


def test_the_user_goes_from_what_cannot_be_had_to_what_can():
    said, over = answers(
        user_of(restaurant=TABLE),
        "Which part of town would you like?",
        "I am sorry, I could not find a Korean restaurant in the north.",
        "I found Il Forno, an Italian restaurant in the north. Shall I book it for you?",
        "The phone number is 01632 555123.",
        "I am sorry, Il Forno is fully booked then.",
        "I have booked a table. The reference number is 1A2B3C4D.",
    )
    everything = " ".join(said)
    assert "Korean" in " ".join(said[:2])
    assert "Italian" not in " ".join(said[:2])
    assert "Italian" in said[2]
    assert "phone number" in everything
    assert "Friday" in everything
    assert "Sunday" in everything
    assert everything.index("Friday") < everything.index("Sunday")
    assert over


def test_the_user_objects_to_what_it_did_not_ask_for_and_takes_what_it_did():
    wish = {"info": {"food": "thai", "area": "south"}}
    asked = "What kind of food would you like, and in which part of town?"
    said, over = answers(user_of(restaurant=wish), asked, "I found Lotus, a Thai restaurant in the north.")
    assert "south" in said[-1]
    assert not over
    _, over = answers(user_of(restaurant=wish), asked, "I found Lotus, a Thai restaurant in the south.")
    assert over
    late = {"info": {"departure": "aldermere", "destination": "port elverin", "day": "monday", "arriveBy": "10:00"}}
    for arrives, fits in (("09:59", True), ("10:01", False)):
        offer = f"I found TR1, which leaves Aldermere at 09:00 on Monday and arrives in Port Elverin at {arrives}."
        _, over = answers(user_of(train=late), "By when do you have to arrive, and on which day?", offer)
        assert over is fits


def test_the_user_goes_on_to_its_next_wish():
    said, over = answers(
        user_of(attraction={"info": {"type": "museum"}}, hotel={"info": {"stars": "4"}, "reqt": ["address"]}),
        "How about Quarry Bank Museum? It is a museum in the west.",
        "I found Larch House, a 4-star guesthouse. Shall I book it?",
        "The address is 5 Mill Lane.",
    )
    assert "museum" in said[0]
    assert "4-star" in said[1]
    assert "address" in said[2]
    assert over


def test_the_user_leaves_when_it_is_led_nowhere():
    said, over = answers(user_of(attraction={"info": {"type": "museum"}}), *["There are many."] * PATIENCE)
    assert over
    assert len(set(said)) > 1
    assert said[-1].lower().split()[-1].strip(".") == "goodbye"


def test_the_user_does_not_mind_what_its_goal_leaves_open():
    wish = {"info": {"stars": "4"}, "book": {"people": "2", "stay": "3"}, "reqt": ["Ref"]}
    offer = "I found Larch House, a 4-star guesthouse."
    said, over = answers(user_of(hotel=wish), offer, "From which day?", "For how many people?")
    assert said[2] == "I do not mind the day."
    assert "2 people" in said[3]
    assert [each.name for each in EAR.hear(said[2], "hotel") if each.kind == BOOK] == ["day"]
    _, over = answers(user_of(hotel=wish), offer, "I have booked it. The reference number is 1A2B3C4D.")
    assert over


def test_the_user_asks_again_for_a_detail_that_it_was_not_told():
    wish = {"info": {"type": "museum"}, "reqt": ["phone", "postcode"]}
    offer = "I found Quarry Bank Museum, a museum."
    said, over = answers(user_of(attraction=wish), offer, "The phone number is 01632 555123.")
    assert "phone" in said[1]
    assert "postcode" in said[2]
    assert "phone" not in said[2]
    assert not over


def test_a_booking_without_a_number_is_not_always_believed():
    table = TABLE | {"fail_info": {}, "fail_book": {}, "reqt": []}
    offer = "I found Il Forno, an Italian restaurant in the north."
    left = Counter(
        answers(user_of(restaurant=table), "Which part of town?", offer, "All right, that is booked.", seed=seed)[1]
        for seed in range(60)
    )
    assert left[True] > left[False] > 0


def test_a_user_without_a_goal_of_its_kind_says_so():
    with pytest.raises(UsageError, match="has no goal; give another --user"):
        OfflineGoal().start(Task("t", 0, {}), ENV, {})
    with pytest.raises(UsageError, match="is about 'taxi', and offline_goal knows restaurant, hotel"):
        user_of(taxi={"info": {"leaveAt": "10:00"}})


def test_the_user_says_a_name_first_and_the_rest_later():
    said, over = answers(
        user_of(restaurant={"info": {"area": "north", "name": "the lime leaf"}}),
        "I found The Lime Leaf, a cheap restaurant.",
        "I found The Lime Leaf, a cheap restaurant in the north.",
    )
    assert "called The Lime Leaf" in said[0]
    assert "in the north" in said[1]
    assert over


def test_the_user_never_names_what_it_was_not_told_to_want():
    database, named = Database.small(), 0
    for task, tree in trees(synthetic_tasks=60, josh=True, seed=5):
        told = plain(" ".join(task.data["message"]))
        secret = [
            plain(row[KEYS[target["domain"]]])
            for target in task.data["targets"]
            if target["id"] is not None
            for row in database.rows(target["domain"])
            if database.row_id(target["domain"], row) == target["id"]
        ]
        secret = [name for name in secret if name not in told]
        named += len(secret)
        for leaf in leaves(tree):
            said = [plain(each["content"]) for each in conversation(tree, leaf) if each["role"] == "user"]
            assert not [name for name in secret if any(name in words for words in said)]
    assert named > 30


# Branches


def test_branches_go_their_own_ways_and_each_goes_as_if_it_were_alone():
    """What a fork says depends on the conversation and the seeds alone, whatever its siblings do in between."""

    def begun():
        user, agent = user_of(**HARD.data["goal"]), agent_of(HARD)
        return Branch(agent, user, world_of(HARD), ToolGoals([]))

    def play_on(branch, seed, rounds=4):
        line = Dice(seed)
        for _ in range(rounds):
            branch.user.step(branch.agent, model=line)
            while not step(branch.agent, branch.world, line):
                pass
        return branch.agent.messages_internal

    root = begun()
    play_on(root, 1, rounds=2)
    before = list(root.agent.messages_internal)
    forks = [root.fork() for _ in range(3)]
    for seed, branch in enumerate(forks, 10):
        play_on(branch, seed)
    assert root.agent.messages_internal == before
    for seed, branch in enumerate(forks, 10):
        alone = begun()
        play_on(alone, 1, rounds=2)
        assert play_on(alone, seed) == branch.agent.messages_internal
    assert len({json.dumps(branch.agent.messages_internal) for branch in forks}) == 3


def test_a_fork_copies_no_more_than_its_lists():
    agent, user = agent_of(), user_of(restaurant=TABLE)
    turn(agent, "Hello, I need a cheap restaurant.", world_of(HARD))
    twin = fork(agent)
    assert {name for name, value in vars(agent).items() if vars(twin)[name] is not value} == {
        "messages", "messages_internal", "recent_actions",
    }  # fmt: skip
    assert all(vars(fork(user))[name] is value for name, value in vars(user).items())


# A run, and what is trained on it

TOOLED = (
    "{% if tools %}<|system|>{% for tool in tools %}{{ tool['function']['name'] }} {% endfor %}<|end|>{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>{% generation %}{{ m['content'] }}"
    "{% for call in m['tool_calls'] or [] %}{{ call['id'] }} {{ call['function'] | tojson }}{% endfor %}<|end|>"
    "{% endgeneration %}{% elif m['role'] == 'tool' %}<|user|>{{ m['tool_call_id'] }} {{ m['content'] }}<|end|>"
    "{% elif m['role'] == 'user' %}<|user|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A chat template that shows tools, calls and answers; it leaves system messages out, to be short."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A searched run's training files, by format."""
    folder = tmp_path_factory.mktemp("run")
    assert main(["--env", "toolwoz", "--josh", "--synthetic_tasks", "12", "--log_dir", str(folder)]) == 0
    [run] = folder.iterdir()
    files = {form: folder / f"{form}.jsonl" for form in ("sft", "kto", "dpo")}
    for form, path in files.items():
        assert main(["export", str(run), "--format", form, "--out", str(path)]) == 0
    return files


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("form", ["sft", "kto", "dpo"])
def test_training_rows_are_sound_and_carry_the_tools(rows, form, capsys):
    assert main(["export", "--check", str(rows[form])]) == 0
    assert "sound" in capsys.readouterr().out
    called = 0
    for row in read(rows[form]):
        assert [tool["function"]["name"] for tool in row["tools"]] == [
            tool["function"]["name"] for tool in ENV.tools(HARD)
        ]
        said = row.get("messages") or row["prompt"]
        calls = [call["id"] for message in said for call in message.get("tool_calls", ())]
        assert calls == [message["tool_call_id"] for message in said if message["role"] == "tool"]
        called += len(calls)
    assert called > len(read(rows[form])) / 2


def test_pairs_set_a_good_call_against_a_bad_one(rows):
    calls = [[row[side][0].get("tool_calls") for side in ("chosen", "rejected")] for row in read(rows["dpo"])]
    assert any(good and not bad for good, bad in calls), "a call against empty words"
    assert any(good and bad for good, bad in calls), "a call against one that leaves something out"


@needs_trl
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("form", ["sft", "kto", "dpo"])
def test_a_model_whose_template_shows_tools_is_trained_on_them(rows, form, tiny_model, tmp_path, capsys):
    model, data = shutil.copytree(tiny_model, tmp_path / "model"), tmp_path / f"{form}.jsonl"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    called = [row for row in sorted(read(rows[form]), key=lambda row: len(str(row))) if "tool_calls" in str(row)]
    few = [row for label in (True, False) for row in called if row.get("label", label) is label][: len(called)]
    few = few[:3] + few[-3:] if form == "kto" else few[:4]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in few))
    flags = ["--data", str(data), "--model", str(model), "--preset", "tiny", "--torch_threads", "1"]
    assert main(["train", form, *flags, "--out", str(tmp_path / "blind"), "--max_length", "4000"]) == 2
    assert "leaves tool calls out" in capsys.readouterr().err
    (model / "chat_template.jinja").write_text(TOOLED)
    assert main(["train", form, *flags, "--out", str(tmp_path / "out"), "--max_length", "4000"]) == 0
    said = capsys.readouterr()
    assert f"{len(few)} used, 0 too long" in said.err + said.out
    assert len(list((tmp_path / "out").iterdir())) == 1


@needs_trl
def test_trl_gets_every_call_with_its_own_arguments_and_no_others(rows):
    from datasets import Dataset

    wanted = [{key: row[key] for key in ("prompt", "completion", "label")} for row in read(rows["kto"])]
    assert list(Dataset.from_list(wanted, on_mixed_types="use_json")) == wanted
