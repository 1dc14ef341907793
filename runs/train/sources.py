"""The sources of an adapter: hashes of its base model, its earlier adapter, its rows and its settings."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from josh.errors import UsageError
from josh.models.chat_template import template_text
from josh.runs.export.files import manifest_of
from josh.runs.train.machine import note
from josh.runs.train.settings import TRAINING, TrainSettings

_ENDS = 1 << 20
"""Bytes at each end of a weights file that the fingerprint reads."""
_TEMPLATE = ("chat_template", "chat_template_kwargs")
_LATER = ("max_steps", "lora_targets", "weights")
"""Settings that were added later: their defaults are not hashed, so that adapters keep their names."""
_READ_WHOLE = (
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer*",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)


def sources_of(method: str, settings: TrainSettings) -> dict[str, Any]:
    """Returns the sources of an adapter: `base`, `data` and, if there is one, `base_adapter`, each with its hash.

    Raises:
        UsageError: `base_adapter` is not an adapter, or the manifest beside the data cannot be read.
    """
    data = Path(settings.data)
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    sources: dict[str, Any] = {
        "base": {"name": settings.model, "sha256": fingerprint(Path(settings.model))},
        "data": {"file": str(data), "sha256": digest, "manifest": _manifest(data, digest)},
    }
    if settings.base_adapter:
        folder = Path(settings.base_adapter)
        if not (folder / "adapter_config.json").exists():
            raise UsageError(f"base_adapter is {folder}, which has no adapter (no adapter_config.json)")
        sources["base_adapter"] = {"name": str(folder), "sha256": fingerprint(folder)}
    return sources


def _manifest(data: Path, digest: str) -> dict[str, Any] | None:
    """Returns the manifest beside exported rows; None if there is none, or if it belongs to other rows.

    Raises:
        UsageError: the manifest cannot be read.
    """
    path = manifest_of(data)
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict):
        raise UsageError(f"{path} is not a readable manifest; export the rows again, or remove it")
    if manifest.get("sha256") != digest:
        note(f"{path.name} belongs to other rows than {data.name} (other sha256); the adapter's card leaves it out")
        return None
    return manifest


def fingerprint(folder: Path) -> str | None:
    """Returns a hash of a model's or an adapter's folder; None for a hub id.

    The hash covers configuration, tokenizer and chat template. Of every weights file it covers the name, the size, and
    the first and the last mebibyte, because reading a large model takes too long.
    """
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and any(fnmatchcase(path.name, pattern) for pattern in _READ_WHOLE):
            digest.update(f"{path.name} {path.stat().st_size}".encode())
            digest.update(path.read_bytes())
        elif path.suffix in {".safetensors", ".bin"}:
            size = path.stat().st_size
            digest.update(f"{path.name} {size}".encode())
            with path.open("rb") as file:
                digest.update(file.read(_ENDS))
                file.seek(max(0, size - _ENDS))
                digest.update(file.read(_ENDS))
    return digest.hexdigest()


def adapter_digest(method: str, settings: TrainSettings, sources: Mapping[str, Any]) -> str:
    """Returns a hash of everything that determines an adapter: method, sources and the settings that change it."""
    template = template_text(settings.chat_template)
    made_of = {
        "method": method,
        "hashes": [one["sha256"] for one in sources.values()],
        "model": settings.model if sources["base"]["sha256"] is None else None,
        "settings": {
            name: value
            for name, value in asdict(settings).items()
            if not TRAINING[name].rule.resumable
            and name not in _TEMPLATE
            and not (name in _LATER and value == TRAINING[name].default)
        },
    }
    if template is not None or settings.chat_template_kwargs:
        made_of["template"] = [template, dict(settings.chat_template_kwargs)]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
