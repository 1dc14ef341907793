"""`josh pbt loop`: its stages are josh's commands, and it can be interrupted."""

import json
from pathlib import Path

import pytest

from josh.cli import main
from josh.parser import parse
from josh.runs.systems.pbt_loop import CommandJob, LoopSettings, jobs_of

pytestmark = pytest.mark.usefixtures("elsewhere")
NANO = ["pbt", "loop", "--tiny", "--tiny_size", "nano", "--seeds", "1", "--questions", "12", "--test_questions", "3"]


def refused(capsys, *flags):
    """The line on stderr of a loop that is refused before anything is made."""
    assert main(["pbt", "loop", *map(str, flags)]) == 2
    assert not list(Path().rglob("pbt-loop-*"))
    return capsys.readouterr().err.strip().removeprefix("josh: ")


def test_every_stage_is_a_command_that_josh_reads():
    stages = list(jobs_of(Path("loop"), LoopSettings(seeds=2), main))
    for stage in stages:
        assert parse(stage.arguments).command == stage.typed[0]
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names) == 2 * 15
    for place, stage in enumerate(stages):
        assert set(stage.needs) <= set(names[:place])


def test_the_three_sets_are_matched_and_come_from_the_same_training_questions():
    stages = {stage.name: stage.typed for stage in jobs_of(Path("loop"), LoopSettings(seeds=1, pairs=40), main)}
    for name, typed in stages.items():
        if "-rows-" in name:
            flags = dict(zip(typed[3::2], typed[4::2], strict=True))
            assert (flags["--match"], flags["--train_limit"], flags["--split"]) == ("total", "40", "train")


def test_a_stage_is_complete_when_its_note_and_what_it_makes_are_there(tmp_path):
    (tmp_path / "stages").mkdir()
    note, made = tmp_path / "stages" / "one.json", tmp_path / "made"
    plain = CommandJob(tmp_path, "one", (), ("schema",), main)
    making = CommandJob(tmp_path, "one", (), ("schema",), main, makes=made)
    assert not plain.note()
    assert plain.command(["schema", "config"]) == 0
    assert json.loads(note.read_text())["command"] == "josh schema config"
    assert plain.note()
    assert not making.note()
    made.mkdir()
    assert making.note()


def test_a_command_that_fails_leaves_no_note(tmp_path, capsys):
    (tmp_path / "stages").mkdir()
    job = CommandJob(tmp_path, "one", (), ("schema", "nothing"), main)
    assert job.command(job.arguments) == 2
    assert not job.note()


def test_a_training_that_was_interrupted_goes_on(tmp_path):
    job = CommandJob(tmp_path, "one", (), ("train", "sft"), main, makes=tmp_path / "adapter")
    assert job.arguments == ["train", "sft"]
    (tmp_path / "adapter.part").mkdir()
    assert job.arguments == ["train", "sft", "--resume"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], "tiny is not given"),
        (["--tiny", "--seeds", "0"], "seeds is 0; give 1 or more"),
        (["--tiny", "--pairs", "-1"], "pairs is -1; give 1 or more"),
        (["--tiny", "--tiny_size", "huge"], "no size named 'huge'; known: small, nano"),
        (["--tiny", "--jobs", "0"], "jobs is 0; give 1 or more"),
        (["--tiny", "--log_dir", "a+b"], "plus sign"),
        (["--resume", "nowhere"], "is not a loop of josh pbt"),
        (["--resume", "nowhere", "--seeds", "2"], "seeds is given, but nowhere records it"),
    ],
)
def test_a_wrong_flag_is_one_line(capsys, flags, line):
    said = refused(capsys, *flags)
    assert line in said
    assert "\n" not in said


@pytest.mark.slow
def test_a_loop_compares_three_sets_of_pairs_and_goes_on_where_it_stopped(capfd):
    assert main(NANO) == 0
    (folder,) = Path("records").glob("pbt-loop-*")
    said = capfd.readouterr().out
    assert "resist-only" in said
    found = json.loads((folder / "loop.json").read_text())
    (seed,) = found["seeds"]
    assert set(seed["results"]) == {"base", "accept", "resist", "balanced"}
    assert len(set(seed["pairs"].values())) == 1
    assert seed["test_rows"] == 6
    assert all(stage.note() for stage in jobs_of(folder.resolve(), LoopSettings(seeds=1), main))
    # The last training is gone, as after a kill; all others stay.
    adapter = folder / "seed-10" / "adapters" / "balanced-dpo"
    before = (adapter / "adapter_model.safetensors").read_bytes()
    for path in sorted(adapter.rglob("*"), reverse=True):
        path.unlink()
    adapter.rmdir()
    (folder / "stages" / "seed-10-flipflop.json").unlink()
    assert main(["pbt", "loop", "--resume", str(folder)]) == 0
    again = capfd.readouterr().out
    assert "seed-10-balanced-dpo" in again
    assert "seed-10-accept-dpo" not in again
    assert (adapter / "adapter_model.safetensors").read_bytes() == before
    assert json.loads((folder / "loop.json").read_text())["seeds"][0]["results"] == seed["results"]
