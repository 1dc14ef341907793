"""`josh realism`: measures with known answers, and the command on a made-up corpus."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from p4g_talks import write_talks
from refusals import bad

from josh.cli import main

pytest.importorskip("sklearn")

from josh.runs.evaluate.realism.apart import KINDS, auc, aucs, form
from josh.runs.evaluate.realism.figures import act_shares, calibration, figures, hazard
from josh.runs.evaluate.realism.relevance import relevance
from josh.runs.evaluate.realism.talks import Talk

SUBJECTS = ("rivers", "clouds", "engines", "poems", "bread", "horses", "coins", "islands", "violins", "winters")
WORDS = ("we", "saw", "many", "of", "the", "old", "and", "new", "in", "town", "today", "quite", "often", "again", "so")


def person(number, rng):
    """A conversation about subjects: each reply takes up the turn's subject."""
    topics = [rng.choice(SUBJECTS) for _ in range(6)]
    heard = tuple(f"Tell me about {topic}, please. {' '.join(rng.choices(WORDS, k=4))}" for topic in topics)
    said = tuple(
        f"{' '.join(rng.choices(WORDS, k=rng.randint(2, 9)))} {topic}{rng.choice(('.', '?', '', '!'))}"
        for topic in topics
    )
    acts = tuple(frozenset({rng.choice(("asks", "likes", "yes" if place > 2 else "hm"))}) for place in range(6))
    reward = float(rng.random() < 0.5)
    groups = (("age", "young" if rng.random() < 0.5 else "old"),)
    return Talk(f"t{number}", f"p{number}", heard, said, acts, reward, False, groups)


@pytest.fixture(scope="module")
def people():
    rng = Random(1)
    return [person(number, rng) for number in range(60)]


def within(estimate, value):
    return estimate.low - 1e-9 <= value <= estimate.high + 1e-9


# Known answers


def test_a_copy_of_people_cannot_be_told_from_them(people):
    found = aucs(people, people, ("yes",), 0)
    assert set(found) == set(KINDS)
    for kind, one in found.items():
        assert one.value == pytest.approx(0.5, abs=0.01), kind
        assert within(one, 0.5)


def test_other_people_of_the_same_kind_can_hardly_be_told(people):
    rng = Random(2)
    found = aucs(people, [replace(person(number, rng), person=f"q{number}") for number in range(60)], ("yes",), 0)
    assert all(0.35 < one.value < 0.65 for one in found.values()), found


def test_a_constant_is_always_told(people):
    constant = [replace(each, said=("I see.",) * 6, acts=(frozenset({"hm"}),) * 6) for each in people]
    found = aucs(people, constant, ("yes",), 0)
    assert found["text"].value > 0.99
    assert found["form"].value > 0.99
    assert found["acts"].value > 0.99
    assert found["shape"].value > 0.99


def test_without_acts_there_is_no_auc_by_acts(people):
    mute = [replace(each, acts=(frozenset(),) * 6) for each in people]
    assert "acts" not in aucs(mute, mute, (), 0)


def test_an_auc_counts_ties_half_and_its_interval_draws_people():
    assert auc([0.1, 0.4, 0.4, 0.9], [False, True, False, True], ["a", "b", "c", "d"], 0).value == 0.875
    one = auc([0.0] * 4, [False, True, False, True], ["a", "a", "b", "b"], 0)
    assert (one.value, one.low, one.high, one.people) == (0.5, 0.5, 0.5, 2)


def test_replies_of_people_are_matched_and_shuffled_ones_are_not(people):
    rng = Random(3)
    said = [text for each in people for text in each.said]
    rng.shuffle(said)
    mixed = [replace(each, said=tuple(said[6 * place : 6 * place + 6])) for place, each in enumerate(people)]
    own, copied = relevance(people, people, 0)
    assert own.value == pytest.approx(copied.value, abs=0.05)
    _, shuffled = relevance(people, mixed, 0)
    assert own.value > 0.3
    assert shuffled.value < 0.2


def test_the_form_of_a_turn_says_nothing_of_its_words():
    assert form("abc def.") == form("xyz uvw.")
    assert form("abc def.") != form("abc def?")


def test_figures_and_hazards_are_those_of_a_small_example():
    yes, no, hm = frozenset({"yes"}), frozenset({"no"}), frozenset({"hm"})
    talks = [
        Talk("a", "a", ("x",) * 2, ("one two", "one two three?"), (hm, yes), 0.5, left=False),
        Talk("b", "b", ("x",) * 3, ("one", "one", "one"), (no, hm, yes), 1.5, left=False),
        Talk("c", "c", ("x",), ("one",), (no,), 0.0, left=True),
    ]
    found = {name: one.value for name, one in figures(talks, ("yes",), ("no",), 0).items()}
    assert found == pytest.approx(
        {
            "turns of the user": 2.0,
            "words in a turn": 9 / 6,
            "turns with a question": 1 / 6,
            "distinct turns": 3 / 6,
            "left without deciding": 1 / 3,
            "won": 2 / 3,
            "reward": 2 / 3,
            "reward where won": 1.0,
            "round of agreeing, where won": 2.5,
            "refusals": 2 / 3,
        }
    )
    assert [one.value for one in hazard(talks, ("yes",), 4, 0)] == [0.0, 0.5, 1.0, None]
    assert act_shares(talks) == {"hm": 2 / 6, "no": 2 / 6, "yes": 2 / 6}


def test_people_who_are_won_like_those_they_play_are_calibrated(people):
    same = calibration(people, people)
    assert same.ece == 0.0
    assert same.people == same.simulated
    never = calibration(people, [replace(each, reward=0.0) for each in people])
    assert never.ece == pytest.approx(sum(each.reward for each in people) / len(people))
    assert never.brier == pytest.approx(never.ece)
    assert calibration(people[:10], people[:10]) is None


# The command


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_talks(tmp_path_factory.mktemp("talks"), dialogues=100)


@pytest.fixture
def played(corpus, tmp_path, monkeypatch, capsys):
    """Returns a function that plays a run with a user on a split."""
    monkeypatch.chdir(tmp_path)

    def play(user, split="test", *more):
        flags = ["--corpus", str(corpus), "--split_rule", "user_disjoint", "--task_split", split]
        assert main(["run", *flags, "--user", user, "--agent", "replayed_persuader", "--log_dir", user, *more]) == 0
        capsys.readouterr()
        (folder,) = Path(user).iterdir()
        return folder

    return play


def test_two_users_are_compared_with_the_people_whom_they_play(played, capsys):
    runs = [str(played("donor")), str(played("corpus_persuadee"))]
    assert main(["realism", *runs, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in found["runs"]] == ["Donor", "CorpusPersuadee"]
    assert found["split"] == "test"
    assert found["people"]["conversations"] == found["runs"][0]["conversations"] == 21
    text = [run["auc"]["text"]["value"] for run in found["runs"]]
    assert text[0] > 0.95 > text[1]
    folder = Path(found["folder"])
    assert folder == Path(runs[0]) / "realism"
    assert json.loads((folder / "realism.json").read_text())["people"] == found["people"]
    assert main(["realism", *runs, "--out", "elsewhere"]) == 0
    printed = capsys.readouterr().out
    assert "AUC by text" in printed
    assert "agree in round 5" in printed
    assert "written to      elsewhere/" in printed


def test_pictures_are_drawn(played, capsys):
    pytest.importorskip("matplotlib")
    assert main(["realism", str(played("donor")), "--out", "out"]) == 0
    pictures = sorted(path.name for path in Path("out").glob("*.png"))
    assert pictures == ["acts.png", "apart.png", "course.png"]  # 21 people are too few to order by persona
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in Path("out").glob("*.png"))


def test_imported_people_are_told_from_themselves_by_chance_only(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--env", "persuasion", "--corpus", str(corpus), "--split_rule", "user_disjoint", "--task_split", "test"]
    assert main(["import", *flags, "--out", "human"]) == 0
    capsys.readouterr()
    assert main(["realism", "human", "--split", "test", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert all(one["value"] == pytest.approx(0.5, abs=0.02) for one in run["auc"].values())


def test_a_user_made_of_the_people_of_the_comparison_is_refused(played, capsys):
    run = played("corpus_persuadee", "train", "--end_index", "8")
    err = bad(capsys, *["realism", str(run)])
    assert "user 'CorpusPersuadee'" in err
    assert "is made of 8 of the people of the train split (p-" in err


def test_a_user_trained_on_the_people_of_the_comparison_is_refused(played, capsys):
    run = played("donor")
    err = bad(capsys, *["realism", str(run), "--trained_on", str(run)])
    assert "is made of 21 of the people of the test split" in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--split", "dev"], "split is 'dev', but the data of env 'persuasion' have train, test"),
        (["--corpus", "nowhere"], "nowhere"),
        (["--trained_on", "nowhere"], "trained_on: nowhere"),
    ],
)
def test_wrong_data_are_refused(played, capsys, flags, said):
    run = played("donor", "test", "--end_index", "6")
    assert said in bad(capsys, *["realism", str(run), *flags])
    assert not (run / "realism").exists()


def test_runs_without_people_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--end_index", "3", "--log_dir", "made_up"]) == 0
    assert main(["run", "--env", "debate", "--end_index", "3", "--log_dir", "debate"]) == 0
    made_up, debate = (next(Path(name).iterdir()) for name in ("made_up", "debate"))
    capsys.readouterr()
    assert "the dialogues of people are in the corpus; give --corpus DIR" in bad(capsys, *["realism", str(made_up)])
    assert "no conversations of people" in bad(capsys, *["realism", str(debate), "--corpus", "."])
    assert "several worlds" in bad(capsys, *["realism", str(made_up), str(debate)])
