"""`josh ptom compare`: several models on the same scenarios; the first one is what the others are compared with."""

import argparse
from collections.abc import Sequence

from josh.errors import UsageError
from josh.runs.registry import OFFLINE
from josh.runs.systems.ptom_evaluate import BASELINE, Request, add_flags_of, play, read_request


def add_compare_flags(parser: argparse.ArgumentParser, arguments: Sequence[str] = ()) -> None:
    """Add the flags of `josh ptom compare`, and those of `josh evaluate`."""
    models = f"the models, the first of which the others are compared with; {BASELINE} is that of --base_model"
    add_flags_of(parser, arguments, "the model that --models calls baseline (default: offline)", models)


def run_compare(args: argparse.Namespace) -> int:
    """Compare models, by the command `args.main` runs. Returns the exit code. Raises UsageError."""
    asked = read_request(args.rest)
    if not asked.models:
        raise UsageError("no models given; example: josh ptom compare --models baseline gpt-4o-mini --num_scenarios 50")
    return play(args, as_evaluation(asked))


def as_evaluation(asked: Request) -> Request:
    """Returns a request for an evaluation of the models: the first one is the baseline of the others."""
    base = asked.given.pop(BASELINE, OFFLINE)
    first, *others = dict.fromkeys(base if name == BASELINE else name for name in asked.models)
    asked.models = []
    asked.given |= {"model": ",".join(others), BASELINE: first} if others else {"model": first}
    return asked
