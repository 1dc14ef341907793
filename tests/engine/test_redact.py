"""No key or password leaves josh in an error, a log line, a record or a reply."""

import pytest

from josh.cli import main
from josh.errors import UsageError
from josh.models.openai_chat import OpenAIChat
from josh.redact import Redactor, in_json, redactor

KEY = "sk-canary-0123456789"


def test_a_key_in_an_environment_variable_is_taken_out_of_an_error():
    redact = redactor({"MY_API_KEY": f" {KEY}\n", "DB_PASSWORD": "canary bird", "HF_TOKEN": "1234567890"})
    assert redact(f"no access with {KEY} or canary bird or 1234567890") == "no access with *** or *** or ***"


def test_a_variable_that_api_key_var_names_is_secret_whatever_its_name():
    environment = {"MY_LLM": KEY, "OTHER": "canary bird", "PLAIN": "not a secret"}
    redact = redactor(environment, {"api_key_var": "MY_LLM", "user_api_key_var": "OTHER", "model": "PLAIN"})
    assert redact(f"{KEY}, canary bird, not a secret") == "***, ***, not a secret"
    tables = {"agent": {"api_key_var": "MY_LLM"}, "user": {"api_key_var": "NONE, OTHER"}}
    assert redactor(environment, tables)(f"{KEY}, canary bird") == "***, ***"
    assert redactor(environment, {"api_key_var": None, "user_api_key_var": ""})(KEY) == KEY


def test_what_is_no_secret_stays():
    redact = redactor(
        {"A_TOKEN": "short", "MAX_TOKENS": "10000000", "OPENAI_KEY_VAR": "HOME", "HOME": "/home/somebody"}
    )
    text = "short, 10000000, HOME and /home/somebody; token count: 5, a bearer of news, basic questions, a@b.org"
    assert redact(text) == text


def test_of_two_keys_the_longer_one_goes_first():
    assert Redactor.of(KEY, f"{KEY}-more")(f"{KEY}-more") == "***"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://user:pa:s@s@host:8000/v1 is down", "https://***@host:8000/v1 is down"),
        ("https://user:pa/ss@host/v1", "https://***@host/v1"),
        ("https://token@host/v1", "https://***@host/v1"),
        ("https://host/v1?key=abc&alt=sse", "https://host/v1?key=***&alt=sse"),
        ("https://host:8000/v1 as a@b.org says", "https://host:8000/v1 as a@b.org says"),
        ("POST https://host/v1?api_key=abc", "POST https://host/v1?api_key=***"),
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic YTpi', 'n': 1}", "{'authorization': 'Basic ***', 'n': 1}"),
        ('{"x-api-key": "abc"}', '{"x-api-key": "***"}'),
        ("sent Bearer eyJhbGciOiJIUzI1NiJ9.e30", "sent Bearer ***"),
    ],
)
def test_what_looks_like_a_secret_by_its_place_is_taken_out_of_an_error(text, left):
    assert redactor({})(text) == left


def test_an_address_with_a_password_is_never_repeated():
    for url in ("ftp://user:canary@host/v1", "https://user:canary@host/v1", "https://user:can/ary@host/v1"):
        with pytest.raises(UsageError) as caught:
            OpenAIChat("gpt", url, environment={"OPENAI_API_KEY": KEY})
        assert "canary" not in str(caught.value)
        assert "can/ary" not in str(caught.value)


def test_the_known_keys_alone_are_taken_out_of_a_reply():
    redact = Redactor.of(KEY)
    reply = {"choices": [{"message": {"content": f"Bearer eyJhbGciOiJIUzI1NiJ9, {KEY}"}, "index": 0}], "usage": None}
    (choice,) = in_json(reply, redact.known)["choices"]
    assert choice == {"message": {"content": "Bearer eyJhbGciOiJIUzI1NiJ9, ***"}, "index": 0}


def test_the_command_line_takes_a_named_key_out_of_its_last_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MY_LLM", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leaky.py").write_text(
        "import os\n"
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "class World(PersuasionEnv):\n"
        "    def __init__(self, options):\n"
        "        raise RuntimeError(f'refused: {os.environ[\"MY_LLM\"]}')\n"
    )
    assert main(["--env", "./leaky.py:World", "--api_key_var", "MY_LLM", "--log_dir", "records"]) == 2
    said = capsys.readouterr().err
    assert "refused: ***" in said
    assert "canary" not in said
