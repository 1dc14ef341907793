"""Keeps keys and passwords out of errors, logs, records and printed text."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SHORTEST = 8
"""Fewest characters of a secret: shorter ones are placeholders, and occur in ordinary words."""
_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_END = r"""[^\s"'\\,;&}\])]+"""
_SHAPES = (
    # https://user:password@host
    re.compile(r"""(://)[^\s/@:"'\\]*(?::[^\s"'\\]*)?(?=@)"""),
    # https://host?api_key=...
    re.compile(rf"(?i)([?&](?:api[-_]?key|key|token|access[-_]token|signature|sig)=){_END}"),
    # The header `Authorization: Bearer ...`, as a line or in a dict.
    re.compile(rf"""(?i)((?:authorization|api[-_]key)["']?\s*[:=]\s*["']?(?:(?:bearer|basic|token)\s+)?){_END}"""),
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{16,}"),
)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Replaces secrets by `***`.

    Attributes:
        secrets: keys and passwords, longest first.
    """

    secrets: tuple[str, ...]

    @classmethod
    def of(cls, *secrets: str) -> "Redactor":
        """Returns a redactor for some keys, as they are and in base64; it ignores keys shorter than `SHORTEST`."""
        found = {secret.strip() for secret in secrets if len(secret.strip()) >= SHORTEST}
        found |= {b64encode(secret.encode("utf-8", "replace")).decode().rstrip("=") for secret in found}
        return cls(tuple(sorted(found, key=lambda secret: (-len(secret), secret))))

    def __call__(self, text: str) -> str:
        """Returns an error or a log line without the known secrets and without texts in places of secrets.

        Such places are the user and password of an address, a key in its query, and authorization headers.
        """
        text = self.known(text)
        for shape in _SHAPES:
            text = shape.sub(r"\1***", text)
        return text

    def known(self, text: str) -> str:
        """Returns a text without the known secrets; addresses and headers stay, for a conversation may name them."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def redactor(environment: Mapping[str, str], settings: Mapping[str, Any] | None = None) -> Redactor:
    """Returns a redactor for the secrets in environment variables.

    Args:
        environment: a variable is secret if its name contains key, token, secret or password. A variable that holds a
            number of tokens or the name of another variable is not secret.
        settings: those called `api_key_var`, `user_api_key_var`, ... name further variables, several separated by
            commas; the settings may be nested in tables.
    """
    named = [environment.get(variable, "") for variable in _variables(settings or {})]
    by_name = [
        value
        for name, value in environment.items()
        if any(word in name.upper() for word in _NAMES)
        and value.strip() not in environment
        and (name.upper().endswith(_NAMES) or not value.strip().isdecimal())
    ]
    return Redactor.of(*named, *by_name)


def _variables(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of the variables that hold a key according to the settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _variables(value)
        elif name.endswith("key_var"):
            yield from map(str.strip, str(value).split(","))


def in_json(value: Any, clean: Callable[[str], str]) -> Any:
    """Returns a JSON value with all its texts cleaned; the keys of its objects stay."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [in_json(each, clean) for each in value]
    return {name: in_json(each, clean) for name, each in value.items()} if isinstance(value, dict) else value
