"""Fine-tuning a hosted model, against a service on this machine."""

import _thread
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from aiohttp import web
from serving import LocalServer

from josh.cli import main

KEY = "sk-canary-0123456789"
SFT = {"messages": [{"role": "user", "content": "Would you give?"}, {"role": "assistant", "content": "I would."}]}
DPO = {
    "input": {"messages": SFT["messages"][:1]},
    "preferred_output": SFT["messages"][1:],
    "non_preferred_output": [{"role": "assistant", "content": "No."}],
}


class FineTuning(LocalServer):
    """Files, jobs and events as OpenAI serves them.

    Attributes:
        requests: what jobs were asked for.
        uploads: files received.
        faults: what to answer the next requests to a path with: a status with a message; 0 hangs up, after doing
            what was asked.
        ends: how jobs end.
        looks: how often a job is looked at before it ends.
    """

    path = "/v1"

    def __init__(self, ends="succeeded", looks=3):
        self.requests, self.uploads, self.faults = [], [], {}
        self.ends, self.looks = ends, looks
        self.seen = 0

    def app(self):
        app = web.Application(middlewares=[self.guard])
        app.router.add_post("/v1/files", self.files)
        app.router.add_post("/v1/fine_tuning/jobs", self.create)
        app.router.add_get("/v1/fine_tuning/jobs", self.jobs)
        app.router.add_get("/v1/fine_tuning/jobs/{job}", self.job)
        app.router.add_get("/v1/fine_tuning/jobs/{job}/events", self.events)
        return app

    @web.middleware
    async def guard(self, request, handler):
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return self.refusal(401, f"Incorrect API key provided: {request.headers['Authorization'][7:]}")
        faults = self.faults.get((request.method, request.path), [])
        fault = faults.pop(0) if faults else None
        if fault and fault[0]:
            return self.refusal(*fault)
        answer = await handler(request)
        if fault:
            request.transport.close()
        return answer

    def refusal(self, status, message):
        return web.json_response({"error": {"message": message, "type": "x", "code": None}}, status=status)

    async def files(self, request):
        form = await request.post()
        assert form["purpose"] == "fine-tune"
        self.uploads.append(form["file"].file.read())
        name = f"file-{len(self.uploads)}"
        return web.json_response(
            {
                "id": name,
                "object": "file",
                "bytes": 1,
                "created_at": 0,
                "filename": "f",
                "purpose": "fine-tune",
                "status": "processed",
            }
        )

    def state(self, number):
        request = self.requests[number]
        ended = self.seen >= self.looks
        won = ended and self.ends == "succeeded"
        return {
            "id": f"ftjob-{number}",
            "object": "fine_tuning.job",
            "created_at": 0,
            "error": {"code": "bad", "message": f"line 3 is no good {KEY}", "param": "x"}
            if ended and self.ends == "failed"
            else None,
            "fine_tuned_model": f"ft:{request['model']}:org:{request.get('suffix') or 'x'}" if won else None,
            "finished_at": None,
            "hyperparameters": {},
            "model": request["model"],
            "organization_id": "org",
            "result_files": [],
            "seed": 1,
            "status": self.ends if ended else "running",
            "trained_tokens": 321 if won else None,
            "training_file": request["training_file"],
            "validation_file": None,
        }

    async def create(self, request):
        self.requests.append(await request.json())
        return web.json_response(self.state(len(self.requests) - 1))

    async def jobs(self, request):
        data = [self.state(number) for number in reversed(range(len(self.requests)))]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    async def job(self, request):
        number = request.match_info["job"].removeprefix("ftjob-")
        if not number.isdecimal() or int(number) >= len(self.requests):
            return self.refusal(404, "Could not find fine tune")
        self.seen += 1
        return web.json_response(self.state(int(number)))

    async def events(self, request):
        data = [
            {
                "id": f"ev-{number}",
                "object": "fine_tuning.job.event",
                "created_at": number,
                "level": "info",
                "message": f"Step {number}: loss is falling",
            }
            for number in reversed(range(2 * self.seen))
        ]
        after = request.query.get("after")
        if after:
            data = data[[event["id"] for event in data].index(after) + 1 :]
        return web.json_response({"object": "list", "data": data[:3], "has_more": len(data) > 3})


@pytest.fixture
def tune(endpoint, tmp_path, monkeypatch, capsys):
    """Run `josh train openai` on a service: its exit code and what it said."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def run(service, *flags, rows=(SFT,) * 12, start=True):
        if not hasattr(service, "url"):
            service.url, _ = endpoint(kind=lambda: service)
        data = tmp_path / "rows.jsonl"
        data.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        given = ["--out", str(tmp_path / "job"), "--base_url", service.url, "--poll_seconds", "0.01"]
        begin = ["--data", str(data), "--model", "gpt-4.1-mini", "--yes"] if start else []
        code = main(["train", "openai", *given, *begin, *flags])
        said = capsys.readouterr()
        assert KEY not in said.out + said.err
        return code, said

    run.job = tmp_path / "job" / "josh_openai_job.json"
    return run


def test_a_job_is_started_and_followed_to_its_model(tune):
    service = FineTuning()
    code, said = tune(service, "--suffix", "josh", "--price", "5", "--epochs", "2", "--seed", "7")
    assert code == 0, said.err
    assert "12 rows, about" in said.out
    assert "cost     about $0.00" in said.out
    (request,) = service.requests
    assert request == {
        "model": "gpt-4.1-mini",
        "training_file": "file-1",
        "suffix": "josh",
        "seed": 7,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    }
    (upload,) = service.uploads
    assert len(upload.splitlines()) == 12
    steps = [line.strip() for line in said.out.splitlines() if "Step" in line]
    assert steps == [f"Step {number}: loss is falling" for number in range(6)], "each event once, in order"
    assert said.out.splitlines()[-1] == "model    ft:gpt-4.1-mini:org:josh"
    job = json.loads(tune.job.read_text())
    assert job["job"]["status"] == "succeeded"


def test_pairs_go_to_dpo_and_an_unknown_cost_is_said_to_be_unknown(tune):
    service = FineTuning()
    code, said = tune(service, "--method", "dpo", "--beta", "0.2", rows=[DPO] * 10)
    assert code == 0, said.err
    assert "cost     unknown; give --price" in said.out
    assert service.requests[0]["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}


@pytest.mark.parametrize(
    ("rows", "flags", "sentence"),
    [
        ([SFT] * 9, (), "has 9 rows; OpenAI asks for 10 or more"),
        ([DPO] * 12, (), "line 1: no 'messages', which openai-sft rows have; it is a row for --method dpo"),
        ([SFT] * 12, ("--method", "dpo"), "line 1: no 'input'"),
        ([{"messages": SFT["messages"][:1]}] * 12, (), "line 1: messages: the last message is from the user"),
        ([{"messages": "abc"}] * 12, (), "line 1: messages is empty, or not a list"),
        ([{"messages": ["a"]}] * 12, (), "line 1: messages[0] is not a JSON object"),
        ([{"messages": 5}] * 12, (), "line 1: messages is empty, or not a list"),
        ([DPO, {**DPO, "input": "x"}] * 6, ("--method", "dpo"), "line 2: 'x' is not a JSON object"),
        ([{**DPO, "preferred_output": None}] * 12, ("--method", "dpo"), "line 1: preferred_output is not one message"),
        (["[" * 100_000], (), "line 1: it is not a JSON object"),
        ([SFT] * 12, ("--epochs", "0"), "epochs is 0; give a number above 0"),
        ([SFT] * 12, ("--api_key_var", "NO_SUCH_KEY"), "set NO_SUCH_KEY"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_sent(tune, rows, flags, sentence):
    service = FineTuning()
    code, said = tune(service, *flags, rows=rows)
    assert code == 2
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert service.uploads == []


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2)])
def test_the_terminal_is_asked_first(endpoint, tmp_path, answer, code):
    url, service = endpoint(kind=FineTuning)
    (tmp_path / "rows.jsonl").write_text((json.dumps(SFT) + "\n") * 10)
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    flags = ["--data", "rows.jsonl", "--model", "m", "--out", "job", "--poll_seconds", "0.01", "--base_url"]
    done = subprocess.run(
        [sys.executable, "-m", "josh", "train", "openai", *flags, url],
        check=False,
        cwd=tmp_path,
        stdin=theirs,
        capture_output=True,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": KEY},
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == code, done.stderr
    assert "start it? [y/N]" in done.stdout
    assert len(service.uploads) == (answer == "y")


def test_nothing_is_paid_for_without_a_yes(tune, tmp_path):
    service = FineTuning()
    code, said = tune(service, "--data", str(tmp_path / "rows.jsonl"), "--model", "m", start=False)
    assert code == 2
    assert "give --yes" in said.err
    assert service.uploads == []


def test_a_refused_key_is_one_line(tune, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "sk-wrong-0123456789")
    code, said = tune(FineTuning(), "--api_key_var", "OTHER_KEY")
    assert code == 1
    assert "the key was refused: Error code: 401" in said.err or "the key was refused: Incorrect" in said.err
    assert len(said.err.splitlines()) == 1
    assert "sk-wrong" not in said.err


def test_a_refused_file_is_one_line(tune):
    service = FineTuning()
    service.faults["POST", "/v1/fine_tuning/jobs"] = [(400, "file-1 has 2 rows without a reply")]
    code, said = tune(service)
    assert code == 1
    assert "refused with HTTP 400" in said.err
    assert "file-1 has 2 rows without a reply" in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("ends", ["failed", "cancelled"])
def test_a_job_that_fails_says_why(tune, ends):
    code, said = tune(FineTuning(ends=ends))
    assert code == 1
    assert said.err.startswith(f"josh: fine-tuning job ftjob-0 {ends}: ")
    assert ("line 3 is no good ***" in said.err) == (ends == "failed")
    assert json.loads(tune.job.read_text())["job"]["status"] == ends


def test_lost_connections_cost_no_second_job(tune):
    service = FineTuning()
    service.faults["POST", "/v1/files"] = [(503, "busy")]
    service.faults["POST", "/v1/fine_tuning/jobs"] = [(0, "hung up once the job is started")]
    service.faults["GET", "/v1/fine_tuning/jobs/ftjob-0"] = [(500, "oops"), (0, "hung up"), (429, "slow down")]
    code, said = tune(service)
    assert code == 0, said.err
    assert len(service.requests) == 1


def test_an_endpoint_that_stays_silent_ends_it_and_says_how_to_go_on(tune):
    service = FineTuning(looks=1)
    service.faults["GET", "/v1/fine_tuning/jobs/ftjob-0"] = [(500, "oops")] * 1000
    code, said = tune(service, "--max_retry_seconds", "0.2")
    assert code == 1
    hint, line = said.err.splitlines()
    assert "josh train openai --follow ftjob-0" in hint
    assert "no answer in 0.2 seconds: HTTP 500" in line
    service.faults.clear()
    code, said = tune(service, "--follow", "ftjob-0", start=False)
    assert code == 0, said.err
    assert said.out.splitlines()[-1].startswith("model    ft:gpt-4.1-mini")


def test_ctrl_c_leaves_the_job_running_and_says_how_to_follow_it(tune):
    service = FineTuning(looks=10**6)

    def interrupt():
        while service.seen < 3:
            time.sleep(0.005)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    code, said = tune(service)
    assert code == 130
    assert "follow it with: josh train openai --follow ftjob-0 --out" in said.err
    assert f"--base_url {service.url}" in said.err
    service.looks = 1
    assert tune(service, "--follow", "ftjob-0", start=False)[0] == 0


def test_a_job_that_is_not_there_is_one_line(tune):
    code, said = tune(FineTuning(), "--follow", "ftjob-7", start=False)
    assert code == 1
    assert "not found" in said.err
    assert len(said.err.splitlines()) == 1


def test_the_published_flags_start_a_job_with_held_out_rows_and_do_not_wait(tune, tmp_path):
    held_out = tmp_path / "held.jsonl"
    held_out.write_text(json.dumps(SFT) + "\n")
    service = FineTuning()
    code, said = tune(service, "--validation-file", str(held_out), "--no-monitor")
    assert code == 0, said.err
    (request,) = service.requests
    assert request["training_file"] != request["validation_file"]
    assert "follow   josh train openai --follow ftjob-0 --out" in said.out
    assert "Step" not in said.out
    data = str(tmp_path / "rows.jsonl")
    code, said = tune(service, "--training-file", data, "--model", "gpt-4.1-mini", "--yes", start=False)
    assert code == 0, said.err
