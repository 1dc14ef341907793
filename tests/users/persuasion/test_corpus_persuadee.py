"""The persuadee with the words of the corpus's people: whose words they are, and that they fit what it decides."""

import re

import pytest
from p4g_figures import Dice
from p4g_small import real_corpus
from p4g_talks import write_talks

from josh.cli import main
from josh.envs.persuasion.amounts import dollars
from josh.envs.persuasion.corpus import load_corpus, split
from josh.envs.persuasion.donation import DONATION
from josh.envs.persuasion.env import PersuasionEnv
from josh.envs.persuasion.replies import GIVING, reply_acts
from josh.errors import UsageError
from josh.roles import BaseJOSHAgent, fork
from josh.testing import UserConformance
from josh.users.persuasion.corpus_persuadee import CorpusPersuadee, with_amount
from josh.users.persuasion.donor import Donor
from josh.users.persuasion.person import Person

pytest.importorskip("sklearn")

RULE = "user_disjoint"
ASKS = (
    "Hello, how are you?",
    "Have you heard of Save the Children?",
    "They build schools for children in need.",
    "Would you like to donate some of your payment?",
    "How much would you like to give?",
    "The research team collects the donation.",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_talks(tmp_path_factory.mktemp("corpus"))


def world(folder, **more):
    return PersuasionEnv({"corpus": str(folder), "split_rule": RULE, **more})


def meet(folder, number=0, part="test", person=None, talks_on=True):
    env = world(folder)
    user = CorpusPersuadee()
    user.config = CorpusPersuadee.Config(talks_on=talks_on)
    user.start(env.tasks(part)[number], env, {"seed": 3})
    if person is not None:
        user.person = person
    return user


def talk(user, seed=1, asks=ASKS):
    agent, dice, over = BaseJOSHAgent(), Dice(seed), False
    for text in asks:
        agent.add_message({"role": "assistant", "content": text})
        _, over = user.step(agent, model=dice)
        if over:
            break
    return [message["content"] for message in agent.messages if message["role"] == "user"], over


def plain(text):
    return DONATION.without(text)


class TestCorpusPersuadee(UserConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, folder):
        self.folder = folder

    def make(self):
        return meet(self.folder)


def test_its_words_are_those_of_people_in_the_training_split(folder):
    said = {line.text for each in split(load_corpus(folder), RULE)["train"] for line in each.utterances}
    words, _ = talk(meet(folder, person=Person(-50)))
    assert len(words) == len(ASKS)
    assert set(words) <= said


@pytest.mark.parametrize("part", ["train", "test"])
def test_it_never_says_the_words_of_the_dialogue_or_of_its_people(folder, part):
    dialogues = split(load_corpus(folder), RULE)
    for number in range(5):
        user = meet(folder, number, part, Person(-50))
        own = dialogues[part][number]
        sources = [user.words.dialogue[line] for _ in talk(user) for line in user.lines]
        assert user.words.numbers.get(own.id) not in sources
        assert not {own.persuadee.id, own.persuader.id} & {
            each.persuadee.id for place, each in enumerate(dialogues["train"]) if place in sources
        }


def test_it_is_made_of_nobody_who_is_held_out(folder):
    env = world(folder)
    held_out = {person for task in env.tasks("test") for person in env.people(task)}
    known = set(CorpusPersuadee.learned_from(env))
    assert known
    assert not known & held_out


def test_a_gift_is_said_in_words_and_its_tag_comes_with_the_last_ones(folder):
    for seed in range(20):
        words, over = talk(meet(folder, person=Person(50)), seed, (*ASKS, "It was nice talking to you, goodbye!"))
        assert over
        given = DONATION.read(words[-1])
        assert given
        assert not any(DONATION.count(text) for text in words[:-1])
        giving = [text for place, text in enumerate(words) if reply_acts(plain(text), frozenset()) & GIVING]
        assert giving
        named = [amount for text in words if (amount := dollars(plain(text).lower())) is not None]
        assert set(named) <= {given}, words


def test_without_talking_on_the_tag_comes_at_once(folder):
    user = meet(folder, person=Person(50), talks_on=False)
    words, over = talk(user, asks=ASKS[1:])
    assert over
    assert DONATION.read(words[-1]) == user.gift
    assert len(words) < len(ASKS)


def test_a_gift_is_not_lost_in_the_last_round(folder):
    user = meet(folder, person=Person(50))
    user.last = 2
    words, over = talk(user, asks=ASKS[1:])
    assert over
    assert len(words) == 2
    assert DONATION.read(words[-1])


def test_people_who_do_not_give_say_no_sum_and_write_no_tag(folder):
    for seed in range(20):
        words, _ = talk(meet(folder, person=Person(-50)), seed)
        assert not any(DONATION.count(text) or dollars(text.lower()) for text in words)
        assert not any(reply_acts(text, frozenset()) & GIVING for text in words)


def test_it_repeats_no_line(folder):
    words, _ = talk(meet(folder, person=Person(-50)))
    assert len(set(words)) == len(words)


def test_the_same_seed_gives_the_same_words_and_another_seed_others(folder):
    assert talk(meet(folder), 1) == talk(meet(folder), 1)
    assert talk(meet(folder), 1) != talk(meet(folder), 2)


def test_a_reply_fits_what_was_just_said(folder):
    words, _ = talk(
        meet(folder, person=Person(-50)), asks=("Have you heard of Save the Children? They pay for water.",) * 1
    )
    assert re.search("heard|what do they do|know|children|charity", words[0].lower()), words


def test_siblings_share_the_words_and_not_what_they_said(folder):
    user = meet(folder, person=Person(-50))
    twin = fork(user)
    talk(user)
    assert twin.words is user.words
    assert not twin.lines


def test_the_donor_decides_the_same_without_its_words(folder):
    env = world(folder)
    donor = Donor()
    donor.start(env.tasks("test")[0], env, {"seed": 3})
    assert meet(folder).person.generosity == donor.person.generosity


@pytest.mark.parametrize(
    ("text", "amount", "said"),
    [
        ("I will donate $1.00.", 0.5, "I will donate $0.50."),
        ("maybe .50?", 0.25, "maybe .25?"),
        ("$.10 it is", 0.3, "$.30 it is"),
        ("I can give 5 dollars, yes 5 dollars", 2.0, "I can give 2 dollars, yes 2 dollars"),
        ("fifty cents", 0.05, "5 cents"),
        ("5$ sounds good", 1.0, "1$ sounds good"),
        ("I have 2 kids and 0.75 is fine", 0.1, "I have 2 kids and 0.10 is fine"),
        ("one cent", 1.5, "1.50 dollars"),
        ("a dollar", 1.0, "1 dollar"),
    ],
)
def test_another_amount_is_written_as_the_line_writes_it(text, amount, said):
    assert with_amount(text, amount) == said


def test_it_needs_the_folder_of_the_corpus(folder, tmp_path, capsys):
    assert main(["run", "--user", "corpus_persuadee", "--log_dir", str(tmp_path)]) == 2
    assert (
        "user corpus_persuadee speaks with the words of the corpus's people; give --corpus DIR"
        in capsys.readouterr().err
    )
    with pytest.raises(UsageError, match="the corpus has no words of other people"):
        meet(write_talks(tmp_path / "one", dialogues=1), part="train")


def test_a_run_has_the_same_bytes_at_any_concurrency(folder, tmp_path):
    found = []
    for number in (1, 8):
        flags = ["--corpus", str(folder), "--split_rule", RULE, "--user", "corpus_persuadee", "--rollouts", "2"]
        log = tmp_path / str(number)
        assert main(["run", *flags, "--max_concurrency", str(number), "--end_index", "6", "--log_dir", str(log)]) == 0
        (run,) = log.iterdir()
        found.append((run / "training_examples.jsonl").read_bytes())
    assert found[0] == found[1]


@pytest.mark.slow
def test_the_words_of_real_persuaders_earn_what_they_earned():
    earned = []
    for rule in ("user_disjoint",):
        env = PersuasionEnv({"corpus": str(real_corpus()), "split_rule": rule})
        for task in [*env.tasks("train"), *env.tasks("test")]:
            user = CorpusPersuadee()
            user.config = CorpusPersuadee.Config()
            user.start(task, env, {"seed": 1})
            words, over = talk(user, task.id, [*env.answered(task)[:9], "It was nice talking to you, goodbye!"])
            earned.append((over and DONATION.read(words[-1])) or 0.0)
    assert sum(amount > 0 for amount in earned) / len(earned) == pytest.approx(0.519, abs=0.05)
    assert sum(earned) / len(earned) == pytest.approx(0.352, abs=0.05)
