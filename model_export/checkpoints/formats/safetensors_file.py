"""Files of safetensors, alone or as shards with an index."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from model_export.checkpoints.formats.stored import Stored, StoredTensor, decoded
from model_export.errors import CheckpointError


def read(path: Path) -> Stored:
    """The tensors of a .safetensors file.

    Raises:
        CheckpointError: It is not one, or not a whole one.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            described = {n: (tuple(s.get_shape()), s.get_dtype()) for n, s in slices.items()}
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or not a whole one ({error}); download it again"
        ) from error
    starts = _starts(path)
    return {
        name: StoredTensor(shape, dtype, partial(_tensor, path, starts[name], dtype, shape))
        for name, (shape, dtype) in described.items()
    }


def shard_names(index: Path) -> list[str]:
    """The files that an index of shards names, in order.

    Raises:
        CheckpointError: It is not an index.
    """
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not an index of shards: no 'weight_map'") from error
    # Only names of files beside the index: an index is no way out of its folder.
    return sorted({Path(str(name)).name for name in names})


def shards(index: Path) -> list[Path]:
    """The same as files.

    Raises:
        CheckpointError: It is not an index, or a file is not there.
    """
    paths = [index.parent / name for name in shard_names(index)]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise CheckpointError(
            f"{index} names shards that are not beside it: {', '.join(missing)}; download them too"
        )
    return paths


def metadata(path: Path) -> dict[str, str]:
    """What the file says of itself, for example `source` and `licence`; nothing if it is no such.

    The format allows texts by name; `read` has checked the header.
    """
    with path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            return {}
    found: dict[str, str] = _header(path)[1].get("__metadata__", {})
    return found


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Length of the header and what it says."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return length, json.loads(file.read(length))


def _starts(path: Path) -> dict[str, int]:
    """Where each tensor's bytes begin; safetensors has checked the header."""
    length, header = _header(path)
    header.pop("__metadata__", None)
    return {name: 8 + length + value["data_offsets"][0] for name, value in header.items()}


def _tensor(path: Path, start: int, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return decoded(np.memmap(path, np.uint8, "r")[start:], dtype, shape)
