"""The command line, as a user meets it."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from josh.cli import main

PEOPLE = {side: {"id": side, "traits": {}} for side in ("persuader", "persuadee")}
QUIET = """
from josh import BaseJOSHUser

class Quiet(BaseJOSHUser):
    def step(self, agent):
        agent.add_message({"role": "user", "content": "I see."})
        return agent, False
"""


@pytest.fixture(autouse=True)
def elsewhere(elsewhere, tmp_path):
    """A folder of its own, without anybody's settings."""
    (tmp_path / "quiet.py").write_text(QUIET)


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def only_run():
    (folder,) = Path("records").iterdir()
    return folder


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
    assert server.most_at_once == 5


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


def test_a_refused_key_ends_the_run_with_one_line(endpoint, capsys):
    url, server = endpoint()
    server.faults = [401] * 1000
    assert main(["--model", "us", "--base_url", url, "--josh", "--max_concurrency", "2"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "the key was refused: us at" in captured.err
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
    assert "1 task could not be scored" in capsys.readouterr().out
    assert len(lines(only_run() / "training_examples.jsonl")) == 1


PLUGIN = """
from josh import BaseEnv, BaseJOSHAgent, BaseJOSHUser, BaseRewards
from josh.roles import Task

class Counter(BaseJOSHAgent):
    def step(self, **kwargs):
        said = sum(message["role"] == "assistant" for message in self.messages) + 1
        self.add_message({"role": "assistant", "content": str(said)})
        self.recent_actions = [said]
        return True

class Listener(BaseJOSHUser):
    def step(self, agent):
        agent.add_message({"role": "user", "content": "go on"})
        return agent, False

class Numbers(BaseEnv):
    agents = {"offline": "./counting.py:Counter"}
    users = {"offline": "./counting.py:Listener"}

    def tasks(self, split):
        return [Task("count", 0, {})]

    def goals(self, task):
        return [2, 4]

class Fewer(BaseRewards):
    def start(self, task, env, options):
        self.rewards = [2]
"""


def test_plug_ins_come_from_a_file(tmp_path):
    (tmp_path / "counting.py").write_text(PLUGIN)
    assert main(["--env", "./counting.py:Numbers", "--josh", "--beam_size", "2"]) == 0
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert (episode["reward"], episode["rounds"], len(episode["collapses"])) == (1.0, 4.0, 2)


def test_rewards_come_from_a_module(tmp_path, monkeypatch):
    (tmp_path / "counting.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["--env", "counting:Numbers", "--rewards", "counting:Fewer", "--josh"]) == 0
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert (episode["goals"], episode["rounds"]) == ([2], 2.0)


def test_hyphens_and_published_names_work_as_well():
    assert main(["--josh", "--beam-size", "2", "--end-index", "2", "--agent-strategy", "offline_persuader"]) == 0
    assert main(["--josh", "--user_mode", "donor_firm", "--end_index", "1", "--josh_debug"]) == 0


def test_settings_come_from_a_file_and_flags_win(tmp_path, capsys):
    (tmp_path / "run.toml").write_text("josh = true\nbeam-size = 2\nseed = 3\n")
    assert main(["--config", "run.toml", "--seed", "4", "--dry_run"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["strategy"] == {"name": "beam", "beam_size": 2, "stop": "first"}
    assert (settings["seed"], settings["agent"]["temperature"]) == (4, 1.0)
    assert not Path("records").exists()


def bad(capsys, *arguments):
    """The one line that bad input gets."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert not Path("records").exists()
    return captured.err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("--josh --temperature 0", "josh: temperature is 0 with a search; siblings would be copies"),
        ("--beam_size 0 --josh", "josh: beam_size is 0; give 1 or more"),
        ("--agent reakt", "josh: no agent named 'reakt'; known: dense_script_persuader, function_calling, human, "),
        ("--user nobody", "josh: no user named 'nobody'; known: donor, "),
        ("--rewards gold", "josh: no rewards named 'gold'; known: donation, goals, tool_goals, or"),
        ("--env moon", "josh: no env named 'moon'; known: persuasion, toolwoz, or"),
        ("--agent ./none.py:A", "/none.py"),
        (
            "--agent ./mine:Mine",
            "josh: agent './mine:Mine': ./mine is no module, and no file of Python; give ./mine.py:",
        ),
        ("--agent ./mine.py", "josh: agent './mine.py' names no class; give ./mine.py:Class"),
        ("--agent json:Nothing", "josh: agent 'json:Nothing': json has no 'Nothing'"),
        ("--agent json:JSONDecoder", "josh: json:JSONDecoder has no step(); subclass the base in josh.roles"),
        ("--agent no.such:A", "josh: agent: no.such cannot be imported: ModuleNotFoundError"),
        ("--task_split moon", "josh: no task_split named 'moon'; known: train, test"),
        ("--split test", "josh: unrecognized arguments: --split test"),
        ("--data .", "josh: data is given, but env 'persuasion' has no such setting; leave it out"),
        ("--env toolwoz --split_rule annotated", "josh: split_rule is given, but env 'toolwoz' has no such setting"),
        ("--env os:getcwd", "josh: os:getcwd has no defaults(); subclass the base in josh.roles"),
        ("--model a --base_url http://[x/v1", "josh: base_url is 'http://[x/v1'; give an address such as"),
        ("--model a --base_url http://h:99999/v1", "josh: base_url is 'http://h:99999/v1'; give an address"),
        ("--log_dir=", "josh: log_dir is empty; give a value, or leave it out"),
        ("--corpus . --synthetic_tasks 5", "josh: synthetic_tasks is given with a corpus"),
        ("--start_index 20", "josh: start_index 20 to end_index -1 holds no task; split 'train' has 20"),
        ("--start_index 5 --end_index 5", "josh: start_index 5 to end_index 5 holds no task"),
        ("--start_index -1", "josh: start_index is -1; give 0 or more"),
        ("--end_index -2", "josh: end_index is -2; give -1 for all"),
        ("--max_concurrency 0", "josh: max_concurrency is 0; give 1 or more"),
        ("--rollouts 2 --josh", "josh: rollouts is given, but strategy 'beam' has no such setting"),
        (
            "--stop best",
            "josh: stop is given, but strategy 'rollouts' has no such setting; leave it out, or give --josh",
        ),
        ("--stop last --josh", "josh: stop is 'last'; give first or best"),
        ("--timeout 0", "josh: timeout is 0.0; give a number of seconds above 0"),
        ("--temperature nan", "josh: temperature is nan; give 0 or more"),
        ("--top_p 0", "josh: top_p is 0.0; give a share above 0, at most 1"),
        ("--min_p -1", "josh: min_p is -1.0; give a share from 0 to 1"),
        ("--user_top_p 1.5", "josh: user_top_p is 1.5; give a share above 0, at most 1"),
        ("--min_reward 3", "josh: min_reward is 3.0; give 0 to 2 dollars"),
        ("--model gpt-4o", "josh: no key for model 'gpt-4o': set OPENAI_API_KEY"),
        ("--user_model gpt-4o", "josh: no key for model 'gpt-4o': set OPENAI_API_KEY"),
        ("--user_model a,,b", "josh: user_model is 'a,,b'; one of the names is empty"),
        ("--user_model a,offline", "`offline` cannot rotate with chat models"),
        (
            "--user_model a,b,c --user_base_url http://x/v1,http://y/v1",
            "josh: user_base_url has 2 values for 3 user models",
        ),
        ("--corpus nowhere", "josh: "),
        ("--corpus .", "full_info.csv"),
        ("--split_rule odd --corpus .", "josh: "),
        ("--config none.toml", "josh: cannot read none.toml: No such file or directory"),
        ("--beam_size two", "invalid int value: 'two'"),
        ("--beam_sise 2", "unrecognized arguments: --beam_sise 2; did you mean --beam_size?"),
        ("--max_convo_turns 0", "josh: max_convo_turns is 0; give 1 or more"),
        ("prepare --corpus nowhere --output-dir out", "josh: "),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(capsys, flags, text):
    line = bad(capsys, *flags.split())
    assert text in line
    assert "Traceback" not in line


def test_a_chat_agent_without_a_model_says_so_and_leaves_nothing(capsys):
    line = bad(capsys, "--agent", "persuader")
    assert line.endswith("asks a chat model, and `offline` is none; give --model or --user_model")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("beam_sise = 2", "no setting named 'beam_sise'; did you mean 'beam_size'?"),
        ("beam_size = 'x'", "beam_size is 'x'; give a value of type int"),
        ("josh = 1", "josh is 1; give a value of type bool"),
        ("seed = true", "seed is True; give a value of type int"),
        ("= 2", "is not TOML"),
    ],
)
def test_a_bad_settings_file_is_named(tmp_path, capsys, text, said):
    (tmp_path / "run.toml").write_text(text)
    assert said in bad(capsys, "--config", "run.toml")


def test_a_bad_number_of_turns_in_the_environment_is_named(capsys, monkeypatch):
    monkeypatch.setenv("PERSUASION_MAX_TURNS", "ten")
    assert "PERSUASION_MAX_TURNS is 'ten'" in bad(capsys)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert main(["--log_dir", "taken"]) == 2
    assert "cannot write to log_dir 'taken'" in capsys.readouterr().err
    assert main(["--log_dir", "/proc/none"]) == 2


def test_a_full_disk_loses_no_finished_task(tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    command = [sys.executable, "-m", "josh", "--josh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=small_files, check=False)
    assert done.returncode == 2
    told, reason = done.stderr.splitlines()
    assert reason.startswith("josh: cannot write records/")
    (folder,) = (tmp_path / "records").iterdir()
    finished = lines(folder / "episodes.jsonl")
    assert 0 < len(finished) < 20
    where = folder.relative_to(tmp_path)
    assert told == f"josh: {len(finished)} of 20 tasks were finished; go on with: josh --resume {where}"
    assert lines(folder / "training_examples.jsonl")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["complete"], summary["finished"]) == (False, len(finished))
    assert summary["average_reward"] == pytest.approx(sum(task["reward"] for task in finished) / len(finished))


@pytest.mark.parametrize(
    ("how", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_run_that_is_stopped_leaves_every_finished_task_readable(tmp_path, endpoint, how, code, said):
    url, _ = endpoint(latency=0.02)
    command = [sys.executable, "-m", "josh", "--model", "us", "--base_url", url, "--synthetic_tasks", "400"]
    run = subprocess.Popen(
        [*command, "--max_concurrency", "2", "--max_convo_turns", "4"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size > 20_000 for path in tmp_path.glob("records/*/episodes.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run.send_signal(how)
    out, err = run.communicate(timeout=30)
    assert run.returncode == code
    assert out == ""
    told, last = err.splitlines()
    assert "of 400 tasks were finished; go on with: josh --resume records/" in told
    assert last == f"josh: {said}"
    (folder,) = (tmp_path / "records").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"] is False
    assert len(lines(folder / "episodes.jsonl")) == summary["finished"] > 0
    assert f"Not finished: {summary['finished']} of 400 tasks" in (folder / "report.html").read_text()


def test_the_progress_bar_is_silent_when_nobody_watches_unless_asked(capsys):
    main(["--end_index", "2"])
    assert capsys.readouterr().err == ""
    main(["--end_index", "2", "--progress"])
    err = capsys.readouterr().err
    assert "2/2" in err
    assert "calls in flight" in err
    assert "donated" in err


def test_a_task_that_takes_too_long_is_given_up(endpoint):
    url, _ = endpoint(latency=0.5)
    assert main(["--model", "us", "--base_url", url, "--synthetic_tasks", "1", "--task_timeout", "0.2"]) == 1
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert (episode["ending"], episode["error"]) == ("aborted", "the task took longer than 0.2 seconds")


def test_a_slow_task_holds_no_finished_one_back(endpoint, tmp_path):
    url, _ = endpoint(latency=0.02)
    quick = [{"id": f"t{number}", "data": PEOPLE} for number in range(6)]
    slow = {"id": "slow", "data": PEOPLE, "metadata": {"max_turns": 9999}}
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, [slow, *quick])))
    command = [sys.executable, "-m", "josh", "--model", "us", "--base_url", url, "--corpus", "tasks.jsonl"]
    run = subprocess.Popen([*command, "--user", "./quiet.py:Quiet", "--max_convo_turns", "1"], cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not any(path.read_text().count("\n") == 6 for path in tmp_path.glob("records/*/episodes.jsonl")):
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.02)
    run.kill()
    run.wait()
    (folder,) = (tmp_path / "records").iterdir()
    assert {episode["task_id"] for episode in lines(folder / "episodes.jsonl")} == {f"t{number}" for number in range(6)}


def test_lines_stand_in_the_order_of_the_tasks_whichever_ended_first(endpoint, tmp_path):
    url, _ = endpoint(latency=0.005)
    rows = [{"id": f"t{turns}", "data": PEOPLE, "metadata": {"max_turns": turns}} for turns in (9, 1, 5, 2, 7, 1, 3)]
    rows = [{**row, "id": f"{number}"} for number, row in enumerate(rows)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--model", "us", "--base_url", url, "--corpus", "tasks.jsonl", "--user", "./quiet.py:Quiet"]
    assert main(flags) == 0
    ids = [episode["task_id"] for episode in lines(only_run() / "episodes.jsonl")]
    assert ids == [row["id"] for row in rows]
    assert [row["task_id"] for row in lines(only_run() / "training_examples.jsonl")] == ids


def test_an_agent_that_says_nothing_is_an_error_not_a_success(endpoint):
    url, server = endpoint(respond=lambda body: "" if body["model"] == "mute" else "[DONATE $1]")
    flags = ["--model", "mute", "--user_model", "them", "--base_url", url, "--user_base_url", url]
    assert main([*flags, "--synthetic_tasks", "1", "--josh_agent_tries", "3"]) == 1
    (episode,) = lines(only_run() / "episodes.jsonl")
    assert (episode["ending"], episode["reward"]) == ("aborted", 0)
    assert episode["error"] == "RuntimeError: the agent said nothing in 3 steps"
    assert len(server.requests) == 3


def test_a_task_file_cannot_send_a_key_to_an_address_of_its_own(endpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-123")
    url, server = endpoint()
    row = {"id": "row", "data": PEOPLE, "metadata": {"persuadee_model": "them", "persuadee_base_url": url}}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row))
    assert main(["--corpus", "tasks.jsonl", "--max_convo_turns", "1", "--user_api_key_var", "OPENAI_API_KEY"]) == 0
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer none"]


def test_a_row_with_a_secure_address_of_its_own_has_to_name_its_key(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-123")
    metadata = {"persuadee_model": "them", "persuadee_base_url": "https://elsewhere.invalid/v1"}
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"id": "row", "data": PEOPLE, "metadata": metadata}))
    line = bad(capsys, "--corpus", "tasks.jsonl")
    assert line == "josh: task row names https://elsewhere.invalid/v1; have it name persuadee_api_key_var too"


ODD_PLUGINS = """
import asyncio, os, time
from josh import BaseJOSHAgent, BaseRewards
from josh.envs.persuasion.env import PersuasionEnv

class Cancels(BaseJOSHAgent):
    async def step(self, **kwargs):
        raise asyncio.CancelledError("mine")

class Tells(BaseJOSHAgent):
    def step(self, **kwargs):
        raise ValueError(f"could not log in with {os.environ['MY_API_KEY']}")

class Mute(BaseJOSHAgent):
    def step(self, **kwargs):
        return True

class Odd(BaseJOSHAgent):
    def step(self, **kwargs):
        self.add_message({"role": "assistant", "content": 5})
        return True

class Stuck(BaseJOSHAgent):
    blocking = True

    def step(self, **kwargs):
        time.sleep(600)

class Nan(BaseRewards):
    def is_reward(self, actions):
        return True, self.rewards[:1]

    def value(self, actions):
        return float("nan")

class Untotal(BaseRewards):
    def total(self, goals, hits):
        raise ZeroDivisionError("no total")

class Unmeasured(PersuasionEnv):
    def metrics(self, task, messages):
        raise KeyError("donation")

class Twins(PersuasionEnv):
    def tasks(self, split):
        return list(super().tasks(split)) * 2

class Strange(PersuasionEnv):
    def tasks(self, split):
        return ["a task"]

class Broken(PersuasionEnv):
    def tasks(self, split):
        raise OSError("no such table")

class Rigid(PersuasionEnv):
    def world(self, task):
        return {"lock": __import__("threading").Lock()}
"""


@pytest.fixture
def odd(tmp_path):
    (tmp_path / "odd.py").write_text(ODD_PLUGINS)


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ("--agent ./odd.py:Cancels", "CancelledError: mine"),
        ("--agent ./odd.py:Mute", "RuntimeError: the agent ended its turn without a message to the user"),
        ("--agent ./odd.py:Odd", "TypeError: the agent said 5, which is no text"),
        ("--rewards ./odd.py:Nan", "ValueError: Nan.value() is nan; give a finite number or None"),
        ("--rewards ./odd.py:Untotal", "it could not be scored: ZeroDivisionError: no total"),
        ("--env ./odd.py:Unmeasured", "it could not be scored: KeyError: 'donation'"),
    ],
)
def test_a_plug_in_that_fails_costs_its_tasks_alone(flags, error):
    assert main([*flags.split(), "--synthetic_tasks", "3", "--max_convo_turns", "1"]) == 1
    summary = json.loads((only_run() / "summary.json").read_text())
    assert (summary["finished"], summary["infra_errors"], summary["complete"]) == (3, 3, True)
    assert summary["first_error"] == error


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ("--env ./odd.py:Twins", "has several tasks of id 'synthetic-train-0000'; ids tell tasks apart"),
        ("--env ./odd.py:Strange", "gives a str for a task; give josh.roles.Task"),
        ("--env ./odd.py:Broken", "josh: the tasks of split 'train': OSError: no such table"),
        ("--env ./odd.py:Rigid --josh", "josh: a dict (give it a fork()) cannot be copied for a branch"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused_in_one_line(capsys, flags, text):
    assert text in bad(capsys, *flags.split())


@pytest.mark.usefixtures("odd")
def test_no_key_is_written_even_if_a_plug_in_quotes_it(monkeypatch, capsys):
    monkeypatch.setenv("MY_API_KEY", "sk-canary-456")
    assert main(["--agent", "./odd.py:Tells", "--synthetic_tasks", "2"]) == 1
    written = b"".join(path.read_bytes() for path in only_run().iterdir()) + "".join(capsys.readouterr()).encode()
    assert b"could not log in with ***" in written
    assert b"canary" not in written


@pytest.mark.usefixtures("odd")
def test_a_blocking_step_that_never_returns_does_not_keep_the_process(tmp_path):
    command = [sys.executable, "-m", "josh", "--agent", "./odd.py:Stuck", "--synthetic_tasks", "1"]
    done = subprocess.run(
        [*command, "--task_timeout", "0.5"], cwd=tmp_path, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 1


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
    assert main(["--corpus", "tasks.jsonl", *flags, "--max_convo_turns", "1", "--max_concurrency", "1"]) == 0

    def asked(server):
        return [
            (request["model"], headers["Authorization"].split("-")[-1])
            for request, headers in zip(server.requests, server.headers, strict=True)
        ]

    assert asked(us) == [("row", "flag"), ("flag", "row"), *[("flag", "flag")] * 3]
    assert asked(them) == [("flag", "row")]


BLOCKING = """
import threading, time
from josh import BaseJOSHAgent

class Blocking(BaseJOSHAgent):
    blocking = True
    running, most, lock = 0, 0, threading.Lock()

    def step(self, **kwargs):
        kind = type(self)
        with kind.lock:
            kind.running += 1
            kind.most = max(kind.most, kind.running)
        time.sleep(0.02)
        with kind.lock:
            kind.running -= 1
        self.add_message({"role": "assistant", "content": str(kind.most)})
        return True
"""


def test_blocking_steps_count_as_calls_in_flight(tmp_path):
    (tmp_path / "blocking.py").write_text(BLOCKING)
    flags = ["--agent", "./blocking.py:Blocking", "--josh", "--synthetic_tasks", "3", "--max_convo_turns", "3"]
    assert main([*flags, "--max_concurrency", "2"]) == 0
    said = [
        int(message["content"])
        for episode in lines(only_run() / "episodes.jsonl")
        for node in episode["nodes"]
        for message in node["messages"]
        if message["role"] == "assistant"
    ]
    assert max(said) == 2


def test_a_task_that_cannot_be_set_up_is_told_before_any_is_played(capsys, tmp_path):
    (tmp_path / "late.py").write_text(
        "from josh.envs.persuasion.env import PersuasionEnv\n"
        "class Late(PersuasionEnv):\n"
        "    def goals(self, task):\n"
        "        return ['donation'] if task.index < 7 else 1 / 0\n"
    )
    line = bad(capsys, "--env", "./late.py:Late")
    assert line == "josh: task synthetic-train-0007 cannot be set up: ZeroDivisionError: division by zero"


def test_an_address_without_a_model_is_refused(capsys):
    assert "base_url is given, but model is 'offline'" in bad(capsys, "--base_url", "http://localhost:8000/v1")


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path):
    def no_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    command = [sys.executable, "-m", "josh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=no_files, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("josh: cannot write records/")
    assert "replies.sqlite" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "records").exists()


def test_a_plug_ins_odd_values_are_written_as_text(tmp_path):
    (tmp_path / "deep.py").write_text(
        "from josh import BaseJOSHAgent\n"
        "class Deep(BaseJOSHAgent):\n"
        "    def step(self, **kwargs):\n"
        "        odd = {('a', 1): {1, 2}, 'n': float('nan'), 'o': object()}\n"
        "        self.add_message({'role': 'assistant', 'content': 'x'} | odd)\n"
        "        return True\n"
    )
    assert main(["--agent", "./deep.py:Deep", "--synthetic_tasks", "2", "--max_convo_turns", "1"]) == 0
    (first, _) = lines(only_run() / "episodes.jsonl")
    message = first["nodes"][1]["messages"][0]
    assert (message["('a', 1)"], message["n"], message["o"]) == ("{1, 2}", "nan", "<object object>")
