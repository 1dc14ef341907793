"""`josh train grpo`: groups of conversations, what of them is learned, and a policy that learns from its rewards."""

import asyncio
import json

import pytest
from tuning import needs_trl

from josh import BaseEnv, Speaker, Task, play
from josh.cli import main
from josh.errors import UsageError
from josh.roles import BaseJOSHAgent, BaseJOSHUser
from josh.runs.train.grpo import Course
from josh.runs.train.grpo_settings import resolve_grpo
from josh.runs.train.on_policy import after
from josh.runs.train.sibling_group import SiblingGroup
from josh.token_rows import TokenRow
from josh.tree import walk


class Dice(BaseJOSHAgent):
    def step(self, *, model, **_):
        self.add_message({"role": "assistant", "content": str(model.draw() % 1000)})
        return True


class Patient(BaseJOSHUser):
    def step(self, agent, *, model, **_):
        agent.add_message({"role": "user", "content": "go on"})
        return agent, len(agent.messages) > 2 and model.draw() % 3 == 0


class Room(BaseEnv):
    max_rounds = 6

    def goals(self, task):
        return ["nothing"]


@pytest.mark.parametrize("seed", range(6))
def test_the_members_of_a_group_of_siblings_share_one_beginning(seed):
    strategy = SiblingGroup(SiblingGroup.Config(5))
    episode = asyncio.run(play(Task("t", 0, {}), Room({}), agent=Dice, user=Patient, strategy=strategy, seed=seed))
    tree = episode.tree
    leaves = list(episode.outcomes)
    assert len(leaves) == len(episode.reported) == 5
    place = strategy.place(tree)
    paths = [walk(tree, leaf) for leaf in leaves]
    shared = paths[0][: paths[0].index(place) + 1]
    assert all(path[: len(shared)] == shared for path in paths)
    first = [path[len(shared)] for path in paths]
    assert len(set(first)) == 5, "each takes the turn anew"
    assert {tree.nodes[node].speaker for node in first} == {Speaker.AGENT}
    assert len({tree.nodes[node].turn.messages[0]["content"] for node in first}) > 1


def test_the_places_where_groups_part_differ():
    def place(seed):
        strategy = SiblingGroup(SiblingGroup.Config(2))
        episode = asyncio.run(play(Task("t", 0, {}), Room({}), agent=Dice, user=Patient, strategy=strategy, seed=seed))
        return strategy.place(episode.tree)

    assert len(set(map(place, range(12)))) > 2


ROW = TokenRow((1,), (2, 3, 4, 5, 6), (1, 1, 0, 1, 1), (-1.0, -2.0, 0.0, -3.0, -4.0), None, (1, 3), (0, 3), "stop")


def test_only_what_comes_after_the_shared_beginning_is_learned():
    later = after(ROW, 2, [0, 2])
    assert (later.prompt_ids, later.token_ids, later.mask) == ((1, 2, 3, 4), (5, 6), (1, 1))
    assert (later.logprobs, later.nodes, later.starts) == ((-3.0, -4.0), (3,), (0,))
    assert after(ROW, 0, [0, 2]) == ROW
    assert after(ROW, 4, [0, 2]) is None


def test_a_training_ends_when_the_text_begins_to_fall_apart_and_when_its_time_is_over():
    settings = resolve_grpo({"model": "m", "out": "o", "entropy_rise": 0.5})
    course = Course(settings, 0.0)
    calm = [course.logged(step, {"reward": 1.0, "entropy": 0.4, "loss": 0.1}) for step in range(1, 21)]
    assert all(calm)
    wild = [course.logged(step, {"reward": 1.0, "entropy": 0.8, "loss": 0.1}) for step in range(21, 30)]
    assert wild == [True] * 5 + [False] * 4
    assert "0.60" in course.ended.replace("0.61", "0.60") or "entropy" in course.ended
    endless = Course(resolve_grpo({"model": "m", "out": "o", "entropy_rise": 0}), 0.0)
    assert all(endless.logged(step, {"entropy": float(step)}) for step in range(1, 30))
    assert not endless.logged(30, {"loss": float("nan")})
    assert "loss is nan" in endless.broken
    late = Course(resolve_grpo({"model": "m", "out": "o", "max_minutes": 0.001}), 0.0)
    assert not late.in_time()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": ""}, "no model is given"),
        ({"preset": "josh-sft"}, "no preset named 'josh-sft' for grpo; known: josh-grpo, tiny"),
        ({"group": "tree"}, "group is 'tree'; give task or siblings"),
        ({"group_size": 1}, "group_size is 1"),
        ({"batch_size": 7}, "batch_size is 7, but a step has 64 conversations; give a divisor of that"),
        ({"batch_size": 4, "group": "siblings"}, "batch_size is 4 with group siblings; give a multiple of group_size"),
        ({"load_in_4bit": True, "lora_rank": 0}, "lora_rank is 0 with load_in_4bit"),
        ({"base_adapter": "a", "lora_rank": 3}, "lora_rank is given with base_adapter"),
        ({"name": "a/b"}, "name is 'a/b'; give a folder's name, without a path"),
        ({"name": ""}, "name is empty"),
    ],
)
def test_wrong_settings_are_named(given, said):
    with pytest.raises(UsageError, match="^" + said.replace("(", r"\(")):
        resolve_grpo({"model": "m", "out": "o", **given})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--beam_size", "4"], "beam_size"),
        (["--json_rows", "4"], "unrecognized arguments: --json_rows 4"),
        (["--log_dir", "x"], "log_dir"),
        (["--max_steps", "0"], "max_steps is 0; give 1 or more"),
        (["--env", "nowhere"], "nowhere"),
    ],
)
def test_wrong_flags_are_named(flags, said, capsys, tmp_path):
    try:
        code = main(["train", "grpo", "--model", "m", "--out", str(tmp_path), *flags])
    except SystemExit as stop:
        code = stop.code
    assert code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


WORLD = '''
import os
import signal
from pathlib import Path

from josh import BaseEnv, BaseJOSHUser, BaseRewards, Task


class Short(BaseEnv):
    """The reward is for few words: the shorter the reply, the more it earns."""

    max_rounds = 2
    splits = ("train",)
    agents = {"chat": "persuader"}

    def tasks(self, split):
        return [Task(f"task-{number}", number, {}) for number in range(6)]

    def goals(self, task):
        return ["brevity"]

    def people(self, task):
        return [f"person-{task.index}"]


STOP = Path(__file__).with_name("stop")
turns = 0


class Listener(BaseJOSHUser):
    def step(self, agent, **_):
        global turns
        turns = turns + 1 if STOP.exists() else 0
        if turns == 101:
            os.kill(os.getpid(), getattr(signal, STOP.read_text()))
        agent.add_message({"role": "user", "content": "and"})
        return agent, False


class Brevity(BaseRewards):
    reads = "agent"

    def is_reward(self, actions):
        return True, ["brevity"]

    def hit_value(self, actions):
        return 1.0

    def path_reward(self, goals, hits, scores=None):
        return scores["short"]

    def won(self, open_goals, hits):
        return False

    async def score(self, task, conversation):
        said = [len(one["content"]) for one in conversation.messages if one["role"] == "assistant"]
        return {"short": max(0.0, 1 - sum(said) / len(said) / 60)}
'''


def trained(tiny_model, folder, *flags, out="out"):
    (folder / "world.py").write_text(WORLD, encoding="utf-8")
    own = ["--env", f"{folder}/world.py:Short", "--user", f"{folder}/world.py:Listener"]
    own += ["--rewards", f"{folder}/world.py:Brevity", "--max_tokens", "16", "--torch_threads", "1"]
    how = ["--preset", "tiny", "--tasks_per_step", "4", "--group_size", "4"]
    code = main(["train", "grpo", "--model", str(tiny_model), "--out", str(folder / out), *own, *how, *flags])
    (made,) = (folder / out).iterdir()
    if code:
        return code, made
    return made, json.loads((made / "josh_adapter.json").read_text(encoding="utf-8"))


@needs_trl
@pytest.mark.slow
@pytest.mark.parametrize("group", ["task", "siblings"])
def test_a_babbling_model_learns_what_earns_rewards(tiny_model, tmp_path, capsys, group):
    flags = ["--group", group, "--max_steps", "25", "--learning_rate", "0.005", "--entropy_rise", "0"]
    made, card = trained(tiny_model, tmp_path, *flags)
    rewards = [one["reward"] for one in card["steps"]]
    assert len(rewards) == 25
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.1
    assert card["conversations"] == 25 * 16
    assert card["data"]["manifest"]["people"] == [f"person-{number}" for number in range(6)]
    assert (made / "model.safetensors").exists()
    assert made.name.startswith("josh-grpo-")
    assert f"--model hf:{made}" in capsys.readouterr().out
    run = ["--env", f"{tmp_path}/world.py:Short", "--user", f"{tmp_path}/world.py:Listener", "--max_tokens", "16"]
    run += ["--rewards", f"{tmp_path}/world.py:Brevity", "--log_dir", str(tmp_path / "r"), "--model", f"hf:{made}"]
    assert main(run) == 0
    capsys.readouterr()
    assert main(["evaluate", "--task_split", "train", *run]) == 2
    assert "task-0" in capsys.readouterr().err, "its tasks are not held out"


@needs_trl
@pytest.mark.slow
@pytest.mark.parametrize(("how", "ended"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_training_resumes_to_the_same_weights_and_an_adapter_is_an_adapter(
    tiny_model, tmp_path, how, ended
):
    flags = ["--lora_rank", "4", "--save_steps", "2", "--max_steps", "4"]
    made, first = trained(tiny_model, tmp_path, *flags)
    assert first["settings"]["lora_rank"] == 4
    (tmp_path / "stop").write_text(how)
    code, part = trained(tiny_model, tmp_path, *flags, out="stopped")
    assert (code, part.name) == (ended, f"{made.name}.part")
    (tmp_path / "stop").unlink()
    again, card = trained(tiny_model, tmp_path, *flags, "--resume", out="stopped")
    assert again.name == made.name
    assert [one["step"] for one in card["steps"]][-1] == 4
    assert card["steps"][-1]["reward"] == first["steps"][-1]["reward"]
    weights = [(one / "adapter_model.safetensors").read_bytes() for one in (made, again)]
    assert weights[0] == weights[1]


@needs_trl
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--temperature", "0"], "temperature is 0, at which the conversations of a group are alike; give more than 0"),
        (["--agent", "offline_persuader"], "agent is 'offline_persuader', which asks no model, so nothing is sampled"),
        (["--optimizer", "adamw_troch"], "optimizer is 'adamw_troch'; give the name of one in transformers, "),
        (["--report_to", "foo"], "report_to is 'foo'; give none, or some of "),
    ],
)
def test_a_training_that_could_not_learn_is_refused_before_a_conversation(tiny_model, tmp_path, capsys, flags, said):
    given = ["--model", str(tiny_model), "--out", str(tmp_path / "out"), "--preset", "tiny", "--synthetic_tasks", "8"]
    assert main(["train", "grpo", *given, "--max_steps", "1", *flags]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not list((tmp_path / "out").glob("*"))
