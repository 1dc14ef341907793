"""From states to an adapter that asks or acts: the rows of `josh proactive rewards` in `josh train`."""

from pathlib import Path

import pytest
from trajectories import preferences
from tuning import card, needs_trl

from josh.cli import main
from josh.errors import UsageError
from josh.runs.train.data import read_rows

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def generated():
    assert main(["proactive", "generate", "--n_states", "12", "--out", "traj.jsonl"]) == 0
    return Path("traj.jsonl")


@pytest.mark.parametrize(("kind", "methods"), [("action", ("dpo", "sft")), ("text", ("dpo", "sft"))])
def test_training_reads_the_rows_as_they_are(generated, kind, methods):
    count = len(preferences(generated, "--kind", kind, out="rows.jsonl"))
    assert [len(read_rows(Path("rows.jsonl"), method)) for method in methods] == [count] * len(methods)


def test_rows_for_classification_are_not_taken_for_others(generated):
    preferences(generated, "--kind", "classification", out="rows.jsonl")
    with pytest.raises(UsageError, match=r"rows\.jsonl line 1: no 'messages', which sft rows have$"):
        read_rows(Path("rows.jsonl"), "sft")


@needs_trl
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_model_is_trained_by_the_published_flags(tiny, generated, method):
    preferences(generated, out="dpo/prefs.jsonl")
    flags = ["--data", "dpo/prefs.jsonl", "--model", str(tiny), "--output", "outputs", "--lr", "5e-5", "--epochs", "1"]
    beta = ["--beta", "0.1"] if method == "dpo" else []
    assert main(["train", method, *flags, *beta, "--max_length", "2000", "--torch_threads", "1"]) == 0
    (adapter,) = Path("outputs").iterdir()
    assert card(adapter)["settings"]["learning_rate"] == 5e-5
