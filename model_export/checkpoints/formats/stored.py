"""Tensors as they lie in a file: shape and type known, values read when they are asked for."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.errors import CheckpointError

FLOATS = ("F16", "BF16", "F32", "F64")
"""Types that weights may have, by safetensors' names."""

TYPES = {
    "F16": "<f2",
    "BF16": "<u2",
    "F32": "<f4",
    "F64": "<f8",  # NumPy has BF16's bits only
    "BOOL": "u1",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}
"""Types that can be read, and NumPy's names for them."""


def size_of(dtype: str) -> int:
    """Bytes of a number of one of `TYPES`."""
    return np.dtype(TYPES[dtype]).itemsize


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; `read` gives it in float32, if `dtype` is one of `TYPES`."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], npt.NDArray[np.float32]]


Stored = dict[str, StoredTensor]
"""The tensors of a checkpoint, by the file's names."""


def check(
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    size: int,
) -> None:
    """Refuse a tensor that its file does not hold; nothing is allocated.

    Args:
        name: What the file calls it.
        dtype: One of `TYPES`, or something else, of which nothing is known.
        shape: Of the tensor.
        strides: In elements.
        offset: Of the first element, in elements.
        size: Bytes there are.

    Raises:
        CheckpointError: It reaches beyond the bytes, or has more elements than they hold: torch
            can repeat a number without storing it again, but no weights are like that.
    """
    whole = len(shape) == len(strides) and min((0, *shape, *strides, offset)) == 0
    if whole and (dtype not in TYPES or 0 in shape):
        return
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=False))
    if not whole or (last + 1) * size_of(dtype) > size:
        raise CheckpointError(f"{name} reaches beyond its data; the file is truncated or damaged")
    if math.prod(shape) * size_of(dtype) > size:
        raise CheckpointError(
            f"{name} has {math.prod(shape):,} numbers and {size:,} bytes: refused; save a copy "
            "that is not expanded, tensor.contiguous()"
        )


def contiguous(shape: tuple[int, ...], *, column_major: bool = False) -> tuple[int, ...]:
    """Strides, in elements, of a tensor without gaps."""
    if column_major:
        return contiguous(shape[::-1])[::-1]
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def decoded(
    data: npt.NDArray[np.uint8],
    dtype: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int = 0,
) -> npt.NDArray[np.float32]:
    """A float32 copy of a tensor that `check` has let pass.

    Args:
        data: The bytes, little endian.
        dtype: One of `TYPES`.
        shape: Of the tensor.
        strides: In elements.
        offset: Of the first element, in elements.
    """
    if 0 in shape:
        return np.zeros(shape, np.float32)
    elements = data[: data.size // size_of(dtype) * size_of(dtype)].view(TYPES[dtype])
    bytewise = tuple(step * size_of(dtype) for step in strides)
    tensor = np.lib.stride_tricks.as_strided(elements[offset:], shape, bytewise, writeable=False)
    if dtype == "BF16":  # the upper half of a float32
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is refused
        return tensor.astype(np.float32)
