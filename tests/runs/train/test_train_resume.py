"""A training that was broken off goes on, with the same data and settings alone."""

import pytest
from tuning import SFT, card, needs_trl

# PEFT's own affair, whenever a model is wrapped outside `josh train`.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@needs_trl
@pytest.mark.filterwarnings("ignore:.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
def test_a_training_that_was_broken_off_goes_on_and_comes_out_the_same(tune, broken_off, tmp_path):
    flags = "--epochs", 12, "--save_steps", 6
    _, _, (whole,) = tune("sft", *flags, out="whole")
    broken_off(tmp_path / "broken" / f"{whole.name}.part", *flags)
    code, said, _ = tune("sft", *flags, out="broken")
    assert code == 2
    assert "--resume" in said.err
    code, said, (again,) = tune("sft", *flags, "--resume", out="broken")
    assert code == 0, said.err
    assert said.err == ""
    assert {path.name for path in again.iterdir()} == {path.name for path in whole.iterdir()}
    assert again.name == whole.name
    weights = "adapter_model.safetensors"
    assert (again / weights).read_bytes() == (whole / weights).read_bytes()


@needs_trl
@pytest.mark.filterwarnings("ignore:.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
def test_a_checkpoint_that_was_being_written_is_passed_over(tune, broken_off, tmp_path):
    part = tmp_path / "out" / "mine.part"
    flags = "--name", "mine", "--epochs", 24, "--save_steps", 6
    broken_off(part, *flags)
    for number, torn in enumerate(("", '{"epoch": 3.0, "log_')):
        later = part / "checkpoints" / f"checkpoint-{1000 + number}"
        later.mkdir()
        (later / "trainer_state.json").write_text(torn)
    code, said, (adapter,) = tune("sft", *flags, "--resume")
    assert code == 0, said.err
    assert card(adapter)["losses"]["steps"] == 48


@needs_trl
@pytest.mark.filterwarnings("ignore:.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
def test_a_training_goes_on_with_the_same_data_and_settings_alone(tune, broken_off, tmp_path):
    part = tmp_path / "out" / "mine.part"
    flags = "--name", "mine", "--epochs", 200, "--save_steps", 6
    broken_off(part, *flags)
    for other in ({"rows": [SFT] * 17}, {"flags": ("--learning_rate", 1e-3)}):
        code, said, made = tune("sft", *flags, *other.get("flags", ()), "--resume", rows=other.get("rows"))
        assert (code, made) == (2, [part])
        (line,) = said.err.splitlines()
        assert f"{part} is from a training with other data, another model or other settings" in line


@needs_trl
def test_where_there_is_nothing_to_go_on_from_a_training_begins_anew_and_says_so(tune, tmp_path):
    code, said, (adapter,) = tune("sft", "--resume", "--name", "mine", "--epochs", 8)
    assert code == 0
    (line,) = said.err.splitlines()
    assert "mine.part has no checkpoint; the training starts from the beginning" in line
    assert card(adapter)["losses"]["steps"] == 16
