"""What torch.save writes, read without torch: its zip format, and the one before torch 1.6."""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from model_export.checkpoints.formats import pickles
from model_export.checkpoints.formats.pickles import Storage, View
from model_export.checkpoints.formats.stored import SIZES, Stored, StoredTensor, decoded
from model_export.errors import CheckpointError

OLD_MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file in the format before torch 1.6."""

CONTAINERS = (
    *("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model"),
    *("module", "teacher", "student", "network", "net", "backbone", "encoder", "weights"),
)
"""Where training scripts put the weights; averaged ones first, as timm does."""

Start = Callable[[str], int]
"""Where in the file a storage begins, by its key."""


def read(path: Path) -> tuple[Stored, str | None]:
    """The tensors of a file by torch.save, and the key they lay under, if any.

    Raises:
        CheckpointError: It is not one, not a whole one, holds no weights, or holds more than data.
    """
    try:
        content, starts = _zip(path) if zipfile.is_zipfile(path) else _old(path)
        tensors, key = _weights(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path}: a damaged zip file ({error})") from error
    data = np.memmap(path, np.uint8, "r")
    found = {
        name: StoredTensor(view.shape, view.storage.dtype, partial(_tensor, data, starts, view))
        for name, view in tensors.items()
    }
    return found, key


def _tensor(
    data: npt.NDArray[np.uint8], starts: dict[str, tuple[int, int]], view: View
) -> npt.NDArray[np.float32]:
    if view.storage.key not in starts:
        raise CheckpointError(f"the data of storage {view.storage.key} is not in the file")
    start, size = starts[view.storage.key]
    storage = data[start : start + size]
    return decoded(storage, view.storage.dtype, view.shape, view.strides, view.offset)


def _zip(path: Path) -> tuple[Any, dict[str, tuple[int, int]]]:
    """What a zip file's pickle holds, and start and size of every storage."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if "data.pkl" not in entries:
            raise CheckpointError("a zip file, but not one that torch.save wrote: no data.pkl")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise CheckpointError("saved on a big-endian machine; save it again on another one")
        with archive.open(entries["data.pkl"]) as pickled:
            content = pickles.load(pickled, _storage)  # type: ignore[arg-type]
        starts = {}
        for name, info in entries.items():
            if name.startswith("data/"):
                if info.compress_type != zipfile.ZIP_STORED:
                    raise CheckpointError("its data is compressed, which torch.save never does")
                # A local header is 30 bytes, then a name and extra fields of given lengths.
                file.seek(info.header_offset + 26)
                lengths = (
                    int.from_bytes(file.read(2), "little"),
                    int.from_bytes(file.read(2), "little"),
                )
                starts[name.removeprefix("data/")] = (
                    info.header_offset + 30 + sum(lengths),
                    info.file_size,
                )
    return content, starts


def _old(path: Path) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The same of five pickles one after the other, with the storages behind them."""
    dtypes: dict[str, str] = {}

    def storage(identifier: tuple[Any, ...]) -> Storage:
        found = _storage(identifier)
        dtypes[found.key] = found.dtype
        return found

    with path.open("rb") as file:
        if not _is_old(file):
            raise CheckpointError(
                "begins like a file that torch.save wrote and is not a whole one; download it again"
            )
        for _ in range(2):  # version of the format, sizes of C's integers
            pickles.load(file, storage)
        content = pickles.load(file, storage)
        keys = pickles.load(file, storage)
        starts = {}
        for key in keys:
            if key not in dtypes:
                raise CheckpointError("its storages are not those of its tensors; it is damaged")
            size = int.from_bytes(file.read(8), "little") * SIZES[dtypes[key]]
            starts[key] = (file.tell(), size)
            file.seek(size, 1)
    return content, starts


def _is_old(file: BinaryIO) -> bool:
    if file.read(1) != b"\x80":
        return False
    file.seek(0)
    try:
        return bool(pickles.load(file, _storage) == OLD_MAGIC)
    except CheckpointError as error:
        if "refused" in str(error):
            raise
        return False


def _storage(identifier: tuple[Any, ...]) -> Storage:
    """A pickle's reference: ('storage', class, key, device, number of elements, ...)."""
    kind, dtype, key, *_ = identifier
    if kind != "storage" or not isinstance(dtype, str):
        raise CheckpointError(f"refers to a {kind} that is not a storage of numbers")
    return Storage(str(key), dtype)


def _weights(content: Any) -> tuple[dict[str, View], str | None]:
    """The tensors among what a file holds, wherever training scripts put them."""
    if not isinstance(content, dict):
        raise CheckpointError(
            f"holds a {type(content).__name__}, not weights by name; "
            "save model.state_dict() instead"
        )
    for key in CONTAINERS:
        if isinstance(content.get(key), dict) and content[key]:
            tensors, inner = _weights(content[key])
            return tensors, f"{key}.{inner}" if inner else key
    tensors = {str(name): value for name, value in content.items() if isinstance(value, View)}
    if tensors:
        return tensors, None
    found = ", ".join(map(str, content)) or "nothing"
    if "optimizer" in content or {"state", "param_groups"} <= content.keys():
        raise CheckpointError(
            f"holds the state of an optimiser and no weights (found {found}); "
            "give the file with the model's weights"
        )
    raise CheckpointError(f"holds no weights (found {found}); give a file of weights by name")
