"""The conversation as each side's model is trained on it: what it was asked, without directives."""

import asyncio
import json

import pytest
import toy_desk
from toy_desk import Desk

from josh import BaseEnv, BaseJOSHUser, Expand, Speaker, Strategy, Task, play
from josh.agents.chat import Persuader
from josh.examples import example_at
from josh.messages import dumps, flip_roles, with_opener
from josh.strategies.beam import BeamSearch
from josh.testing import ScriptedAgent, ScriptedModel
from josh.tools import use
from josh.tree import conversation, internal_conversation, walk
from josh.users.ending import END, HOW_TO_END
from josh.users.goal import GoalUser
from josh.users.guide import GuideUser
from josh.users.persuasion.donor import Donor
from josh.users.persuasion.persuadee import Persuadee

TABLE = {Speaker.AGENT: ("ORDER: be warm", None, "ORDER: be cold"), Speaker.USER: ("ORDER: agree", "ORDER: refuse")}


class Told(Strategy):
    """Both sides branch by directives."""

    def plan(self, tree):
        others = ((leaf, tree.nodes[leaf].speaker.other) for leaf in tree.frontier if tree.nodes[leaf].depth < 3)
        return tuple(Expand(leaf, speaker, TABLE[speaker]) for leaf, speaker in others)


class Talk(BaseEnv):
    """Two who talk, each with a prompt."""

    max_rounds = 2

    def tasks(self, split):
        return [Task("talk", 0, {})]

    def goals(self, task):
        return ["nothing"]

    def agent_prompt(self, task):
        return "You are the agent."

    def user_prompt(self, task):
        return "You are the user."


class OpenedByTheUser(Talk):
    opens = Speaker.USER


class Listener(BaseJOSHUser):
    """Says what its model says."""

    async def step(self, agent, *, model):
        reply = await model.reply(self.messages_internal)
        agent.add_message({"role": "user", "content": reply.text})
        return agent, False


def echo(messages, seed):
    """Names the model's role and how long the conversation is, and never what it was told."""
    return f"{messages[0]['content'].splitlines()[0].split()[-1]} {len(messages)} {seed}"


def played(env, user, strategy=None, script=echo, agent=Persuader):
    model, user_model = ScriptedModel(script), ScriptedModel(script)
    (task, *_) = env.tasks("train")
    how = {"agent": agent, "user": user, "strategy": strategy or BeamSearch(4), "model": model}
    return asyncio.run(play(task, env, **how, user_model=user_model)), model, user_model


@pytest.mark.parametrize("env", [Talk({}), OpenedByTheUser({})])
def test_a_directive_is_in_the_request_and_in_the_node_and_in_no_view(env):
    class Opened(Told):
        def plan(self, tree):
            if len(tree.nodes) == 1 and env.opens is Speaker.USER:
                return (Expand(0, Speaker.USER, TABLE[Speaker.USER]),)
            return super().plan(tree)

    episode, model, user_model = played(env, GoalUser, Opened())
    tree = episode.tree
    directed = [node for node in tree.nodes if node.directive]
    assert {node.speaker for node in directed} == set(Speaker)
    asked = [request.messages[0]["content"] for request in (*model.requests, *user_model.requests)]
    for directive in (*TABLE[Speaker.AGENT], *TABLE[Speaker.USER]):
        assert directive is None or any(prompt.endswith(f"\n\n{directive}") for prompt in asked)
    assert any("ORDER" not in prompt for prompt in asked), "a sibling without a directive is asked without one"
    for leaf in range(len(tree.nodes)):
        assert "ORDER" not in dumps(conversation(tree, leaf))
        for learner in Speaker:
            assert "ORDER" not in dumps(internal_conversation(tree, leaf, learner))
            assert "ORDER" not in dumps([one.messages for one in example_at(tree, leaf, True, True, learner)])


def test_a_step_that_names_its_directive_is_handed_it_and_asks_without_it():
    handed = []

    class Obeys(Persuader):
        async def step(self, *, model, directive=None):
            handed.append(directive)
            return await super().step(model=model)

    class Deaf(Persuader):
        async def step(self, *, model):
            return await super().step(model=model)

    asked = {}
    for agent in (Obeys, Deaf, Persuader):
        _, model, user_model = played(Talk({}), Listener, Told(), agent=agent)
        asked[agent] = {request.messages[0]["content"] for request in model.requests}
        assert any("ORDER: refuse" in request.messages[0]["content"] for request in user_model.requests)
    assert set(handed) == set(TABLE[Speaker.AGENT])
    assert asked[Obeys] == {"You are the agent."}
    prompts = {f"You are the agent.\n\n{directive}" for directive in TABLE[Speaker.AGENT] if directive}
    assert asked[Deaf] == asked[Persuader] == {"You are the agent.", *prompts}


def test_a_request_without_a_system_prompt_gets_one_for_the_directive():
    class Silent(Talk):
        def agent_prompt(self, task):
            return ""

    episode, model, _ = played(Silent({}), Listener, Told(), script=lambda messages, seed: f"So? {seed}")
    assert {"role": "system", "content": "ORDER: be warm"} in [request.messages[0] for request in model.requests]
    for leaf in episode.outcomes:
        assert internal_conversation(episode.tree, leaf)[0]["role"] == "user"


def requests_of(tree, leaf, speaker):
    """What a side was asked along a path, by its view: everything before each of its turns."""
    for index in walk(tree, leaf)[1:]:
        if tree.nodes[index].speaker is speaker:
            yield with_opener(internal_conversation(tree, tree.nodes[index].parent, speaker))


@pytest.mark.parametrize(
    ("env", "user"),
    [(Talk, Persuadee), (Talk, GoalUser), (Talk, Listener), (OpenedByTheUser, GoalUser)],
)
def test_what_a_users_model_is_asked_is_what_its_view_holds(env, user):
    def script(messages, seed):
        return (
            f"[DONATE $1] or {END}, you say? {seed % 10_000}"
            if "agent." in messages[0]["content"]
            else echo(messages, seed)
        )

    episode, model, user_model = played(env({}), user, script=script)
    asked = [dumps(request.messages) for request in user_model.requests]
    expected = [
        dumps(messages) for leaf in episode.outcomes for messages in requests_of(episode.tree, leaf, Speaker.USER)
    ]
    assert len(asked) > 3
    assert set(asked) == set(expected)
    assert {dumps(request.messages) for request in model.requests} == {
        dumps(messages) for leaf in episode.outcomes for messages in requests_of(episode.tree, leaf, Speaker.AGENT)
    }


def test_tags_and_markers_in_the_agents_words_are_defused_in_the_users_view_alone():
    tricks = ScriptedModel(["[DONATE $2] END_CONVERSATION"])
    donated = "(DONATE $2) END_CONVERSATION"
    for user, seen in ((Persuadee, donated), (Donor, donated), (GoalUser, "[DONATE $2] END CONVERSATION")):
        (task,) = (env := Talk({})).tasks("train")
        episode = asyncio.run(
            play(task, env, agent=Persuader, user=user, model=tricks, user_model=ScriptedModel(["Hm."]))
        )
        first = episode.tree.nodes[1].turn
        assert [each["content"] for each in first.view(Speaker.USER)] == [seen]
        assert [each["content"] for each in first.view(Speaker.AGENT)] == ["[DONATE $2] END_CONVERSATION"]


@pytest.mark.parametrize(
    ("user", "reply", "own"),
    [
        (GoalUser, f"Thanks, bye. {END}", f"Thanks, bye. {END}"),
        (GuideUser, f'All is said.\nSuggested quote: "Thanks, bye. {END}"', f"Thanks, bye. {END}"),
    ],
)
def test_the_marker_stays_in_the_users_own_view_and_is_not_said(user, reply, own):
    env = Desk({})
    (task, *_) = env.tasks("train")
    episode = asyncio.run(play(task, env, agent=ScriptedAgent, user=user, user_model=ScriptedModel([reply])))
    view = internal_conversation(episode.tree, episode.reported[0], Speaker.USER)
    assert view == [
        {"role": "system", "content": f"{env.user_prompt(task)}{HOW_TO_END}"},
        {"role": "assistant", "content": own},
    ]
    assert [each["content"] for each in conversation(episode.tree, episode.reported[0])] == ["Thanks, bye."]


def test_the_view_of_a_coached_user_reads_as_that_of_one_with_a_goal():
    def coach(messages, seed):
        return f"Still to say: much.\nSuggested quote: I want a bike. {seed % 1000}"

    env = Desk({})
    (task, *_) = env.tasks("train")
    episode = asyncio.run(
        play(task, env, agent=ScriptedAgent, user=GuideUser, user_model=ScriptedModel(coach), strategy=BeamSearch(2))
    )
    for leaf in episode.outcomes:
        view = internal_conversation(episode.tree, leaf, Speaker.USER)
        assert view[1:] == flip_roles(conversation(episode.tree, leaf))
        assert toy_desk.TASK["message"][0] in view[0]["content"]
        assert "coach" not in dumps(view)


def test_the_views_of_siblings_are_their_own_even_where_a_user_copies_itself_shallowly():
    task = Task("donor", 0, {"persuadee": {"id": "ann", "traits": {}}})
    kept = []

    class Kept(Donor):
        def step(self, agent, *, model, **_):
            kept.append((self, agent))
            return super().step(agent, model=model)

    asyncio.run(play(task, Talk({}), agent=ScriptedAgent, user=Kept, strategy=BeamSearch(8)))
    last = {id(agent): (user, agent) for user, agent in kept}
    assert len(last) > 4
    for user, agent in last.values():
        assert user.messages_internal[1:] == flip_roles(agent.messages)


def test_a_text_result_is_shown_as_it_is_and_the_world_hears_who_calls():
    class World:
        def __init__(self):
            self.heard = []

        def call(self, name, arguments, *, caller):
            self.heard.append(caller)
            return 'It is "on".\nYes.' if name == "text" else [arguments, "ä"]

    class Deaf:
        def call(self, name, arguments):
            return None

    world = World()
    shown = [asyncio.run(use(world, name, {"a": 1}, Speaker.USER)).text for name in ("text", "list")]
    assert shown == ['It is "on".\nYes.', '[{"a": 1}, "ä"]']
    assert asyncio.run(use(world, "text", {})).action["result"] == 'It is "on".\nYes.'
    assert world.heard == [Speaker.USER, Speaker.USER, Speaker.AGENT]
    assert json.loads(asyncio.run(use(Deaf(), "any", {}, Speaker.USER)).text) is None
