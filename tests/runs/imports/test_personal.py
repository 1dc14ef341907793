import pytest
from importing import config_of, imported, messages_of, said, written

from josh.runs.imports.personal import USUAL, Masker, is_card


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """Every test has a folder of its own."""


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to jo.doe+x@mail.example.org, please", "write to [email], please"),
        ("jo(at)example.org or jo [at] example.org", "[email] or [email]"),
        ("call +1 (555) 010-9999 now", "call [phone] now"),
        ("(203) 221-4000.", "[phone]."),
        ("555-0123 or 555 0123", "[phone] or [phone]"),
        ("01223 323737 is the number", "[phone] is the number"),
        ("+44 20 7946 0958", "[phone]"),
        ("my number is 5550109999", "my number is [phone]"),
        ("pay with 4111 1111 1111 1111", "pay with [card]"),
        ("5500-0000-0000-0004 and 378282246310005", "[card] and [card]"),
    ],
)
def test_personal_data_is_masked(text, masked):
    assert Masker(USUAL).text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "It costs $1,250.50, or 12.50 dollars a night.",
        "From 1999 to 2026, 24 hours a day, 7 days a week.",
        "On 2026-11-30, 30.11.2026 or 11/30/2026 at 10:30.",
        "In 2018-2019 we helped 1 000 000 children, 250 000 of them in 120 countries.",
        "1,234,567 people gave 5000000000$ in total.",
        "Version 3.11.7, room 1204, table 15, train TR1234.",
        "a card of 16 digits: 4111 1111 1111 1112",
        "0.1234567890",
        "me@home is no address, and @you neither",
        "https://example.org/1234567890",
        "0000 0000 0000 0000",
    ],
)
def test_prices_years_dates_and_other_numbers_stay(text):
    assert Masker(USUAL).text(text) == text


@pytest.mark.parametrize(
    ("digits", "card"),
    [("4111111111111111", True), ("4111111111111112", False), ("411111111111", False), ("6011000990139424", True)],
)
def test_cards_pass_luhns_check(digits, card):
    assert is_card(digits) is card


TALK = [
    said("system", "Your mail is desk@example.org."),
    said("user", "Hi, my name is Ann Lee. Mail me at ann@example.org."),
    said("assistant", "Thanks, Ann! I wrote to ann@example.org; call 555-0123."),
]


def test_it_is_counted_and_gone_from_every_view():
    row = {
        "id": "ann@example.org",
        "messages": TALK,
        "reward": 1,
        "person": "+1 555 010 9999",
        "note": "ann@example.org",
    }
    (one,) = imported(written("a.jsonl", row), "messages")
    text = str(one)
    assert "ann@" not in text
    assert "desk@" not in text
    assert "555" not in text
    assert one.task.id.startswith("dialogue-")
    assert one.task.data["people"][0].startswith("person-")
    assert one.task.data["note"] == "[email]"
    assert config_of("run")["masked"]["phone"] == 2
    assert "Ann Lee" in text


def test_names_are_masked_on_request():
    (one,) = imported(written("a.jsonl", {"messages": TALK}), "messages", "--names")
    assert messages_of(one) == [
        ("user", "Hi, my name is [name] [name]. Mail me at [email]."),
        ("assistant", "Thanks, [name]! I wrote to [email]; call [phone]."),
    ]
    assert config_of("run")["masked"] == {"email": 3, "name": 3, "phone": 1}


@pytest.mark.parametrize("words", ["I'm Sorry.", "I am Not sure.", "this is Great", "I'm American"])
def test_words_after_i_am_are_not_always_names(words):
    (one,) = imported(written("a.jsonl", {"messages": [said("assistant", words)]}), "messages", "--names")
    assert messages_of(one) == [("assistant", words)]


def test_everything_stays_on_request():
    (one,) = imported(written("a.jsonl", {"messages": TALK}), "messages", "--unmasked")
    assert messages_of(one) == [(each["role"], each["content"]) for each in TALK[1:]]
    assert "masked" not in config_of("run")


def test_calls_of_tools_and_their_results_are_masked_too():
    call = {"id": "c", "type": "function", "function": {"name": "mail", "arguments": '{"to": "jo@example.org"}'}}
    talk = [
        said("user", "Mail."),
        said("assistant", "", tool_calls=[call]),
        said("tool", "to jo@example.org", tool_call_id="c"),
    ]
    (one,) = imported(written("a.jsonl", {"messages": [*talk, said("assistant", "Done.")]}), "messages")
    assert "jo@" not in str(one)
    (action,) = one.tree.nodes[2].turn.actions[0]
    assert action == {"name": "mail", "arguments": {"to": "[email]"}, "result": "to [email]"}
