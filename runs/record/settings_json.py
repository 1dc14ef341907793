"""Settings in the format of `config.json` and plans: a table for each part of a run, the same as in a TOML file.

Earlier versions of josh wrote one flat object (`{"env": "a_world", "josh": true, "beam_size": 8, ...}`). `upgraded`
turns it into tables, so that these runs can still be read.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from josh.config import build
from josh.errors import UsageError
from josh.runs.registry import BEAM, ROLES, ROLLOUTS
from josh.runs.settings import JOSH, PARTS, RunSettings, core

_FLAT: Mapping[str, tuple[str, str, Any]] = {
    "corpus": ("env", "corpus", None),
    "data": ("env", "data", None),
    "split_rule": ("env", "split_rule", "convokit"),
    "synthetic_tasks": ("env", "synthetic_tasks", None),
    "include_bad": ("env", "include_bad", False),
    "min_reward": ("rewards", "min_reward", 0.0),
}
"""Flat settings that belong to plug-ins now: the part, the name in it, and the old default, which is not copied."""
_STRATEGIES = {True: (BEAM, {"beam_size": "beam_size", "stop": "stop"}), False: (ROLLOUTS, {"rollouts": "n"})}


def settings_to_json(settings: RunSettings) -> dict[str, Any]:
    """Returns settings as JSON values."""
    found: dict[str, Any] = {}
    for one in core().values():
        if one.path:
            *parts, name = one.dotted.split(".")
            table = found.setdefault(parts[0], {}) if parts else found
            value = one.found_in(settings)
            table[name] = list(value) if isinstance(value, tuple) else value
    for name, table in found.items():
        if name in PARTS:
            first = {"name": table.pop("name")} if "name" in table else {}
            config = getattr(getattr(settings, name), "config", {})
            found[name] = first | table | {key: list(v) if isinstance(v, tuple) else v for key, v in config.items()}
    return found


def settings_from_json(content: Any, path: Path) -> RunSettings:
    """Returns settings from a file of this version or an earlier one. The plug-ins may be missing.

    Args:
        content: the settings in the file.
        path: the file, for error messages.

    Raises:
        UsageError: a setting is unknown or has a wrong type.
    """
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} holds no settings")
    values: dict[tuple[str, ...], Any] = {}
    where = f"{path}: "
    for key, value in upgraded(content).items():
        table = value.items() if key in PARTS and isinstance(value, dict) else [("", value)]
        for name, each in table:
            one = core().find(f"{key}.{name}" if name else key)
            if one is not None and one.path:
                # Earlier versions wrote null for a default that depends on other settings.
                if each is not None or one.optional:
                    values[one.path] = one.value(each, where)
            elif name and key in ROLES:
                values.setdefault((key, "config"), {})[name] = each
            else:
                raise UsageError(f"{where}no setting named {name or key!r}")
    values.setdefault(core()["strategy"].path, ROLLOUTS)
    values.setdefault(core()["temperature"].path, 1.0)
    settings: RunSettings = build(RunSettings, values)
    return settings


def upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns recorded settings with a table for each part; settings that have tables are returned unchanged."""
    if not content or any(isinstance(content.get(name), dict) for name in PARTS):
        return dict(content)
    found: dict[str, Any] = {}
    strategy, names = _STRATEGIES[bool(content.get(JOSH))]
    found["strategy"] = {"name": strategy}
    for name, value in content.items():
        if name in names:
            found["strategy"][names[name]] = value
        elif name in _FLAT:
            table, own, default = _FLAT[name]
            if value != default:
                found.setdefault(table, {})[own] = value
        elif name != JOSH and not any(name in others for _, others in _STRATEGIES.values()):
            one = core().find(name)
            *parts, own = (one.dotted if one else name).split(".")
            (found.setdefault(parts[0], {}) if parts else found)[own] = value
    return found


def settings_in_folder(folder: Path) -> RunSettings | None:
    """Returns the settings of a run, or of the first run of an evaluation or a loop; None where they cannot be read."""
    for name in ("config.json", "plan.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, IndexError, RecursionError, UsageError):
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            settings = content["settings"] if name == "config.json" else content["parts"][0]["settings"]
            return settings_from_json(settings, folder / name)
    return None
