"""Tensors as they lie in a file: shape and type known, values read when they are asked for."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.errors import CheckpointError

FLOATS = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
"""Types that weights may have, by safetensors' names; NumPy has no bfloat16, only its bits."""

SIZES = {"U8": 1, "I8": 1, "BOOL": 1, "I16": 2, "F16": 2, "BF16": 2}
SIZES |= {"I32": 4, "F32": 4, "I64": 8, "F64": 8}
"""Bytes of a number; of types that are no weights too, as their storages are stepped over."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; `read` gives it in float32, if `dtype` is one of `FLOATS`."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], npt.NDArray[np.float32]]


Stored = dict[str, StoredTensor]
"""The tensors of a checkpoint, by the file's names."""


def decoded(
    data: npt.NDArray[np.uint8],
    dtype: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
    offset: int = 0,
) -> npt.NDArray[np.float32]:
    """A float32 copy of a tensor among bytes.

    Args:
        data: The bytes, little endian.
        dtype: One of `FLOATS`.
        shape: Of the tensor.
        strides: In elements; those of a contiguous tensor if not given.
        offset: Of the first element, in elements.

    Raises:
        CheckpointError: The tensor reaches beyond the data.
    """
    if strides is None:
        strides = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    if 0 in shape:
        return np.zeros(shape, np.float32)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min(offset, *strides, 0) < 0 or (last + 1) * SIZES[dtype] > data.size:
        raise CheckpointError("a tensor reaches beyond its data; the file is truncated or damaged")
    elements = data[: data.size // SIZES[dtype] * SIZES[dtype]].view(FLOATS[dtype])
    bytewise = tuple(step * SIZES[dtype] for step in strides)
    tensor = np.lib.stride_tricks.as_strided(elements[offset:], shape, bytewise, writeable=False)
    if dtype == "BF16":  # the upper half of a float32
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    return tensor.astype(np.float32)
