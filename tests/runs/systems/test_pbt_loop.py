"""`josh pbt loop`: its stages are josh's commands, and it can be interrupted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from loops import until, until_none_under_way

from josh.cli import main
from josh.parser import parse
from josh.runs.systems.pbt_loop import LoopSettings, jobs_of
from josh.runs.systems.seed_loop import CommandJob

pytestmark = pytest.mark.usefixtures("elsewhere")
JOSH = [sys.executable, "-m", "josh"]
NANO = [
    "pbt", "loop", "--tiny", "--tiny_size", "nano", "--seeds", "1", "--questions", "40", "--pairs", "20",
    "--test_questions", "3",
]  # fmt: skip


def refused(capsys, *flags):
    """The line on stderr of a loop that is refused before anything is made."""
    assert main(["pbt", "loop", *map(str, flags)]) == 2
    assert not list(Path().rglob("pbt-loop-*"))
    return capsys.readouterr().err.strip().removeprefix("josh: ")


def test_every_stage_is_a_command_that_josh_reads():
    stages = [stage for seed in (10, 11) for stage in jobs_of(Path("loop"), LoopSettings(seeds=2), seed, main)]
    for stage in stages:
        assert parse(stage.arguments).command == stage.typed[0]
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names) == 2 * 15
    for place, stage in enumerate(stages):
        assert set(stage.needs) <= set(names[:place])


def test_the_three_sets_are_matched_and_come_from_the_same_training_questions():
    stages = {stage.name: stage.typed for stage in jobs_of(Path("loop"), LoopSettings(seeds=1, pairs=40), 10, main)}
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


def test_an_evaluation_that_was_interrupted_goes_on(tmp_path):
    begun = tmp_path / "seed-10" / "eval-flipflop-1"
    begun.mkdir(parents=True)
    (begun / "plan.json").write_text("{}")
    *_, last = jobs_of(tmp_path, LoopSettings(), 10, main)
    assert last.arguments == ["evaluate", "--resume", str(begun)]
    (begun / "evaluation.json").write_text("{}")
    *_, last = jobs_of(tmp_path, LoopSettings(), 10, main)
    assert last.arguments[:3] == ["pbt", "eval", "flipflop"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], "tiny is not given"),
        (["--tiny", "--seeds", "0"], "seeds is 0; give 1 or more"),
        (["--tiny", "--seeds", "99999"], "seeds is 99999; give 1 to 1000"),
        (["--tiny", "--seed", "-1"], "seed is -1; give 0 to 2147483647"),
        (["--tiny", "--pairs", "1"], "pairs is 1; give 2 or more"),
        (["--tiny", "--questions", "99999"], "the quiz has 19456 train questions, give at most 19456"),
        (["--tiny", "--test_questions", "5000"], "the quiz has 4294 test questions, give at most 4294"),
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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small loop: its folder, and what it said."""
    place = tmp_path_factory.mktemp("whole")
    ended = subprocess.run([*JOSH, *NANO], cwd=place, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (folder,) = (place / "records").glob("pbt-loop-*")
    return folder, ended.stdout


def numbers(folder):
    """The numbers of a loop, without its times."""
    found = json.loads((folder / "table.json").read_text())
    del found["minutes"]
    for seed in found["seeds"]:
        for name in [name for name in seed if name.endswith("seconds")]:
            del seed[name]
    return found


def table(said):
    """The lines of a loop's tables, without its times."""
    lines = said[said.index("seed 10: ") : said.index("written to")].splitlines()
    return [line for line in lines if "minutes" not in line]


def made(folder):
    """The bytes of the rows and adapters of a loop's seed, by file."""
    files = [*folder.glob("seed-10/*.jsonl"), *folder.glob("seed-10/adapters/*/*.safetensors")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_loop_compares_the_base_and_three_adapters_of_pairs_of_the_same_number(whole):
    folder, said = whole
    assert "resist-only" in said
    (seed,) = numbers(folder)["seeds"]
    assert set(seed["results"]) == {"base", "accept", "resist", "balanced"}
    assert set(seed["pairs"].values()) == {20}
    assert seed["test_rows"] == 6
    assert all(stage.note() for stage in jobs_of(folder, LoopSettings(seeds=1), 10, main))


@pytest.mark.slow
def test_a_loop_is_shown_and_reported_as_its_runs(whole, capsys):
    folder, _ = whole
    assert main(["show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "seed-10/trees" in shown
    assert "seed-10/eval-flipflop-" in shown
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").exists()
    capsys.readouterr()
    assert main(["compare", str(folder)]) == 2
    assert "is a folder of runs; give one of them: seed-10/eval-flipflop-" in capsys.readouterr().err
    assert main(["show", str(folder.parent)]) == 2
    assert f"{folder.name} (its runs are further down; list it by itself)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_loop_that_is_killed_twice_comes_to_the_same_bytes(whole, tmp_path, capfd):
    folder, again = None, NANO
    for there in ("logs/seed-10-balanced-sft.log", "seed-10/eval-flipflop-*/plan.json"):
        process = subprocess.Popen(
            [*JOSH, *again], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until(lambda there=there: any(tmp_path.glob(f"records/pbt-loop-*/{there}")), process)
        process.kill()
        process.communicate()
        (folder,) = tmp_path.glob("records/pbt-loop-*")
        until_none_under_way(folder)
        again = ["pbt", "loop", "--resume", str(folder)]
    assert not (folder / "table.json").exists()
    assert main(again) == 0
    said = capfd.readouterr().out
    assert "seed-10-accept-sft" not in said  # it is complete already
    assert numbers(folder) == numbers(whole[0])
    assert table(said) == table(whole[1])
    assert made(folder) == made(whole[0])
    assert len(list(folder.glob("seed-10/eval-flipflop-*"))) == 1
