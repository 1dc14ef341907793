"""Reading the answer of a turn by rules, by the words of partners, and by a judge."""

import asyncio

import pytest

from josh.envs.debate.answers import Stance, ask_judge, find, is_right, normalise, resolve, same, standing
from josh.testing import FixedModel

FRANCE = {"question": "Which city is the capital of France?", "gold": ["paris", "city of light"], "choices": []}
BAND = {"question": "Which band recorded Let It Be?", "gold": ["beatles", "fab four"]}
AGREE, DISAGREE = Stance.AGREE, Stance.DISAGREE


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Beatles.", "beatles"),
        ("  Guns N' Roses ", "guns n roses"),
        ("“Let_It_Be”", "let it be"),
        ("Jackson 5", "jackson 5"),
        ("the", "the"),
        ("A", "a"),
        ("!?", ""),
    ],
)
def test_an_answer_has_triviaqas_normal_form(text, normal):
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # What is called final counts, and the last one of several.
        ("I think it is Lyon. Final answer: Paris.", "paris"),
        ("**Final answer:** Paris", "paris"),
        ("Final answer:\nThe City of Light!", "city of light"),
        ("Final answer: Paris, because the king lived there.", "paris"),
        ("Final answer: Lyon. No, wait. Final answer: Paris", "paris"),
        ("Your final answer was Lyon. My final answer is Paris", "paris"),
        ("Final answer: St. Louis, Missouri", "st louis"),
        ("Final answer: J. R. R. Tolkien. I read it.", "j r r tolkien"),
        ("<b>Final answer:</b> [Paris]", "paris"),
        ("Final answer: I'm sticking with Lyon.", "lyon"),
        ('Final answer: "The answer is Lyon"', "lyon"),
        ("Final answer: NONE", None),
        ("It may be Paris. Final answer: unknown", None),
        ("Final answer: Agree", AGREE),
        ("Final answer: I disagree with you.", DISAGREE),
        # A stated answer may be one that nobody knew before.
        ("The answer is Lyon, I think.", "lyon"),
        ("My guess is Marseille because of the sea.", "marseille"),
        ("It's Lyon.", "lyon"),
        ("I'd say Lyon.", "lyon"),
        ("Answer: Lyon", "lyon"),
        ("The correct answer to the question is Lyon.", "lyon"),
        ("I do not think the answer is Paris. It's Lyon.", "lyon"),
        ("You say the answer is Paris, but it is Lyon.", "lyon"),
        ("Is the answer Lyon?", None),
        # A known answer anywhere counts if it is asserted.
        ("Paris", "paris"),
        ("paris?", "paris"),
        ("I believe that Paris has been it since Clovis.", "paris"),
        ("No, it's Paris.", "paris"),
        ("I'm not sure, but it's Paris.", "paris"),
        ("There is no doubt that Paris is right.", "paris"),
        ("Lyon? No. It can't be Lyon, Paris is the one.", "paris"),
        ("It is not Paris.", None),
        ("It isn\u2019t Paris.", None),
        ("Rather than Paris, think of the south.", None),
        ("Paris is wrong.", None),
        ("Paris has a river too, but the seat of kings was Lyon.", None),
        ("Although Lyon is old, Paris is the one.", "paris"),
        ("Could it be Paris?", None),
        ("I thought of Paris.", None),
        ("Many people say Paris.", None),
        ("The comparison is hard.", None),
        ("", None),
        ("Hm.", None),
    ],
)
def test_a_first_turn_is_read_by_rules(text, answer):
    assert find(text, FRANCE) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("I agree.", AGREE),
        ("You're right.", AGREE),
        ("You are right, it's Paris.", "paris"),
        ("I was wrong about Lyon, you are right.", AGREE),
        ("I agree with your point, but it is Lyon.", "lyon"),
        ("I agree that it is hard, but think of the river.", None),
        ("I don't agree with you.", DISAGREE),
        ("I disagree with Paris.", DISAGREE),
        ("You said Paris. I disagree.", DISAGREE),
        ("I stick with my answer.", DISAGREE),
        ("I am not convinced.", DISAGREE),
        ("I still say Lyon.", "lyon"),
        ("Think of the river.", None),
    ],
)
def test_a_later_turn_is_read_by_what_both_said_before(text, answer):
    assert find(text, FRANCE, own="lyon", other="paris") == answer


def test_a_title_of_common_words_is_found_only_where_it_is_named_as_the_answer():
    film = {"question": "Which novel has a clown?", "gold": ["it"]}
    assert find("It is hard to say.", film) is None
    assert find("Final answer: It.", film) == "it"
    assert find("The US did that.", {"question": "Where?", "gold": ["us"]}) is None


def test_words_of_the_question_are_not_an_answer():
    twice = {"question": "Was Edison or Tesla born in Serbia?", "gold": ["tesla"]}
    assert find("Edison and Tesla were rivals, I would have to look it up.", twice) is None
    assert find("Final answer: Tesla", twice) == "tesla"


def test_agreement_takes_the_partners_answer_and_disagreement_keeps_ones_own():
    assert resolve(AGREE, "lyon", "paris") == "paris"
    assert resolve(DISAGREE, "lyon", "paris") == "lyon"
    assert resolve(AGREE, "lyon", None) is None
    assert resolve("nice", "lyon", "paris") == "nice"
    assert resolve(None, "lyon", "paris") is None


def test_aliases_are_the_same_answer():
    gold = BAND["gold"]
    assert same("beatles", "fab four", gold)
    assert same("stones", "stones", gold)
    assert not same("stones", "beatles", gold)
    assert not same(None, None, gold)
    assert [is_right(answer, gold) for answer in ("fab four", "stones", None)] == [True, False, None]


def test_part_of_a_name_is_another_answer():
    assert find("Final answer: Paris Hilton", FRANCE) == "paris hilton"
    assert not same("york", "new york", ["new york"])


def test_the_answers_of_a_conversation_stand_until_they_change():
    said = [
        {"role": "assistant", "content": "Final answer: Lyon"},
        {"role": "user", "content": "Final answer: Paris"},
        {"role": "assistant", "content": "Are you sure?"},
        {"role": "user", "content": "No. I agree with you."},
    ]
    assert standing(said[:3], FRANCE) == {"agent": "lyon", "user": "paris"}
    assert standing(said, FRANCE) == {"agent": "lyon", "user": "lyon"}


def test_a_user_that_did_not_hear_its_partner_cannot_agree_with_it():
    said = [
        {"role": "assistant", "content": "Final answer: Lyon"},
        {"role": "user", "content": "I agree."},
    ]
    assert standing(said, FRANCE)["user"] is None
    assert standing(said, FRANCE, both_first=False)["user"] == "lyon"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Final answer: Lyon", "lyon"),
        ("Final answer: Agree", AGREE),
        ("Final answer: Disagree.", DISAGREE),
        ("Final answer: NONE", None),
        ("The Beatles", "beatles"),
    ],
)
def test_a_judge_reads_a_turn_in_one_request(reply, answer):
    judge = FixedModel([reply])
    assert asyncio.run(ask_judge(judge, "Hm, the south it is.", BAND, "stones", "beatles")) == answer
    (request,) = judge.model.requests
    assert "Hm, the south it is." in request.messages[0]["content"]
    assert "fab four" not in request.messages[0]["content"], "the judge does not know the gold answer"
