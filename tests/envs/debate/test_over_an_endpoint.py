"""Debates of chat models over an endpoint: what is sent, how often, and that a resumed run asks for nothing again."""

import json
from collections import Counter

from josh.cli import main
from josh.envs.debate.prompts import DIRECTIVES


def kind(body):
    """Who is asked: the judge, or a speaker under a directive."""
    first = body["messages"][0]
    if first["role"] == "system":
        return next(name for name, text in DIRECTIVES.items() if text == first["content"])
    return "judge"


def respond(body):
    """Speakers say words that no rule reads where they resist, and the judge reads them as another answer each time."""
    asked = kind(body)
    if asked == "judge":
        turn = body["messages"][0]["content"].rpartition("The turn: ")[2].split("\n")[0]
        return f"Final answer: word {turn.split()[-1]}"
    return f"Hm, think of {body.get('seed')}" if asked == "resist" else f"Final answer: colour {body.get('seed')}"


def test_a_tree_of_chat_models_asks_once_for_each_turn_and_the_judge_only_where_no_rule_reads_it(
    tmp_path, endpoint, monkeypatch, capsys
):
    url, server = endpoint(respond=respond)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    models = ["--model", "a", "--user_model", "b", "--judge_model", "c"]
    table = ["--strategy.table", "[['agent', ['logical']], ['user', ['resist', 'accept']], ['agent', ['emotional']]]"]
    flags = ["--env", "debate", "--strategy", "fan_out", *table, *models, "--synthetic_tasks", "3"]
    assert main([*flags, "--log_dir", str(tmp_path)]) == 0
    asked = Counter(map(kind, server.requests))
    assert asked == {"logical": 3, "resist": 3, "accept": 3, "emotional": 6, "judge": 3}
    (folder,) = tmp_path.iterdir()
    lines = (folder / "episodes.jsonl").read_bytes()
    for line in lines.decode().splitlines():
        nodes = json.loads(line)["nodes"]
        judged = [node["facts"]["answers"]["user"] for node in nodes[1:] if node.get("directive") == "resist"]
        assert all(answer.startswith("word ") for answer in judged)
        assert not any(text in line for text in DIRECTIVES.values())
    before = len(server.requests)
    (folder / "episodes.jsonl").write_bytes(b"")  # the journal alone brings the run back
    assert main(["--resume", str(folder)]) == 0
    assert len(server.requests) == before
    assert (folder / "episodes.jsonl").read_bytes() == lines
