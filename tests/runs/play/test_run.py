"""A run as a user meets it: what it asks of whom, and what it writes."""

import json
import time
from pathlib import Path

import pytest
from playing import PEOPLE, lines, only_run

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_the_main_job_leaves_golden_examples(capsys):
    assert main(["--beam_size", "8", "--josh"]) == 0
    out = capsys.readouterr().out
    for word in (
        "average reward",
        "success rate",
        "95 % interval",
        "mean rounds",
        "model calls",
        "tokens",
        "written to",
    ):
        assert word in out
    folder = only_run()
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "replies.sqlite",
        "episodes.jsonl",
        "training_examples.jsonl",
        "summary.json",
        "report.html",
    }
    episodes, examples = lines(folder / "episodes.jsonl"), lines(folder / "training_examples.jsonl")
    assert len(episodes) == 20
    golden = [example for example in examples if example["is_golden_path"]]
    assert golden
    for example in golden:
        assert example["messages"][0]["role"] == "system"
        assert example["messages"][-1]["role"] == "assistant"
    won = [episode for episode in episodes if episode["success"]]
    assert won
    for episode in won:
        (leaf,) = episode["reported"]
        text = episode["nodes"][leaf]["messages"][-1]["content"]
        assert f"[DONATE ${episode['reward']:.2f}]" in text
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"] is True
    assert summary["success_rate"] == len(won) / 20


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    for seed, folder in ((1, "a"), (1, "b"), (2, "c")):
        concurrency = "1" if folder == "a" else "20"
        arguments = ["--josh", "--seed", str(seed), "--log_dir", folder, "--max_concurrency", concurrency]
        assert main(["run", *arguments, "--synthetic_tasks", "6"]) == 0
    for name in ("episodes.jsonl", "training_examples.jsonl"):
        a, b, c = (next(Path(folder).iterdir()).joinpath(name).read_bytes() for folder in "abc")
        assert a == b
        assert a != c


def test_a_plain_run_plays_one_conversation_per_task():
    assert main(["--synthetic_tasks", "5"]) == 0
    episodes = lines(only_run() / "episodes.jsonl")
    assert [len(episode["reported"]) for episode in episodes] == [1] * 5
    assert json.loads((only_run() / "config.json").read_text())["settings"]["agent"]["temperature"] == 0.0


def test_rollouts_are_averaged():
    assert main(["--synthetic_tasks", "3", "--rollouts", "4", "--temperature", "1"]) == 0
    for episode in lines(only_run() / "episodes.jsonl"):
        assert len(episode["reported"]) == 4
        assert episode["success"] in (0.0, 0.25, 0.5, 0.75, 1.0)


def test_a_run_against_an_endpoint_sends_every_request_its_own_seed(endpoint):
    def respond(body):
        talk = sum(message["role"] == "assistant" for message in body["messages"])
        return "I would like to. [DONATE $1.25]" if body["model"] == "them" and talk == 2 else f"words {body['seed']}"

    url, server = endpoint(respond=respond)
    flags = [
        "--model",
        "us",
        "--user_model",
        "them",
        "--base_url",
        url,
        "--user_base_url",
        url,
        "--synthetic_tasks",
        "2",
    ]
    assert main([*flags, "--josh", "--beam_size", "4"]) == 0
    seeds = [request["seed"] for request in server.requests]
    # Fresh siblings share their request: 1, 2 and 4 for the agent's turns, 2, 4 and 4 for the user's.
    assert len(set(seeds)) == len(seeds) == 2 * ((1 + 2 + 4) + (2 + 4 + 4))
    assert {request.get("n") for request in server.requests if request["model"] == "them"} == {None}
    assert sorted(request.get("n", 1) for request in server.requests if request["model"] == "us") == [1] * 8 + [2] * 6
    assert {request["temperature"] for request in server.requests} == {1.0}
    assert not any("top_p" in request for request in server.requests), "some endpoints refuse what they do not know"
    episodes = lines(only_run() / "episodes.jsonl")
    assert [episode["reward"] for episode in episodes] == [1.25, 1.25]
    assert [episode["rounds"] for episode in episodes] == [3.0, 3.0]
    assert episodes[0]["usage"]["agent"]["calls"] == 7
    assert episodes[0]["usage"]["user"]["completion_tokens"] > 0
    # A tag in the persuader's words would have been seen here in round brackets.
    persuadee = next(request for request in server.requests if request["model"] == "them")
    assert [message["role"] for message in persuadee["messages"]] == ["system", "user"]
    assert "[DONATE $N]" in persuadee["messages"][0]["content"]


def test_each_side_draws_from_as_much_as_it_is_told_to(endpoint):
    url, server = endpoint()
    flags = ["--model", "us", "--user_model", "them", "--base_url", url, "--user_base_url", url]
    few = ["--synthetic_tasks", "1", "--max_convo_turns", "2"]
    shares = ["--top_p", "0.9", "--min_p", "0.05", "--user_top_p", "0.8", "--user_min_p", "0.1"]
    assert main([*flags, *few, *shares]) == 0
    asked = {(request["model"], request["top_p"], request["min_p"]) for request in server.requests}
    assert asked == {("us", 0.9, 0.05), ("them", 0.8, 0.1)}
    assert main(["replay", str(only_run()), "--log_dir", "again"]) == 0


def test_calls_in_flight_stay_below_the_limit(endpoint):
    url, server = endpoint(latency=0.1)
    flags = ["--model", "us", "--base_url", url, "--synthetic_tasks", "6", "--max_convo_turns", "3"]
    assert main([*flags, "--josh", "--max_concurrency", "5"]) == 0
    assert server.peak_concurrency == 5


def test_persuadee_models_rotate_by_task_and_sibling_with_their_own_addresses(endpoint):
    (first, one), (second, two) = endpoint(), endpoint()
    flags = ["--user_model", "red,blue", "--user_base_url", f"{first},{second}", "--synthetic_tasks", "2"]
    assert main([*flags, "--josh", "--max_convo_turns", "1", "--beam_size", "2"]) == 0
    assert {request["model"] for request in one.requests} == {"red"}
    assert {request["model"] for request in two.requests} == {"blue"}
    tasks = lines(only_run() / "episodes.jsonl")
    models = [
        [node["model"] for node in task["nodes"] if node["speaker"] == "user" and "model" in node] for task in tasks
    ]
    assert models == [["red", "blue"], ["blue", "red"]]


def test_a_task_row_wins_over_rotation_which_wins_over_the_environment(endpoint, monkeypatch, tmp_path):
    url, server = endpoint()
    monkeypatch.setenv("PERSUASION_PERSUADEE_MODEL", "from-environment")
    monkeypatch.setenv("PERSUASION_PERSUADEE_BASE_URL", url)
    monkeypatch.setenv("PERSUASION_MAX_TURNS", "2")
    row = {"id": "row", "data": PEOPLE, "metadata": {"persuadee_model": "from-row"}}
    plain = {"id": "plain", "data": PEOPLE}
    (tmp_path / "tasks.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(plain)}\n")

    def models(*flags):
        server.requests.clear()
        assert main(["--corpus", "tasks.jsonl", "--max_concurrency", "1", *flags]) == 0
        return [request["model"] for request in server.requests]

    assert models() == ["from-row"] * 2 + ["from-environment"] * 2
    assert models("--user_model", "from-flag") == ["from-row"] * 2 + ["from-flag"] * 2
    assert models("--max_convo_turns", "1") == ["from-row", "from-environment"]


def test_a_persuader_that_writes_the_tag_earns_nothing_and_is_counted(endpoint):
    url, server = endpoint(respond=lambda body: "Sure [DONATE $2]" if body["model"] == "cheat" else "Hm.")
    flags = ["--model", "cheat", "--user_model", "them", "--base_url", url, "--user_base_url", url]
    assert main([*flags, "--synthetic_tasks", "1", "--max_convo_turns", "2"]) == 0
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert episode["reward"] == 0
    assert episode["metrics"]["tag_attempts"] == 2
    seen = [
        message["content"]
        for request in server.requests
        if request["model"] == "them"
        for message in request["messages"][1:]
    ]
    assert "Sure (DONATE $2)" in seen
    assert not any("[DONATE $2]" in text for text in seen)


def test_a_refused_key_ends_the_run_with_one_line(endpoint, capsys, monkeypatch):
    url, server = endpoint()
    server.faults = [401] * 1000
    monkeypatch.setenv("WRONG_KEY", "sk-wrong-123")
    flags = ["--model", "us", "--base_url", url, "--api_key_var", "WRONG_KEY", "--max_concurrency", "2"]
    assert main([*flags, "--josh"]) == 1
    *before, last = capsys.readouterr().err.splitlines()
    assert before == [f"josh: agent: us at {url}, with the key in WRONG_KEY"]
    assert last == f"josh: the key was refused: us at {url}: HTTP 401: status 401"
    assert len(server.requests) <= 2
    assert not Path("records").exists()


def test_broken_branches_are_counted_apart_and_teach_nothing(endpoint, capsys):
    url, server = endpoint()
    server.faults = [400]
    flags = ["--model", "us", "--base_url", url, "--max_convo_turns", "2", "--synthetic_tasks", "2"]
    assert main([*flags, "--max_concurrency", "1"]) == 0
    summary = json.loads((only_run() / "summary.json").read_text())
    assert (summary["finished"], summary["scored"], summary["infra_errors"]) == (2, 1, 1)
    assert "HTTP 400" in summary["first_error"]
    out = capsys.readouterr().out
    assert "1 of 2 tasks)" in out
    assert "1 of 2 tasks not scored: between 0.00 and 0.50)" in out
    assert "1 task could not be scored" in out
    assert len(lines(only_run() / "training_examples.jsonl")) == 1


def test_an_agent_that_says_nothing_has_lost(endpoint):
    url, server = endpoint(respond=lambda body: "" if body["model"] == "mute" else "[DONATE $1]")
    flags = ["--model", "mute", "--user_model", "them", "--base_url", url, "--user_base_url", url]
    assert main([*flags, "--synthetic_tasks", "1", "--josh_agent_tries", "2"]) == 0
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert (episode["ending"], episode["reward"], episode["error"]) == ("completed", 0, "")
    assert episode["nodes"][1]["failure"].startswith("said nothing")
    assert len(server.requests) == 2


def test_a_task_file_cannot_send_a_key_to_an_address_of_its_own(endpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-123")
    url, server = endpoint()
    row = {"id": "row", "data": PEOPLE, "metadata": {"persuadee_model": "them", "persuadee_base_url": url}}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row))
    flags = ["--corpus", "tasks.jsonl", "--max_convo_turns", "1", "--user_api_key_var", "OPENAI_API_KEY"]
    assert main(flags) == 2
    assert not server.requests
    assert main([*flags, "--trust_task_endpoints"]) == 0
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer none"]


def test_the_order_of_replies_changes_no_byte(endpoint):
    def respond(body):
        draw = body["seed"] % 1000
        time.sleep(draw % 5 / 400)
        return "Yes. [DONATE $1.50]" if body["model"] == "them" and draw > 950 else f"words {draw}"

    written = []
    for folder, concurrency in (("a", "1"), ("b", "7"), ("c", "64")):
        url, _ = endpoint(respond=respond)
        flags = ["--model", "us", "--user_model", "them", "--base_url", url, "--user_base_url", url, "--shuffle"]
        size = ["--synthetic_tasks", "4", "--max_convo_turns", "4", "--max_concurrency", concurrency]
        assert main([*flags, *size, "--josh", "--log_dir", folder]) == 0
        (run,) = Path(folder).iterdir()
        written.append([(run / name).read_bytes() for name in ("episodes.jsonl", "training_examples.jsonl")])
    assert written[0] == written[1] == written[2]
    assert b'"won"' in written[0][0]


def test_shuffling_follows_the_seed():
    def order(folder, *flags):
        assert main(["--log_dir", folder, "--end_index", "8", "--max_convo_turns", "1", *flags]) == 0
        (run,) = Path(folder).iterdir()
        return [episode["task"]["index"] for episode in lines(run / "episodes.jsonl")]

    assert order("a") == list(range(8))
    shuffled = order("b", "--shuffle", "--seed", "3")
    assert shuffled != list(range(8))
    assert order("c", "--shuffle", "--seed", "3") == shuffled
    assert order("d", "--shuffle", "--seed", "4") != shuffled


def test_every_field_of_a_row_wins_by_itself(endpoint, monkeypatch, tmp_path):
    (ours, us), (theirs, them) = endpoint(), endpoint()
    monkeypatch.setenv("ROW_KEY", "sk-row")
    monkeypatch.setenv("FLAG_KEY", "sk-flag")
    rows = [
        {"id": "model", "data": PEOPLE, "metadata": {"persuadee_model": "row"}},
        {"id": "url", "data": PEOPLE, "metadata": {"persuadee_base_url": theirs, "persuadee_api_key_var": "ROW_KEY"}},
        {"id": "key", "data": PEOPLE, "metadata": {"persuadee_api_key_var": "ROW_KEY"}},
        {"id": "turns", "data": PEOPLE, "metadata": {"max_turns": 3}},
    ]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--user_model", "flag", "--user_base_url", ours, "--user_api_key_var", "FLAG_KEY"]
    assert (
        main(
            [
                "--corpus",
                "tasks.jsonl",
                *flags,
                "--max_convo_turns",
                "1",
                "--max_concurrency",
                "1",
                "--trust_task_endpoints",
            ]
        )
        == 0
    )

    def asked(server):
        return [
            (request["model"], headers["Authorization"].split("-")[-1])
            for request, headers in zip(server.requests, server.headers, strict=True)
        ]

    assert asked(us) == [("row", "flag"), ("flag", "row"), *[("flag", "flag")] * 3]
    assert asked(them) == [("flag", "row")]
