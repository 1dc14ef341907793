"""Loading and splitting the corpus."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from p4g_small import CHATS, FORMS, real_corpus, worker, write_csv, write_original, write_sheet

from josh.dialogue import Speaker
from josh.envs.persuasion.corpus import RULES, Corpus, Dialogue, load_corpus, split
from josh.envs.persuasion.personas import ATTRIBUTES, Persona
from josh.errors import UsageError


@pytest.fixture(params=FORMS)
def corpus(request, tmp_path):
    return load_corpus(FORMS[request.param](tmp_path))


def people_of(dialogues):
    return {person.id for each in dialogues for person in (each.persuader, each.persuadee)}


def test_all_forms_tell_the_same(tmp_path):
    first, *others = [load_corpus(write(tmp_path / name)) for name, write in FORMS.items()]
    assert all(other == first for other in others)


def test_the_dialogues_come_in_the_order_they_were_held(corpus):
    assert [each.id for each in corpus.dialogues] == [chat[0] for chat in CHATS]


def test_donations_are_as_they_were_entered(corpus):
    assert [each.donation for each in corpus.dialogues] == [0.5, 0.0, 2.0, 50.0, 0.0, 0.1]


def test_a_persuadee_who_named_no_amount_intended_none_that_is_known(corpus):
    assert [each.intended for each in corpus.dialogues] == [1.0, None, 0.0, None, None, None]
    assert [each.has_intended for each in corpus.dialogues] == [True, False, True, False, False, False]


def test_spoilt_dialogues_are_marked(corpus):
    assert [each.id for each in corpus.dialogues if each.bad] == ["BAD_20180104-4_live"]


def test_the_two_sides_take_turns(corpus):
    said = corpus.dialogues[4].utterances
    assert [each.speaker for each in said] == [Speaker.AGENT, Speaker.USER] * 2
    assert [each.turn for each in said] == [0, 0, 1, 1]
    assert said[3].text == "I may. A bit."


def test_a_turn_has_each_of_its_acts_once(corpus):
    acts = [each.acts for each in corpus.dialogues[0].utterances]
    assert acts[0] == ("greeting", "off-task")
    assert acts[3] == ("agree-donation", "provide-donation-amount")
    assert [each.annotated for each in corpus.dialogues] == [True, True, True, False, False, False]


def test_one_person_is_one_persona_in_every_role(corpus):
    bob = corpus.dialogues[0].persuadee
    assert corpus.dialogues[1].persuader is bob
    assert corpus.people[bob.id] is bob
    assert len(corpus.people) == 10


def test_no_worker_id_leaves_the_loader(corpus):
    assert worker("") not in repr(corpus)
    assert all(person.id.startswith("p-") and len(person.id) == 14 for person in corpus.people.values())


def test_everyone_has_all_attributes(corpus):
    for person in corpus.people.values():
        assert list(person.traits) == [each.name for each in ATTRIBUTES]


def test_missing_answers_and_impossible_ones_are_none(corpus):
    cat, hal = corpus.dialogues[1].persuadee, corpus.dialogues[4].persuadee
    assert cat.traits["age"] is None
    assert cat.traits["loyalty"] == 4.33
    assert set(hal.traits.values()) == {None}


def test_convokits_rule_tests_on_those_who_named_an_amount(corpus):
    assert [each.id for each in split(corpus, "convokit")["test"]] == [CHATS[0][0], CHATS[2][0]]


def test_the_annotated_rule_tests_on_labelled_dialogues(corpus):
    assert [each.id for each in split(corpus, "annotated")["test"]] == [chat[0] for chat in CHATS[:3]]


def test_user_disjoint_sides_share_nobody(corpus):
    sides = split(corpus, "user_disjoint")
    assert len(sides["test"]) == 1
    assert len(sides["train"]) == 5
    assert people_of(sides["train"]).isdisjoint(people_of(sides["test"]))


@pytest.mark.parametrize("rule", RULES)
def test_a_split_divides_and_leaves_nothing_out(corpus, rule):
    sides = split(corpus, rule)
    assert sorted(each.id for side in sides.values() for each in side) == sorted(chat[0] for chat in CHATS)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
def test_user_disjoint_holds_whoever_meets_whom(pairs):
    people = [Persona(f"p-{number}", {}) for number in range(31)]
    dialogues = [Dialogue(f"d{n}", people[a], people[b], (), 0.0) for n, (a, b) in enumerate(pairs)]
    sides = split(Corpus(tuple(dialogues), {}, {}), "user_disjoint")
    assert people_of(sides["train"]).isdisjoint(people_of(sides["test"]))
    assert len(sides["train"]) + len(sides["test"]) == len(dialogues)
    assert len(sides["test"]) <= round(len(dialogues) * 217 / 1017)


def test_an_unknown_rule_is_refused(corpus):
    with pytest.raises(UsageError, match="no split rule named 'random'; known: convokit, annotated, user_disjoint"):
        split(corpus, "random")


@pytest.mark.parametrize(("rule", "file"), [("convokit", "300_info.xlsx"), ("annotated", "300_dialog.xlsx")])
def test_a_rule_says_which_file_it_lacks(tmp_path, rule, file):
    corpus = load_corpus(write_original(tmp_path, annotations=False))
    with pytest.raises(UsageError, match=f"split rule '{rule}' needs .*{file} is missing"):
        split(corpus, rule)


def test_without_the_workbooks_people_can_still_be_kept_apart(tmp_path):
    sides = split(load_corpus(write_original(tmp_path, annotations=False)), "user_disjoint")
    assert len(sides["test"]) == 1


@pytest.mark.parametrize("place", ["", "nowhere"])
def test_a_folder_without_a_corpus_is_refused(tmp_path, place):
    with pytest.raises(UsageError, match=r"no Persuasion for Good corpus in .*full_info.csv.*utterances.jsonl.*users"):
        load_corpus(tmp_path / place)


def spoil(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("full_info.csv", "open.x", "opened.x", r"full_info.csv has no column open.x"),
        ("full_info.csv", "WORKER_ann,0,", "WORKER_ann,2,", r"full_info.csv line 2: the role is '2'"),
        ("full_info.csv", "WORKER_ann,0,", "WORKER_ann,1,", r"full_info.csv line 3: dialogue .* already has a line"),
        ("full_info.csv", "WORKER_bob,1,0.5", "WORKER_bob,1,", r"full_info.csv line 3: the donation is ''"),
        ("full_info.csv", "4.333333333", "lots", r"full_info.csv line 2: loyalty: 'lots' is not a number"),
        ("full_info.csv", "20180106-6_live,WORKER_ivy", "x,WORKER_ivy", r"dialogue x has only one of its two"),
        ("full_dialog.csv", "Hi there.,0", "Hi there.,first", r"full_dialog.csv line 3: 'first' is not a number"),
        ("full_dialog.csv", "Hi there.,0,1,20180101-1_live", "Hi there.,0", r"full_dialog.csv line 3: .* cut short"),
        ("full_dialog.csv", "20180101-1_live", "elsewhere", r"words but no facts of dialogue elsewhere"),
    ],
)
def test_a_malformed_csv_is_named_with_its_problem(tmp_path, file, old, new, problem):
    spoil(write_original(tmp_path) / file, old, new)
    with pytest.raises(UsageError, match=problem) as caught:
        load_corpus(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("utterances.jsonl", "{", "", r"utterances.jsonl line 1 is not JSON"),
        ("utterances.jsonl", '"role": 0', '"role": 5', r"utterances.jsonl line 1: the role is 5"),
        ("utterances.jsonl", '"text"', '"words"', r"utterances.jsonl line 1: .* and a text"),
        ("speakers.json", "WORKER_ann", "someone", r"a person of dialogue 20180101-1_live has no survey answers"),
        ("speakers.json", "{", "[{", r"speakers.json is not JSON"),
        ("conversations.json", '"20"', '"99"', r"conversations.json: '99': both people have to speak"),
        ("conversations.json", '"donation_ee": 0.5', '"donation_ee": NaN', r"'0': the donation is nan"),
    ],
)
def test_a_malformed_convokit_file_is_named_with_its_problem(tmp_path, file, old, new, problem):
    spoil(FORMS["new ConvoKit"](tmp_path) / file, old, new)
    with pytest.raises(UsageError, match=problem) as caught:
        load_corpus(tmp_path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (write_original(tmp_path) / "full_dialog.csv").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match=r"cannot read .*full_dialog.csv"):
        load_corpus(tmp_path)


def test_a_broken_workbook_is_refused(tmp_path):
    (write_original(tmp_path) / "300_info.xlsx").write_bytes(b"not a workbook")
    with pytest.raises(UsageError, match=r"cannot read .*300_info.xlsx"):
        load_corpus(tmp_path)


def test_a_workbook_without_the_amounts_is_refused(tmp_path):
    write_sheet(write_original(tmp_path) / "300_info.xlsx", ["B2", "B4"], [])
    with pytest.raises(UsageError, match=r"300_info.xlsx has no column B5"):
        load_corpus(tmp_path)


def test_a_download_cut_short_is_noticed(tmp_path):
    write_original(tmp_path)
    write_csv(tmp_path / "full_dialog.csv", ["", "Unit", "Turn", "B4", "B2"], [[0, "Hi", 0, 0, CHATS[0][0]]])
    with pytest.raises(UsageError, match="facts but no words of dialogue 20180102-2_live"):
        load_corpus(tmp_path)


@pytest.fixture(scope="module")
def real():
    return load_corpus(real_corpus())


def test_the_real_corpus_is_whole(real):
    assert len(real.dialogues) == 1017
    assert len(real.people) == 1285
    assert sum(len(each.utterances) for each in real.dialogues) == 20932
    assert sum(each.bad for each in real.dialogues) == 27
    assert len(ATTRIBUTES) == 32
    assert not real.gaps


def test_the_real_persuadees_gave_what_the_paper_says(real):
    given = [each.donation for each in real.dialogues if each.donation <= 2]
    assert len(given) == 982
    assert sum(amount > 0 for amount in given) / len(given) == pytest.approx(0.519, abs=0.001)
    assert sum(given) / len(given) == pytest.approx(0.352, abs=0.001)


def test_the_real_persuader_always_speaks_first_and_then_they_alternate(real):
    for dialogue in real.dialogues:
        for number, utterance in enumerate(dialogue.utterances):
            assert utterance.speaker is (Speaker.USER if number % 2 else Speaker.AGENT)


def test_the_real_corpus_has_few_gaps_in_its_survey(real):
    persuadees = [each.persuadee for each in real.dialogues]
    assert sum(person.traits["care"] is None for person in persuadees) == 5
    assert sum(person.traits["age"] is None for person in persuadees) == 9
    ages = [person.traits["age"] for person in real.people.values() if person.traits["age"]]
    assert (min(ages) >= 18, max(ages)) == (True, 82)


@pytest.mark.parametrize(
    ("rule", "train", "test", "shared"),
    [("convokit", 800, 217, 107), ("annotated", 717, 300, 114), ("user_disjoint", 800, 217, 0)],
)
def test_the_real_corpus_splits_as_published(real, rule, train, test, shared):
    sides = split(real, rule)
    assert (len(sides["train"]), len(sides["test"])) == (train, test)
    assert len(people_of(sides["train"]) & people_of(sides["test"])) == shared
