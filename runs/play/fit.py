"""Refuses plug-ins that can never earn a reward together, before the first call.

Five rules, each about what the classes declare:

1. Rewards that read a tag in the user's words need a user that writes it.
2. A user that decides by a tag needs rewards that read it.
3. Goals that only calls of tools meet need an agent that calls tools.
4. Goals that a world's own rewards read are never equal to an action of josh's agents.
5. A search that asks the rewards for the value of a conversation needs rewards that have one.

Only josh's own classes are refused, and never where a person plays: a plug-in from elsewhere may do what its base class
does not.
"""

import re
from typing import Any

from josh.errors import UsageError
from josh.messages import dumps
from josh.roles import BaseRewards, Task
from josh.runs.play.runtime import Runtime
from josh.runs.registry import ROLLOUTS, PlugIn, class_of, default_of, import_path, label_of, rewards_class
from josh.strategies.growing import JUDGE, VALUES
from josh.tags import RewardTag

OWN = "josh."
"""The beginning of the import paths of josh's own classes."""


def is_own(kind: Any) -> bool:
    """Returns whether a class is josh's own."""
    return import_path(kind).startswith(OWN)


def label_of_side(runtime: Runtime, side: str) -> str:
    """Returns the name of the agent or user of a run: the chosen one, or the world's default."""
    chosen = getattr(runtime.settings, side)
    return chosen.name or label_of(default_of(runtime.env, side, chosen.model))


def check_fit(runtime: Runtime) -> None:
    """Raises UsageError where no conversation of a run can earn a reward; see the rules above."""
    rewards, env, people = runtime.rewards_type, runtime.env, runtime.settings.people
    _check_value(runtime)
    agent_is_own = is_own(runtime.agent_type) and "agent" not in people
    users_are_own = all(is_own(runtime.user_type(task)) for task in runtime.tasks) and "user" not in people
    if not is_own(rewards):
        return
    world = f"env {runtime.settings.env.name!r}"
    chosen = runtime.settings.rewards.name or label_of(env.rewards)
    if is_own(type(env)) and users_are_own:
        tag = rewards.tag
        if tag is not None and not any(_may_write(runtime, task, tag) for task in runtime.tasks):
            raise UsageError(
                f"rewards {chosen!r} read {tag.write(tag.high)} in the user's words, and user "
                f"{label_of_side(runtime, 'user')!r} never writes it in {world}; give other --rewards"
            )
        tag = next((kind.writes for kind in map(runtime.user_type, runtime.tasks) if kind.writes is not None), None)
        unread = tag is not None and tag not in (rewards.tag, env.tag) and runtime.judge_model is None
        if tag is not None and unread and agent_is_own:
            raise UsageError(
                f"user {label_of_side(runtime, 'user')!r} decides by {tag.write(tag.high)}, which rewards {chosen!r} "
                f"of {world} do not read; give another --user"
            )
    if not agent_is_own or not any(runtime.goals(task) for task in runtime.tasks):
        return
    agent = label_of_side(runtime, "agent")
    if rewards.needs_calls and not runtime.agent_type.calls_tools and runtime.judge_model is None:
        raise UsageError(
            f"agent {agent!r} calls no tools, and only calls meet the goals of {world}; give another --agent"
        )
    if rewards is BaseRewards and is_own(type(env)) and rewards_class(PlugIn(), env) is not BaseRewards:
        raise UsageError(
            f"rewards {chosen!r} need an action that equals a goal, and no action of agent {agent!r} does in {world}; "
            f"give other --rewards, such as {label_of(env.rewards)!r}"
        )


def _check_value(runtime: Runtime) -> None:
    """Raises UsageError where one of josh's searches goes by the rewards' value, and the rewards have none."""
    search, rewards = runtime.settings.strategy, runtime.rewards_type
    if search.config.get("value") != JUDGE or not is_own(class_of("strategy", search.name or ROLLOUTS)):
        return
    if getattr(rewards, "value", BaseRewards.value) is BaseRewards.value:
        chosen = runtime.settings.rewards.name or label_of(runtime.env.rewards)
        ways = " or ".join(one for one in VALUES if one != JUDGE)
        raise UsageError(f"strategy.value is {JUDGE!r}, but rewards {chosen!r} have no value(); give {ways}")


def _may_write(runtime: Runtime, task: Task, tag: RewardTag) -> bool:
    """Returns whether a task's user may write a tag: it decides by it, or its task or instructions name it."""
    if tag in (runtime.user_type(task).writes, runtime.env.tag):
        return True
    read = f"{runtime.env.user_prompt(task)} {dumps(task.data)}"
    # The tag's words are also common words, so they count behind a bracket or in capital letters.
    return any(re.search(rf"(?i:\[\s*{word}\b)|\b{word.upper()}\b", read) for word in map(re.escape, tag.words))
