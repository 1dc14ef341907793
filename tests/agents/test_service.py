"""Agents that exist already: `--agent http://...`."""

import itertools
import json

import pytest
from playing import lines
from serving import serving
from toy_service import Service

from josh.cli import main
from josh.models.service import completion_of
from josh.runs.experiments.loopback import Loopback

ASK = "Would you give a dollar to Save the Children?"


def varied(body):
    return {"reply": f"{ASK} ({body['seed'] % 1000})"}


def play(tmp_path, address, *flags):
    code = main(["--agent", address, "--log_dir", str(tmp_path), *flags])
    folders = list(tmp_path.iterdir())
    return code, folders[0] if folders else None


def test_a_service_needs_only_its_address(tmp_path):
    service = Service(varied)
    with serving(service) as url:
        code, folder = play(tmp_path, url, "--end_index", "2", "--max_convo_turns", "3")
    assert code == 0
    settings = json.loads((folder / "config.json").read_text())["settings"]["agent"]
    assert (settings["name"], settings["model"]) == ("service", f"service:{url}")
    first, second = service.bodies[0], service.bodies[-1]
    assert set(first) == {"messages", "message", "session_id", "seed", "temperature"}
    assert [message["role"] for message in first["messages"]] == ["user"]
    assert second["message"] == second["messages"][-1]["content"]
    assert all("Authorization" not in headers for headers in service.headers)
    said = [node["messages"][0]["content"] for node in lines(folder / "episodes.jsonl")[0]["nodes"][1::2]]
    assert all(text.startswith(ASK) for text in said)


def test_every_branch_has_a_session_of_its_own(tmp_path):
    service = Service(varied)
    with serving(service) as url:
        code, _ = play(tmp_path, url, "--josh", "--beam_size", "4", "--end_index", "1", "--max_convo_turns", "4")
    assert code == 0
    assert len(service.sessions) > 4
    for requests in service.sessions.values():
        for earlier, later in itertools.pairwise(requests):
            assert later[: len(earlier)] == earlier, "a session continues one conversation"


def test_a_service_that_only_keeps_sessions_hears_the_earlier_messages_again(tmp_path):
    heard = {}

    def reply(body):
        heard.setdefault(body["session_id"], []).append(body["message"])
        return [{"recipient_id": body["session_id"], "text": f"{ASK} ({len(heard[body['session_id']])})"}]

    service = Service(reply)
    with serving(service) as url:
        search = ("--josh", "--beam_size", "2", "--end_index", "1", "--max_convo_turns", "3")
        code, _ = play(tmp_path, url, *search, "--agent.replay", "--agent.message_field", "message")
    assert code == 0
    for session, messages in heard.items():
        whole = [one for one in service.sessions[session][-1] if one["role"] == "user"]
        assert messages == [one["content"] for one in whole], "it heard each message of its branch once, in order"


def test_a_service_that_speaks_chat_completions_is_asked_so(tmp_path):
    with serving(Loopback(lambda body: ASK)) as url:
        code, folder = play(tmp_path, url, "--end_index", "1", "--max_convo_turns", "2")
    assert code == 0
    settings = json.loads((folder / "config.json").read_text())["settings"]["agent"]
    assert (settings["name"], settings["model"], settings["base_url"]) == ("service", "agent", url)


def test_a_service_calls_the_tools_of_the_world(tmp_path):
    def reply(body):
        if body["messages"][-1]["role"] == "tool":
            return {"reply": "I have found one."}
        call = {"id": "c1", "type": "function", "function": {"name": "search_hotel", "arguments": '{"area": "north"}'}}
        assert any(tool["function"]["name"] == "search_hotel" for tool in body["tools"])
        return {"tool_calls": [call]}

    with serving(Service(reply)) as url:
        code, folder = play(tmp_path, url, "--env", "toolwoz", "--end_index", "1", "--max_convo_turns", "1")
    assert code == 0
    (episode,) = lines(folder / "episodes.jsonl")
    called = [action for node in episode["nodes"] for step in node.get("actions", ()) for action in step]
    assert any(action["name"] == "search_hotel" and "result" in action for action in called if isinstance(action, dict))


def test_a_resumed_run_asks_for_no_reply_again(tmp_path):
    service = Service(varied)
    with serving(service) as url:
        flags = ("--josh", "--beam_size", "2", "--end_index", "2", "--max_convo_turns", "2")
        assert main(["--agent", url, "--log_dir", str(tmp_path), *flags, "--max_calls", "3"]) in (0, 1)
        (folder,) = tmp_path.iterdir()
        before = len(service.bodies)
        resumed = ["--resume", str(folder), "--max_calls", "1000"]
        assert main(resumed) == 0
    asked = [json.dumps(body, sort_keys=True) for body in service.bodies]
    assert before == 3
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--agent", "http://127.0.0.1:1/chat", "--model", "m"), "leave the model out, or end with /v1"),
        (("--agent", "http://127.0.0.1:1/v1", "--base_url", "http://127.0.0.1:2/v1"), "leave one of them out"),
        (("--agent", "http://"), "the agent's address is 'http://'"),
        (("--agent", "service"), "--model"),
    ],
)
def test_a_wrong_address_is_one_line(tmp_path, capsys, flags, said):
    assert main([*flags, "--log_dir", str(tmp_path)]) == 2
    printed = capsys.readouterr().err.strip()
    assert said in printed
    assert "\n" not in printed


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Hello.", "Hello."),
        ('{"text": "Hello."}', "Hello."),
        ({"message": {"content": "Hello."}}, "Hello."),
        ([{"text": "Hello."}, {"text": "Give?"}], "Hello.\nGive?"),
        ({"content": [{"type": "text", "text": "Hello."}]}, "Hello."),
    ],
)
def test_the_usual_forms_of_an_answer_are_read(answer, text):
    assert completion_of(answer)["choices"][0]["message"]["content"] == text


def test_an_error_with_a_status_of_success_is_named(tmp_path, capsys):
    with serving(Service(lambda body: {"error": {"message": "the agent is asleep", "code": 400}})) as url:
        code, _ = play(tmp_path, url, "--end_index", "1", "--max_attempts", "1")
    assert code == 1
    assert "the agent is asleep" in capsys.readouterr().err


def test_an_answer_without_words_is_named(tmp_path, capsys):
    with serving(Service(lambda body: {"ok": True})) as url:
        code, _ = play(tmp_path, url, "--end_index", "1")
    assert code == 1
    assert "give a text, or an object with one of reply, response" in capsys.readouterr().err
