"""What josh relies on, over the double and, where `JOSH_TEST_TAU2` names a checkout, over the real package.

The expected values come from the package itself: real deep copies, its hashes, and its evaluator.
"""

import contextlib
import copy
from random import Random

import pytest
from tau2_installed import DOUBLE, REAL, installed

from josh.dialogue import Outcome, Speaker
from josh.envs.tau2.domain import Domain
from josh.envs.tau2.env import Tau2Env
from josh.envs.tau2.events import ASSISTANT, USER, Called, Said
from josh.envs.tau2.judge import Judge
from josh.envs.tau2.overlay import LARGE, forked, same_state
from josh.envs.tau2.package import tau2
from josh.roles import ToolError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # those of the package
SPEAKERS = {ASSISTANT: Speaker.AGENT, USER: Speaker.USER}
SPLITS = {"mock": "base", "retail": "base", "telecom": "small"}


@pytest.fixture(scope="module", params=[DOUBLE, REAL])
def package(request):
    with installed(request.param) as kind:
        yield kind


@pytest.fixture(scope="module", params=["mock", "retail", "telecom"])
def world_of(request, package):
    if package == DOUBLE and request.param == "telecom":
        pytest.skip("the double has two domains")
    env = Tau2Env({"env.domain": request.param, "env.keep_nothing": True})
    return env, env.tasks(SPLITS[request.param])[:25]


def actions_of(task):
    return (task.data["task"].get("evaluation_criteria") or {}).get("actions") or []


def spoiled(arguments, chance):
    """Arguments of which one may be wrong."""
    if not arguments or chance.random() < 0.6:
        return arguments
    name = chance.choice(sorted(arguments))
    return {**arguments, name: f"{arguments[name]}x"}


def hashes(environment):
    return environment.get_db_hash(), environment.get_user_db_hash()


def asked(environment, action, arguments):
    call = {"id": "1", "name": action["name"], "arguments": arguments, "requestor": action.get("requestor", ASSISTANT)}
    answer = environment.get_response(tau2("data_model.message").ToolCall(**call))
    return answer.content, answer.error


def test_a_fork_behaves_as_a_deep_copy_and_leaves_its_origin_alone(world_of):
    env, tasks = world_of
    chance = Random(1)
    domain = Domain(env.config.domain)
    before = hashes(domain.pristine)
    for task in tasks:
        fork = env.world(task).environment
        deep = copy.deepcopy(fork)
        for action in actions_of(task):
            arguments = spoiled(action["arguments"], chance)
            parent, fork = fork, forked(fork)
            old = hashes(parent)
            assert asked(fork, action, arguments) == asked(deep, action, arguments)
            assert hashes(fork) == hashes(deep)
            assert hashes(parent) == old
            assert same_state(parent, fork) == (hashes(parent) == hashes(fork))
            asked(parent, action, action["arguments"])  # the parent writes after the fork, which must not show in it
            assert hashes(fork) == hashes(deep)
    assert hashes(domain.pristine) == before


def played(env, task, chance, slip):
    """Golden actions, each skipped or spoilt with a probability; then the user stops. Returns the last observation."""
    world = env.world(task)
    for action in actions_of(task):
        if chance.random() < slip:
            continue
        world = world.fork()
        arguments = spoiled(action["arguments"], chance) if slip else action["arguments"]
        with contextlib.suppress(ToolError):
            world.call(action["name"], arguments, SPEAKERS[action.get("requestor", ASSISTANT)])
    words = (task.data["task"].get("evaluation_criteria") or {}).get("communicate_info") or []
    said = [one for one in words if chance.random() >= slip]
    world.follow(Speaker.AGENT, [{"role": "assistant", "content": " ".join(said)}] if said else [], False)
    world.follow(Speaker.USER, [{"role": "user", "content": "###STOP###"}], True)
    return world, world.observe()


def test_rewards_are_those_of_the_evaluator_for_wins_and_losses_alike(world_of):
    env, tasks = world_of
    chance = Random(2)
    seen = []
    for task in tasks:
        for slip in (0.0, 0.4):
            world, found = played(env, task, chance, slip)
            judge = world._judge
            basis = judge.basis
            try:
                expected = judge.evaluated(world.events)
            except ValueError:  # it asks about a row that does not exist
                expected = 0.0
            messages = judge.messages(world.events)
            for part, name in (("COMMUNICATE", "Communicate"), ("ACTION", "Action")):
                if part in basis:
                    evaluator = getattr(tau2(f"evaluator.evaluator_{name.lower()}"), f"{name}Evaluator")
                    expected *= evaluator.calculate_reward(task=judge.task, full_trajectory=messages).reward
            assert found["reward"] == expected, task.id
            assert found.get("confirmed", True) is True
            seen.append(expected)
    assert {0.0, 1.0} == set(seen)


def test_a_task_is_the_same_every_time_it_is_read(world_of):
    env, tasks = world_of
    again = Tau2Env({"env.domain": env.config.domain, "env.keep_nothing": True}).tasks(SPLITS[env.config.domain])
    assert [task.data for task in tasks] == [task.data for task in again[:25]]


def test_the_prompts_and_tools_are_those_of_the_package(world_of):
    env, tasks = world_of
    task = tasks[0]
    domain = Domain(env.config.domain)
    assert domain.pristine.get_policy() in env.agent_prompt(task)
    told = task.data["task"]["user_scenario"]["instructions"]
    assert (told if isinstance(told, str) else told["reason_for_call"]) in env.user_prompt(task)
    assert {one["function"]["name"] for one in env.tools(task)} == set(domain.pristine.tools.get_tools())
    if domain.pristine.user_tools is None:
        assert env.user_tools(task) == []
    else:
        assert {one["function"]["name"] for one in env.user_tools(task)} <= set(domain.pristine.user_tools.get_tools())


def test_doing_nothing_wins_where_the_evaluator_says_so(world_of):
    env, tasks = world_of
    for task in tasks:
        judge = env.world(task)._judge
        try:
            state = judge.evaluated([Said(USER, "###STOP###")])
        except ValueError:
            state = 0.0
        if not {"COMMUNICATE", "ACTION"} & judge.basis:
            assert task.data["nothing"] == (state == 1), task.id
        assert task.data["nothing"] <= (state == 1)


def test_large_domains_reach_rows_by_key(package):
    """A tool that changes a row which a loop handed out would change all forks; each tool is tried on a fork."""
    for name in sorted(LARGE & {"retail"}):
        pristine = Domain(name).pristine
        before = hashes(pristine)
        for task in Tau2Env({"env.domain": name, "env.keep_nothing": True}).tasks("base"):
            fork = forked(pristine)
            for action in actions_of(task):
                asked(fork, action, action["arguments"])
        assert hashes(pristine) == before


def test_limits_end_a_conversation_by_the_rules_of_the_benchmark(package):
    env = Tau2Env({"env.domain": "mock", "env.max_errors": 2, "env.max_steps": 6, "env.keep_nothing": True})
    task = env.tasks("base")[0]
    world = env.world(task)
    for _ in range(2):
        with pytest.raises(ToolError, match="not found"):
            world.call("no_such_tool", {}, Speaker.AGENT)
    assert world.follow(Speaker.AGENT, [], False) is Outcome.LOST
    assert world.observe()["ended"] == "too_many_errors"
    world = env.world(task)
    talk = [{"role": "assistant", "content": "Hello."}]
    assert [world.follow(Speaker.AGENT, talk, False) for _ in range(6)] == [None] * 5 + [Outcome.TRUNCATED]
    assert world.observe() == {"ended": "max_steps"}


class Counting(Judge):
    """Counts how often the evaluator is asked, and may answer in its place."""

    def __init__(self, judge, answer=None):
        super().__init__(judge.domain, judge.task, judge.row, judge.start, judge.gold)
        self.asked, self.answer = 0, answer

    def evaluated(self, events):
        self.asked += 1
        return super().evaluated(events) if self.answer is None else self.answer


def test_a_win_that_the_evaluator_denies_is_no_win(package, caplog):
    env = Tau2Env({"env.domain": "mock", "env.keep_nothing": True})
    world, won = played(env, env.tasks("base")[0], Random(3), 0.0)
    assert (won["reward"], won["confirmed"]) == (1, True)
    verdict = Counting(world._judge, answer=0.0).claim(world.environment, world.events)
    assert (verdict.reward, verdict.confirmed) == (0, False)
    assert all(verdict.parts.values())
    assert "does not confirm a claimed win; it counts as lost" in caplog.text


def test_calls_that_change_nothing_are_confirmed_once(package):
    env = Tau2Env({"env.domain": "retail", "env.keep_nothing": True})
    world, _ = played(env, env.tasks("base")[0], Random(4), 0.0)
    judge, events = Counting(world._judge), world.events
    for more in ([], [Said(ASSISTANT, "Bye."), Said(USER, "Bye.")]):
        assert judge.claim(world.environment, [*events, *more]).reward == 1
    assert judge.asked == 1
    reads = [one for one in events if isinstance(one, Called) and not judge.start.tools.tool_mutates_state(one.name)]
    assert judge.claim(world.environment, [*reads, *events]).reward == 1
    assert judge.asked == 1
