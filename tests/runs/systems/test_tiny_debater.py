"""The debates from which a tiny model learns the quiz."""

from collections import Counter

from josh.envs.debate.answers import standing
from josh.envs.debate.env import DebateEnv
from josh.runs.systems.tiny_debater import dialogues
from josh.runs.train.tiny import SIZES, Tiny


def question_of(messages):
    """The question of a debate; None for a bare one."""
    _, found, rest = messages[0]["content"].partition("Question: ")
    return rest.split("\n")[0] if found else None


def whole(count, seed):
    """The debates that have a question."""
    return [messages for messages in dialogues(count, seed) if question_of(messages)]


def test_the_same_seed_gives_the_same_debates_over_training_questions():
    said = list(dialogues(60, seed=1))
    assert said == list(dialogues(60, seed=1)) != list(dialogues(60, seed=2))
    assert [question_of(messages) is None for messages in said] == [True] * 36 + [False] * 24  # the bare ones first
    held_out = {
        task.data["question"]
        for split in ("valid", "test")
        for task in DebateEnv({"synthetic_tasks": 4000, "seed": 1}).tasks(split)
    }
    assert not held_out & {question_of(messages) for messages in said}


def test_a_debate_is_seen_by_its_learner_with_both_roles_in_turn():
    said = list(dialogues(100, seed=1))
    for messages in said:
        roles = [message["role"] for message in messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    views = Counter("Your partner says:" in messages[0]["content"] for messages in said)
    assert views == {True: 75, False: 25}  # the second speaker learns three times as often as the first


def test_the_learner_accepts_about_half_of_the_time_whoever_is_right():
    gold = {
        task.data["question"]: task.data for task in DebateEnv({"synthetic_tasks": 15_000, "seed": 1}).tasks("train")
    }
    took = {True: [], False: []}
    for messages in whole(1500, seed=1):
        data = gold.get(question_of(messages))
        if data is None or len(messages) < 4 or "Your partner says:" not in messages[0]["content"]:
            continue
        before = standing([{"role": "assistant", "content": messages[1]["content"]}], data)["agent"]
        after = standing([{"role": "assistant", "content": messages[3]["content"]}], data)["agent"]
        offered = standing([{"role": "user", "content": messages[2]["content"]}], data)["user"]
        assert (before in data["gold"]) != (offered in data["gold"])
        took[offered in data["gold"]].append(after == offered)
    for accepted in took.values():
        assert len(accepted) > 100
        assert 0.4 < sum(accepted) / len(accepted) < 0.6


def test_the_quiz_takes_twice_the_steps_of_other_worlds():
    assert Tiny("nano", env="debate").scale.steps == 2 * SIZES["nano"].steps == 2 * Tiny("nano").scale.steps
