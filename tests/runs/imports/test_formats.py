import gzip
import json
from pathlib import Path

import pytest
from importing import TALK, config_of, imported, messages_of, said, written
from refusals import bad

from josh.dialogue import Outcome, Speaker
from josh.tree import internal_conversation


@pytest.fixture(autouse=True)
def elsewhere(elsewhere):
    """Every test has a folder of its own."""


WORDS = [(one["role"], one["content"]) for one in TALK]


def test_rows_of_messages_become_trees_with_a_single_path():
    (one,) = imported(written("a.jsonl", {"id": "c1", "messages": TALK, "reward": 0.5, "topic": "food"}), "messages")
    assert one.task.id == "c1"
    assert one.task.data == {"topic": "food"}
    assert messages_of(one) == WORDS
    assert [node.speaker for node in one.tree.nodes[1:]] == [Speaker.USER, Speaker.AGENT, Speaker.USER]
    assert {node.path for node in one.tree.nodes} == {""}
    assert (one.reward, one.success, one.outcomes) == (0.5, 1.0, {3: Outcome.WON})


@pytest.mark.parametrize(
    ("result", "reward", "outcome"),
    [
        ({"reward": 2}, 2.0, Outcome.WON),
        ({"reward": 0}, 0.0, Outcome.LOST),
        ({"score": -1.5}, -1.5, Outcome.LOST),
        ({"reward": 0.4, "success": False}, 0.4, Outcome.LOST),
        ({"success": True}, 1.0, Outcome.WON),
        ({"is_successful": 0}, 0.0, Outcome.LOST),
    ],
)
def test_the_reward_and_success_are_those_of_the_source(result, reward, outcome):
    (one,) = imported(written("a.jsonl", {"messages": TALK, **result}), "messages")
    assert (one.reward, one.outcomes[3]) == (reward, outcome)


def test_a_row_without_a_reward_stays_without_one():
    (one,) = imported(written("a.jsonl", {"messages": TALK}), "messages")
    assert one.unrated
    assert one.outcomes == {3: Outcome.USER_LEFT}
    assert not one.rewards


def test_a_threshold_of_success_may_be_given():
    low, high = imported(
        written("a.jsonl", {"messages": TALK, "reward": 3}, {"messages": TALK, "reward": 4}),
        "messages",
        "--success_at",
        "4",
    )
    assert (low.success, high.success) == (0.0, 1.0)
    assert (low.reward, high.reward) == (3.0, 4.0)


def test_tool_calls_and_thoughts_are_for_the_agents_training_view_alone():
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"food": "thai"}'}}
    talk = [
        said("system", "You book tables."),
        said("user", "Thai food?"),
        said("assistant", None, tool_calls=[call]),
        said("tool", '{"found": 2}', tool_call_id="c"),
        said("assistant", "There are two."),
    ]
    (one,) = imported(written("a.jsonl", {"messages": talk, "reward": 1, "tools": [{"name": "find"}]}), "messages")
    assert messages_of(one) == [("user", "Thai food?"), ("assistant", "There are two.")]
    found = {"name": "find", "arguments": {"food": "thai"}, "result": {"found": 2}}
    assert one.tree.nodes[2].turn.actions == ((found,), ("There are two.",))
    assert [each["role"] for each in internal_conversation(one.tree, 2)] == [each["role"] for each in talk]
    assert one.tools == ({"name": "find"},)


def test_a_row_may_be_the_list_of_messages_or_have_a_prompt_and_a_completion():
    rows = TALK, {"prompt": TALK[:1], "completion": TALK[1:]}
    assert [messages_of(one) for one in imported(written("a.jsonl", *rows), "messages")] == [WORDS, WORDS]


def test_other_names_of_roles_are_given_by_a_flag():
    talk = [said("visitor", "Hi."), said("bot", "Hello."), said("Shop", "We are open.")]
    path = written("a.jsonl", {"messages": talk})
    (one,) = imported(path, "messages", "--roles", "visitor=user,shop=assistant")
    assert messages_of(one) == [("user", "Hi."), ("assistant", "Hello."), ("assistant", "We are open.")]
    assert len(one.tree.nodes) == 3


def test_sharegpt_rows_have_from_and_value():
    talk = [
        {"from": "human", "value": "Thai food?"},
        {"from": "function_call", "value": '{"name": "find", "arguments": {"food": "thai"}}'},
        {"from": "observation", "value": "2"},
        {"from": "gpt", "value": "There are two."},
    ]
    (one,) = imported(written("a.jsonl", {"conversations": talk, "system": "Book.", "tools": "[]"}), "sharegpt")
    assert messages_of(one) == [("user", "Thai food?"), ("assistant", "There are two.")]
    assert one.tree.nodes[0].turn.internal == ({"role": "system", "content": "Book."},)
    assert one.tree.nodes[2].turn.actions[0] == ({"name": "find", "arguments": {"food": "thai"}, "result": 2},)


def test_the_published_layout_gives_the_golden_path_and_the_share_of_goals():
    short, long, other = TALK[:2], [*TALK, said("assistant", "Done.")], [*TALK, said("assistant", "No, really not.")]
    row = {
        "id": 7,
        "reward": 1.0,
        "training_examples": [
            [{"messages": other}, False, False],
            [{"messages": short}, True, True],
            [{"messages": long, "tools": [{"name": "find"}]}, True, True],
        ],
    }
    lost = {"id": 8, "reward": 0.5, "training_examples": [[{"messages": other}, False, False]]}
    failed = {"id": 9, "reward": 0, "error": "timeout", "training_examples": []}
    Path("a.json").write_text(json.dumps([row, lost, failed], indent=1))
    won, half = imported("a.json", "josh")
    assert (won.task.id, messages_of(won)[-1], won.success) == ("7", ("assistant", "Done."), 1.0)
    assert (half.task.id, half.reward, half.success) == ("8", 0.5, 0.0)
    assert config_of("run")["left_out"] == {
        "examples beside the best one of a task": 2,
        "that ended with an error": 1,
    }


def test_the_published_layout_without_a_search_has_internal_messages():
    row = {"id": 7, "reward": 0.5, "messages": TALK, "internal_messages": [said("system", "Book."), *TALK]}
    (one,) = imported(written("a.jsonl", row), "josh")
    assert (messages_of(one), one.reward) == (WORDS, 0.5)
    assert one.tree.nodes[0].turn.internal == ({"role": "system", "content": "Book."},)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"messages": TALK}, "a.jsonl line 1 has messages instead of training_examples; give --format messages"),
        (
            {"conversations": []},
            "a.jsonl line 1 has conversations instead of training_examples; give --format sharegpt",
        ),
        ({"id": 1, "reward": 1}, "a.jsonl line 1 has no training_examples; its keys are id, reward"),
    ],
)
def test_rows_of_other_formats_are_not_the_published_layout(capsys, row, error):
    assert error in bad(capsys, "import", written("a.jsonl", row), "--format", "josh", "--out", "run")
    assert not Path("run").exists()


TABLE = """conversation_id,speaker,text,reward,user_id
a,customer,"Hi, there.",,u1
a,agent,"Hello.
How can I help?",,u1
a,customer,Bye.,1.5,u1
b,customer,Hello?,,u2
b,agent,Yes?,0,u2
"""


def test_a_table_has_a_row_for_each_message():
    Path("a.csv").write_text(TABLE)
    first, second = imported("a.csv", "csv")
    assert messages_of(first) == [("user", "Hi, there."), ("assistant", "Hello.\nHow can I help?"), ("user", "Bye.")]
    assert (first.reward, second.reward) == (1.5, 0.0)
    assert first.task.data == {"people": ["u1"]}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_tables_lines_may_end_in_every_usual_way(capsys, ending, encoding):
    table = 'id,role,text\n1,user,"Hi,\nyou."\n\n1,bot,Hello.\n'
    Path("a.csv").write_bytes(table.replace("\n", ending).encode(encoding))
    (one,) = imported("a.csv", "csv")
    assert messages_of(one) == [("user", f"Hi,{ending}you."), ("assistant", "Hello.")]
    capsys.readouterr()
    Path("b.csv").write_bytes(f"{table}2,bot\n".replace("\n", ending).encode(encoding))
    assert "b.csv line 6 has 2 of 3 columns" in bad(capsys, "import", "b.csv", "--format", "csv", "--out", "b")


def test_a_table_may_have_other_columns_and_tabs():
    Path("a.tsv").write_text("chat\twho\twords\n1\tuser\tHi.\n1\tassistant\tHello.\n")
    (one,) = imported("a.tsv", "csv", "--columns", "id=chat,role=who,text=words")
    assert messages_of(one) == [("user", "Hi."), ("assistant", "Hello.")]


def test_files_may_be_packed_arrays_or_in_other_encodings():
    row = {"messages": TALK}
    Path("a.jsonl.gz").write_bytes(gzip.compress(f"{json.dumps(row)}\n".encode()))
    Path("b.json").write_text(json.dumps([row, row], indent=2))
    Path("c.jsonl").write_text(f"{json.dumps(row)}\n", encoding="utf-16")
    Path("d.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(row).encode())
    counts = [len(imported(name, "messages", out=name[0])) for name in ("a.jsonl.gz", "b.json", "c.jsonl", "d.jsonl")]
    assert counts == [1, 2, 1, 1]


def test_an_array_is_read_entry_by_entry_across_chunks():
    rows = [
        {"id": str(number), "messages": [said("user", "x" * 200_000), said("assistant", "y")]} for number in range(9)
    ]
    Path("a.json").write_text(json.dumps(rows))
    assert [one.task.id for one in imported("a.json", "messages")] == [str(number) for number in range(9)]


DAMAGED = {
    '{"messages": [': "is not JSON: it ends too early",
    '{"text": "x"}': "has no messages; its keys are text",
    '{"role": "user", "content": "x"}': 'is a single message; give a conversation on each line, {"messages": [...]}',
    "5": "is 5; give an object with messages",
    '{"messages": "x"}': "its messages are 'x'; give a list of objects with role and content",
    '{"messages": [3]}': "message 1 is 3; give an object with role and content",
    '{"messages": [{"role": "wizard", "content": "x"}]}': "message 1 has role 'wizard'; known: system, developer, user",
    '{"messages": [{"content": "x"}]}': "message 1 has no role; known: system",
    '{"messages": [{"role": "user", "content": 5}]}': "message 1: its content is 5; give a text",
    '{"messages": [{"role": "assistant", "tool_calls": [{}]}]}': "message 1: a tool call is {}; give an object whose",
    '{"messages": [{"role": "assistant", "content": "x"}], "reward": "good"}': "its reward is 'good'; give a number",
    '{"messages": [{"role": "assistant", "content": "x"}], "reward": NaN}': "its reward is nan; give a number",
    '{"messages": [{"role": "assistant", "content": "x"}], "success": "yes"}': "its success is 'yes'; give true or",
    '{"messages": [{"role": "assistant", "content": "x"}], "id": [1]}': "its id is [1]; give a text or a whole number",
    '{"messages": [{"role": "assistant", "content": "x"}], "people": {}}': "its people are {}; give a text, or a list",
    '{"messages": [{"role": "assistant", "content": "x"}], "tools": "x"}': "its tools are 'x'; give a list of JSON",
    '{"conversations": []}': "has conversations instead of messages; give --format sharegpt",
}


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_is_named_and_nothing_is_half_written(capsys, line):
    good = json.dumps({"messages": TALK})
    Path("a.jsonl").write_text(f"{good}\n\n{line}\n{good}\n")
    error = bad(capsys, "import", "a.jsonl", "--format", "messages", "--out", "new/run")
    assert error.startswith("josh: a.jsonl line 3")
    assert DAMAGED[line] in error
    assert error.endswith("(--skip_damaged leaves such rows out)")
    assert [path.name for path in Path().iterdir()] == ["a.jsonl"]


def test_damaged_lines_may_be_left_out_and_are_counted():
    good = json.dumps({"messages": TALK})
    Path("a.jsonl").write_bytes("\n".join([good, *DAMAGED, good]).encode() + b"\n{\xff}\n")
    assert len(imported("a.jsonl", "messages", "--skip_damaged")) == 2
    assert config_of("run")["left_out"] == {"damaged": len(DAMAGED) + 1}


def test_what_is_no_dialogue_is_left_out_with_the_reason():
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    rows = [
        {"messages": TALK},
        {"messages": [said("user", "Hi.")]},
        {"messages": []},
        {"messages": [said("user", image), said("assistant", "A cat.")]},
        {"messages": [*TALK, said("assistant", "")]},
    ]
    assert len(imported(written("a.jsonl", *rows), "messages")) == 2
    assert config_of("run")["left_out"] == {
        "without a word of the agent": 1,
        "without messages": 1,
        "with messages that are not text": 1,
        "empty messages": 1,
    }


def test_a_row_with_too_many_cells_may_be_left_out_and_is_counted():
    Path("a.csv").write_text("id,role,text\n1,user,Hi, you\n2,user,Hi.\n2,bot,Hello.\n")
    (one,) = imported("a.csv", "csv", "--skip_damaged")
    assert messages_of(one) == [("user", "Hi."), ("assistant", "Hello.")]
    assert config_of("run")["left_out"] == {"damaged": 1}


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("", "a.csv has no column for the id; it is empty: give --columns id=COLUMN"),
        ("id,text\n", "a.csv has no column for the role; it has id, text: give --columns role=COLUMN"),
        ("id,role,text\n1,user\n", "a.csv line 2 has 2 of 3 columns; give all of them"),
        (
            "id,role,text\n1,user,Hi, you, there\n",
            "a.csv line 2 has 5 of 3 columns; put quotes around a text with commas",
        ),
        (
            'id,role,text\n1,user,Hi\n1,bot,Yes\n2,user,"Hi\n2,bot,Yes\n',
            "a.csv line 4: a quote is not closed, and its text goes on to line 5",
        ),
        (
            'id,role,text\n1,user,"Hi\n1,bot,Yes\n2,user,"Hi, you"\n2,bot,Yes\n',
            "a.csv line 2: a quote is not closed, and its text goes on to line 4",
        ),
        ('id,role,"text\n', "a.csv line 1: a quote is not closed"),
        ('id,role,text\n1,bot,"Say "Hi" now"\n', "a.csv line 2: a quoted text goes on after its quote; write a quote"),
        ("id,role,text\n ,user,Hi\n", "a.csv line 2 has no id of its conversation"),
        ("id,role,text\n1,elf,Hi\n", "a.csv line 2 message 1 has role 'elf'; known:"),
        (
            "id,role,text\n1,user,a\n1,bot,b\n2,bot,c\n1,user,d\n",
            "a.csv line 5: conversation '1' began earlier; sort the file by conversation",
        ),
        ("id,role,text,reward\n1,bot,a,1\n1,user,b,2\n", "a.csv line 2: its reward is 1 and 2; give one"),
        ("id,role,text,reward\n1,bot,a,many\n", "a.csv line 2: its reward is 'many'; give a number"),
    ],
)
def test_a_wrong_table_is_refused_by_its_line(capsys, table, error):
    Path("a.csv").write_text(table)
    assert error in bad(capsys, "import", "a.csv", "--format", "csv", "--out", "run")
    assert not Path("run").exists()
