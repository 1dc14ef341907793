"""Donation tags in a persuadee's words: which are read, which are disputed, and which are counted as unread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from josh.envs.persuasion.donation import DONATION
from josh.rewards.donation import DonationRewards
from josh.users.persuasion.donor_phrases import FINAL_REFUSALS, SENTENCES

READ = {
    "OK, I give a dollar. [DONATE: $1]": 1.0,
    "Gern. [DONATE $1,50]": 1.5,
    "[DONATE $1.50 USD]": 1.5,
    "[DONATE USD 1.50]": 1.5,
    "[DONATE 1 dollar]": 1.0,
    "[donate 2 dollars]": 2.0,
    "[DONATE 50 cents]": 0.5,
    "[DONATE 50\u00a2]": 0.5,
    "[DONATE $.50]": 0.5,
    "[DONATE US$1]": 1.0,
    "[DONATE $1.50.]": 1.5,
    "[GIVE 2]": 2.0,
    "[DONATE2]": 2.0,
    "[DONATE\n$1]": 1.0,
    "[DONATE\u00a0$1]": 1.0,
    "[DO\u200bNATE $1]": 1.0,
    "**[DONATE $1]**": 1.0,
    "[**DONATE $1**]": 1.0,
    "[DONATE **$1**]": 1.0,
    "`[DONATE $1]`": 1.0,
    r"\[DONATE \$1\]": 1.0,
    "\uff3bDONATE $1\uff3d": 1.0,
    "\u3010DONATE $1\u3011": 1.0,
    "\uff3b\uff24\uff2f\uff2e\uff21\uff34\uff25\u3000\uff04\uff11\uff3d": 1.0,
    "[D\u041eNATE $1]": 1.0,
    "[g\u0131ve 2]": 2.0,
    "[DONATE \u0661]": 1.0,
    "[[DONATE $1]]": 1.0,
    "[DONATE $5]": 2.0,
    "[DONATE $1,000]": 2.0,
    "[DONATE $0]": 0.0,
    "[DONATE $1], or rather [DONATE $0.25]": 0.25,
    # Negations elsewhere do not touch the tag.
    "I will not give anything. [DONATE $0]": 0.0,
    "I don't have much so [DONATE $0.20]": 0.2,
    "I can't give more than [DONATE $0.50]": 0.5,
    "I won't give it all, but here: [DONATE $1]": 1.0,
    "No problem, [DONATE $1]": 1.0,
    "No, thank you, [DONATE $0]": 0.0,
    "Why not [DONATE $1]": 1.0,
    "I can't say no [DONATE $1]": 1.0,
    "I do not mind giving [DONATE $1]": 1.0,
    "I can't wait to give [DONATE $1]": 1.0,
    '"Sure, I will help. [DONATE $1]"': 1.0,
    'She said "please". [DONATE $1]': 1.0,
}
DISPUTED = [
    "I would never say [DONATE $2]!",
    "I'd never, ever write [DONATE $2]",
    "I will not [DONATE $1]",
    "I\u2019m not going to write [DONATE $1]",
    "I refuse to say [DONATE $1].",
    "instead of [DONATE $2] I keep my money",
    "[DONATE $2]? No way!",
    "[DONATE $2] - absolutely not",
    "Should I write [DONATE $1]?",
    'You ask for "[DONATE $2]", and I say goodbye.',
    "You wrote \u201cplease put [DONATE $2] here\u201d, hm.",
    "> [DONATE $2]\nThat is what you want?",
]
UNREAD = [
    "[DONATE $-1]",
    "[DONATE -$1]",
    "[DONATE \u20ac1]",
    "[DONATE 1e9]",
    "[DONATE nan]",
    "[DONATE $$1]",
    "[DONATES $1]",
    "[DONATE ALL]",
    "[DONATE]",
    "[DONATE one dollar]",
    "[DONATE $X]",
    "[DONATE $1-2]",
    "[DONATE $1",
    "[DONATE $1)",
    "[DONATE \u00bd]",
    "[DONATE $1\u00b2]",
    "[DONATE $0.50 cents]",
    "[DONATION: $1]",
    "[I DONATE $1]",
    "{DONATE $1}",
    "<DONATE $1>",
    "\u300aDONATE $1\u300b",
    "(DONATE $1)",
    "DONATE $1",
]
PLAIN = [
    "I'll give $1 tomorrow.",
    "[gives a warm smile]",
    "(I gave $2 last year, I think)",
    "I <3 giving $2",
    "Do they give [food] to 2 children?",
    "To donate $1 is not much.",
]


@pytest.mark.parametrize("text", READ)
def test_a_tag_is_read_in_many_spellings(text):
    assert DONATION.read(text) == READ[text]
    assert (DONATION.unread(text), DONATION.disputed(text)) == (0, 0)


@pytest.mark.parametrize("text", DISPUTED)
def test_a_tag_that_is_quoted_negated_or_asked_about_does_not_count(text):
    assert DONATION.read(text) is None
    assert (DONATION.unread(text), DONATION.disputed(text)) == (0, 1)


@pytest.mark.parametrize("text", UNREAD)
def test_what_looks_like_a_tag_and_is_none_is_counted(text):
    assert DONATION.read(text) is None
    assert (DONATION.unread(text), DONATION.disputed(text)) == (1, 0)


@pytest.mark.parametrize("text", PLAIN)
def test_plain_talk_of_giving_is_no_tag(text):
    assert DONATION.read(text) is None
    assert (DONATION.unread(text), DONATION.disputed(text)) == (0, 0)


@pytest.mark.parametrize("text", [*READ, *DISPUTED, *UNREAD])
def test_nothing_that_a_persuader_writes_stays_a_tag(text):
    once = DONATION.defuse(text)
    assert DONATION.count(once) == 0
    assert "[D" not in once
    assert DONATION.defuse(once) == once


PIECES = [
    "[",
    "]",
    "[DONATE $1]",
    "\uff3b",
    "DONATE",
    "GIVE",
    "$",
    "1",
    " ",
    "\u200b",
    "(",
    "{",
    "**",
    "\\",
    "not ",
    "\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_no_mixture_of_pieces_passes_the_defusing(text):
    assert DONATION.count(DONATION.defuse(text)) == 0


@pytest.mark.parametrize(
    "phrase", sorted({*FINAL_REFUSALS, *(phrase for each in SENTENCES.values() for phrase in each)})
)
def test_the_offline_donors_own_tags_are_read(phrase):
    if "{tag}" in phrase:
        said = phrase.replace("{sum}", "a dollar").replace("{tag}", DONATION.write(1.0))
        assert DONATION.read(said) == 1.0
    assert DONATION.unread(phrase) == 0


@pytest.mark.parametrize(
    ("said", "wins"), [("[DONATE $0.01]", True), ("[DONATE $0.009]", False), ("[DONATE 1 cent]", True)]
)
def test_a_win_is_at_least_a_cent(said, wins):
    assert DonationRewards(["donation"]).is_reward([said]) == (wins, ["donation"] if wins else [])
