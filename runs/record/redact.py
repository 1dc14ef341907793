"""Keeping keys out of errors, logs and what is printed."""

from collections.abc import Callable, Mapping

_SHORTEST = 8


def redactor(environment: Mapping[str, str]) -> Callable[[str], str]:
    """A function that replaces secrets in a text by `***`.

    Secret is what stands in an environment variable whose name speaks of a key, token, secret or password, if it has
    at least eight characters: shorter ones would be found in ordinary words.
    """
    secrets = sorted(
        {
            value.strip()
            for name, value in environment.items()
            if any(word in name.upper() for word in ("KEY", "TOKEN", "SECRET", "PASSWORD"))
            and len(value.strip()) >= _SHORTEST
            and not value.strip().isdecimal()
            and value.strip() not in environment  # a variable that names another is no secret
        },
        key=len,
        reverse=True,
    )

    def redact(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return redact
