"""A world as an environment of TRL, called as its trainer calls it."""

import inspect
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

import josh
from josh.errors import FatalError, UsageError

KIOSK = "toy_kiosk:Kiosk"


@pytest.fixture
def factory(elsewhere):
    """Make an environment's class, and close it after the test."""
    made = []

    def make(env=KIOSK, **settings):
        made.append(josh.environment_factory(env=env, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def tools_of(environment):
    """The tools of an environment, as the trainer finds them: by the name that the model calls."""
    names = [
        name
        for name, _ in inspect.getmembers(type(environment), predicate=inspect.isfunction)
        if name not in {"reset", "get_reward"} and not name.startswith("_")
    ]
    return {getattr(environment, name).__name__: getattr(environment, name) for name in names}


def test_each_tool_of_the_world_is_a_method_and_one_more_talks_to_the_user(factory):
    kind = factory()
    environment = kind()
    assert set(tools_of(environment)) == {"look", "sell", "talk_to_user"}
    assert kind.__name__ == "KioskEnvironment"
    assert str(inspect.signature(environment.talk_to_user)) == "(message: str) -> str"
    environment.reset(**kind.rows()[0])
    assert environment.look(colour="red") == "a red kite"
    assert environment.look(colour="pink") == "Error: there is no pink kite"
    assert environment.talk_to_user("Here it is.").startswith("A red one, please!")
    with pytest.raises(ValueError, match="the message is empty"):
        environment.talk_to_user(" ")


def test_transformers_reads_the_schemas_of_the_world_from_the_methods(factory):
    pytest.importorskip("transformers", reason="transformers is not installed: pip install 'josh-dialogue[train]'")
    from transformers.utils import get_json_schema

    kind = factory("toolwoz", task_split="train", end_index=2)
    environment = kind()
    seats = kind._shared.seats
    for tool in seats.runtime.env.tools(seats.runtime.tasks[0]):
        wanted = json.loads(json.dumps(tool))
        assert wanted["function"]["parameters"].pop("required") == []
        assert get_json_schema(tools_of(environment)[tool["function"]["name"]]) == wanted


def test_a_row_has_the_agents_prompt_and_the_task(factory):
    kind = factory()
    rows = kind.rows()
    assert rows[1] == {
        "prompt": [{"role": "system", "content": "You sell kites."}, {"role": "user", "content": ""}],
        "task": "child 1",
    }
    assert len(rows) == 3
    assert kind().reset(**rows[1]).startswith("A blue one, please!")


def test_the_reward_counts_what_was_earned_so_far_also_within_a_turn(factory):
    kind = factory()
    environment = kind()
    environment.reset(task="child 0")
    assert environment.get_reward() == 0
    environment.look(colour="red")
    assert environment.get_reward() == 0.5
    environment.talk_to_user("I have one.")
    environment.sell(colour="blue")
    assert environment.get_reward() == 0.5
    environment.sell(colour="red", number=1)
    assert environment.get_reward() == 1
    environment.reset(task="child 0")
    assert environment.get_reward() == 0


def test_a_conversation_that_is_over_takes_no_more_calls(factory):
    environment = factory()()
    with pytest.raises(ValueError, match="the conversation is over"):
        environment.look(colour="red")
    environment.reset(task="child 0")
    assert environment.talk_to_user("Goodbye!") == "Bye!"
    for again in (lambda: environment.talk_to_user("Hello?"), lambda: environment.look(colour="red")):
        with pytest.raises(ValueError, match=r"^the conversation is over$"):
            again()
    assert environment.get_reward() == 0


def test_a_conversation_that_an_error_ended_has_no_reward(factory):
    environment = factory()()
    environment.reset(task="child 0")
    environment.look(colour="red")
    assert environment.talk_to_user("Let us fall over.") == "(The conversation is over.)"
    assert environment.get_reward() is None


def words_of(kind, times):
    environments = [kind() for _ in range(2)]
    return [environments[at % 2].reset(task="child 0") for at in range(times)]


def test_seeds_follow_from_the_run_the_task_and_how_often_it_began(factory, monkeypatch):
    first, second = factory(seed=3), factory(seed=3)
    words = words_of(first, 4)
    assert len(set(words)) == 4
    second().reset(task="child 1")
    assert words_of(second, 4) == words, "the conversations of another task do not count"
    assert words_of(factory(seed=4), 1) != words[:1]
    monkeypatch.setenv("RANK", "1")
    assert words_of(factory(seed=3), 1) != words[:1], "another process of a training has other seeds"


def test_names_that_mean_something_else_to_a_trainer_stay_the_models_names(factory):
    environment = factory("toy_kiosk:Odd")()
    environment.reset(task="child 0")
    tools = tools_of(environment)
    assert set(tools) == {
        *("reset", "get_reward", "_hidden", "talk_to_user", "tool_reset", "buy-kite"),
        "talk_to_user_",
    }
    for name in tools.keys() - {"talk_to_user_"}:
        assert tools[name](from_="here") == f"{name} {{'from': 'here'}}"
    assert "A red one" in tools["talk_to_user_"]("Hello!")
    assert inspect.getdoc(tools["talk_to_user_"]).startswith("Say something to the user.")


def test_a_world_without_tools_is_talked_to(factory):
    kind = factory("persuasion", task_split="train", end_index=3, max_convo_turns=2, user="donor")
    environment = kind()
    assert set(tools_of(environment)) == {"talk_to_user"}
    row = kind.rows()[2]
    assert row["prompt"][0]["role"] == "system"
    assert environment.reset(**row) == "(The chat is open. You write first.)"
    assert environment.talk_to_user("Hello! How are you?")
    assert environment.talk_to_user("Would you give one dollar to children?")
    with pytest.raises(ValueError, match="is over"):
        environment.talk_to_user("Please!")
    assert environment.get_reward() >= 0


def test_wrong_uses_get_a_line(factory):
    with pytest.raises(UsageError, match="task child 1: tool 'look' has another schema"):
        factory("toy_kiosk:Changing")
    with pytest.raises(UsageError, match="colour"):
        factory(colour="red")
    with pytest.raises(UsageError, match="there is no task 'nobody'"):
        factory()().reset(task="nobody")
    with pytest.raises(UsageError, match=r"make the dataset of rows\(\)"):
        factory()().reset(prompt=[])
    with pytest.raises(UsageError, match="give agent='function_calling'"):
        factory(agent="react")().reset(task="child 0")


def asked(factory, endpoint, **options):
    url, server = endpoint(**options)
    return factory(user_model="writer", user_base_url=url), server


def test_several_environments_may_be_called_from_threads(factory, endpoint):
    kind, server = asked(factory, endpoint, latency=0.02)

    def play(task):
        environment = kind()
        said = [environment.reset(task=task)]
        for word in "abc":
            environment.look(colour="red")
            said.append(environment.talk_to_user(word))
        return said, environment.get_reward()

    with ThreadPoolExecutor(6) as threads:
        played = list(threads.map(play, [f"child {at % 3}" for at in range(6)]))
    assert [reward for _, reward in played] == [0.5, 0, 0] * 2
    assert all(all(said) for said, _ in played)
    assert server.peak_concurrency > 1


def test_a_users_model_that_refuses_every_call_stops_the_training(factory, endpoint):
    kind, server = asked(factory, endpoint)
    environment = kind()
    environment.reset(task="child 0")
    server.faults = [401] * 99
    with pytest.raises(FatalError, match="401"):
        environment.talk_to_user("Hello!")
    with pytest.raises(FatalError, match="401"):
        environment.get_reward()
    with pytest.raises(FatalError, match="401"):
        environment.reset(task="child 0")
