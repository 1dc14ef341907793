"""`josh proactive eval`: `josh evaluate --suite proactive`, with the published flags and with baselines.

1. The model is an adapter or a whole model (`--model_dir`), its base (`--base_model`), or any chat model (`--model`). A
   tuned model decides by the probabilities of the two labels, another one by a JSON reply, and without a model the
   published rule decides.
2. The states are those of a file (`--states`), those of a file of preferences (`--prefs`), or made-up ones.
3. The baselines play the same states with the same users: `policies_for`.

Every flag of `josh evaluate` works too.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from josh.config import listed
from josh.envs.proactive.actions import LABELS, REPLY
from josh.envs.proactive.env import ALL
from josh.errors import UsageError
from josh.flags import FlagParser, add_json, add_settings, add_trust
from josh.models.hf_loading import PREFIX, is_local
from josh.runs.evaluate.settings import BASELINE, NOT_FOR_EVALUATIONS
from josh.runs.registry import OFFLINE
from josh.runs.settings import core
from josh.runs.systems.families import schema_chosen_by
from josh.runs.systems.proactive_suite import PROACTIVE_EVAL

BASELINES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "direct": "delivers at once",
        "clarify_first": "asks once, and then delivers",
        "threshold": "asks once where the clarity is below --threshold",
        "prompt_only": "the base model decides, without training",
    }
)
HELPER, OFFLINE_HELPER = "helper", "offline_helper"
_FREE: Final = (OFFLINE_HELPER,)
"""The agents whose words need no model."""
_CHOSEN: Final = {"env": "proactive", "rewards": "proactive_measures"}


def add_eval_flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the flags of `josh proactive eval`, and those of `josh evaluate`."""
    parser.argument_default = argparse.SUPPRESS
    parser.description = (
        "Plays held-out states with a model and with baselines, and measures task success, questions, rejections, and "
        "the accuracy of the first action. States of the training data are refused."
    )
    _add_own(parser)
    peek = FlagParser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_own(peek)
    own, rest = peek.parse_known_args(list(arguments))
    agent = {} if _value(rest, "agent") else {"agent": HELPER if hasattr(own, "model_dir") else OFFLINE_HELPER}
    if _value(rest, "model") not in (None, OFFLINE):
        agent = {} if _value(rest, "agent") else {"agent": HELPER}
    schema = schema_chosen_by(arguments, {**_CHOSEN, **agent}, {})
    parser.set_defaults(rest=rest)
    group = parser.add_argument_group("flags of josh evaluate")
    group.add_argument("--trained_on", metavar="RUNS", help="training data to check for overlap; see josh evaluate")
    group.add_argument("--trained_users", metavar="NAMES", help="user models of the training")
    group.add_argument("--groups", action="store_true", help="also print the numbers by persona")
    group.add_argument("--resume", type=Path, metavar="FOLDER", help="continue this evaluation")
    add_json(group)
    add_trust(group, plays=True)
    add_settings(parser, BASELINE, dict.fromkeys(BASELINE), title="a baseline of your own")
    without = (*NOT_FOR_EVALUATIONS, *_CHOSEN)
    add_settings(parser, schema, PROACTIVE_EVAL.settings, without=without)


def _add_own(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model, states and baselines")
    group.add_argument("--model_dir", metavar="DIR", help="an adapter, or a whole tuned model, as josh train writes it")
    group.add_argument("--base_model", metavar="NAME", help="the model that an adapter belongs to (default: its own)")
    group.add_argument(
        "--prefs", "--prefs_path", metavar="FILE", help="states and the better actions, of a file of preferences"
    )
    group.add_argument("--states", metavar="FILE", help="states of a file (default: made-up ones)")
    group.add_argument("--max_samples", type=int, metavar="INT", help="most states (default: all of a file)")
    group.add_argument("--output", metavar="FILE", help="also write the results into this file, as one JSON object")
    group.add_argument(
        "--baselines",
        metavar="NAMES",
        help=f"{listed(tuple(BASELINES))}, with commas, or none (default: all that can play)",
    )
    group.add_argument("--threshold", type=float, metavar="FLOAT", help="clarity of the threshold (default: 0.5)")


def run_eval(args: argparse.Namespace) -> int:
    """Evaluate, by the command that `args.main` runs. Returns the exit code. Raises UsageError."""
    own = {name: value for name, value in vars(args).items() if name in _OWN}
    code: int = args.main(["evaluate", *evaluation_arguments(own, args.rest)])
    return code


_OWN: Final = ("model_dir", "base_model", "prefs", "states", "max_samples", "output", "baselines", "threshold")


def evaluation_arguments(own: Mapping[str, Any], rest: Sequence[str]) -> list[str]:
    """Returns the arguments of `josh evaluate`.

    Args:
        own: values of this command's flags, without those that are not given.
        rest: the other arguments.

    Raises:
        UsageError: flags are wrong, alone or together.
    """
    if _value(rest, "resume") is not None:
        if given := next((name for name in own if name != "output"), ""):
            raise UsageError(f"{given} is given, but the evaluation records it; leave it out")
        return [*rest, *_flag("output", own.get("output"))]
    model, base = _models(own, rest)
    agent, decide = _value(rest, "agent"), _value(rest, "agent.decide")
    found: list[str] = []
    if model is not None and _value(rest, "model") is None:
        found += ["--model", model]
    if agent is None and model is not None:
        agent = HELPER
        found += ["--agent", agent]
    if decide is None and model is not None and agent in (HELPER, OFFLINE_HELPER):
        decide = LABELS if "model_dir" in own or agent in _FREE else REPLY
        found += ["--agent.decide", decide]
    policies = policies_for(own, model, base, agent, decide)
    found += ["--policies", json.dumps(policies)] if policies else []
    found += _states(own, rest)
    return ["--suite", PROACTIVE_EVAL.name, *rest, *found, "--no_references", *_flag("output", own.get("output"))]


def policies_for(
    own: Mapping[str, Any], model: str | None, base: str | None, agent: str | None, decide: str | None
) -> dict[str, dict[str, Any]]:
    """Returns the baselines, each with the settings in which it differs from the model.

    Their words are written by the base model, or by no model where the agent's are: so they differ from the model by
    what they decide. `prompt_only` is left out where the model itself is not tuned.

    Args:
        own: values of this command's flags.
        model: the model; None for none.
        base: the model without its tuning; None for none.
        agent: the model's agent.
        decide: how it decides.

    Raises:
        UsageError: a name is unknown, or a baseline cannot play.
    """
    given = own.get("baselines")
    names = list(BASELINES) if given is None else [one.strip() for one in given.split(",") if one.strip() != "none"]
    if strange := next((one for one in names if one not in BASELINES), None):
        raise UsageError(f"baselines has {strange!r}; give {listed(tuple(BASELINES))}, or none")
    if "threshold" in own and "threshold" not in names:
        raise UsageError("threshold is given, but not among the baselines; leave it out")
    untuned = base is None or (base == model and decide == REPLY)
    if untuned and "prompt_only" in names:
        if given is not None:
            raise UsageError("baselines has prompt_only, but the model is not tuned; give --model_dir, or leave it out")
        names.remove("prompt_only")
    writer = OFFLINE if model is None or agent in _FREE else base
    found: dict[str, dict[str, Any]] = {name: {"agent": name, "model": writer} for name in names}
    if "threshold" in found:
        found["threshold"]["agent.below"] = own.get("threshold", 0.5)
    if "prompt_only" in found:
        found["prompt_only"]["model"] = base
        if agent in _FREE:  # a base that knows the two labels alone
            found["prompt_only"] |= {"agent": agent, "agent.decide": decide}
    return found


def _models(own: Mapping[str, Any], rest: Sequence[str]) -> tuple[str | None, str | None]:
    """Returns the model, and the model without its tuning; None for none."""
    given, base = _value(rest, "model"), own.get("base_model")
    if given is not None and "model_dir" in own:
        raise UsageError(f"model is {given!r}, and model_dir is {own['model_dir']!r}; leave one of them out")
    if "model_dir" not in own:
        model = given or (_local(base) if base and Path(base).expanduser().is_dir() else base)
        return (None, None) if model in (None, OFFLINE) else (model, base if given and base else model)
    folder = Path(own["model_dir"]).expanduser()
    if not (folder / "adapter_config.json").is_file():
        if not (folder / "config.json").is_file():
            inside = sorted(str(path.parent) for path in folder.glob("*/adapter_config.json"))
            way = f"give the folder of one{f', such as {inside[-1]}' if inside else ''}"
            raise UsageError(f"model_dir is {str(folder)!r}, which has no model and no adapter; {way}")
        return f"{PREFIX}{folder}", None if base is None else _local(base)
    base = base or _base_of(folder)
    return f"{_local(base)}+{folder}", _local(base)


def _base_of(folder: Path) -> str:
    """Returns the model that an adapter belongs to. Raises UsageError where it does not name one."""
    try:
        found = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or not found:
        raise UsageError(f"model_dir is {str(folder)!r}, which does not name its base; give --base_model")
    return found


def _local(name: str) -> str:
    return name if is_local(name) else f"{PREFIX}{name}"


def _states(own: Mapping[str, Any], rest: Sequence[str]) -> list[str]:
    files = [(name, own[name]) for name in ("prefs", "states") if name in own]
    if len(files) > 1:
        raise UsageError("prefs is given with states; leave one of them out")
    most = own.get("max_samples")
    if most is not None and most < 1:
        raise UsageError(f"max_samples is {most}; give 1 or more")
    if not files:
        return _flag("synthetic_tasks", most)
    if not Path(files[0][1]).is_file():
        raise UsageError(f"{files[0][0]} is {files[0][1]!r}, which is not a file; give a file of states or preferences")
    split = [] if _value(rest, core()["task_split"].flag) else ["--task_split", ALL]
    return ["--file", files[0][1], *split, *_flag("end_index", most)]


def _flag(name: str, value: Any) -> list[str]:
    return [] if value is None else [f"--{name}", str(value)]


def _value(arguments: Sequence[str], name: str) -> str | None:
    """Returns the value of a flag in some arguments; None where it is not given."""
    for place, one in enumerate(arguments):
        flag, equals, value = one.partition("=")
        if flag == f"--{name}":
            return value if equals else next(iter(arguments[place + 1 :]), "")
    return None
