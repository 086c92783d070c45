"""Files of safetensors, alone or as shards with an index."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from model_export.checkpoints.formats import json_file
from model_export.checkpoints.formats.stored import Stored, StoredTensor, contiguous, decoded
from model_export.errors import CheckpointError

LARGEST_HEADER = 16 * 2**20
"""Bytes of a header; Swin-L's has 40,000."""


def read(path: Path) -> tuple[Stored, dict[str, str]]:
    """The tensors of a .safetensors file, and what it says of itself, for example its `source`.

    Raises:
        CheckpointError: It is not one, or not a whole one.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise CheckpointError(
                f"{path} is not a safetensors file, or its header has more than "
                f"{LARGEST_HEADER >> 20} MiB, which no Swin's has"
            )
        header = json_file.parsed(file.read(length), f"{path}: its header")
    try:
        with safe_open(path, framework="numpy"):
            pass  # checks that shapes, types and offsets fit one another and the file
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or not a whole one ({error}); download it again"
        ) from error
    metadata: dict[str, str] = header.pop("__metadata__", None) or {}
    data = np.memmap(path, np.uint8, "r", offset=8 + length) if header else np.empty(0, np.uint8)
    return {name: _stored(data, value) for name, value in header.items()}, metadata


def shard_names(index: Path) -> dict[str, set[str]]:
    """The files that an index of shards names, in order, and the tensors that each should hold.

    Raises:
        CheckpointError: It is not an index, or names a file that is not beside it.
    """
    places = json_file.read(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index} is not an index of shards: no 'weight_map'")
    held: dict[str, set[str]] = {}
    for tensor, name in places.items():
        held.setdefault(str(name), set()).add(tensor)
    if outside := [name for name in held if name != Path(name).name]:
        raise CheckpointError(
            f"{index} names '{outside[0][:80]}': shards must lie beside their index"
        )
    return dict(sorted(held.items()))


def shards(index: Path) -> dict[Path, set[str]]:
    """The same as files.

    Raises:
        CheckpointError: It is not an index, or a file is not there.
    """
    paths = {index.parent / name: tensors for name, tensors in shard_names(index).items()}
    if missing := [path.name for path in paths if not path.is_file()]:
        raise CheckpointError(
            f"{index} names shards that are not beside it: {', '.join(missing)}; download them too"
        )
    return paths


def _stored(data: npt.NDArray[np.uint8], said: dict[str, Any]) -> StoredTensor:
    shape, dtype = tuple(said["shape"]), said["dtype"]
    part = data[slice(*said["data_offsets"])]
    return StoredTensor(shape, dtype, partial(decoded, part, dtype, shape, contiguous(shape)))
