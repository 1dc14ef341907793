"""`josh export --format inspect`: logs that inspect_ai reads, with the same messages, scores and usage."""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from playing import only_run

from josh.cli import main
from josh.messages import text_of
from josh.runs.record.stored import stored_episodes
from josh.tree import internal_conversation, walk

pytestmark = pytest.mark.usefixtures("elsewhere")


def exported(*flags, code=0):
    """Play a run and export it; the log, its episodes and its summary."""
    assert main(["--log_dir", "records", *map(str, flags)]) == code
    folder = only_run()
    assert main(["export", str(folder), "--format", "inspect", "--out", "log.json"]) == 0
    episodes = [episode for _, episode in stored_episodes(folder / "episodes.jsonl", [])]
    return json.loads(Path("log.json").read_text()), episodes, json.loads((folder / "summary.json").read_text())


def read_by_inspect(path="log.json"):
    """The log as inspect_ai reads it; None where it is not installed."""
    if find_spec("inspect_ai") is None:
        return None
    from inspect_ai.log import read_eval_log

    return read_eval_log(str(path))


def same_as_recorded(log, episodes):
    samples = {(sample["id"], sample["epoch"]): sample for sample in log["samples"]}
    for episode in episodes:
        for epoch, leaf in enumerate(episode.reported, 1):
            sample = samples.pop((episode.task.id, epoch))
            messages = internal_conversation(episode.tree, leaf)
            assert [each["content"] for each in sample["messages"]] == list(map(text_of, messages))
            assert [each["role"] for each in sample["messages"]] == [each["role"] for each in messages]
            assert sample["scores"]["reward"]["value"] == episode.worth[leaf]
            assert sample["scores"]["success"]["value"] == float(episode.tree.is_won(leaf))
            path = [episode.tree.nodes[index] for index in walk(episode.tree, leaf)[1:]]
            used = sum(node.turn.usage.prompt_tokens for node in path)
            assert sum(each["input_tokens"] for each in sample["model_usage"].values()) == used
    return samples


def same_by_inspect(log):
    read = read_by_inspect()
    if read is None:
        return
    assert read.status == log["status"]
    assert len(read.samples) == len(log["samples"])
    for one, sample in zip(read.samples, log["samples"], strict=True):
        assert [(each.role, each.text) for each in one.messages] == [
            (each["role"], each["content"]) for each in sample["messages"]
        ]
        assert {name: score.value for name, score in (one.scores or {}).items()} == {
            name: score["value"] for name, score in sample.get("scores", {}).items()
        }
        assert {name: used.total_tokens for name, used in one.model_usage.items()} == {
            name: used["total_tokens"] for name, used in sample.get("model_usage", {}).items()
        }


def test_a_search_gives_a_sample_for_every_best_path():
    log, episodes, summary = exported("--josh", "--synthetic_tasks", 3)
    assert same_as_recorded(log, episodes) == {}
    assert log["version"] == 2
    assert log["status"] == "success"
    assert log["eval"]["task"] == "persuasion, searched with a beam of 8"
    assert log["eval"]["dataset"]["sample_ids"] == [episode.task.id for episode in episodes]
    means = {score["name"]: score["metrics"]["mean"]["value"] for score in log["results"]["scores"]}
    assert means["reward"] == pytest.approx(summary["average_reward"])
    assert means["success"] == pytest.approx(summary["success_rate"])
    assert {"donation", "completed", "tag_attempts"} <= means.keys()
    same_by_inspect(log)


def test_conversations_of_a_task_are_epochs_and_the_usage_is_that_of_the_run(endpoint):
    url, _ = endpoint(respond=lambda body: f"words {body['seed']}")
    flags = ("--model", "m", "--base_url", url, "--synthetic_tasks", 2, "--rollouts", 2, "--max_convo_turns", 2)
    log, episodes, summary = exported(*flags)
    assert [(sample["id"][-1], sample["epoch"]) for sample in log["samples"]] == [
        ("0", 1), ("0", 2), ("1", 1), ("1", 2)
    ]  # fmt: skip
    assert same_as_recorded(log, episodes) == {}
    assert log["eval"]["config"]["epochs"] == 2
    assert log["eval"]["model"] == "josh/m"
    used = summary["usage"]["agent"]
    assert log["stats"]["role_usage"] == {
        "agent": {
            "input_tokens": used["prompt_tokens"],
            "output_tokens": used["completion_tokens"],
            "total_tokens": used["prompt_tokens"] + used["completion_tokens"],
        }
    }
    assert all(sample["limit"]["type"] == "message" for sample in log["samples"])
    assert url not in Path("log.json").read_text()
    same_by_inspect(log)


def test_tool_calls_and_their_results_keep_their_ids():
    log, episodes, _ = exported("--env", "toolwoz", "--synthetic_tasks", 2)
    assert same_as_recorded(log, episodes) == {}
    messages = log["samples"][0]["messages"]
    called = next(message for message in messages if message.get("tool_calls"))
    answer = messages[messages.index(called) + 1]
    (call,) = called["tool_calls"]
    assert isinstance(call["arguments"], dict)
    assert answer["role"] == "tool"
    assert answer["tool_call_id"] == call["id"]
    same_by_inspect(log)


def test_a_task_that_an_error_ended_has_the_error_and_no_score():
    Path("fails.py").write_text(
        "from josh import BaseJOSHAgent\n\nclass Fails(BaseJOSHAgent):\n    def start(self, task, env, options):\n"
        "        super().start(task, env, options)\n        self.index = task.index\n\n"
        "    def step(self, **_):\n        if self.index == 1:\n            raise RuntimeError('not today')\n"
        "        self.add_message({'role': 'assistant', 'content': 'Give!'})\n        return True\n"
    )
    log, _, _ = exported("--agent", "./fails.py:Fails", "--synthetic_tasks", 2)
    failed = next(sample for sample in log["samples"] if "error" in sample)
    assert "not today" in failed["error"]["message"]
    assert "scores" not in failed
    assert log["results"]["completed_samples"] == 1
    same_by_inspect(log)


def test_a_folder_gets_a_log_of_each_run_under_a_name_that_the_viewer_finds(capsys):
    for seed in ("1", "2"):
        assert main(["--synthetic_tasks", "1", "--seed", seed, "--log_dir", f"records-{seed}"]) == 0
    runs = [str(next(Path(f"records-{seed}").iterdir())) for seed in ("1", "2")]
    assert main(["export", *runs, "--format", "inspect", "--out", "logs"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "see it with     inspect view --log-dir logs"
    names = sorted(path.name for path in Path("logs").iterdir())
    assert len(names) == 2
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d_persuasion-offline-", name) for name in names)
    before = {name: (Path("logs") / name).read_bytes() for name in names}
    assert main(["export", *runs, "--format", "inspect", "--out", "logs"]) == 0
    assert before == {name: (Path("logs") / name).read_bytes() for name in names}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--out", "mine.json"], "mine.json exists and is not a log of josh; give another --out, or move it away"),
        (["--out", "x.json", "--top", "2"], "top is given, but inspect has all conversations of a run"),
        (["--out", "x.json", "COPY"], "out is 'x.json', but 2 runs give several files; give a folder"),
    ],
)
def test_what_makes_no_log_is_refused_in_a_line(capsys, more, said):
    Path("mine.json").write_text("{}")
    assert main(["--synthetic_tasks", "1"]) == 0
    capsys.readouterr()
    runs = [str(only_run())]
    if "COPY" in more:
        runs.append(shutil.copytree(runs[0], "copy"))
    flags = [flag for flag in more if flag != "COPY"]
    assert main(["export", *runs, "--format", "inspect", *flags]) == 2
    assert said in capsys.readouterr().err
    assert Path("mine.json").read_text() == "{}"


def checked(capsys, log, path="log.json"):
    """What `josh export --check` says of a log; empty where it is sound."""
    if log is not None:
        Path(path).write_text(log if isinstance(log, str) else json.dumps(log, indent=1))
    capsys.readouterr()
    code = main(["export", "--check", path])
    out, err = capsys.readouterr()
    assert (code, out) == ((1, "") if err else (0, f"{path}: sound\n"))
    return err


def test_a_log_and_a_folder_of_logs_are_checked(capsys):
    log, _, _ = exported("--env", "toolwoz", "--end_index", "2")
    assert checked(capsys, None) == ""
    assert checked(capsys, json.dumps(log)) == ""
    assert main(["export", str(only_run()), "--format", "inspect", "--out", "logs"]) == 0
    assert checked(capsys, None, "logs") == ""
    (one,) = Path("logs").iterdir()
    assert checked(capsys, {**log, "version": 1}, str(one)) == (
        f"{one}: its version is 1; josh writes and reads version 2\n"
    )
    assert main(["export", "--check", "records"]) == 2
    assert "records is a folder without logs of inspect_ai" in capsys.readouterr().err


def broken(log, *path, value=None):
    """A copy of a log with another value at a path, or without it."""
    whole = json.loads(json.dumps(log))
    *way, last = path
    place = whole
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return whole


def test_what_is_wrong_in_a_log_is_said_in_a_line(capsys):
    log, _, _ = exported("--env", "toolwoz", "--end_index", "2")
    texts = {
        "log.json: not JSON: it ends too early": json.dumps(log, indent=1)[:200],
        "log.json: it is one JSON object that is not a log of inspect_ai": '{\n"messages": []}',
        "log.json: not JSON: NaN is not a number in JSON": broken(
            log, "samples", 0, "scores", "reward", "value", value=float("nan")
        ),
        "log.json: its status is 'won'; one of": broken(log, "status", value="won"),
        "log.json: eval has no model": broken(log, "eval", "model"),
        "log.json: it has no samples": broken(log, "samples", value=[]),
        "log.json: samples[0]: it needs `id`": broken(log, "samples", 0, "epoch"),
        "log.json: samples[1]: it has the id and epoch of samples[0]": broken(
            log, "samples", 1, "id", value=log["samples"][0]["id"]
        ),
        "log.json: samples[0]: messages[0]: its role is not one of": broken(
            log, "samples", 0, "messages", 0, "role", value="human"
        ),
        "log.json: samples[0]: it has neither scores nor an error": broken(log, "samples", 0, "scores"),
        "log.json: samples[1]: its score 'reward' has no value": broken(log, "samples", 1, "scores", "reward", "value"),
        "log.json: its results are not the means": broken(log, "samples", 0, "scores", "reward", "value", value=0.123),
    }
    for words, text in texts.items():
        said = checked(capsys, text)
        assert said.startswith(words)
        assert said.count("\n") == 1
    tools = [at for at, message in enumerate(log["samples"][0]["messages"]) if message["role"] == "tool"]
    lost = broken(log, "samples", 0, "messages", tools[0], "tool_call_id", value="other")
    assert "it answers the call 'other', which no message before it makes" in checked(capsys, lost)
