"""`josh proactive rewards`: the published numbers, from files of the published layout."""

import json
from pathlib import Path

import pytest
from playing import lines
from refusals import bad
from trajectories import (
    ANSWERED,
    CODE,
    PERSONA,
    REJECTED,
    SOLVABLE,
    STATE,
    preferences,
    talk,
    trajectory,
    words,
    write,
)

from josh.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
ASK, ASK_TWICE = "By what do I sort?", "By what do I sort? Which way?"
EXECUTE = trajectory("Execute", CODE)


def costs(message, *flags):
    """The cost of a message, from the row of a pair that it is in."""
    (row,) = preferences([message, EXECUTE], *flags)
    return row["interrupt_costs"]["Clarify"]


@pytest.mark.parametrize(
    ("text", "meta", "v1", "v2"),
    [
        (words(120), {}, 0, 0),
        (ASK, ANSWERED, 0.24, -0.30),
        (ASK_TWICE, ANSWERED, 0.48, -0.60),
        (ASK, REJECTED, 0.84, 0.70),
        (ASK_TWICE, REJECTED, 1.08, 1.40),
        (words(201), {}, 0.18, 0),
        (words(250, "Why? What? How?"), REJECTED, 1.50, 2.10),
        (words(120), {"off_topic_flag": 1}, 0.42, 0),
        (ASK, {**REJECTED, "off_topic_flag": True}, 1.26, 0.70),
    ],
)
def test_a_message_has_the_published_cost(text, meta, v1, v2):
    assert costs(trajectory("Clarify", text, meta)) == v1
    assert costs(trajectory("Clarify", text, meta), "--formula", "v2") == v2


@pytest.mark.parametrize(
    ("messages", "v1", "v2"),
    [
        ([(ASK, ANSWERED), (CODE, {})], 0.76, 1.030),
        ([(ASK, REJECTED), (CODE, {})], 0.16, 0.930),
        ([(ASK, ANSWERED)], -0.24, 0.030),
        ([(ASK_TWICE, ANSWERED), (ASK, REJECTED), (words(210, CODE), {})], -0.50, 0.990),
    ],
)
def test_a_conversation_has_the_published_reward(messages, v1, v2):
    for formula, reward in (("v1", v1), ("v2", v2)):
        rows = [talk("Clarify", *messages, state=SOLVABLE), talk("Execute", (CODE, {}), state=SOLVABLE)]
        (row,) = preferences(rows, "--formula", formula)
        assert row["rewards"] == {"Clarify": reward, "Execute": 1.0}


def test_the_costs_of_a_conversation_are_added():
    messages = [(ASK_TWICE, ANSWERED), (ASK, REJECTED), (f"{words(200)}\n\n{CODE}", {})]
    assert costs(talk("Clarify", *messages)) == 1.5
    assert costs(talk("Clarify", *messages), "--formula", "v2") == 0.1


def test_the_best_and_the_worst_action_of_the_published_example_make_one_row():
    rows = [
        trajectory("Clarify", ASK, ANSWERED, is_mainline=True),
        EXECUTE,
        trajectory("Clarify", ASK_TWICE, ANSWERED, is_variant=True, mainline_action="Clarify"),
    ]
    (row,) = preferences(rows, "--formula", "v2")
    candidates = row.pop("candidates")
    assert row.pop("persona") == PERSONA
    assert row == {
        "prompt": [
            {
                "role": "user",
                "content": "[Domain] coding\n[Task Uncertainty] 0.30\n[Dialogue Turn] 0\n[Previous Reject] 0\n"
                "[User Request]\nSort my orders.",
            }
        ],
        "chosen": [{"role": "assistant", "content": "Execute"}],
        "rejected": [{"role": "assistant", "content": "Clarify"}],
        "completion": [{"role": "assistant", "content": "Execute"}],
        "margin": 0.47,
        "state": STATE,
        "chosen_action": "Execute",
        "rejected_action": "Clarify",
        "chosen_text": CODE,
        "rejected_text": ASK,
        "rewards": {"Clarify": 0.03, "Execute": 0.5},
        "task_scores": {"Clarify": 0.0, "Execute": 0.5},
        "interrupt_costs": {"Clarify": -0.3, "Execute": 0.0},
        "chosen_assistant_msg": CODE,
        "rejected_assistant_msg": ASK,
        "chosen_reward": 0.5,
        "rejected_reward": 0.03,
        "chosen_task_score": 0.5,
        "rejected_task_score": 0.0,
        "chosen_interrupt_cost": 0.0,
        "rejected_interrupt_cost": -0.3,
    }
    assert [(one["action"], one["reward"], one["is_mainline"], one["is_variant"]) for one in candidates] == [
        ("Clarify", 0.03, True, False),
        ("Execute", 0.5, False, False),
        ("Clarify", 0.06, False, True),
    ]


def test_two_of_the_same_action_are_no_pair_and_equal_rewards_are_none():
    same = [trajectory("Clarify", ASK, ANSWERED), trajectory("Clarify", ASK_TWICE, ANSWERED)]
    other = {**STATE, "id": "other"}
    tie = [trajectory("Clarify", CODE, state=other), trajectory("Execute", CODE, state=other)]
    write([*same, *tie])
    assert main(["proactive", "rewards", "--trajectories", "traj.jsonl", "--out", "prefs.jsonl"]) == 2
    assert not Path("prefs.jsonl").exists()


def test_only_trajectories_after_the_same_conversation_are_compared():
    later = {**STATE, "dialogue_turn": 1, "query": "Sort my orders.\n[Assistant]: How?\n[User]: By price."}
    turns = [
        trajectory("Clarify", ASK, ANSWERED, turn=1),
        trajectory("Execute", CODE, state=later, turn=2),
        trajectory("Execute", CODE, persona={**PERSONA, "name": "Busy-Developer"}, turn=1),
    ]
    write(turns)
    assert main(["proactive", "rewards", "--trajectories", "traj.jsonl", "--out", "prefs.jsonl"]) == 2
    (row,) = preferences([*turns, trajectory("Execute", CODE, turn=1)])
    assert row["state"] == STATE


def test_rows_may_lack_what_has_a_default():
    bare = [{"state": {"query": "Sort."}, "action": action, "assistant_msg": text} for action, text in
            (("Clarify", ASK), ("Execute", CODE))]  # fmt: skip
    (row,) = preferences(bare)
    assert row["interrupt_costs"] == {"Clarify": 0.24, "Execute": 0.0}
    assert row["state"]["domain"] == "coding"


def test_a_plan_has_no_reward_until_it_has_a_score(capsys):
    state = {**STATE, "domain": "planning"}
    rows = [trajectory("Clarify", ASK, ANSWERED, state), trajectory("Execute", words(60), {}, state)]
    write(rows)
    said = bad(capsys, "proactive", "rewards", "--trajectories", "traj.jsonl", "--out", "prefs.jsonl")
    assert said == (
        "josh: traj.jsonl has no pair of actions: no task score (1); give --planning_score, or --allow_exec for tests"
    )
    (row,) = preferences(rows, "--planning_score", "0.6")
    assert row["rewards"] == {"Clarify": -0.24, "Execute": 0.6}


def test_weights_are_flags_and_the_same_command_gives_the_same_bytes():
    rows = [trajectory("Clarify", words(250, "Why? " * 5), REJECTED), EXECUTE]
    weights = ("--alpha", 1, "--w1", 0.1, "--w2", 2, "--w3", 3, "--max_questions", 4, "--w_interrupt", 0.5)
    (row,) = preferences(rows, *weights)
    assert row["interrupt_costs"]["Clarify"] == 5.4
    assert row["rewards"]["Clarify"] == -2.7
    before = Path("prefs.jsonl").read_bytes()
    preferences("traj.jsonl", *weights)
    assert Path("prefs.jsonl").read_bytes() == before
    (row,) = preferences("traj.jsonl", "--formula", "v2", "--d", 1, "--l", 0.5, "--g", 0, "--w_task", 2)
    assert row["rewards"] == {"Clarify": -0.45, "Execute": 1.0}


def test_text_rows_compare_the_messages_after_the_request():
    (row,) = preferences([trajectory("Clarify", ASK, REJECTED), EXECUTE], "--kind", "text")
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["prompt"][1]["content"] == STATE["query"]
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == (CODE, ASK)


def test_classification_rows_have_the_text_of_the_state_and_the_better_action():
    (row,) = preferences([trajectory("Clarify", ASK, REJECTED), EXECUTE], "--kind", "classification")
    assert row["text"].startswith("[Domain] coding\n")
    assert row["label"] == "Execute"


def test_rows_that_repeat_or_contradict_each_other_are_counted(capsys):
    def both(name, reaction, text):
        state = {**STATE, "id": name, "needs": ["sorted"], "query": text}
        return [
            talk("Clarify", (ASK, reaction), (CODE, {}), state=state),
            trajectory("Execute", "```python\nx = 1\n```", state=state),
        ]

    rows = [*both("a", ANSWERED, "One."), *both("b", ANSWERED, "One."), *both("c", ANSWERED, "Two.")]
    worse = {**STATE, "id": "d", "query": "Two."}
    rows += [trajectory("Clarify", ASK, REJECTED, worse), trajectory("Execute", CODE, state=worse)]
    (row,) = preferences(rows)
    assert row["state"]["id"] == "a"
    said = capsys.readouterr().out
    assert "left out        contradictory rows: 2\n" in said
    assert "left out        repeated rows: 1\n" in said
    manifest = json.loads(Path("prefs.jsonl.manifest.json").read_text())
    assert manifest["yields"] == {"pairs": 4, "none": {}}
    assert (manifest["kind"], manifest["rows"], manifest["labels"]) == ("action", 1, {"Clarify": 1})


@pytest.mark.parametrize("kind", ["action", "text"])
def test_the_rows_are_sound_for_training(kind):
    rows = [trajectory("Clarify", ASK, ANSWERED), EXECUTE]
    preferences(rows, "--kind", kind)
    assert main(["export", "--check", "prefs.jsonl"]) == 0


def test_rows_for_a_classifier_are_no_training_file_of_josh(capsys):
    preferences([trajectory("Clarify", ASK, ANSWERED), EXECUTE], "--kind", "classification")
    capsys.readouterr()
    assert main(["export", "--check", "prefs.jsonl"]) != 0
    line = "prefs.jsonl: its rows are 'classification', which no trainer of josh takes; give a training file"
    assert line in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": "LOW"}, "action is 'LOW'; give Clarify or Execute"),
        ({"version": 7}, "version is 7; this josh reads 1, write the file again"),
        ({"state": {"id": "q"}}, "query is None; give the user's request as a text"),
        ({"state": None}, "state is None; give the state as an object with a query"),
        ({"state": {**STATE, "domain": "cooking"}}, "domain is 'cooking'; give coding or planning"),
        (
            {"state": {**STATE, "mbpp_tests": ["assert f( =="]}},
            "mbpp_tests does not parse (invalid syntax): 'assert f( =='; mend it",
        ),
        ({"assistant_msg": None}, "assistant_msg is None; give the agent's message as a text"),
        ({"user_reaction": "no"}, "user_reaction is 'no'; give an object with user_reply and meta"),
        ({"user_reaction": {"meta": {"reject_signal": "no"}}}, "reject_signal is 'no'; give 0 or 1"),
        ({"decision_point": -1}, "decision_point is -1; give a whole number from 0 on"),
        ({"interactions": ["hi"]}, "interactions is ['hi']; give a list of objects with an assistant_msg"),
        ({"version": 1, "persona": {"name": "Nobody"}}, "persona is 'Nobody'; give Novice-Learner, Busy-Developer, "
         "Experienced-Engineer, or an index from 0 to 2"),
        ({"version": 1, "decision_point": 1}, "decision_point is 1; there are 1 interactions, give a smaller one"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_refused_with_its_line_and_nothing_is_written(capsys, change, said):
    write([EXECUTE, {**EXECUTE, **change}])
    line = bad(capsys, "proactive", "rewards", "--trajectories", "traj.jsonl", "--out", "dpo/prefs.jsonl")
    assert line == f"josh: traj.jsonl line 2: {said}"
    assert [path.name for path in Path().iterdir()] == ["traj.jsonl"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "no trajectories given; example: josh proactive rewards --trajectories logs/traj.jsonl --out"),
        (("--trajectories", "no.jsonl", "--out", "o.jsonl"), "cannot read no.jsonl: No such file or directory"),
        (
            ("--trajectories", "traj.jsonl", "--out", "traj.jsonl"),
            "out is 'traj.jsonl', which trajectories reads; give ",
        ),
        (("--trajectories", "traj.jsonl", "--out", "empty.jsonl"), "empty.jsonl exists and is not an export: "),
        (("--trajectories", "traj.jsonl", "--out", "o", "--kind", "both"), "kind is 'both'; give action, text or "),
        (("--trajectories", "traj.jsonl", "--out", "o", "--formula", "v3"), "formula is 'v3'; give v1 or v2"),
        (("--trajectories", "traj.jsonl", "--out", "o", "--alpha", "-1"), "alpha is -1.0; give 0 or more"),
        (("--trajectories", "traj.jsonl", "--out", "o", "--g", "1"), "g is 1.0, but formula v1 has none; leave it out"),
        (
            ("--trajectories", "traj.jsonl", "--out", "o", "--formula", "v2", "--w1", "1"),
            "w1 is 1.0, but formula v2 has",
        ),
        (("--trajectories", "states.jsonl", "--out", "o"), "states.jsonl line 1 is a state; play it first: josh "),
        (("--trajectories", ".", "--out", "o"), ". is a folder; give a file that josh proactive generate writes"),
        (("--trajectories", "empty.jsonl", "--out", "o"), "empty.jsonl has no trajectories; write some with"),
    ],
)
def test_wrong_flags_are_refused(capsys, flags, said):
    write([EXECUTE])
    write([STATE], "states.jsonl")
    Path("empty.jsonl").touch()
    assert bad(capsys, "proactive", "rewards", *flags).startswith(f"josh: {said}")


def test_weights_of_the_other_formula_may_be_given_as_their_defaults():
    rows = [trajectory("Clarify", ASK, ANSWERED), EXECUTE]
    v1 = ("--w_task", 1, "--alpha", 0.6, "--w1", 0.4, "--w2", 1, "--w3", 0.3, "--w4", 0.7)
    assert preferences(rows, *v1, "--formula", "v2") == preferences(rows, "--formula", "v2")


def test_trajectories_and_preferences_are_not_mistaken_for_each_other(capsys):
    trajectories = write([trajectory("Clarify", ASK, ANSWERED), EXECUTE])
    preferences(trajectories, out="prefs.jsonl")
    before = Path("prefs.jsonl").read_bytes()
    capsys.readouterr()
    line = bad(capsys, "proactive", "rewards", "--trajectories", "prefs.jsonl", "--out", "o")
    assert line.startswith("josh: prefs.jsonl line 1 is a row of preferences; give the file of trajectories")
    line = bad(capsys, "proactive", "rewards", "--trajectories", "prefs.jsonl", "--out", "./prefs.jsonl")
    assert line == "josh: out is 'prefs.jsonl', which trajectories reads; give another file"
    assert Path("prefs.jsonl").read_bytes() == before


def test_a_file_may_go_to_stdout(capsys):
    write([trajectory("Clarify", ASK, ANSWERED), EXECUTE])
    assert main(["proactive", "rewards", "--trajectories", "traj.jsonl", "--out", "-"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["chosen_action"] == "Execute"
    assert "action          1 row (1 Execute)" in said.err
    assert lines("traj.jsonl")
