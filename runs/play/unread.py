"""Settings that nothing reads: they are refused where they are given, so that nobody believes that they count.

1. `unread` names the settings that no part of one run reads, each with the reason and the way out.
2. `refuse_unread` refuses a given setting that no run of a command reads. An evaluation or a loop has several runs, and
   a setting counts where one of them reads it.

Recorded settings and defaults from environment variables are never refused: only what flags and TOML file give now. A
class that is not josh's own may read any setting of its side, because plug-ins get the settings of the run.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from josh.allowance import TURNS
from josh.calls import keyword_parameters
from josh.config import shown
from josh.dialogue import Speaker
from josh.errors import UsageError
from josh.models.hf_loading import is_local
from josh.runs.play.fit import OWN, check_fit, is_own, label_of_side
from josh.runs.play.runtime import Runtime
from josh.runs.record.prices import read_prices
from josh.runs.registry import OFFLINE, env_class, label_of
from josh.runs.settings import LOCAL, RAY, RunSettings, core

_LOCAL = ("dtype", "load_in_4bit", "batch_size", "torch_threads")
"""Settings that only models on this machine read."""
_CALLS = ("requests_per_minute", "single_replies", "timeout", "max_attempts", "max_retry_seconds", "keep_samples")
"""Settings that only calls of chat models read."""
_PREFIXES = {"agent": "", "user": "user_", "judge": "judge_"}
_HF = "hf:FOLDER"


def unread(runtime: Runtime) -> dict[str, str]:
    """Returns the settings that nothing in a run reads, by flag, each with the reason and the way out.

    The setting `price` is left out, because its entries count one by one; see `_require_priced`.
    """
    of_world = getattr(runtime.env, "unread", None)  # a plug-in need not inherit from BaseEnv
    found: dict[str, str] = dict(of_world()) if callable(of_world) else {}
    found |= _of_workers(runtime.settings.workers.executor)
    found |= unread_by_rewards(runtime.settings, runtime.rewards_type)
    asked = {side: _asked(runtime, side) for side in _PREFIXES}
    for side, models in asked.items():
        found |= _of_side(runtime, side, models)
    every = [name for models in asked.values() for name in models]
    if not any(map(is_local, every)):
        found |= dict.fromkeys(_LOCAL, f"no model is on this machine; leave it out, or give --model {_HF}")
    if runtime.settings.limits.budget_per_task is None:
        found["budget_unit"] = "there is no budget; leave it out, or give --budget_per_task"
    if not every and not any(_foreign(runtime, side) for side in ("agent", "user")):
        found |= dict.fromkeys(_CALLS, "no side asks a chat model; leave it out, or give --model")
        if runtime.settings.limits.budget_unit != TURNS:
            found["budget_unit"] = f"no side asks a chat model; give {TURNS}, or give --model"
    return found


def _of_workers(executor: str) -> dict[str, str]:
    found = {"workers": "the tasks are played in this process; leave it out, or give --executor processes or ray"}
    found = found if executor == LOCAL else {}
    if executor != RAY:
        found["ray_address"] = f"the executor is {executor!r}; leave it out, or give --executor ray"
    return found


def unread_by_rewards(settings: RunSettings, rewards: Any) -> dict[str, str]:
    """Returns the settings of a rewards class that its other settings make irrelevant, as `unread` does."""
    named = getattr(rewards, "unread", None)  # a plug-in need not inherit from BaseRewards
    return dict(named(settings.rewards.config)) if callable(named) else {}


def unread_by_judge(settings: RunSettings, rewards: Any) -> dict[str, str]:
    """Returns the settings of the judge that nothing reads, as `unread` does.

    Args:
        settings: the settings of the run.
        rewards: the rewards class.
    """
    flags, model = _flags("judge"), settings.judge.model
    if model is None:
        flags.remove("judge_model")
        return dict.fromkeys(flags, "there is no judge; leave it out, or give --judge_model")
    if not _asks_judge(rewards):
        name = settings.rewards.name or label_of(env_class(str(settings.env.name)).rewards)
        return dict.fromkeys(flags, f"the rewards {name!r} ask no judge; leave it out, or give --rewards that do")
    return _of_model("judge", [] if model == OFFLINE else [model])


def refuse_unread(runtimes: Sequence[Runtime], given: Mapping[str, Any]) -> None:
    """Raises UsageError for the first given setting that no run of a command reads.

    Args:
        runtimes: the runs of the command.
        given: the settings that are given now, by flag.
    """
    if given:
        require_read(given, map(unread, runtimes))
        _require_priced(given.get("price"), {name for one in runtimes for name in one.names["models"]})


@contextmanager
def unread_first(
    given: Mapping[str, Any], make: Callable[[], Iterable[Runtime]], *, fit: bool = True
) -> Iterator[None]:
    """Where a run cannot be set up inside, name first a setting that nothing reads, or plug-ins that never earn.

    A missing key is one example: nobody should get a key for a model that no run asks.

    Args:
        given: the settings that are given now, by flag.
        make: makes the same runs with recorded models, which need neither a key nor a file.
        fit: check the plug-ins as well.

    Raises:
        UsageError: such a setting is found; else the error of the set-up.
    """
    try:
        yield
    except UsageError:
        if runs := _made(make):
            for one in runs if fit else ():
                check_fit(one)
            refuse_unread(runs, given)
        raise


def _made(make: Callable[[], Iterable[Runtime]]) -> list[Runtime]:
    try:
        return list(make())
    except UsageError:  # something else is wrong than the models
        return []


def require_read(given: Mapping[str, Any], unread_settings: Iterable[Mapping[str, str]]) -> None:
    """Raises UsageError for the first given setting that no run reads.

    Args:
        given: the settings that are given now, by flag. A switch that is given as off, in a TOML file, is not refused.
        unread_settings: the result of `unread` for each run of the command.
    """
    tables = list(unread_settings)
    for flag, value in given.items():
        if tables and value is not False and all(flag in table for table in tables):
            what = "given" if value is True else shown(value)
            raise UsageError(f"{flag} is {what}, but {tables[0][flag]}")


def _require_priced(price: str | None, models: Collection[str]) -> None:
    """Raises UsageError for an entry of the given `price` whose model is not among the models of the runs."""
    known = sorted(set(models) - {OFFLINE})
    for name in read_prices(price):
        if name not in known:
            if not known:
                raise UsageError(f"price is {price!r}, but no side asks a chat model; leave it out, or give --model")
            raise UsageError(f"price names {name!r}, which no side asks; the models are {', '.join(known)}")


def _asked(runtime: Runtime, side: str) -> list[str]:
    """Returns the names of the chat models that a side asks in some task."""
    if side == "judge":
        judge = runtime.judge_model
        return [judge.name] if judge is not None and judge.name != OFFLINE else []
    if side == "agent" and runtime.agent_to_come:
        return [_HF]
    speaker, found = Speaker(side), dict[str, None]()
    for task in runtime.tasks:
        if _may_ask(runtime.agent_type if side == "agent" else runtime.user_type(task)):
            found |= dict.fromkeys(runtime.asked_by(task, speaker))
    if side == "user":
        fresh = (one.model for one in runtime.fresh_users if one.model is not None and one.model.name != OFFLINE)
        found |= dict.fromkeys(model.name for model in fresh)
    return list(found)


def _of_side(runtime: Runtime, side: str, models: list[str]) -> dict[str, str]:
    settings = runtime.settings
    if side == "judge":
        return unread_by_judge(settings, runtime.rewards_type)
    if side in settings.people:
        return dict.fromkeys(_flags(side), f"a person plays the {side}; leave it out")
    if not models and getattr(settings, side).model == OFFLINE:
        return {} if _foreign(runtime, side) else _of_model(side, [])
    if not models:
        name = label_of_side(runtime, side)
        way = f"the {side} {name!r} asks no chat model; leave it out, or give another --{side}"
        return {flag: way for flag in _flags(side) if flag != "temperature"}
    return _of_model(side, models)


def _of_model(side: str, models: list[str]) -> dict[str, str]:
    """Returns the settings that nothing reads of a side with these chat models, or with none."""
    prefix = _PREFIXES[side]
    other = f"--{prefix}model"
    if not models:  # josh's own agents read the temperature without a model
        flags = [flag for flag in _flags(side) if flag not in (f"{prefix}model", "temperature")]
        return dict.fromkeys(flags, f"the {side} has no chat model; leave it out, or give {other}")
    if all(map(is_local, models)):
        return {f"{prefix}api_key_var": f"a model on this machine needs no key; leave it out, or give another {other}"}
    return {}


def _flags(side: str) -> list[str]:
    """Returns the flags of a side's chat model."""
    return [
        flag
        for flag, one in core().items()
        if one.path[:1] == (side,) and (len(one.path) > 2 or one.name in ("model", "base_url", "api_key_var"))
    ]


def _foreign(runtime: Runtime, side: str) -> bool:
    """Returns whether a class that is not josh's own plays a side in some task."""
    return not all(path.startswith(OWN) for path in str(runtime.names[side]).split(", "))


def _may_ask(kind: Any) -> bool:
    """Returns whether the class of an agent or user may ask its chat model."""
    asks = getattr(kind, "needs_model", False) or getattr(kind, "may_ask", False)
    return bool(asks) or not is_own(kind)


def _asks_judge(rewards: Any) -> bool:
    """Returns whether a rewards class takes a judge; see `BaseRewards.score`."""
    for name in ("score", "facts", "value"):
        method = getattr(rewards, name, None)
        if method is not None:
            takes = keyword_parameters(method)
            if takes is None or "judge" in takes:
                return True
    return False
