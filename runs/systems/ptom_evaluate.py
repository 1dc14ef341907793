"""`josh ptom evaluate`: `josh evaluate --env ptom`, with the flags of the published scripts, and a file of the numbers.

Every flag of `josh evaluate` works too: the models are paired by scenario, and clustered by it; adapters and
`--trained_on` are checked, so that no scenario was trained on.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from josh.errors import UsageError
from josh.flags import add_json, add_settings, add_trust
from josh.models.hf_loading import PREFIX
from josh.runs.evaluate.settings import BASELINE as BASELINE_FLAGS
from josh.runs.evaluate.settings import EVALUATION_DEFAULTS, NOT_FOR_EVALUATIONS
from josh.runs.registry import OFFLINE
from josh.runs.systems.families import schema_chosen_by

BASELINE: Final = "baseline"
"""Instead of a model: the one of `--base_model`."""
_ALIASES: Final = {
    "base_model": BASELINE,
    "human_agent": "user_model",
    "num_eval": "num_scenarios",
    "max_turns": "max_convo_turns",
    "output_dir": "log_dir",
}
"""The published flags, and josh's names for them."""
_EVALUATION: Final = "evaluation.json"
_KNOWN: Final = (
    *("scenarios", "num_scenarios", "output", "model", BASELINE, "user_model", "task_split", "agent", "agent.view"),
    "log_dir",
)
"""The flags with a value that are read here; others are passed on."""
_TUNED: Final = "adapter_config.json"
_PROVIDERS: Final = {"claude": "anthropic/", "gemini": "gemini/"}
"""The provider of models that are named without one, by how their name begins."""


@dataclass(slots=True)
class Request:
    """What the arguments ask for: values by flag, without dashes, and the other arguments."""

    given: dict[str, str] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)


def add_evaluate_flags(parser: argparse.ArgumentParser, arguments: Sequence[str] = ()) -> None:
    """Add the flags of `josh ptom evaluate`, and those of `josh evaluate`."""
    add_flags_of(parser, arguments, "the model's base, to compare it with; also the base of an adapter's folder")


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate a model and its base, by the command `args.main` runs. Returns the exit code. Raises UsageError."""
    return play(args, read_request(args.rest))


def add_flags_of(parser: argparse.ArgumentParser, arguments: Sequence[str], base: str, models: str = "") -> None:
    """Add the published flags, and those of `josh evaluate`.

    Args:
        parser: the command's parser.
        arguments: the arguments; the command passes them on (`rest`).
        base: the help of `--base_model`.
        models: the help of `--models`; empty for a command without it.
    """
    parser.argument_default = argparse.SUPPRESS
    parser.description = "Plays scenarios with models and with two scripts, which are paired by scenario and seed."
    group = parser.add_argument_group("scenarios and models")
    if models:
        group.add_argument("--models", nargs="+", metavar="NAME", help=models)
    group.add_argument("--base_model", metavar="NAME", help=base)
    group.add_argument("--human_agent", metavar="NAME", help="the human's model (default: offline)")
    group.add_argument(
        "--num_scenarios", "--num_eval", metavar="INT", help="scenarios that are drawn from the file, or made up"
    )
    group.add_argument("--max_turns", metavar="INT", help="most turns of the persuader (default: 10)")
    group.add_argument("--output", metavar="FILE", help="JSON file to which the numbers are copied")
    more = parser.add_argument_group("flags of josh evaluate")
    more.add_argument("--trained_on", metavar="RUNS", help="training data to check for overlap; see josh evaluate")
    more.add_argument("--trained_users", metavar="NAMES", help="user models of the training")
    more.add_argument("--no_references", action="store_true", help="do not play the two scripts")
    more.add_argument("--groups", action="store_true", help="also print the numbers by condition and natural option")
    add_json(more)
    add_trust(more, plays=True)
    schema = schema_chosen_by(arguments, {"env": "ptom"}, {})
    add_settings(parser, BASELINE_FLAGS, dict.fromkeys(BASELINE_FLAGS), title="the base's settings")
    add_settings(parser, schema, EVALUATION_DEFAULTS, without=(*NOT_FOR_EVALUATIONS, "env"))
    parser.set_defaults(rest=list(arguments))


def play(args: argparse.Namespace, asked: Request) -> int:
    """Run `josh evaluate`, and copy its numbers to the file that is asked for. Returns the exit code."""
    output = asked.given.pop("output", None)
    out = None if output is None else Path(output)
    if out is not None and out.exists() and not _is_ours(out):
        raise UsageError(f"{out} exists and is not an evaluation; give another --output, or move it away")
    arguments = list(translated(asked))
    log_dir = Path(asked.given.get("log_dir", "records"))
    before = set(log_dir.glob(f"*/{_EVALUATION}"))
    code: int = args.main(["evaluate", *arguments])
    made = sorted(set(log_dir.glob(f"*/{_EVALUATION}")) - before)
    if out is not None and made and code == 0:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(made[-1].read_bytes())
        print(f"numbers         {out}")
    return code


def _is_ours(path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "results" in found


def read_request(arguments: Sequence[str]) -> Request:
    """Reads the arguments: published names become josh's. Raises UsageError where a flag has no value."""
    asked, left = Request(), list(arguments)
    while left:
        argument = left.pop(0)
        name, equals, value = argument.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        name = _ALIASES.get(name, name)
        if not argument.startswith("--"):
            asked.rest.append(argument)
        elif name == "models":
            asked.models += [value] if equals else []
            while left and not left[0].startswith("--"):
                asked.models.append(left.pop(0))
            if not asked.models:
                raise UsageError("models has no value; give one or more after --models")
        elif name in (*_KNOWN, "log_dir", "user_model"):
            if not equals and (not left or left[0].startswith("--")):
                raise UsageError(f"{name} has no value; give one after --{name}")
            asked.given[name] = value if equals else left.pop(0)
        else:
            asked.rest.append(f"--{name}{equals}{value}")
    return asked


def translated(asked: Request) -> Iterator[str]:
    """Yields the arguments of `josh evaluate`. Raises UsageError where a number is wrong."""
    given = dict(asked.given)
    count = given.pop("num_scenarios", None)
    if count is not None and (not count.isdigit() or not int(count)):
        raise UsageError(f"num_scenarios is {count!r}; give 1 or more")
    if count is not None:
        given["env.n_scenarios" if "scenarios" in given else "synthetic_tasks"] = count
    if "scenarios" in given:
        given.setdefault("task_split", "all")
    base = given.get(BASELINE)
    for name in ("model", BASELINE, "user_model"):
        if name in given:
            given[name] = ",".join(model_name(one, base) for one in given[name].split(","))
    tuned = [given.get("model", OFFLINE), given.get(BASELINE, OFFLINE)]
    if "agent" not in given and any(one != OFFLINE for name in tuned for one in name.split(",")):
        given.setdefault("agent.view", "row")
    yield from ("--env", "ptom")
    for name, value in given.items():
        yield from (f"--{name}", value)
    yield from asked.rest


def model_name(name: str, base: str | None = None) -> str:
    """Returns a model's name as josh takes it.

    Args:
        name: a model; a folder of weights, of an adapter, or with one adapter in it may lack its `hf:`, and a
            well-known model its provider.
        base: the base model of an adapter; None to read it from the adapter's folder.

    Raises:
        UsageError: the folder has several adapters, or its adapter does not name its base.
    """
    folder = Path(name)
    adapters = [folder] if (folder / _TUNED).is_file() else sorted(one.parent for one in folder.glob(f"*/{_TUNED}"))
    if len(adapters) > 1:
        raise UsageError(f"{name} has {len(adapters)} adapters; give one of them, such as {adapters[0]}")
    if adapters:
        inner = (base or "").removeprefix(PREFIX) or _base_of(adapters[0])
        return f"{PREFIX}{inner}+{adapters[0]}"
    if (folder / "config.json").is_file():
        return f"{PREFIX}{name}"
    start = name.partition("-")[0]
    return f"{_PROVIDERS[start]}{name}" if start in _PROVIDERS and "/" not in name else name


def _base_of(folder: Path) -> str:
    try:
        found: Any = json.loads((folder / _TUNED).read_bytes())["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or not found:
        raise UsageError(f"{folder} does not name its base model; give --base_model")
    return found
