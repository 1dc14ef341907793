"""`python -m josh.runs.train.slime_eval FILE --out OUT`: an evaluation configuration in slime's own schema.

FILE is in slime's schema, or in the form that some of its examples show, a table for each data set:

    test:
      prompt_data: data/test_tasks.jsonl
      metadata_overrides: {user_model: gpt-4o}
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from josh.errors import UsageError

_KEYS = {"input_key": "prompt", "label_key": "label", "metadata_key": "metadata"}
"""The keys of task files that `josh prepare` writes."""


def eval_config(path: Path) -> dict[str, Any]:
    """Returns a configuration in slime's schema: `{"eval": {"datasets": [...]}}`.

    Raises:
        UsageError: the file cannot be read, or has neither form.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError("reading YAML needs PyYAML: pip install pyyaml") from None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    inner = found.get("eval", found) if isinstance(found, Mapping) else None
    if not isinstance(inner, Mapping):
        raise UsageError(f"{path} holds no data sets; give `eval: {{datasets: [...]}}`, or a table for each data set")
    if "datasets" in inner:
        return {"eval": dict(inner)}
    sets = []
    for name, one in inner.items():
        if not isinstance(one, Mapping) or not isinstance(one.get("prompt_data"), str):
            raise UsageError(f"{path}: {name} has no prompt_data; give the path of its task file")
        rest = {key: value for key, value in one.items() if key != "prompt_data"}
        sets.append({"name": str(name), "path": one["prompt_data"], **_KEYS, **rest})
    if not sets:
        raise UsageError(f"{path} holds no data sets; give a table for each, with prompt_data")
    return {"eval": {"datasets": sets}}


def main(argv: Sequence[str] | None = None) -> int:
    """Convert a file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m josh.runs.train.slime_eval", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    args = parser.parse_args(argv)
    try:
        config = eval_config(args.file)
    except UsageError as error:
        print(f"josh: {error}", file=sys.stderr)
        return 2
    import yaml

    try:
        args.out.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    except OSError as error:
        print(f"josh: cannot write {args.out}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"written to {args.out}; give it to slime by --eval-config")
    return 0


if __name__ == "__main__":
    sys.exit(main())
