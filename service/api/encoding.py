"""Embeddings in the forms that answers carry: number types, raw rows, NumPy files."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.engine.embedder import unit_length
from service.types import Embedding, Vectors

Dtype = Literal["float32", "float16", "int8", "binary"]
CohereType = Literal["float", "int8", "uint8", "binary", "ubinary"]

INTEGERS: dict[CohereType, tuple[Dtype, int, type[np.integer[Any]]]] = {
    "int8": ("int8", 0, np.int8),
    "uint8": ("int8", 128, np.uint8),
    "binary": ("binary", -128, np.int8),
    "ubinary": ("binary", 0, np.uint8),
}
"""Cohere's integers: which of ours they are, what is added, and what they are then."""


@dataclass(frozen=True)
class Rows:
    """Vectors as a little-endian array `[n, width]`; of int8 rows also what a step is worth.

    `width` is the model's dimension, or for `binary` its eighth, rounded up.
    """

    array: npt.NDArray[Any]
    scales: npt.NDArray[np.floating[Any]] | None = None

    @property
    def shape(self) -> str:
        """`n,width`."""
        return ",".join(map(str, self.array.shape))

    def npy(self) -> bytes:
        """The rows as a NumPy file, format 1.0."""
        file = io.BytesIO()
        np.lib.format.write_array(file, self.array, version=(1, 0), allow_pickle=False)
        return file.getvalue()


def rows(embeddings: Sequence[Embedding], *, normalize: bool, dtype: Dtype = "float32") -> Rows:
    """Stack embeddings into rows of a number type.

    - `float32`, `float16`: IEEE 754, the latter rounded to nearest, ties to even.
    - `int8`: `rint(x / scale)` with `scale = max|x| / 127` of each vector, so -127 to 127. Cosines
      need no scale; `x` is the row times its scale.
    - `binary`: a bit for each number, 1 where it is above zero; eight to a byte, the first in the
      highest bit, the last byte filled up with zeros.
    """
    vectors = [embedding.vector for embedding in embeddings]
    if normalize:
        vectors = [unit_length(vector) for vector in vectors]
    return cast(np.stack(vectors).astype("<f4", copy=False), dtype)  # [n, dim]


def cast(array: Vectors, dtype: Dtype) -> Rows:
    """Rows `[n, dim]` in a number type, as `rows` has them."""
    match dtype:
        case "float32":
            return Rows(array)
        case "float16":
            return Rows(array.astype("<f2"))
        case "int8":
            largest = np.abs(array).max(axis=1)  # [n]
            scales = np.where(largest > 0, largest, np.float32(127)) / np.float32(127)  # [n]
            return Rows(np.rint(array / scales[:, None]).astype(np.int8), scales)
        case "binary":
            return Rows(np.packbits(array > 0, axis=1, bitorder="big"))


def cast_as_cohere(array: Vectors, kind: CohereType) -> npt.NDArray[Any]:
    """Rows `[n, dim]` in one of Cohere's number types; its `binary` has a sign."""
    if kind == "float":
        return array
    dtype, offset, integer = INTEGERS[kind]
    return (cast(array, dtype).array.astype(np.int16) + offset).astype(integer)
