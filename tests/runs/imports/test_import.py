import hashlib
import json
from pathlib import Path

import pytest
from importing import TALK, config_of, episodes_of, imported, said, summary_of, written
from refusals import bad

from josh.cli import main
from josh.messages import dumps
from josh.runs.record.episode_json import to_json


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """Every test has a folder of its own."""


ROWS = [
    {"id": "a", "messages": TALK, "reward": 2.0, "person": "ann"},
    {"id": "b", "messages": TALK, "reward": 0.0, "person": "bob"},
    {"id": "c", "messages": [*TALK, said("assistant", "At noon?")]},
]


@pytest.fixture
def run():
    imported(written("a.jsonl", *ROWS), "messages")
    return "run"


def printed(capsys, *arguments, code=0):
    """What a command prints."""
    capsys.readouterr()
    assert main(list(arguments)) == code
    return capsys.readouterr().out


def test_the_run_records_its_files_and_what_they_earned(run):
    config, summary = config_of(run), summary_of(run)
    digest = hashlib.sha256(Path("a.jsonl").read_bytes()).hexdigest()
    assert config["imported_from"] == [{"file": "a.jsonl", "sha256": digest, "rows": 3}]
    assert config["task_ids"] == ["a", "b", "c"]
    assert (summary["tasks"], summary["scored"], summary["unrated"], summary["infra_errors"]) == (3, 2, 1, 0)
    assert (summary["average_reward"], summary["success_rate"], summary["complete"]) == (1.0, 0.5, True)
    assert sorted(path.name for path in Path().iterdir()) == ["a.jsonl", "run"]


def test_files_are_imported_in_their_order_and_taken_ids_get_numbers():
    files = [written(name, {"id": "x", "messages": TALK}) for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    assert main(["import", *files, "--format", "messages", "--out", "run"]) == 0
    assert [one.task.id for one in episodes_of("run")] == ["x", "x-2", "x-3"]
    assert [each["rows"] for each in config_of("run")["imported_from"]] == [1, 1, 1]


def test_the_same_files_give_the_same_bytes():
    path = written("a.jsonl", *ROWS)
    imported(path, "messages", out="one")
    imported(path, "messages", out="two")
    for name in ("episodes.jsonl", "training_examples.jsonl", "summary.json"):
        assert (Path("one") / name).read_bytes() == (Path("two") / name).read_bytes()


def test_the_run_is_shown_with_the_dialogues_that_have_no_reward(run, capsys):
    assert "no reward" in printed(capsys, "show", run)
    assert "3 dialogues, imported" in printed(capsys, "show", run)
    assert "At noon?" in printed(capsys, "show", run, "c")


def test_the_report_says_where_the_dialogues_are_from(run, capsys):
    printed(capsys, "report", run)
    page = (Path(run) / "report.html").read_text(encoding="utf-8")
    assert "Imported from a.jsonl" in page
    assert "1 conversation without a reward" in page


def test_winning_dialogues_become_rows_and_all_of_them_on_request(run, capsys):
    assert "1 row" in printed(capsys, "export", run, "--format", "sft", "--out", "sft.jsonl")
    out = printed(capsys, "export", run, "--format", "sft", "--paths", "all", "--out", "all.jsonl")
    assert "2 rows" in out  # a and b say the same
    assert "sound" in printed(capsys, "export", "--check", "all.jsonl")


@pytest.mark.parametrize("form", ["dpo", "openai-dpo", "sharegpt-dpo"])
def test_one_sided_dialogues_make_no_pairs(run, capsys, form):
    capsys.readouterr()
    error = bad(capsys, "export", run, "--format", form, "--out", "rows.jsonl")
    assert error.endswith("imported dialogues have one path each, so they make no pairs: give --format sft")


def test_dialogues_without_rewards_make_no_labelled_rows(capsys):
    imported(written("a.jsonl", ROWS[2]), "messages")
    capsys.readouterr()
    error = bad(capsys, "export", "run", "--format", "kto", "--out", "rows.jsonl")
    assert "only dialogues with rewards make such rows" in error


def test_their_people_are_held_out_of_evaluations(run, capsys):
    flags = ("--end_index", "1", "--no_references", "--rollouts", "1", "--log_dir", "ev")
    assert "none of the 3 tasks and 2 people of run" in printed(capsys, "evaluate", "--trained_on", run, *flags)


JUDGED = """
from josh import BaseRewards, Speaker

class Polite(BaseRewards):
    reads = Speaker.USER

    def is_reward(self, texts):
        met = self.rewards[:1] if any("please" in text for text in texts) else []
        return bool(met), met
"""


def test_rescoring_keeps_the_rewards_of_the_source_unless_others_are_given(run, capsys):
    Path("mine.py").write_text(JUDGED)
    capsys.readouterr()
    assert main(["rescore", run]) == 2
    assert "dialogue c has no reward; give --rewards" in capsys.readouterr().err
    printed(capsys, "rescore", run, "--rewards", "./mine.py:Polite", "--log_dir", "rs")
    (folder,) = Path("rs").iterdir()
    assert [one.reward for one in episodes_of(folder)] == [1.0, 1.0, 1.0]
    assert config_of(folder)["imported_from"] == config_of(run)["imported_from"]
    imported(written("b.jsonl", *ROWS[:2]), "messages", out="rated")
    printed(capsys, "rescore", "rated", "--log_dir", "kept")
    (folder,) = Path("kept").iterdir()
    assert (folder / "episodes.jsonl").read_bytes() == (Path("rated") / "episodes.jsonl").read_bytes()


@pytest.mark.parametrize(("arguments", "what"), [(("replay", "run"), "replay"), (("--resume", "run"), "resume")])
def test_josh_did_not_play_it_and_says_so(run, capsys, arguments, what):
    capsys.readouterr()
    error = bad(capsys, *arguments)
    assert error == f"josh: run holds imported conversations, which josh did not play; there is nothing to {what}"


def test_two_imported_runs_and_a_played_one_are_compared_on_the_same_tasks(capsys):
    flags = ("--end_index", "3", "--rollouts", "2", "--log_dir", "rec")
    main(["run", *flags])
    (played,) = Path("rec").iterdir()
    ids = [one.task.id for one in episodes_of(played)]
    rows = [{"id": name, "messages": TALK, "reward": 2} for name in ids[:2]]
    imported(written("a.jsonl", *rows), "messages", "--env", "persuasion", "--played_by", "human")
    out = printed(capsys, "compare", "run", str(played), "--out", "figures.json")
    assert "2 tasks that every policy played" in out
    assert "less human, paired" in out
    human, other = json.loads(Path("figures.json").read_text())["results"]
    assert (human["policy"], human["average_reward"]["value"]) == ("human", 2.0)
    less = other["average_reward"]["value"] - 2.0
    assert other["difference"]["average_reward"]["value"] == pytest.approx(less)
    printed(capsys, "report", "run", str(played))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "no file is given; example: josh import logs.jsonl --format messages --out records/logs"),
        (("a.jsonl",), "no format is given; give --format, such as --format messages"),
        (("a.jsonl", "--format", "xml"), "no format named 'xml'; known: messages, sharegpt, josh, csv"),
        (("none.jsonl", "--format", "messages"), "none.jsonl does not exist"),
        ((".", "--format", "messages"), ". is a folder; give its files"),
        (("a.jsonl", "a.jsonl", "--format", "messages"), "a.jsonl is given twice; give it once"),
        (("a.jsonl", "--format", "messages", "--env", "mars"), "no env named 'mars'"),
        (("a.jsonl", "--format", "messages", "--roles", "x"), "roles is 'x'; give pairs, such as --roles"),
        (("a.jsonl", "--format", "messages", "--roles", "x=elf"), "roles has the role 'elf'; give system, user"),
        (("a.jsonl", "--format", "messages", "--task_split", "test"), "task_split is 'test', but files are given"),
        (("a.jsonl", "--format", "messages", "--names", "--unmasked"), "names is given with unmasked"),
        (("empty.jsonl", "--format", "messages"), "empty.jsonl is empty; give a file with a JSON object on each line"),
        (("silent.jsonl", "--format", "messages"), "there is no conversation to import; left out: 1 without a word"),
        (("a.zip", "--format", "messages"), "cannot read a.zip: it is a zip file; unpack it"),
        (("--env", "debate"), "env 'debate': it has no conversations of people; give files, and --format"),
    ],
)
def test_wrong_input_gets_one_line(capsys, arguments, error):
    written("a.jsonl", *ROWS)
    Path("empty.jsonl").write_text("\n")
    written("silent.jsonl", {"messages": TALK[:1]})
    Path("a.zip").write_bytes(b"PK\x03\x04....")
    assert error in bad(capsys, "import", *arguments, "--out", "run")
    assert not Path("run").exists()


def test_an_existing_folder_is_left_alone(capsys):
    path = written("a.jsonl", *ROWS)
    Path("run").mkdir()
    assert bad(capsys, "import", path, "--format", "messages", "--out", "run").startswith("josh: run exists; give")
    assert not list(Path("run").iterdir())


def test_a_world_that_cannot_use_the_rows_says_so(capsys):
    error = bad(capsys, "import", written("a.jsonl", *ROWS), "--format", "messages", "--env", "debate", "--out", "run")
    assert error.startswith("josh: a.jsonl line 1")
    assert not Path("run").exists()


def test_the_quick_way_of_writing_lines_gives_the_usual_bytes():
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    odd = {"content": 'a "quoted"\n\\ word \u2028 and 😀', "role": "user"}
    talk = [
        said("system", "S"),
        odd,
        said("assistant", "", tool_calls=[call]),
        said("tool", "2"),
        said("assistant", "x"),
    ]
    rows = [
        *ROWS,
        {"id": "ü\n", "messages": talk, "reward": 1, "tools": [{"name": "find"}], "more": {"a": None}},
        {"messages": [said("user", "a"), said("system", "b"), said("assistant", "c", name="d")], "success": True},
        {"messages": talk[:-1], "reward": 0.0},
    ]
    found = imported(written("a.jsonl", *rows), "messages", "--env", "persuasion")
    lines = (Path("run") / "episodes.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert lines == [dumps(to_json(one)) for one in found]
    made = (Path("run") / "training_examples.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert made == [dumps(json.loads(line)) for line in made]
    assert [json.loads(line)["task_id"] for line in made] == ["a", "b", "ü\n", "dialogue-000005", "dialogue-000006"]
    assert json.loads(made[2])["tools"] == [{"name": "find"}]


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--format", "messages", "--columns", "id=x"), "columns is given, but format 'messages' does not read it"),
        (("--format", "messages", "--slots", "pbt"), "slots is given, but format 'messages' does not read it"),
        (("--format", "ptom", "--roles", "a=user"), "roles is given, but format 'ptom' does not read it"),
        (("--format", "pbt", "--slots", "odd"), "slots is 'odd'; give speaker or pbt"),
        (("--format", "messages", "--played_by", ""), "played_by is empty; give a text, or leave it out"),
        (("--format", "messages", "--env", "persuasion", "--corpus", "no"), "no Persuasion for Good corpus in"),
    ],
)
def test_a_flag_that_nothing_reads_is_refused(capsys, flags, error):
    assert error in bad(capsys, "import", written("a.jsonl", *ROWS), *flags, "--out", "run")


def test_a_loop_of_links_and_a_workbook_are_refused(capsys):
    Path("loop").symlink_to("loop")
    assert bad(capsys, "import", "loop", "--format", "messages", "--out", "run") == "josh: loop does not exist"
    Path("a.xlsx").write_bytes(b"PK\x03\x04")
    error = bad(capsys, "import", "a.xlsx", "--format", "csv", "--out", "run")
    assert error == "josh: a.xlsx is a workbook; save its sheet as CSV, and give that file"


def test_an_array_that_ends_too_early_is_named(capsys):
    Path("a.json").write_text(f"[{json.dumps(ROWS[0])},\n")
    error = bad(capsys, "import", "a.json", "--format", "messages", "--out", "run")
    assert error.startswith("josh: a.json entry 2 is not JSON: the array ends too early")
