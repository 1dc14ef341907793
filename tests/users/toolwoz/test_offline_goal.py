"""What the user of ToolWOZ that needs no model says and does."""

from collections import Counter

import pytest
from woz_talk import ENV, READER, TABLE, answers, trees, user_of

from josh.agents.toolwoz.reading import BOOK
from josh.envs.toolwoz.database import KEYS, Database
from josh.envs.toolwoz.values import normalize
from josh.errors import UsageError
from josh.roles import Task
from josh.testing import UserConformance
from josh.tree import conversation, leaves
from josh.users.toolwoz.offline import PATIENCE, OfflineGoal


class TestTheUser(UserConformance):
    def make(self):
        return user_of(restaurant=TABLE)


def test_the_user_goes_from_what_cannot_be_had_to_what_can():
    said, over = answers(
        user_of(restaurant=TABLE),
        "Which part of town would you like?",
        "I am sorry, I could not find a Korean restaurant in the north.",
        "I found Il Forno, an Italian restaurant in the north. Shall I book it for you?",
        "The phone number is 01632 555123.",
        "I am sorry, Il Forno is fully booked then.",
        "I have booked a table. The reference number is 1A2B3C4D.",
    )
    everything = " ".join(said)
    assert "Korean" in " ".join(said[:2])
    assert "Italian" not in " ".join(said[:2])
    assert "Italian" in said[2]
    assert "phone number" in everything
    assert "Friday" in everything
    assert "Sunday" in everything
    assert everything.index("Friday") < everything.index("Sunday")
    assert over


def test_the_user_objects_to_what_it_did_not_ask_for_and_takes_what_it_did():
    wish = {"info": {"food": "thai", "area": "south"}}
    asked = "What kind of food would you like, and in which part of town?"
    said, over = answers(user_of(restaurant=wish), asked, "I found Lotus, a Thai restaurant in the north.")
    assert "south" in said[-1]
    assert not over
    _, over = answers(user_of(restaurant=wish), asked, "I found Lotus, a Thai restaurant in the south.")
    assert over
    late = {"info": {"departure": "aldermere", "destination": "port elverin", "day": "monday", "arriveBy": "10:00"}}
    for arrives, fits in (("09:59", True), ("10:01", False)):
        offer = f"I found TR1, which leaves Aldermere at 09:00 on Monday and arrives in Port Elverin at {arrives}."
        _, over = answers(user_of(train=late), "By when do you have to arrive, and on which day?", offer)
        assert over is fits


def test_the_user_goes_on_to_its_next_wish():
    said, over = answers(
        user_of(attraction={"info": {"type": "museum"}}, hotel={"info": {"stars": "4"}, "reqt": ["address"]}),
        "How about Quarry Bank Museum? It is a museum in the west.",
        "I found Larch House, a 4-star guesthouse. Shall I book it?",
        "The address is 5 Mill Lane.",
    )
    assert "museum" in said[0]
    assert "4-star" in said[1]
    assert "address" in said[2]
    assert over


def test_the_user_leaves_when_it_is_led_nowhere():
    said, over = answers(user_of(attraction={"info": {"type": "museum"}}), *["There are many."] * PATIENCE)
    assert over
    assert len(set(said)) > 1
    assert said[-1].lower().split()[-1].strip(".") == "goodbye"


def test_the_user_does_not_mind_what_its_goal_leaves_open():
    wish = {"info": {"stars": "4"}, "book": {"people": "2", "stay": "3"}, "reqt": ["Ref"]}
    offer = "I found Larch House, a 4-star guesthouse."
    said, over = answers(user_of(hotel=wish), offer, "From which day?", "For how many people?")
    assert said[2] == "I do not mind the day."
    assert "2 people" in said[3]
    assert [each.name for each in READER.read(said[2], "hotel") if each.kind == BOOK] == ["day"]
    _, over = answers(user_of(hotel=wish), offer, "I have booked it. The reference number is 1A2B3C4D.")
    assert over


def test_the_user_asks_again_for_a_detail_that_it_was_not_told():
    wish = {"info": {"type": "museum"}, "reqt": ["phone", "postcode"]}
    offer = "I found Quarry Bank Museum, a museum."
    said, over = answers(user_of(attraction=wish), offer, "The phone number is 01632 555123.")
    assert "phone" in said[1]
    assert "postcode" in said[2]
    assert "phone" not in said[2]
    assert not over


def test_a_booking_without_a_number_is_not_always_believed():
    table = TABLE | {"fail_info": {}, "fail_book": {}, "reqt": []}
    offer = "I found Il Forno, an Italian restaurant in the north."
    left = Counter(
        answers(user_of(restaurant=table), "Which part of town?", offer, "All right, that is booked.", seed=seed)[1]
        for seed in range(60)
    )
    assert left[True] > left[False] > 0


def test_a_user_without_a_goal_of_its_kind_says_so():
    with pytest.raises(UsageError, match="has no goal; give another --user"):
        OfflineGoal().start(Task("t", 0, {}), ENV, {})
    with pytest.raises(UsageError, match="is about 'taxi', and offline_goal knows restaurant, hotel"):
        user_of(taxi={"info": {"leaveAt": "10:00"}})


def test_the_user_says_a_name_first_and_the_rest_later():
    said, over = answers(
        user_of(restaurant={"info": {"area": "north", "name": "the lime leaf"}}),
        "I found The Lime Leaf, a cheap restaurant.",
        "I found The Lime Leaf, a cheap restaurant in the north.",
    )
    assert "called The Lime Leaf" in said[0]
    assert "in the north" in said[1]
    assert over


def test_the_user_never_names_what_it_was_not_told_to_want():
    database, named = Database.small(), 0
    for task, tree in trees(synthetic_tasks=60, josh=True, seed=5):
        stated = normalize(" ".join(task.data["message"]))
        secret = [
            normalize(row[KEYS[target["domain"]]])
            for target in task.data["targets"]
            if target["id"] is not None
            for row in database.rows(target["domain"])
            if database.row_id(target["domain"], row) == target["id"]
        ]
        secret = [name for name in secret if name not in stated]
        named += len(secret)
        for leaf in leaves(tree):
            said = [normalize(each["content"]) for each in conversation(tree, leaf) if each["role"] == "user"]
            assert not [name for name in secret if any(name in words for words in said)]
    assert named > 30
