"""`--report_to`: a run's figures, sent to a tracker while it goes on."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from josh.cli import main
from josh.models.budget import Price
from josh.redact import redactor
from josh.runs.loop.plan import make_plan
from josh.runs.loop.settings import LoopSettings
from josh.runs.play.trackers import KINDS, SAMPLES, About, Report, sample_of, without_secrets
from josh.runs.record.stored import stored_episodes
from josh.runs.record.summary import result_of
from josh.tree import conversation

NO_COST = {"usage": {"agent": {"calls": 0}, "user": {"calls": 0}}, "cost": 0.0}


pytestmark = pytest.mark.usefixtures("elsewhere")


def needs_tensorboard():
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'josh-dialogue[dev]'")


def only_run(log_dir="records"):
    (folder,) = Path(log_dir).iterdir()
    return folder


def logged(folder):
    """What event files hold: by name the steps and their values, in the order in which they came."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.util.tensor_util import make_ndarray

    found = {}
    for file in sorted((folder / "tensorboard").iterdir()):
        data = file.read_bytes()
        while len(data) >= 16:
            # A record: its length in 8 bytes, their checksum in 4, itself, its checksum in 4.
            size = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + size])
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, float(make_ndarray(value.tensor))))
            data = data[16 + size :]
    return found


def texts_in(folder):
    """The texts in event files, each with its step."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.util.tensor_util import make_ndarray

    found = []
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        while len(data) >= 16:
            size = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + size])
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "text"
                found.append((event.step, make_ndarray(value.tensor)[0].decode()))
            data = data[16 + size :]
    return found


def results_of(folder):
    return [result_of(episode) for _, episode in stored_episodes(folder / "episodes.jsonl", [])]


class Notes:
    """A tracker that keeps what it gets."""

    def __init__(self):
        self.received = []
        self.ended = []

    def log(self, figures, tasks):
        self.received.append((tasks, dict(figures)))

    def finish(self, *, failed):
        self.ended.append(failed)


class Loud(Notes):
    def log(self, figures, tasks):
        print("uploading")


class Broken(Notes):
    def log(self, figures, tasks):
        super().log(figures, tasks)
        raise ConnectionError("the tracker is\n down")

    def finish(self, *, failed):
        raise AssertionError("it goes away")


class Stubborn(Notes):
    def finish(self, *, failed):
        raise TimeoutError("still sending")


def test_a_run_is_reported_task_by_task():
    needs_tensorboard()
    assert main(["--synthetic_tasks", "6", "--report_to", "tensorboard", "--max_concurrency", "1"]) == 0
    figures, results = logged(only_run()), results_of(only_run())
    assert figures["reward"] == [(step, pytest.approx(one.reward)) for step, one in enumerate(results, 1)]
    assert figures["num_turns"] == [(step, one.rounds) for step, one in enumerate(results, 1)]
    assert figures["completed"] == [(step, one.ending == "completed") for step, one in enumerate(results, 1)]
    assert figures["truncated"] == [(step, one.ending == "truncated") for step, one in enumerate(results, 1)]
    assert {value for _, value in figures["completed"]} == {0, 1}
    summary = json.loads((only_run() / "summary.json").read_text())
    assert figures["mean/reward"][-1] == (6, pytest.approx(summary["average_reward"]))
    assert figures["mean/num_turns"][-1] == (6, pytest.approx(summary["mean_rounds"]))
    assert [value for _, value in figures["total/cost"] + figures["total/calls"]] == [0] * 12


def test_reports_change_nothing_that_is_recorded():
    needs_tensorboard()
    for flags, folder in (([], "a"), (["--report_to", "tensorboard"], "b")):
        assert main(["--josh", "--synthetic_tasks", "4", "--log_dir", folder, *flags]) == 0
    for file in ("episodes.jsonl", "training_examples.jsonl"):
        assert (only_run("a") / file).read_bytes() == (only_run("b") / file).read_bytes()


def test_calls_and_costs_of_a_model_are_reported(endpoint):
    needs_tensorboard()
    url, server = endpoint(respond=lambda body: f"words {body['seed']}")
    flags = [
        "--model",
        "us",
        "--base_url",
        url,
        "--price",
        "us=1/2",
        "--max_convo_turns",
        "3",
        "--synthetic_tasks",
        "4",
    ]
    assert main([*flags, "--report_to", "tensorboard"]) == 0
    figures = logged(only_run())
    summary = json.loads((only_run() / "summary.json").read_text())
    assert sum(value for _, value in figures["calls"]) == len(server.requests) == figures["total/calls"][-1][1]
    assert sum(value for _, value in figures["cost"]) == pytest.approx(summary["cost"])
    assert figures["total/cost"][-1] == (4, pytest.approx(summary["cost"]))
    assert main([*flags[:4], *flags[6:], "--report_to", "tensorboard", "--log_dir", "unpriced"]) == 0
    assert not [name for name in logged(only_run("unpriced")) if "cost" in name]


def test_a_resumed_run_goes_on_counting_and_may_report_elsewhere():
    needs_tensorboard()
    flags = ["--env", "toy_world:World", "--josh", "--report_to", "tensorboard", "--seed", "3"]
    assert main(flags) == 0
    first = logged(only_run())
    assert first["total/infra_errors"][-1][1] == json.loads((only_run() / "summary.json").read_text())["infra_errors"]
    owed = json.loads((only_run() / "summary.json").read_text())["owed"]
    assert owed
    assert main(["--trust", "--resume", str(only_run()), "--report_to", "none"]) == 0
    assert logged(only_run()) == first
    assert main(["--trust", "--resume", str(only_run())]) == 0
    again = logged(only_run())
    assert len(again["total/calls"]) == 12 + owed
    assert [step for step, _ in again["total/calls"]][-owed:] == list(range(12 - owed + 1, 13))
    assert main(["replay", "--trust", str(only_run())]) == 0


def test_the_runs_of_an_evaluation_report_apart():
    needs_tensorboard()
    assert main(["evaluate", "--synthetic_tasks", "2", "--report_to", "tensorboard"]) == 0
    parts = [path.parent for path in only_run().glob("*/tensorboard")]
    assert len(parts) == 4
    for part in parts:
        assert [step for step, _ in logged(part)["reward"]] == [1, 2]


def test_an_interrupted_run_closes_its_tracker(tmp_path):
    needs_tensorboard()
    (tmp_path / "slow.py").write_text(
        "import time\nfrom josh import BaseJOSHUser\n\nclass Slow(BaseJOSHUser):\n    def step(self, agent):\n"
        '        time.sleep(0.1)\n        agent.add_message({"role": "user", "content": "[DONATE $1]"})\n'
        "        return agent, True\n"
    )
    flags = ["--user", "./slow.py:Slow", "--report_to", "tensorboard", "--synthetic_tasks", "200"]
    process = subprocess.Popen(
        [sys.executable, "-m", "josh", *flags],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    end = time.monotonic() + 20
    while not list(Path().glob("records/*/tensorboard/*")) or not logged(only_run()).get("reward"):
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 130, said
    assert "report_to" not in said
    done = json.loads((only_run() / "summary.json").read_text())["finished"]
    assert logged(only_run())["reward"][-1][0] == done


STANDS_IN = """
import json, os

class Run:
    def __getattr__(self, name):
        return lambda *args, **given: note(name, args, given)

def note(name, args, given):
    with open(os.environ["NOTES"], "a") as file:
        print(json.dumps([name, args, given], default=str), file=file)

def init(**given):
    print("a word for the screen")
    note("init", (), given)
    return Run()

def Settings(**given):
    return given
"""


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_tracker_is_begun_told_and_finished_whatever_ends_the_run(name, tmp_path):
    # A module that notes how it is called stands in for the package, which is heavy and goes to the network.
    (tmp_path / f"{name}.py").write_text(STANDS_IN)
    (tmp_path / "stuck.py").write_text(
        "import time\nfrom josh import BaseJOSHUser\n\nclass Stuck(BaseJOSHUser):\n    def step(self, agent):\n"
        '        if "0001" in self.task:\n            raise KeyboardInterrupt\n        return agent, True\n'
        "    def start(self, task, env, options):\n        self.task = task.id\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NOTES": str(tmp_path / "notes")}
    flags = ["--report_to", name, "--synthetic_tasks", "2", "--max_concurrency", "1"]
    for more, code in ((["--log_dir", "whole"], 0), (["--user", "./stuck.py:Stuck"], 130)):
        (tmp_path / "notes").unlink(missing_ok=True)
        command = [sys.executable, "-m", "josh", *flags, *more]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert ended.returncode == code, ended.stderr
        assert "a word for the screen" in ended.stderr
        assert "a word for the screen" not in ended.stdout
        (_, _, begun), *received, (last, _, given) = lines = list(
            map(json.loads, Path("notes").read_text().splitlines())
        )
        assert begun["config"]["synthetic_tasks"] == 2
        assert (begun["project"], begun["name"]) == ("josh", only_run(more[1] if code == 0 else "records").name)
        assert len([what for what, _, _ in received if what == "log"]) == (2 if code == 0 else 1)
        assert last == "finish"
        assert given == ({"exit_code": int(code != 0)} if name == "wandb" else {})
        steps = [given.get("step", args[0].get("tasks")) for what, args, given in lines if what == "log"]
        assert steps == [1, 2][: len(steps)]


WITH_TABLES = """
def Table(**given):
    return given
"""


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_tracker_with_tables_gets_the_first_conversations(name, tmp_path):
    (tmp_path / f"{name}.py").write_text(STANDS_IN + WITH_TABLES)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "NOTES": str(tmp_path / "notes")}
    command = [sys.executable, "-m", "josh", "--report_to", name, "--synthetic_tasks", "3", "--max_concurrency", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    received = list(map(json.loads, Path("notes").read_text().splitlines()))
    assert [what for what, _, _ in received[-2:]] == ["log", "finish"]
    table = received[-2][1][0]["conversations"]
    assert table["columns"] == ["task", "outcome", "reward", "conversation"]
    episodes = [episode for _, episode in stored_episodes(only_run() / "episodes.jsonl", [])]
    assert [row[0] for row in table["data"]] == [episode.task.id for episode in episodes]
    for row, episode in zip(table["data"], episodes, strict=True):
        leaf = episode.reported[0]
        assert row[1:3] == [str(episode.outcomes[leaf]), episode.reward]
        said = [message["content"] for message in conversation(episode.tree, leaf)]
        names = ("persuader", "persuadee")
        assert row[3] == "\n\n".join(f"{names[at % 2]}: {text}" for at, text in enumerate(said))


def test_tensorboard_gets_conversations_as_texts():
    needs_tensorboard()
    assert main(["--synthetic_tasks", "30", "--report_to", "tensorboard", "--max_concurrency", "1"]) == 0
    texts = texts_in(only_run() / "tensorboard_text")
    episodes = [episode for _, episode in stored_episodes(only_run() / "episodes.jsonl", [])]
    assert len(texts) == SAMPLES == 20
    assert [step for step, _ in texts] == list(range(1, 21))
    first = episodes[0]
    outcome = first.outcomes[first.reported[0]]
    assert texts[0][1].startswith(f"{first.task.id}: {outcome}, reward {first.reward:.2f}\n\npersuader: ")


def test_conversations_hold_no_secrets():
    assert main(["--synthetic_tasks", "1"]) == 0
    ((_, episode),) = stored_episodes(only_run() / "episodes.jsonl", [])
    word = conversation(episode.tree, episode.reported[0])[0]["content"].split()[0]
    about = About(only_run(), False, {}, redact=lambda text: text.replace(word, "[secret]"))
    assert sample_of(episode, about, 1).text.startswith("agent: [secret]")


def test_a_tracker_that_fails_is_let_go_with_a_line_and_the_others_go_on(capsys):
    assert main(["--synthetic_tasks", "3"]) == 0
    broken, notes = Broken(), Notes()
    report = Report({"broken": broken, "notes": notes}, {})
    for result in results_of(only_run()):
        report.finished(result, NO_COST)
    report.end(failed=True)
    report.end()
    assert len(broken.received) == 1
    assert [step for step, _ in notes.received] == [1, 2, 3]
    assert notes.ended == [True]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "josh: report_to broken: it gets no more metrics after this error: the tracker is down"


def test_what_a_tracker_prints_is_not_among_the_run_s_figures(capsys):
    assert main(["--synthetic_tasks", "2", "--report_to", " none "]) == 0
    assert json.loads((only_run() / "config.json").read_text())["settings"]["output"]["report_to"] == "none"
    capsys.readouterr()
    report = Report({"loud": Loud()}, {})
    for result in results_of(only_run()):
        report.finished(result, NO_COST)
    both = capsys.readouterr()
    assert (both.out, both.err) == ("", "uploading\n" * 2)


def test_a_tracker_that_cannot_finish_costs_a_line(caplog):
    with caplog.at_level(logging.WARNING, "josh"):
        Report({"stubborn": Stubborn()}, {}).end()
    assert caplog.messages == ["report_to stubborn: it did not finish after this error: still sending"]


def test_a_task_without_a_score_is_in_no_mean():
    assert main(["--env", "toy_world:World", "--rollouts", "1", "--temperature", "1"]) == 0
    results = results_of(only_run())
    failed = [result for result in results if not result.conversations]
    assert failed
    notes = Notes()
    report = Report({"notes": notes}, {"us": Price(1.0, 1.0)})
    for result in results:
        report.finished(result, NO_COST)
    summary = json.loads((only_run() / "summary.json").read_text())
    last = notes.received[-1][1]
    assert last["mean/reward"] == pytest.approx(summary["average_reward"])
    assert last["mean/completed"] == summary["endings"].get("completed", 0) / summary["scored"]
    assert last["total/infra_errors"] == summary["infra_errors"] == len(failed)
    assert sum("reward" in figures for _, figures in notes.received) == summary["scored"]


@pytest.mark.parametrize("name", KINDS)
def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_played(name, capsys):
    if find_spec(name):
        pytest.skip(f"{name} is installed")
    for command in ([], ["evaluate"], ["--dry_run"]):
        assert main([*command, "--report_to", f"{name}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"josh: report_to is '{name}', but {name} is not installed: pip install {name}"
    assert not Path("records").exists()


def test_another_tracker_is_refused(capsys):
    assert main(["--report_to", "mlflow"]) == 2
    assert "report_to is 'mlflow'; give trackio, wandb or tensorboard, several separated by commas, or none" in (
        capsys.readouterr().err
    )


def test_a_tracker_that_does_not_begin_ends_the_run_before_anything_is_played(capsys):
    needs_tensorboard()
    assert main(["--synthetic_tasks", "1"]) == 0
    folder = only_run()
    before = (folder / "episodes.jsonl").read_bytes()
    (folder / "tensorboard").write_text("in its place")
    assert main(["--trust", "--resume", str(folder), "--report_to", "tensorboard"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("josh: report_to is 'tensorboard', but tensorboard does not start: File exists")
    assert (folder / "episodes.jsonl").read_bytes() == before


def test_no_secret_is_told():
    settings = {"base_url": "https://me:word@example.org/v1", "model": "key-123456789", "seed": 1, "agent": None}
    received = without_secrets(settings, redactor({"OPENAI_API_KEY": "key-123456789"}))
    assert received == {"base_url": "https://***@example.org/v1", "model": "***", "seed": 1, "agent": None}


def test_searches_tests_and_trainings_of_a_loop_report_to_the_same_tracker():
    needs_tensorboard()
    settings = LoopSettings(tiny=True, rounds=1, tasks=2, test_tasks=2)
    for given in ("tensorboard", "none"):
        plan = make_plan(Path("loop"), settings, {"report_to": given}, {})
        assert {part.settings.output.report_to for part in plan.parts} == {plan.train["report_to"]} == {given}
