"""Probes of models on this machine: drift, in a command of its own, in an evaluation, and in a loop."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from local_models import an_adapter
from loops import AGENT, FEW
from probing import figures, speaks

from josh.cli import main
from josh.models.chat import Request, Sampling
from josh.models.hf import LOGPROBS_OF, HFChat

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def adapter(tiny_model, tmp_path):
    return an_adapter(tiny_model, tmp_path / "adapter")


def test_a_model_has_not_drifted_from_itself(tiny_model, capsys):
    assert main(["probe", "--model", f"hf:{tiny_model}", "--baseline", f"hf:{tiny_model}"]) == 0
    found = figures()
    assert found["drift"]["drift"]["value"] == found["drift"]["drift"]["high"] == 0.0
    assert found["drift"]["replies"] == 32
    assert found["drift"]["nats"]["model"] == found["drift"]["nats"]["baseline"]
    assert found["drift"]["different_pairs"]["model"] == found["drift"]["different_pairs"]["baseline"]
    assert found["items"]["difference"]["value"] == 0.0
    assert found["items"]["why"] == "the baseline passes 0 of 64, so it has little to lose"
    out = capsys.readouterr()
    assert out.err == ""
    assert out.out.splitlines()[-1] == "no worse than the base by more than 0.05: too few questions to say"


def test_a_tuned_model_has_drifted_from_its_base(tiny_model, adapter, capsys):
    assert main(["probe", "--model", f"hf:{tiny_model}+{adapter}"]) == 0
    found = figures()
    assert found["baseline"] == f"hf:{tiny_model}"
    drift = found["drift"]
    assert drift["drift"]["low"] > 0.05
    both = {side: one["value"] for side, one in drift["nats"].items()}
    assert drift["drift"]["value"] == pytest.approx(both["model"] - both["baseline"])
    assert "nats per token" in capsys.readouterr().out


def test_a_finished_probe_needs_no_model(tiny_model, adapter, capsys):
    assert main(["probe", "--model", f"hf:{tiny_model}+{adapter}"]) == 0
    before = figures()
    (folder,) = Path("records").iterdir()
    assert folder.name.startswith("probe-tiny-adapter-")
    (adapter / "adapter_model.safetensors").unlink()
    capsys.readouterr()
    assert main(["probe", "--resume", str(folder)]) == 0
    assert figures() == before


def test_an_adapter_that_does_not_fit_leaves_no_folder(tiny_model, adapter, capsys):
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "r": 3}))
    assert main(["probe", "--model", f"hf:{tiny_model}+{adapter}"]) == 2
    assert "the adapter does not fit" in capsys.readouterr().err
    assert not Path("records").exists()


def test_a_model_can_judge_another(tiny_model, capsys):
    Path("q.jsonl").write_text('{"question_id": 1, "category": "math", "turns": ["One?"]}\n')
    name = f"hf:{tiny_model}"
    flags = ["--questions", "q.jsonl", "--judge", name, "--judge_max_tokens", "8", "--mode", "single"]
    assert main(["probe", "--model", name, "--baseline", name, *flags]) == 0
    assert (figures()["single"]["pairs"], figures()["single"]["unreadable"]) == (0, 2)


def test_tokens_can_be_weighed_right_after_a_prompt(tiny_model):
    messages = [{"role": "user", "content": "hello"}]

    async def asked():
        chat = HFChat(f"hf:{tiny_model}")
        try:
            (reply,) = (await chat.complete(Request(messages, Sampling(), 3, keep_samples=True))).replies
            options = {LOGPROBS_OF: {"tokens": list(reply.token_ids)}}
            return reply, (await chat.complete(Request(messages, Sampling(), 3, options=options))).replies[0]
        finally:
            await chat.aclose()

    reply, weighed = asyncio.run(asked())
    assert weighed.logprobs == pytest.approx(reply.model_logprobs, abs=1e-4)


# In an evaluation and a loop

EVALUATED = ("--synthetic_tasks", "6", "--end_index", "2", "--max_convo_turns", "2", "--no_references")


def evaluated(*flags, code=0):
    assert main(["evaluate", *EVALUATED, *map(str, flags)]) == code


def test_an_evaluation_probes_its_model_against_its_base(tiny_model, adapter, capsys):
    evaluated("--model", f"hf:{tiny_model}+{adapter}", "--probe", "--stop_at", "e")
    (folder,) = Path("records").iterdir()
    probed = json.loads((folder / "probe" / "probe.json").read_text())
    assert json.loads((folder / "evaluation.json").read_text())["probe"] == probed
    assert (probed["model"], probed["baseline"]) == (f"hf:{tiny_model}+{adapter}", f"hf:{tiny_model}")
    assert probed["drift"]["drift"]["low"] > 0.05
    assert "no worse than the base by more than 0.05: too few questions to say" in capsys.readouterr().out


def test_an_evaluation_with_a_baseline_probes_against_that_within_its_budget(endpoint, capsys):
    url, server = endpoint(respond=speaks(None))
    cast = ("--model", "tuned", "--baseline", "base", "--base_url", url, "--probe")
    evaluated(*cast)
    calls = len(server.requests)
    (whole,) = Path("records").iterdir()
    found = json.loads((whole / "probe" / "probe.json").read_text())
    assert found["items"]["passed"]["model"]["value"] == found["items"]["passed"]["baseline"]["value"] == 1.0
    server.requests.clear()
    evaluated(*cast, "--max_calls", calls - 20, "--log_dir", "other", code=1)
    assert len(server.requests) == calls - 20
    (folder,) = Path("other").iterdir()
    again = f"go on with: josh evaluate --resume {folder} --max_calls MORE"
    assert f"max_calls {calls - 20} is reached: {again}" in capsys.readouterr().err
    assert main(["evaluate", "--resume", str(folder), "--max_calls", str(calls)]) == 0
    assert len(server.requests) == calls
    assert (folder / "evaluation.json").read_bytes() == (whole / "evaluation.json").read_bytes()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "probe is given, but model is 'offline', which cannot reply; give --model, or leave it out"),
        (("--model", "x"), "probe is given, but no baseline is; give --baseline, the model before its tuning"),
        (("--model", "x,y"), "probe is given with several models; give one --model, or leave it out"),
    ],
)
def test_an_evaluation_without_a_base_is_refused(capsys, flags, said):
    evaluated("--probe", *flags, *(("--base_url", "http://127.0.0.1:1/v1") if flags else ()), code=2)
    assert capsys.readouterr().err.splitlines()[-1] == f"josh: {said}"
    assert not Path("records").exists()


@pytest.mark.slow
def test_a_loop_probes_its_base_and_its_last_round(tmp_path):
    pytest.importorskip("trl", reason="trl is not installed: pip install 'josh-dialogue[train]'")
    (tmp_path / "mine.py").write_text(AGENT)
    flags = [*FEW, "--rounds", "1", "--probe", "--no_references", "--no_sampling"]
    command = [sys.executable, "-m", "josh", "loop", *flags]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "records").glob("loop-*")
    probed = json.loads((folder / "loop.json").read_text())["probe"]
    assert probed == json.loads((folder / "probe" / "probe.json").read_text())
    assert probed["model"].endswith("-round-1") and probed["baseline"] == f"hf:{folder / 'model'}"
    assert probed["drift"]["drift"]["value"] > 0
    assert "no worse than the base by more than 0.05: too few questions to say" in done.stdout
