"""How well ToolWOZ's assistant and user without a model do together, and that their branches go their own ways."""

import json

from woz_tables import real_database
from woz_talk import HARD, TABLE, Dice, agent_of, step, success, trees, turn, user_of, world_of

from josh.branch import Branch
from josh.envs.toolwoz.database import KEYS
from josh.rewards.tool_goals import ToolGoals
from josh.roles import fork
from josh.tree import leaves


def test_at_temperature_0_nearly_every_task_is_done():
    assert success(trees(synthetic_tasks=150, temperature=0, seed=1)) > 0.95


def test_over_multiwoz_s_own_tables_as_well(tmp_path):
    folder = tmp_path / "data"
    database = real_database()
    folder.mkdir()
    for domain in KEYS:
        (folder / f"{domain}_db.json").write_text(json.dumps(list(database.rows(domain))), encoding="utf-8")
    assert success(trees(synthetic_tasks=80, temperature=0, data=str(folder))) > 0.95
    assert 0.25 < success(trees(synthetic_tasks=150, temperature=1, data=str(folder))) < 0.6


def test_at_temperature_1_it_is_mediocre_and_in_between_it_is_in_between():
    plain_runs = success(trees(synthetic_tasks=200, temperature=1, seed=1))
    cooler = success(trees(synthetic_tasks=200, temperature=0.5, seed=1))
    assert 0.3 < plain_runs < 0.55
    assert cooler > plain_runs + 0.15


def test_a_search_finds_what_plain_conversations_miss():
    played = trees(synthetic_tasks=60, josh=True, seed=1)
    assert success(played) > 0.85
    several = [tree for task, tree in played if len(task.data["targets"]) > 2 and not tree.nodes[tree.root].open]
    assert several
    assert all(len(tree.collapses) > 1 for tree in several)
    assert any(tree.nodes[leaf].open == tree.goals for _, tree in played for leaf in leaves(tree)), "nothing is lost"


def test_the_same_settings_play_the_same():
    once, twice = (trees(synthetic_tasks=6, josh=True, seed=4) for _ in range(2))
    assert [tree for _, tree in once] == [tree for _, tree in twice]


# Branches


def test_branches_go_their_own_ways_and_each_goes_as_if_it_were_alone():
    """What a fork says depends on the conversation and the seeds alone, whatever its siblings do in between."""

    def begun():
        user, agent = user_of(**HARD.data["goal"]), agent_of(HARD)
        return Branch(agent, user, world_of(HARD), ToolGoals([]))

    def play_on(branch, seed, rounds=4):
        line = Dice(seed)
        for _ in range(rounds):
            branch.user.step(branch.agent, model=line)
            while not step(branch.agent, branch.world, line):
                pass
        return branch.agent.messages_internal

    root = begun()
    play_on(root, 1, rounds=2)
    before = list(root.agent.messages_internal)
    forks = [root.fork() for _ in range(3)]
    for seed, branch in enumerate(forks, 10):
        play_on(branch, seed)
    assert root.agent.messages_internal == before
    for seed, branch in enumerate(forks, 10):
        alone = begun()
        play_on(alone, 1, rounds=2)
        assert play_on(alone, seed) == branch.agent.messages_internal
    assert len({json.dumps(branch.agent.messages_internal) for branch in forks}) == 3


def test_a_fork_copies_no_more_than_its_lists():
    agent, user = agent_of(), user_of(restaurant=TABLE)
    turn(agent, "Hello, I need a cheap restaurant.", world_of(HARD))
    twin = fork(agent)
    assert {name for name, value in vars(agent).items() if vars(twin)[name] is not value} == {
        "messages", "messages_internal", "recent_actions",
    }  # fmt: skip
    assert all(vars(fork(user))[name] is value for name, value in vars(user).items())
