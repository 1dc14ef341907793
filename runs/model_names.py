"""Names of models that are probably misspelt: `offlin`, `HF:folder`, or the name of an agent."""

import re
from difflib import get_close_matches

from josh.errors import UsageError
from josh.models.hf_loading import PREFIX as HF
from josh.models.litellm_chat import PREFIX as LITELLM
from josh.models.service import PREFIX as SERVICE
from josh.runs.registry import AGENTS, OFFLINE, USERS

_LOCAL_KINDS = (HF[:-1], "huggingface", "transformers")
"""What people write before the colon of a local model's name."""
_NEAR = 0.85
"""How similar a misspelt name is to the right one, from 0 to 1."""


def require_meant(name: str, flag: str) -> None:
    """Raises UsageError where a model's name is probably another one misspelt.

    Args:
        name: the name of a model for which no address is given.
        flag: the flag that names it: `model`, `user_model` or `judge_model`.
    """
    meant = "" if name == OFFLINE or name.startswith((HF, LITELLM, SERVICE)) else _meant(name, flag)
    if meant:
        address = flag.replace("model", "base_url")
        raise UsageError(f"{flag} is {name!r}; did you mean {meant}? A server that has such a model needs --{address}")


def _meant(name: str, flag: str) -> str:
    """Returns what a name probably means, as a value or with its flag; empty where it means itself."""
    kind, _, rest = name.partition(":")
    kind = kind.strip().lower()
    if get_close_matches(name.strip().lower(), [OFFLINE], cutoff=_NEAR):
        return repr(OFFLINE)
    if rest and kind in _LOCAL_KINDS:
        return repr(f"{HF}{rest}")
    if found := re.fullmatch(r"(?i:hf)[/=](.+)", name):
        return repr(f"{HF}{found[1]}")
    if rest and get_close_matches(f"{kind}:", [LITELLM], cutoff=_NEAR):
        return repr(f"{LITELLM}{rest}")
    sides = {"user": USERS, "agent": AGENTS} if flag == "user_model" else {"agent": AGENTS, "user": USERS}
    return next((f"--{side} {name}" for side, names in sides.items() if name in names), "")
