"""JSON that others wrote: bounded, an object, and every name in it once."""

import json
from pathlib import Path
from typing import Any

from model_export.errors import CheckpointError

LARGEST = 16 * 2**20
"""Bytes of a file: the 21,841 class names of ImageNet-22k, twice, take 2 MB."""


def read(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        CheckpointError: It is too large, not JSON, not an object, or says something twice.
    """
    if path.stat().st_size > LARGEST:
        raise CheckpointError(f"{path} has more than {LARGEST >> 20} MiB; mend or remove it")
    return parsed(path.read_bytes(), str(path))


def parsed(data: bytes, name: str) -> dict[str, Any]:
    """The object in some bytes; `name` is what an error calls them.

    Raises:
        CheckpointError: They are not JSON, not an object, or say something twice.
    """
    try:
        found = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is not JSON: {error}; mend or remove it") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{name} is not a JSON object; mend or remove it")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{twice[:80]}' stands there twice")
    return found
