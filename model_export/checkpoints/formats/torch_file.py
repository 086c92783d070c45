"""Files of torch.save, read without torch, and plain pickles of NumPy arrays as detectron2 has.

torch.save writes a zip file; before torch 1.6 it wrote five pickles, one after the other, with the
numbers behind them. Whatever a file says of itself, no more is allocated than its size allows.
"""

import io
import mmap
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from model_export.checkpoints.formats import pickles
from model_export.checkpoints.formats.containers import weights
from model_export.checkpoints.formats.pickled_objects import Array, Storage, View
from model_export.checkpoints.formats.stored import (
    TYPES,
    Stored,
    StoredTensor,
    check,
    contiguous,
    decoded,
    size_of,
)
from model_export.errors import CheckpointError

OLD_MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file in the format before torch 1.6."""

Places = dict[str, tuple[int, int]]
"""Where in the file each storage begins, and its bytes."""


@dataclass(frozen=True)
class TorchFile:
    """What a file holds.

    Attributes:
        tensors: The weights, by name.
        key: What they lay under, for example `model`; None if at the top.
        settings: What lay beside them: settings of the training run, for example.
    """

    tensors: Stored
    key: str | None
    settings: dict[str, Any]


def read(path: Path) -> TorchFile:
    """The weights of a file and what lies beside them.

    Raises:
        CheckpointError: It is not such a file, not a whole one, holds no weights, holds more than
            data, or says that it has more than its size allows.
    """
    try:
        content, places = _zip(path) if zipfile.is_zipfile(path) else _pickles(path)
        tensors, key = weights(content)
        data = np.memmap(path, np.uint8, "r")
        stored = {name: _stored(name, value, data, places) for name, value in tensors.items()}
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{path}: a damaged zip file ({error})") from error
    top = (key or "").partition(".")[0]
    beside = {name: value for name, value in content.items() if name != top}
    return TorchFile(stored, key, {n: v for n, v in beside.items() if isinstance(n, str)})


def _stored(
    name: str, value: View | Array, data: npt.NDArray[np.uint8], places: Places
) -> StoredTensor:
    if isinstance(value, Array):
        strides = contiguous(value.shape, column_major=value.column_major)
        check(name, value.dtype, value.shape, strides, 0, len(value.data))
        return StoredTensor(value.shape, value.dtype, partial(_array, value, strides))
    storage = value.storage
    if storage.key not in places:
        raise CheckpointError(f"{name}: the data of storage {storage.key[:80]} is not in the file")
    start, size = places[storage.key]
    part = data[start : start + size]
    check(name, storage.dtype, value.shape, value.strides, value.offset, part.size)
    return StoredTensor(
        value.shape,
        storage.dtype,
        partial(decoded, part, storage.dtype, value.shape, value.strides, value.offset),
    )


def _array(array: Array, strides: tuple[int, ...]) -> npt.NDArray[np.float32]:
    data = array.data.encode("latin1") if isinstance(array.data, str) else array.data
    return decoded(np.frombuffer(data, np.uint8), array.dtype, array.shape, strides)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """The file in memory: reading returns what is there, and allocates no more."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        yield mapped


def _zip(path: Path) -> tuple[Any, Places]:
    """What a zip file's pickle holds, and the place of every storage."""
    with zipfile.ZipFile(path) as archive, _mapped(path) as mapped:
        entries: dict[str, tuple[int, int]] = {}
        for info in archive.infolist():
            name = info.filename.partition("/")[2]
            if name in entries:
                raise CheckpointError(f"a zip file with two entries '{name[:80]}'; save it again")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise CheckpointError("its data is compressed, which torch.save never does")
            # A local header is 30 bytes, then a name and extra fields of given lengths.
            lengths = mapped[info.header_offset + 26 : info.header_offset + 30]
            begin = info.header_offset + 30
            begin += int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            entries[name] = begin, info.file_size
            if begin + info.file_size > len(mapped):
                raise CheckpointError(f"its entry '{name[:80]}' reaches beyond the file")

        def entry(name: str) -> bytes:
            begin, size = entries[name]
            return mapped[begin : begin + size]

        if "data.pkl" not in entries:
            raise CheckpointError("a zip file, but not one that torch.save wrote: no data.pkl")
        if "byteorder" in entries and entry("byteorder") != b"little":
            raise CheckpointError("saved on a big-endian machine; save it again on another one")
        content = pickles.load(io.BytesIO(entry("data.pkl")), _storage)
    start = "data/"
    return content, {n.removeprefix(start): p for n, p in entries.items() if n.startswith(start)}


def _pickles(path: Path) -> tuple[Any, Places]:
    """What a file of pickles holds, and the place of every storage behind them."""
    storages: dict[str, Storage] = {}

    def storage(identifier: tuple[Any, ...]) -> Storage:
        found = _storage(identifier)
        storages[found.key] = found
        return found

    with _mapped(path) as mapped:
        file = cast(BinaryIO, mapped)
        first = _first(file)
        if first != OLD_MAGIC:
            return first, {}
        for _ in range(2):  # version of the format, sizes of C's integers
            pickles.load(file, storage)
        content = pickles.load(file, storage)
        keys = pickles.load(file, storage)
        if not isinstance(keys, list):
            raise CheckpointError("its list of storages is none; it is damaged")
        places: Places = {}
        for key in keys:
            if not isinstance(key, str) or key not in storages or key in places:
                raise CheckpointError("its storages are not those of its tensors; it is damaged")
            size = int.from_bytes(file.read(8), "little") * size_of(storages[key].dtype)
            places[key] = (file.tell(), size)
            if file.tell() + size > len(mapped):
                raise CheckpointError(f"its storage {key[:80]} reaches beyond the file")
            file.seek(size, 1)
    return content, places


def _first(file: BinaryIO) -> Any:
    """The first pickle of a file."""
    try:
        return pickles.load(file, _storage)
    except CheckpointError as error:
        if "refused" in str(error):
            raise
        raise CheckpointError(
            f"begins like a file that torch.save wrote and is not a whole one ({error})"
        ) from error


def _storage(identifier: Any) -> Storage:
    """A pickle's reference: ('storage', type, key, device, number of elements, part of another)."""
    if not isinstance(identifier, tuple) or len(identifier) < 5:
        raise CheckpointError("refers to something that is not a storage of numbers")
    kind, dtype, key, _, _, *part = identifier
    if kind != "storage" or dtype not in TYPES or not isinstance(key, str):
        raise CheckpointError("refers to something that is not a storage of numbers")
    if any(p is not None for p in part):
        raise CheckpointError("its storages are parts of others, as before torch 0.4; save it anew")
    return Storage(key, dtype)
