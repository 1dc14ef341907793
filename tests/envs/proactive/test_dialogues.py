"""Conversations: how the state changes, how the user reacts, and when a conversation ends."""

import asyncio

import pytest
from helping import CODE, PLAN, ROW, facts, played, reactions, saying, task_of

from josh.agents.proactive.offline import ClarifyFirst, Direct, Threshold
from josh.dialogue import Outcome
from josh.envs.proactive.dialogue import StateWorld
from josh.envs.proactive.env import ProactiveEnv
from josh.envs.proactive.personas import BUSY, NOVICE, PERSONAS
from josh.envs.proactive.reactions import is_off_topic, kind_of, luck_of, meta_of
from josh.envs.proactive.states import state_from
from josh.errors import UsageError
from josh.seeds import part_of
from josh.strategies.beam import BeamSearch
from josh.strategies.mainline import Mainline, main_line
from josh.strategies.rollouts import Rollouts
from josh.testing import AgentConformance, UserConformance
from josh.users.proactive.persona import OfflinePersona

ASK = ("Clarify", "Which order do you want?")
DELIVER = ("Execute", CODE)
LUCKY = next(seed for seed in range(99) if all(luck_of(seed, "q", number) < 0.3 for number in range(3)))
"""A seed with which each persona answers three questions."""
UNLUCKY = next(seed for seed in range(999) if luck_of(seed, "q", 0) > 0.9)
"""A seed with which each persona rejects the first question."""


@pytest.mark.parametrize(
    ("message", "action", "domain", "luck", "kind"),
    [
        ("Which order?", "Clarify", "coding", 0.89, "answered"),
        ("Which order?", "Clarify", "coding", 0.91, "rejected"),
        ("Which order\uff1f", None, "coding", 0.1, "answered"),
        ("What does this class do, and def f?", "Clarify", "coding", 0.95, "rejected"),
        (f"{CODE}\nIs that right?", "Execute", "coding", 0.95, "continues"),
        (f"Do you mean this?\n{CODE}", "Clarify", "coding", 0.95, "rejected"),
        (CODE, "Execute", "coding", 0.95, "continues"),
        (f"{PLAN} Is that right?", None, "planning", 0.95, "continues"),
        ("I see.", "Clarify", "coding", 0.1, "continues"),
    ],
)
def test_a_question_is_answered_by_patience_and_luck(message, action, domain, luck, kind):
    assert kind_of(message, action, domain, NOVICE, luck) == kind


def test_an_impatient_user_is_silent_after_many_words_that_neither_ask_nor_deliver():
    long = "word " * 201
    assert kind_of(long, "Clarify", "coding", BUSY, 0.5) == "silent"
    assert kind_of(long, "Clarify", "coding", NOVICE, 0.5) == "continues"
    assert kind_of("word " * 200, "Clarify", "coding", BUSY, 0.5) == "continues"


@pytest.mark.parametrize(
    ("kind", "meta"),
    [("answered", (1, 0, 0.6, 0, 0.85)), ("rejected", (0, 1, 0.0, 0, 0.3)), ("silent", (0, 0, 0.0, 1, 0.5)),
     ("continues", (0, 0, 0.0, 0, 0.6))],
)  # fmt: skip
def test_a_reaction_has_the_published_meta(kind, meta):
    names = ("answered_clarification", "reject_signal", "answer_clarity", "silence", "satisfaction")
    found = meta_of(kind, BUSY)
    assert tuple(found[name] for name in names) == meta
    assert found["off_topic_flag"] == 0
    assert meta_of(kind, BUSY, off_topic=True)["off_topic_flag"] == 1


def test_a_message_is_off_topic_where_it_neither_asks_nor_delivers_nor_names_the_request():
    query = "Sort my list of orders."
    assert is_off_topic("Turtles live long.", query, "coding")
    assert not is_off_topic("I sort the list.", query, "coding")
    assert not is_off_topic("Do turtles live long?", query, "coding")
    assert not is_off_topic(CODE, query, "coding")


def test_the_state_changes_with_each_round_and_is_stored_with_each_turn():
    episode = played(saying(ASK, ASK, DELIVER), task_of(), seed=LUCKY)
    first, answer, second, _, third = (node.turn.observed for node in episode.tree.nodes[1:])
    assert (first["action"], first["by"], first["reaction"]) == ("Clarify", "rule", None)
    assert first["state"]["dialogue_turn"] == 0
    assert first["rendered"].startswith("[Domain] coding\n[Task Uncertainty] 0.30\n[Dialogue Turn] 0\n")
    assert answer["action"] is None
    assert answer["reaction"]["meta"]["answered_clarification"] == 1
    assert answer["state"]["dialogue_turn"] == 1
    assert second["state"] == answer["state"]
    assert "[Assistant]: Which order do you want?\n[User]: " in second["state"]["query"]
    assert third["state"]["dialogue_turn"] == 2
    assert third["state"]["task_uncertainty"] == pytest.approx(0.3 * 0.85**2)
    assert third["state"]["clarity"] == pytest.approx(1 - 0.7 * 0.85**2)


def test_a_rejection_is_followed_by_one_more_turn_of_the_agent():
    episode = played(saying(ASK, DELIVER), task_of(), seed=UNLUCKY)
    assert reactions(episode) == ["rejected"]
    last = episode.tree.nodes[-1]
    assert last.turn.observed["state"]["prev_reject"] == 1
    assert (last.turn.facts["action"], last.turn.facts["over"]) == ("Execute", True)
    stubborn = played(saying(ASK), task_of(), seed=UNLUCKY)
    assert [one["over"] for one in facts(stubborn)] == [False, True]
    assert stubborn.outcomes == {3: Outcome.LOST}


def test_the_rule_asks_the_patient_user_twice_and_then_delivers():
    episode = played(task=task_of(), seed=LUCKY)
    assert [one["action"] for one in facts(episode)] == ["Clarify", "Clarify", "Execute"]
    assert [one["action"] for one in facts(played(task=task_of(persona="Busy-Developer")))] == ["Execute"]


@pytest.mark.parametrize(("agent", "actions"), [
    (Direct, ["Execute"]), (ClarifyFirst, ["Clarify", "Execute"]), (Threshold, ["Clarify", "Execute"]),
])  # fmt: skip
def test_baselines_have_fixed_policies(agent, actions):
    assert [one["action"] for one in facts(played(agent, task_of(), seed=LUCKY))] == actions


def test_a_threshold_delivers_where_the_request_is_clear():
    clear = task_of({**ROW, "task_uncertainty": 0.5})
    assert [one["action"] for one in facts(played(Threshold, clear, seed=LUCKY))] == ["Execute"]


def test_siblings_share_the_luck_of_the_user():
    for seed in range(20):
        episode = played(saying(ASK, DELIVER), task_of(persona="Experienced-Engineer"), strategy=Mainline(), seed=seed)
        nodes = episode.tree.nodes
        asked = [
            node.turn.facts["reaction"]
            for node in nodes[1:]
            if node.speaker == "user" and nodes[node.parent].turn.facts["action"] == "Clarify" and node.depth == 2
        ]
        assert len(asked) == 2
        assert asked[0] == asked[1] == ("answered" if luck_of(seed, "q", 0) < 0.6 else "rejected")


def test_turns_that_are_compared_share_their_parent_and_its_state():
    episode = played(saying(ASK, ASK, DELIVER), task_of(), strategy=Mainline(decisions=0), seed=LUCKY)
    nodes = episode.tree.nodes
    assert len(episode.pairs) == 3
    for pair in episode.pairs:
        better, worse = nodes[pair.better], nodes[pair.worse]
        assert better.parent == worse.parent in main_line(episode.tree)
        assert better.turn.observed["rendered"] == worse.turn.observed["rendered"]
        assert {better.turn.facts["action"], worse.turn.facts["action"]} == {"Clarify", "Execute"}


def test_without_interactions_a_conversation_is_one_message_and_its_reaction():
    episode = played(saying(ASK, DELIVER), task_of(), strategy=Mainline(), seed=LUCKY, **{"env.interactions": False})
    assert sorted(node.depth for node in episode.tree.nodes) == [0, 1, 1, 1, 2, 2, 2]
    assert reactions(episode) == ["answered", "continues", "answered"]
    assert set(episode.outcomes.values()) == {Outcome.LOST, Outcome.WON}


def test_with_several_tries_a_conversation_goes_on_until_the_task_is_solved():
    task = task_of(needs=["reverse=True"])
    right = ("Execute", CODE.replace("sorted(things)", "sorted(things, reverse=True)"))
    agent = saying(DELIVER, DELIVER, right)
    once = played(agent, task)
    assert [one["done"] for one in facts(once)] == [False]
    several = played(agent, task, **{"env.multi_turn": True})
    assert [one["done"] for one in facts(several)] == [False, False, True]
    never = played(saying(DELIVER), task, **{"env.multi_turn": True})
    assert len(facts(never)) == 5


def test_the_best_of_a_beam_and_plain_conversations_play_the_same_world():
    for strategy in (BeamSearch(4), Rollouts(3)):
        episode = played(strategy=strategy, seed=3, synthetic_tasks=4)
        assert episode.reported
        assert all("reward" in scores for scores in episode.scores.values())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"env.persona": "Nobody"}, "persona is 'Nobody'; give Novice-Learner"),
        ({"env.persona": "3"}, "persona is '3'; give Novice-Learner"),
        ({"env.domain": "cooking"}, "env.domain is 'cooking'; give coding, planning or both"),
    ],
)
def test_unknown_settings_are_refused(settings, words):
    with pytest.raises(UsageError) as refused:
        ProactiveEnv(settings)
    assert str(refused.value).startswith(words)


def test_a_persona_can_be_given_to_all_states_or_to_one(tmp_path):
    path = tmp_path / "states.jsonl"
    path.write_text('{"query": "Sort.", "persona": "Busy-Developer"}\n{"query": "Plan.", "domain": "planning"}\n')
    env = ProactiveEnv({"env.states": str(path)})
    assert env.tasks("all")[0].data["persona"]["name"] == "Busy-Developer"
    env = ProactiveEnv({"env.states": str(path), "env.persona": "0"})
    assert {task.data["persona"]["name"] for task in env.tasks("all")} == {"Novice-Learner"}
    names = {ProactiveEnv({"env.states": str(path), "seed": seed}).tasks("all")[1].data["persona"]["name"]
             for seed in range(30)}  # fmt: skip
    assert names == {persona.name for persona in PERSONAS}


def test_a_file_of_states_starts_again_where_more_tasks_are_wanted(tmp_path):
    path = tmp_path / "states.jsonl"
    path.write_text('{"query": "Sort.", "id": "q"}\n{"query": "Join.", "id": "q-1"}\n')
    tasks = ProactiveEnv({"env.states": str(path), "env.n_states": 5}).tasks("all")
    assert [task.id for task in tasks] == ["q", "q-1", "q-2", "q-1-1", "q-3"]
    assert [task.data["state"]["id"] for task in tasks] == [task.id for task in tasks]
    env = ProactiveEnv({"env.states": str(path)})
    assert [env.people(task) for task in tasks] == [(), (), ("q",), ("q-1",), ("q",)]


def test_a_split_or_a_domain_without_states_says_so(tmp_path):
    path = tmp_path / "states.jsonl"
    path.write_text('{"query": "Sort.", "id": "q", "domain": "coding"}\n')
    other = next(split for split in ("train", "valid") if split != part_of("q"))
    for split, domain in ((other, "both"), ("all", "planning")):
        env = ProactiveEnv({"env.states": str(path), "env.domain": domain})
        with pytest.raises(UsageError, match=f"none of the 1 states in .* is in the {split} split"):
            env.tasks(split)


def world_of(row=ROW):
    return StateWorld(state_from(row, "row"), NOVICE)


def test_forks_of_a_world_go_their_own_way():
    world = world_of()
    world.act("Clarify", "rule")
    twin = world.fork()
    twin.react("By date.", meta_of("answered", NOVICE), "Which?")
    assert world.observe()["action"] == "Clarify"
    assert world.state.dialogue_turn == 0
    assert twin.state.dialogue_turn == 1
    assert "By date." in twin.rendered


class TestOfflinePersona(UserConformance):
    def make(self):
        user = OfflinePersona()
        user.start(task_of(), ProactiveEnv({}), {"seed": 1})
        return user

    def take_turn(self, user, agent):
        return asyncio.run(user.step(agent, model=self.line(), env=world_of()))


class TestDirect(AgentConformance):
    def make(self):
        agent = Direct()
        agent.start(task_of(), ProactiveEnv({}), {"seed": 1})
        return agent

    def take_step(self, agent):
        return asyncio.run(agent.step(model=self.line(), env=world_of()))
