"""A world as an environment of verifiers: on a double of its interactions, and on the package where it is installed."""

import asyncio
import json
import urllib.request
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from josh.errors import UsageError
from josh.runs.play.seats import Seats
from josh.runs.train.verifiers_env import converse, environment, main, record, system_prompt

SETTINGS = {"env": "persuasion", "synthetic_tasks": 3, "max_convo_turns": 4, "model": "hf:x"}


class Interaction:
    """An agent of verifiers that says a line, until it has no turns left."""

    def __init__(self, turns=100):
        self.heard, self.turns = [], turns
        self.trace = SimpleNamespace(rewards={}, metrics={}, info={})
        self.trace.record_reward = self.trace.rewards.__setitem__
        self.trace.record_metric = self.trace.metrics.__setitem__

    async def turn(self, message):
        self.heard.append(message)
        self.turns -= 1
        return SimpleNamespace(terminated=self.turns < 0, last_reply="Would you give one dollar?")


def played(turns=100, seed=4, **more):
    seats = Seats({**SETTINGS, **more})
    conversation = seats.conversation(next(iter(seats.tasks.values())), seed)
    interaction = Interaction(turns)
    asyncio.run(converse(conversation, interaction))
    record(conversation, interaction.trace, "t")
    return conversation, interaction


def test_the_agent_hears_the_user_until_it_is_over():
    conversation, interaction = played()
    assert conversation.over
    words = [one["content"] for one in conversation.messages if one["role"] == "user"]
    assert interaction.heard[1:] == words[: len(interaction.heard) - 1]
    trace = interaction.trace
    assert trace.rewards == {"reward": conversation.reward}
    assert trace.metrics["num_turns"] == len(interaction.heard)
    assert trace.metrics["completed"] + trace.metrics["truncated"] == 1
    assert trace.info["josh"] == {"task": "t", "outcome": str(conversation.outcome), "error": ""}
    assert played()[1].heard == interaction.heard


def test_an_agent_that_ends_first_leaves_it_undecided():
    conversation, interaction = played(turns=1)
    assert not conversation.over
    assert interaction.trace.info["josh"]["outcome"] == "truncated"
    assert interaction.trace.rewards == {"reward": 0.0}


def test_the_system_prompt_is_the_agents_and_a_user_who_begins_is_heard_first():
    conversation, _ = played()
    assert system_prompt(conversation).startswith("You are a crowd worker")
    conversation, interaction = played(env="toolwoz", synthetic_tasks=3)
    assert "PLAN" in system_prompt(conversation)
    assert interaction.heard[0] == conversation.messages[0]["content"]


def test_a_module_is_written_for_a_world(tmp_path, capsys):
    settings = '{"env": "toolwoz", "end_index": 2}'
    assert main(["--name", "my_desk", "--settings", settings, "--out", str(tmp_path)]) == 0
    text = (tmp_path / "my_desk.py").read_text()
    assert "environment({'env': 'toolwoz', 'end_index': 2})" in text
    assert main(["--name", "my_desk", "--out", str(tmp_path)]) == 0, "its own module is replaced"
    (tmp_path / "mine.py").write_text("x = 1")
    assert main(["--name", "mine", "--out", str(tmp_path)]) == 2
    assert (tmp_path / "mine.py").read_text() == "x = 1"
    assert "josh did not write it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--name", "My-World"], "name is 'My-World'; give a module's name in small letters"),
        (["--name", "class"], "name is 'class'; give a module's name in small letters"),
        (["--name", "os"], "name is 'os', a module of Python's own; give another, such as my_world"),
        (["--name", "w", "--settings", "[1]"], "settings is '[1]'; give a JSON object"),
        (["--name", "w", "--settings", '{"env": "nowhere"}'], "nowhere"),
    ],
)
def test_wrong_flags_are_named(flags, said, tmp_path, capsys):
    assert main([*flags, "--out", str(tmp_path / "new")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_package_is_named_where_it_is_missing_and_else_gives_the_tasks():
    if find_spec("verifiers") is None:
        with pytest.raises(UsageError, match="this needs verifiers: pip install"):
            environment(SETTINGS)
        return
    tasks, world, config = environment(SETTINGS)
    import verifiers.v1 as vf

    found = list(tasks(vf.TasksetConfig()).load())
    assert [task.key for task in found] == [f"synthetic-train-{number:04}" for number in range(3)]
    assert issubclass(world, vf.Env)
    assert issubclass(config, vf.EnvConfig)


def test_the_loopback_endpoint_streams(endpoint):
    url, _ = endpoint(respond=lambda body: "Hello.")
    body = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        events = [line[6:] for line in answer.read().decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    first, second, usage = map(json.loads, events[:-1])
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "Hello."}
    assert second["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["completion_tokens"] == 1
