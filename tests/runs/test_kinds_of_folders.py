"""A folder of another kind than a command takes is named as what it is, with the way out."""

import json
from pathlib import Path

import pytest

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")

FILES = {
    "records/run-1": {"config.json": {"settings": {}}},
    "records/run-2": {"config.json": {"settings": {}}},
    "records/eval-1": {"plan.json": {"parts": [{"folder": "model-donor"}, {"folder": "uniform-donor"}]}},
    "records/eval-1/model-donor": {"config.json": {"settings": {}}},
    "records/loop-1": {"plan.json": {"parts": [{"folder": "search-1"}], "stages": []}},
    "smoke/smoke-1/play": {"config.json": {"settings": {}}},
    "smoke/smoke-1/search": {"config.json": {"settings": {}}},
    "models/tiny": {"config.json": {"model_type": "llama"}, "generation_config.json": {}},
    "models/adapter": {"adapter_config.json": {}},
}
EVALUATION = "records/eval-1 is made of several runs; give one of them: model-donor"
RECORDS = "records is a folder of runs; give one of them: eval-1, loop-1, run-1, run-2"
ONE = {
    "records/eval-1": EVALUATION,
    "records/loop-1": "records/loop-1 is made of several runs; none of them has started",
    "records": RECORDS,
    "smoke": "smoke is a folder of runs; give one of them: smoke-1/play, smoke-1/search",
    "smoke/smoke-1": "smoke/smoke-1 is a folder of runs; give one of them: play, search",
    "models/tiny": "models/tiny is a model, not a run; use it with --model hf:models/tiny",
    "models/adapter": "models/adapter is an adapter, not a run; use it with --model hf:BASE+models/adapter",
}
COMMANDS = ("export FOLDER --format sft --out x.jsonl", "replay FOLDER", "rescore FOLDER", "show FOLDER 1")
RESUMED = {
    "--resume records/eval-1": "is an evaluation; resume it with: josh evaluate --resume records/eval-1",
    "--resume records/loop-1": "is a loop; resume it with: josh loop --resume records/loop-1",
    "--resume records": RECORDS,
    "--resume models/tiny": ONE["models/tiny"],
    "evaluate --resume records/run-1": "is a run; resume it with: josh --resume records/run-1",
    "evaluate --resume records/loop-1": "is a loop; resume it with: josh loop --resume records/loop-1",
    "loop --resume records/eval-1": "is an evaluation; resume it with: josh evaluate --resume records/eval-1",
    "loop --resume records": RECORDS,
    "plot records --out x.png": RECORDS,
    "compare records/eval-1/model-donor models/tiny": ONE["models/tiny"],
}


@pytest.fixture(autouse=True)
def _folders(elsewhere):
    for folder, files in FILES.items():
        for name, content in files.items():
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, name).write_text(json.dumps(content))


def refused(capsys, command):
    assert main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("folder", ONE)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_takes_one_run_says_what_it_got(capsys, command, folder):
    assert refused(capsys, command.replace("FOLDER", folder)) == f"josh: {ONE[folder]}"


@pytest.mark.parametrize("command", RESUMED)
def test_a_command_that_resumes_names_the_one_that_does(capsys, command):
    assert refused(capsys, command).endswith(RESUMED[command])


def test_models_are_not_listed_as_runs(capsys):
    assert main(["show", "models"]) == 2
    line = capsys.readouterr().err
    assert "adapter (adapters); tiny (models)" in line
