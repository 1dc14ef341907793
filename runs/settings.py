"""The settings of a run: one frozen dataclass, filled from flags, a TOML file, the environment and defaults."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.hf_loading import DTYPES

CHAT, LOCAL, OFFLINE = "chat", "local", "offline"
HUMAN = "human"
"""The agent, or the user, that is a person at the terminal."""
FIRST, BEST = "first", "best"


def _flag(default: Any, text: str, *aliases: str, free: bool = False) -> Any:
    """A setting; a free one changes no request and no result, so that a run may be resumed with another value."""
    return field(default=default, metadata={"help": text, "aliases": aliases, "free": free})


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What `josh run` can be told. None stands for a default that depends on other settings."""

    env: str = _flag("persuasion", "where tasks, prompts and goals come from")
    agent: str | None = _flag(None, "who learns (default: the environment's)", "agent_strategy")
    user: str | None = _flag(None, "who answers (default: the environment's)", "user_mode")
    rewards: str | None = _flag(None, "what counts (default: the environment's)")
    model: str = _flag(OFFLINE, "the agent's chat model, or `offline`")
    user_model: str | None = _flag(None, "the user's chat model, several by commas to rotate, or `offline` (default)")
    base_url: str | None = _flag(
        None, "address of the agent's model (default: OPENAI_BASE_URL, else OpenAI)", free=True
    )
    user_base_url: str | None = _flag(
        None, "address of the user's model; one for all, or one each by commas", free=True
    )
    api_key_var: str | None = _flag(
        None, "environment variable with the agent model's key (default: OPENAI_API_KEY)", free=True
    )
    user_api_key_var: str | None = _flag(
        None, "the same for the user's model; one for all, or one each by commas", free=True
    )
    josh: bool = _flag(False, "search with JOSH's beam instead of playing one conversation per task")
    beam_size: int = _flag(8, "most branches alive at once, with --josh")
    stop: str = _flag(FIRST, "with --josh: end at the `first` win, or play every branch to its end for the `best`")
    rollouts: int = _flag(1, "conversations per task, without --josh")
    temperature: float | None = _flag(None, "the agent's sampling temperature (default: 1 with --josh, else 0)")
    user_temperature: float = _flag(1.0, "the user's sampling temperature")
    top_p: float = _flag(1.0, "the agent's model draws from the fewest tokens that are this likely together")
    user_top_p: float = _flag(1.0, "the same for the user's model")
    min_p: float = _flag(0.0, "the agent's model draws from tokens so many times as likely as the likeliest, or more")
    user_min_p: float = _flag(0.0, "the same for the user's model")
    seed: int = _flag(10, "every random choice follows from it")
    task_split: str | None = _flag(None, "which tasks (default: the environment's first split)")
    start_index: int = _flag(0, "first task of the split to play")
    end_index: int = _flag(-1, "task to stop before; -1 for all")
    shuffle: bool = _flag(False, "shuffle the tasks, by the seed, before start and end index apply")
    max_convo_turns: int | None = _flag(None, "rounds after which a conversation is cut off (default: environment's)")
    josh_agent_tries: int = _flag(20, "most steps in one agent turn")
    max_concurrency: int = _flag(16, "most model calls in flight per endpoint, and most tasks at a time", free=True)
    requests_per_minute: float | None = _flag(None, "most model calls to begin per minute and endpoint", free=True)
    max_calls: int | None = _flag(None, "model calls after which the run stops; resume it with more", free=True)
    max_tokens_total: int | None = _flag(None, "the same in tokens, prompts and replies together", free=True)
    max_cost: float | None = _flag(None, "the same in US dollars", free=True)
    price: str | None = _flag(
        None, "dollars per million tokens as MODEL=PROMPT/REPLY, several by commas (default: litellm's)", free=True
    )
    single_replies: bool = _flag(False, "ask for every sibling's reply apart, instead of for several with n=2")
    corpus: str | None = _flag(None, "folder of the real corpus, or a task file made by `josh prepare`", free=True)
    data: str | None = _flag(None, "folder of the environment's own data, such as MultiWOZ for toolwoz", free=True)
    split_rule: str = _flag("convokit", "how the corpus is split: convokit, annotated or user_disjoint")
    synthetic_tasks: int | None = _flag(None, "made-up tasks per split, without a corpus (default: environment's)")
    include_bad: bool = _flag(False, "keep the corpus's dialogues that its authors marked as spoilt")
    min_reward: float = _flag(0.0, "smallest reward that counts as a win")
    dtype: str = _flag("auto", "numbers of a local model (hf:...): auto, float32, bfloat16 or float16")
    load_in_4bit: bool = _flag(False, "hold a local model's weights in 4 bits; needs CUDA and bitsandbytes")
    batch_size: int = _flag(64, "most replies that a local model makes at once", free=True)
    torch_threads: int | None = _flag(
        None, "threads that a local model works with (default: 1 for small ones, else torch's)", free=True
    )
    timeout: float = _flag(120.0, "seconds that one model call may take", free=True)
    task_timeout: float = _flag(3600.0, "seconds that one task may take", free=True)
    max_attempts: int = _flag(10, "most times that a failing model call is made", free=True)
    max_retry_seconds: float = _flag(300.0, "seconds in which a failing model call is made again", free=True)
    report_to: str = _flag(
        "none", "log the run's figures while it goes on: trackio, wandb or tensorboard, several by commas", free=True
    )
    log_dir: str = _flag("records", "where the run's folder is made", free=True)
    debug: bool = _flag(False, "show the traceback of every failed turn", free=True)
    josh_debug: bool = _flag(False, "say on stderr how every search goes", free=True)
    progress: bool = _flag(False, "show the progress bar even when stderr is no terminal", free=True)


NOT_FOR_PLAY = ("josh", "beam_size", "stop", "rollouts", "max_concurrency", "progress")
"""Settings that make no sense where a person has one conversation."""
FIELDS = {one.name: one for one in fields(RunSettings)}


def read_toml(path: Path, known: Mapping[str, Field[Any]] = FIELDS) -> dict[str, Any]:
    """Settings from a TOML file, by flag name. Raises UsageError, naming an unknown or ill-typed entry."""
    aliases = {alias: one.name for one in known.values() for alias in one.metadata["aliases"]}
    try:
        with path.open("rb") as file:
            raw = tomllib.loads(file.read().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    given: dict[str, Any] = {}
    for key, value in raw.items():
        name = key.replace("-", "_")
        name = aliases.get(name, name)
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise UsageError(f"{path}: no setting named {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if name in given:
            raise UsageError(f"{path}: {name} is given twice, once as {key!r}")
        given[name] = _typed(known[name], value, path)
    return given


def _typed(one: Field[Any], value: Any, path: Path) -> Any:
    name, kind = one.name, one.type
    kinds: tuple[type, ...] = (bool,) if kind is bool else (str,)
    if kind in (int, int | None):
        kinds = (int,)
    elif kind in (float, float | None):
        kinds = (int, float)
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds != (bool,)):
        raise UsageError(f"{path}: {name} is {value!r}; give a value of type {kinds[-1].__name__}")
    return float(value) if isinstance(value, int) and kinds == (int, float) else value


def recorded(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Settings from a run's `config.json`, by name. Raises UsageError, naming an unknown or ill-typed one."""
    unknown = next((name for name in settings if name not in FIELDS), None)
    if unknown is not None:
        raise UsageError(f"{path}: no setting named {unknown!r}")
    return {
        name: value if value is None is FIELDS[name].default else _typed(FIELDS[name], value, path)
        for name, value in settings.items()
    }


def resolve(given: Mapping[str, Any], env_defaults: Mapping[str, Any]) -> RunSettings:
    """Put settings together: what was given, else what the environment's variables say, else the default.

    Raises:
        UsageError: a value makes no sense, alone or with another.
    """
    return _checked(RunSettings(**{**env_defaults, **given}), given)


def again(before: Mapping[str, Any], given: Mapping[str, Any], where: Path) -> RunSettings:
    """The settings of a run to be resumed: the recorded ones, but for what changes nothing about its requests.

    Args:
        before: the recorded settings.
        given: what was given now.
        where: the run's folder.

    Raises:
        UsageError: a setting that has to stay as it was is given another value.
    """
    for name, value in given.items():
        was = before.get(name, FIELDS[name].default)
        if name == "log_dir":
            raise UsageError("log_dir is given; a run is resumed where it is, leave it out")
        if not FIELDS[name].metadata["free"] and was not in (value, absolute(value)):
            raise UsageError(
                f"{name} is {value!r}, and {was!r} in {where}; it changes what is asked: leave it out, or start a new "
                "run"
            )
    return _checked(RunSettings(**{**before, **given}), given)


def absolute(name: Any) -> Any:
    """A plug-in's `./file.py:Class` with the file's whole path; anything else as it is."""
    file, colon, kind = str(name).rpartition(":")
    return f"{Path(file).resolve()}:{kind}" if colon and file.endswith(".py") else name


def _checked(settings: RunSettings, given: Mapping[str, Any]) -> RunSettings:
    """Settings with the defaults that depend on others. Raises UsageError; `given` is what the user has just said."""
    empty = next((name for name, value in given.items() if value == ""), None)
    if empty:
        raise UsageError(f"{empty} is empty; give a value, or leave it out")
    if settings.temperature is None:
        settings = replace(settings, temperature=1.0 if settings.josh else 0.0)
    if settings.user_model is None:
        settings = replace(settings, user_model=OFFLINE)
    # Recorded so, a run can be resumed from anywhere.
    plug_ins = {name: absolute(getattr(settings, name)) for name in ("env", "agent", "user", "rewards")}
    settings = replace(settings, **plug_ins, corpus=_resolved(settings.corpus), data=_resolved(settings.data))
    settings = replace(settings, report_to=",".join(name.strip() for name in settings.report_to.split(",")))
    _check_ranges(settings)
    for address, model in (("base_url", "model"), ("user_base_url", "user_model")):
        if given.get(address) and getattr(settings, model) == OFFLINE:
            raise UsageError(f"{address} is given, but {model} is {OFFLINE!r}; give --{model} too")
    if settings.josh and settings.temperature == 0:
        raise UsageError("temperature is 0 with --josh; siblings would be copies of each other, give one above 0")
    if settings.stop not in (FIRST, BEST):
        raise UsageError(f"stop is {settings.stop!r}; give {FIRST} or {BEST}")
    if settings.stop == BEST and not settings.josh:
        raise UsageError(f"stop is {BEST!r} without --josh; plain conversations always end by themselves, add --josh")
    if settings.josh and settings.rollouts > 1:
        raise UsageError(f"rollouts is {settings.rollouts} with --josh; a search is one episode, leave one of them out")
    return settings


def _resolved(path: str | None) -> str | None:
    return path and str(Path(path).resolve())


def _check_ranges(settings: RunSettings) -> None:
    for name in ("temperature", "user_temperature", "min_reward", "start_index"):
        if not 0 <= getattr(settings, name) < inf:
            raise UsageError(f"{name} is {getattr(settings, name)}; give 0 or more")
    for name in ("top_p", "user_top_p"):
        if not 0 < getattr(settings, name) <= 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; give a share above 0, at most 1")
    for name in ("min_p", "user_min_p"):
        if not 0 <= getattr(settings, name) <= 1:
            raise UsageError(f"{name} is {getattr(settings, name)}; give a share from 0 to 1")
    counts = ("beam_size", "rollouts", "max_convo_turns", "josh_agent_tries", "max_concurrency", "synthetic_tasks")
    local = ("batch_size", "torch_threads")
    for name in (*counts, *local, "max_calls", "max_tokens_total", "max_attempts"):
        number = getattr(settings, name)
        if number is not None and number < 1:
            raise UsageError(f"{name} is {number}; give 1 or more")
    for name, unit in (
        ("timeout", "seconds"),
        ("task_timeout", "seconds"),
        ("max_retry_seconds", "seconds"),
        ("requests_per_minute", "calls"),
        ("max_cost", "US dollars"),
    ):
        number = getattr(settings, name)
        if number is not None and not 0 < number < inf:
            raise UsageError(f"{name} is {number}; give a number of {unit} above 0")
    if settings.dtype not in DTYPES:
        raise UsageError(f"dtype is {settings.dtype!r}; give {', '.join(DTYPES[:-1])} or {DTYPES[-1]}")
    if settings.end_index < -1:
        raise UsageError(f"end_index is {settings.end_index}; give -1 for all, or a number above start_index")


def environment() -> Mapping[str, str]:
    """The process's environment variables."""
    return os.environ
