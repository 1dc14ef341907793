"""The driver: the order of replies, isolation, failures, limits."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from josh.branch import Branch
from josh.dialogue import Outcome, Speaker
from josh.driver import Search
from josh.errors import FatalError
from josh.forking import default_fork
from josh.messages import same_words
from josh.models.chat import Sampling
from josh.models.gateway import ModelGateway
from josh.models.turn_model import BoundModel
from josh.outcomes import final_outcome
from josh.roles import BaseJOSHAgent, BaseJOSHUser, BaseRewards, fork
from josh.seeds import derive
from josh.strategies.beam import BeamSearch
from josh.strategies.rollouts import Rollouts
from josh.testing import ScriptedModel
from josh.threads import in_thread
from josh.tree import plant


@dataclass
class ByPlace:
    """A cast whose turns follow from their place in the tree, and which takes its time."""

    delays: object = None
    seen: list = field(default_factory=list)
    leaves_at: tuple = ()
    give_up_at: tuple = ()
    acts: object = None

    async def pause(self):
        if self.delays is not None:
            for _ in range(next(self.delays)):
                await asyncio.sleep(0)

    async def agent_step(self, branch, place):
        await self.pause()
        number = derive(place.path, place.depth) % 7
        branch.agent.add_message({"role": "assistant", "content": f"{place.path}@{place.depth}"})
        branch.agent.recent_actions = self.acts(place) if self.acts else ["abc"[number]] if number < 3 else []
        return branch.agent, None if f"{place.path}@{place.depth}" in self.give_up_at else True

    async def user_step(self, branch, place):
        await self.pause()
        self.seen.append(branch.world)
        if branch.world is not None:
            branch.world.append(place.path)
        branch.agent.add_message({"role": "user", "content": "hm"})
        return branch.agent, derive(place.path, place.depth, "leave") % 9 == 0 or place.path in self.leaves_at

    def add_error_message(self, agent, *, silent, tries):
        return agent


def search(strategy, cast, goals=("a", "b", "c"), world=None, parallel=True, rewards=None):
    rewards = rewards or BaseRewards(goals)
    root = Branch(BaseJOSHAgent(), BaseJOSHUser(), world, rewards)
    return Search(strategy, cast, plant(goals), root, max_turn_tries=3, parallel=parallel)


def play(playing, phases=12):
    async def advance():
        for _ in range(phases):
            if playing.done:
                break
            await playing.advance()

    asyncio.run(advance())
    return playing.tree


@settings(max_examples=60, deadline=None)
@given(
    beam_size=st.integers(2, 8),
    goals=st.lists(st.sampled_from("abc"), min_size=1, max_size=4),
    delays=st.lists(st.integers(0, 5), min_size=400, max_size=400),
)
def test_the_order_of_replies_is_irrelevant(beam_size, goals, delays):
    at_once = play(search(BeamSearch(beam_size), ByPlace(), goals, parallel=False))
    whenever = play(search(BeamSearch(beam_size), ByPlace(iter(delays)), goals))
    assert whenever == at_once
    siblings = [node.turn.messages for node in at_once.nodes if node.depth == 1]
    assert siblings[0] != siblings[1], "siblings that are alike would hide a wrong order"


def test_every_branch_has_a_world_of_its_own():
    cast = ByPlace(acts=lambda place: [])
    play(search(BeamSearch(4), cast, world=[]), phases=4)
    assert sorted(map(tuple, cast.seen[-4:])) == [("0", "0/0"), ("0", "0/1"), ("1", "1/0"), ("1", "1/1")]


def test_rollouts_spend_goals_of_their_own():
    cast = ByPlace(acts=lambda place: ["a"] if place.depth == 1 or place.path == "1" else [])
    tree = play(search(Rollouts(2), cast, ("a", "a")), phases=3)
    last = {node.path: node.open for node in tree.nodes}
    assert (last["0"], last["1"]) == (("a",), ())


def test_a_fork_that_fails_costs_its_leaf_alone():
    class Fragile(BaseJOSHUser):
        forks = 0

        def fork(self):
            type(self).forks += 1
            if type(self).forks == 1:
                raise RuntimeError("no twin")
            return self

    playing = search(BeamSearch(2), ByPlace(acts=lambda place: []))
    playing.branches[0].user = Fragile()
    tree = play(playing, phases=1)
    assert [node.turn.outcome for node in tree.nodes[1:]] == [Outcome.INFRA_ERROR, Outcome.ALIVE]
    assert tree.nodes[1].turn.error == "RuntimeError: no twin"


def test_rewards_that_name_a_closed_goal_cost_the_leaf():
    class Inventive(BaseRewards):
        def is_reward(self, actions):
            return True, ["made up"]

    tree = play(search(BeamSearch(1), ByPlace(), rewards=Inventive(["a"]), goals=("a",)), phases=1)
    assert tree.nodes[1].turn.error == "ValueError: Inventive.is_reward() named 'made up', which is not an open goal"


def test_leaves_stand_as_they_ended():
    cast = ByPlace(leaves_at=("0",), give_up_at=("1/0@3",), acts=lambda place: ["a"] if place.path == "1/1/1" else [])
    tree = play(search(BeamSearch(2), cast, ("a",)), phases=6)
    stands = {node.path: final_outcome(tree, index) for index, node in enumerate(tree.nodes)}
    assert stands["0"] is Outcome.USER_LEFT
    assert stands["1/0"] is Outcome.LOST


def test_the_first_failure_that_ends_a_run_cancels_the_siblings():
    cancelled = []

    class Refused(ByPlace):
        async def agent_step(self, branch, place):
            if place.path == "0":
                raise FatalError("the key was refused")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(place.path)
                raise

    with pytest.raises(FatalError):
        play(search(BeamSearch(2), Refused()))
    assert cancelled == ["1"]


class Slotted:
    __slots__ = ("notes",)


class Notes(list):
    pass


class Book(dict):
    pass


class HalfSlotted(BaseJOSHAgent):
    __slots__ = ("mood",)


class Rebuilt(BaseJOSHAgent):
    def __setstate__(self, state):
        self.__dict__.update(state, rebuilt=True)


def test_isolation_leaves_nothing_of_a_thing_out():
    agent = HalfSlotted([{"role": "user", "content": "hi"}])
    agent.mood = "fine"
    assert default_fork(agent).mood == "fine"
    assert default_fork(Rebuilt()).rebuilt
    agent = BaseJOSHAgent([{"role": "user", "content": "hi"}])
    agent.messages_internal = agent.messages
    agent.turns, agent.name = 3, "one"
    twin = default_fork(agent)
    twin.add_message({"role": "assistant", "content": "one"})
    assert twin.messages is twin.messages_internal
    assert (len(agent.messages), twin.turns, twin.name) == (1, 3, "one")


@pytest.mark.parametrize("make", [Slotted, Notes, Book, dict, list])
def test_isolation_reaches_every_kind_of_thing(make):
    thing = make()
    if make is Slotted:
        thing.notes = [[]]
        default_fork(thing).notes[0].append(1)
        assert thing.notes == [[]]
    elif isinstance(thing, dict):
        thing["a"] = []
        fork(thing)["a"].append(1)
        assert thing == {"a": []}
    else:
        thing.append([])
        fork(thing)[0].append(1)
        assert thing == [[]]


def test_isolation_honours_a_class_that_copies_itself():
    class Own(BaseJOSHAgent):
        def __deepcopy__(self, memo):
            return "copied by itself"

    assert fork(Own()) == "copied by itself"


def test_what_is_shared_is_shared_wherever_it_is_referred_to():
    class Sharing(BaseJOSHAgent):
        shared = ("table",)

        def __init__(self):
            super().__init__()
            self.table = {"row": 1}
            self.view = [self.table]

    agent = Sharing()
    assert fork(agent).view[0] is agent.table
    assert fork(agent).view is not agent.view


@pytest.mark.parametrize(("error", "raised"), [(StopIteration("end"), RuntimeError), (KeyError("x"), KeyError)])
def test_what_a_thread_raises_arrives(error, raised):
    def fail():
        raise error

    with pytest.raises(raised):
        asyncio.run(in_thread(fail))


# Seeds and the limit on calls in flight


def test_every_request_of_every_place_has_its_own_seed_and_the_same_one_every_time():
    async def seeds(run):
        found = []
        for path in ("", "0", "1"):
            for depth in (1, 2):
                for speaker in Speaker:
                    from josh.branch import TurnContext

                    model = ScriptedModel(["yes"])
                    line = BoundModel(model, Sampling(), TurnContext(path, depth, speaker), ModelGateway(1), *run)
                    for _ in range(3):
                        await line.reply([{"role": "user", "content": "hi"}])
                    found += [request.seed for request in model.requests]
        return found

    first = asyncio.run(seeds((1, "task")))
    assert len(set(first)) == len(first) == 36
    assert asyncio.run(seeds((1, "task"))) == first
    assert not set(asyncio.run(seeds((2, "task")))) & set(first)
    assert not set(asyncio.run(seeds((1, "other")))) & set(first)


class Mumbler(BaseJOSHAgent):
    """Says the same twice as long as its seeds are even."""

    def step(self, *, model):
        seed = model.draw()
        self.add_message({"role": "assistant", "content": "again" if self.always or seed % 2 else f"seed {seed}"})
        self.recent_actions = []
        return True

    always = False


class Parrot(Mumbler):
    always = True


class Lines:
    """A cast that hands every step a line, and lets the user nod."""

    def __init__(self):
        self.taken = []

    def agent_step(self, branch, place):
        self.taken.append((place.path, place.draws))
        line = BoundModel(ScriptedModel(["yes"]), Sampling(), place, ModelGateway(1), 4, "task")
        return branch.agent, branch.agent.step(model=line)

    def user_step(self, branch, place):
        branch.agent.add_message({"role": "user", "content": "hm"})
        return branch.agent, False

    def add_error_message(self, agent, *, silent, tries):
        return agent


def searched(agent, resample=True, strategy=None):
    root = Branch(agent, BaseJOSHUser(), None, BaseRewards(["never"]))
    cast = Lines()
    strategy = strategy or BeamSearch(8)
    playing = Search(strategy, cast, plant(["never"]), root, max_turn_tries=3, parallel=True, resample=resample)
    return play(playing, 6), cast


def siblings(tree):
    """The agent's turns that were taken fresh from the same parent."""
    families = {}
    for node in tree.nodes[1:]:
        if node.speaker is Speaker.AGENT:
            families.setdefault(node.parent, []).append(node.turn)
    return [family for family in families.values() if len(family) > 1]


def test_a_turn_that_repeats_its_sibling_is_taken_once_more_with_another_seed():
    first, _ = searched(Mumbler(), resample=False)
    copies = [two.messages for one, two in siblings(first) if one.messages == two.messages]
    assert copies
    second, cast = searched(Mumbler())
    assert len(cast.taken) > len(first.nodes) // 2
    assert any(draws == 1 for _, draws in cast.taken)
    for one, two in siblings(second):
        assert two.duplicate == (one.messages == two.messages)
        assert one.seed != two.seed
    assert sum(one.messages == two.messages for one, two in siblings(second)) < len(copies)


def test_a_turn_that_repeats_its_sibling_again_is_kept_and_flagged():
    tree, cast = searched(Parrot())
    assert [(one.duplicate, two.duplicate) for one, two in siblings(tree)] == [(False, True)] * 7
    assert sum(draws == 1 for _, draws in cast.taken) == 7
    assert max(draws for _, draws in cast.taken) == 1


def test_a_second_try_that_fails_leaves_the_first_and_its_error():
    class Fragile(Parrot):
        def step(self, *, model):
            super().step(model=model)
            if model.context.draws > 1:
                raise RuntimeError("no luck")
            return True

    tree, _ = searched(Fragile())
    assert [(two.duplicate, two.outcome, two.error) for _, two in siblings(tree)] == [
        (True, Outcome.ALIVE, "RuntimeError: no luck")
    ] * 7


def test_plain_searches_and_agents_without_seeds_are_asked_once():
    tree, cast = searched(Parrot(), resample=False)
    assert not any(node.turn.duplicate for node in tree.nodes)
    assert all(draws == 0 for _, draws in cast.taken)

    class Deaf(BaseJOSHAgent):
        def step(self, *, model):
            return super().step()

    tree, cast = searched(Deaf())
    assert len(cast.taken) == sum(node.speaker is Speaker.AGENT for node in tree.nodes[1:])
    assert sum(node.turn.duplicate for node in tree.nodes) == 7


def test_ids_that_a_server_makes_up_do_not_tell_tool_calls_apart():
    def calling(number, name):
        call = {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        return [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "none"},
        ]

    assert same_words(calling(1, "find"), calling(2, "find"))
    assert not same_words(calling(1, "find"), calling(1, "book"))
    assert not same_words(calling(1, "find"), calling(1, "find")[:1])
    assert not same_words([{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}])
