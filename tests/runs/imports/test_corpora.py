import json
from pathlib import Path

import pytest
from importing import config_of, episodes_of, messages_of, summary_of
from p4g_small import CHATS, real_corpus, write_original
from refusals import bad
from woz_published import dialogue, state, write

from josh.cli import main
from josh.dialogue import Outcome, Speaker

PEOPLE = ("import", "--env", "persuasion", "--corpus", "corpus", "--out", "human")


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """Every test has a folder of its own, with a corpus of six dialogues."""
    write_original(Path("corpus"))


@pytest.fixture
def human(capsys):
    assert main(list(PEOPLE)) == 0
    return capsys.readouterr().out


def test_the_dialogues_of_people_have_what_the_persuadee_gave_as_reward(human):
    found = episodes_of("human")
    assert [one.task.id for one in found] == [f"p4g-{chat[0]}" for chat in CHATS]
    assert [one.reward for one in found] == [0.5, 0.0, 2.0, 2.0, 0.0, 0.1]
    assert [one.outcomes[4] for one in found[:2]] == [Outcome.WON, Outcome.LOST]
    assert found[3].tree.nodes[-1].turn.observed == {"donation": 50.0, "intended": None}
    assert summary_of("human")["metrics"]["donation"] == pytest.approx(4.6 / 6)
    files = [each["file"] for each in config_of("human")["imported_from"]]
    assert files == ["full_info.csv", "full_dialog.csv", "300_info.xlsx", "300_dialog.xlsx"]


def test_the_persuader_is_the_agent_and_annotated_acts_are_its_actions(human):
    first, *_, last = episodes_of("human")
    turns = [node.turn for node in first.tree.nodes]
    assert first.tree.nodes[1].speaker is Speaker.AGENT
    assert [turn.actions for turn in turns[1:3]] == [(("greeting", "off-task"),), (("greeting",),)]
    assert "Save the Children" in turns[0].internal[0]["content"]
    assert last.tree.nodes[3].turn.actions == (("Would you give?",),)


def test_spoilt_dialogues_are_shown_and_never_training_rows(human, capsys):
    assert "1 marked as spoilt by their authors" in human
    assert [one.no_rows for one in episodes_of("human") if one.no_rows] == ["marked as spoilt by their authors"]
    for form in ("sft", "kto"):
        assert main(["export", "human", "--format", form, "--out", f"{form}.jsonl"]) == 0
        assert "trees marked as spoilt by their authors: 1" in capsys.readouterr().out
    main(["export", "human", "--format", "sft", "--paths", "all", "--out", "all.jsonl"])
    tasks = json.loads(Path("all.jsonl.manifest.json").read_text())["tasks"]
    assert not any("BAD" in task for task in tasks)
    assert main(["show", "human", "4"]) == 0
    assert "marked as spoilt by their authors, and no training row" in " ".join(capsys.readouterr().out.split())
    assert main(["report", "human"]) == 0
    page = (Path("human") / "report.html").read_text(encoding="utf-8")
    assert "1 task marked as spoilt by their authors, and no training rows" in page
    lines = (Path("human") / "training_examples.jsonl").read_text().splitlines()
    assert not any("BAD" in json.loads(line)["task_id"] for line in lines)


def test_a_split_is_that_of_the_world(human):
    for split, count in (("train", 4), ("test", 2)):
        assert main([*PEOPLE[:-1], split, "--task_split", split]) == 0
        assert len(episodes_of(split)) == count
    assert main([*PEOPLE[:-1], "every", "--task_split", "all"]) == 0
    assert (Path("every") / "episodes.jsonl").read_bytes() == (Path("human") / "episodes.jsonl").read_bytes()


def test_rescoring_keeps_the_donations_unless_rewards_are_given(human, capsys):
    assert main(["rescore", "human", "--log_dir", "kept"]) == 0
    (kept,) = Path("kept").iterdir()
    assert (kept / "episodes.jsonl").read_bytes() == (Path("human") / "episodes.jsonl").read_bytes()
    capsys.readouterr()
    assert bad(capsys, "rescore", "human", "--min_reward", "1").endswith(
        "keeps the rewards of its source; give --rewards, such as donation, to compute others"
    )
    assert main(["rescore", "human", "--rewards", "donation", "--log_dir", "tags"]) == 2
    assert "no turn of human has it" in capsys.readouterr().err


def test_people_are_compared_with_a_policy_on_the_same_dialogues(human, capsys):
    played = ["--corpus", "corpus", "--task_split", "test", "--rollouts", "2", "--log_dir", "played"]
    assert main(["run", *played]) == 0
    (model,) = map(str, Path("played").iterdir())
    capsys.readouterr()
    assert main(["compare", "human", model, "--out", "figures.json"]) == 0
    assert "2 tasks that every policy played" in capsys.readouterr().out
    figures = json.loads(Path("figures.json").read_text())
    people, policy = figures["results"]
    assert people["policy"] == "human"
    assert people["average_reward"]["value"] == figures["reference"]["value"] == 1.25
    assert policy["difference"]["average_reward"]["value"] == pytest.approx(policy["average_reward"]["value"] - 1.25)


def test_their_dialogues_are_not_held_out_from_what_was_trained_on_them(human, capsys):
    main(["evaluate", "--corpus", "corpus", "--trained_on", "human", "--no_references", "--log_dir", "ev"])
    assert "not held out: the training data has 2 tasks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--env", "persuasion"), "env 'persuasion': the dialogues of people are in the corpus; give --corpus DIR"),
        (("--env", "persuasion", "--corpus", "none"), "none', which is not a folder; give the folder"),
        (("--env", "persuasion", "--corpus", "corpus", "--include_bad"), "include_bad is given, but an import has all"),
        (("--env", "persuasion", "--corpus", "corpus", "--task_split", "dev"), "no task_split named 'dev'; known: all"),
        (("--env", "persuasion", "--corpus", "corpus", "--format", "csv"), "format is 'csv', but no file is given"),
        (("--corpus", "corpus"), "corpus is given, but env 'dialogues' has no such setting"),
    ],
)
def test_wrong_flags_get_one_line(capsys, flags, error):
    assert error in bad(capsys, "import", *flags, "--out", "run")


@pytest.mark.slow
def test_the_real_corpus_has_its_published_figures():
    assert main(["import", "--env", "persuasion", "--corpus", str(real_corpus()), "--out", "real"]) == 0
    summary = summary_of("real")
    assert (summary["tasks"], summary["turns"]) == (1017, 20932)
    assert summary["average_reward"] == pytest.approx(0.409, abs=0.0005)
    assert summary["success_rate"] == pytest.approx(0.536, abs=0.0005)
    assert sum(bool(one.no_rows) for one in episodes_of("real")) == 27


def test_multiwozs_dialogues_have_the_tasks_of_the_world_and_no_reward(capsys):
    goal = {"restaurant": {"info": {"area": "centre"}, "reqt": ["phone"]}}
    taxi = {"taxi": {"info": {"departure": "x"}}}
    write(Path("woz"), {"W1.json": dialogue(states=[state()], **goal), "W2.json": dialogue(states=[state()], **taxi)})
    assert main(["import", "--env", "toolwoz", "--data", "woz", "--out", "desk"]) == 0
    (one,) = episodes_of("desk")
    assert one.task.id == "W1"
    assert one.unrated
    assert messages_of(one) == [("user", "I want it."), ("assistant", "Here.")]
    assert config_of("desk")["left_out"] == {"with a goal in taxi": 1}
    assert "masked" not in config_of("desk")
    assert main(["rescore", "desk"]) == 2
    assert "the rewards need calls of tools, and no turn of desk has one" in capsys.readouterr().err


def test_made_up_tasks_have_no_dialogues_of_people(capsys):
    error = bad(capsys, "import", "--env", "toolwoz", "--out", "desk")
    assert "the dialogues of people are in MultiWOZ; give --data" in error
