"""What stands for the objects of a pickle: records what it is given, or ignores it."""

from dataclasses import dataclass
from operator import index
from typing import Any, NamedTuple

from model_export.checkpoints.formats.pickled_names import ARRAYS
from model_export.errors import CheckpointError

MOST_DIMENSIONS = 32
"""Dimensions that an array may have; no weight has more than four."""


class Storage(NamedTuple):
    """A run of numbers in a file: its key and the type of its elements."""

    key: str
    dtype: str


class View(NamedTuple):
    """A tensor: a part of a storage. Offset and strides are in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass
class Array:
    """A NumPy array whose numbers lie in the pickle itself, as bytes or as Latin-1 text."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    column_major: bool = False
    data: bytes | str = b""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, data = state
        self.shape, self.dtype = whole_numbers(shape), dtype.name
        self.column_major, self.data = bool(column_major), data


class ArrayType:
    """A NumPy type; `name` is safetensors' name for it, or says that there is none."""

    def __init__(self, code: Any, *_flags: Any) -> None:
        self.name = ARRAYS.get(str(code)[:8], "numbers of another kind")

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">":
            self.name = "big-endian numbers"


class Settings(dict[Any, Any]):
    """Settings of a training run, whatever class held them."""

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):  # names like yacs's __immutable__ are not settings
            self.update({n: v for n, v in state.items() if not str(n).startswith("__")})

    def append(self, _item: Any) -> None:
        """Ignore an item."""

    def extend(self, _items: Any) -> None:
        """Ignore items."""


class Ignored:
    """Stands for an object that is not made: accepts whatever a pickle does to it."""

    def __init__(self, *_arguments: Any, **_named: Any) -> None: ...

    def __setstate__(self, _state: object) -> None: ...

    def append(self, _item: object) -> None:
        """Ignore an item."""

    def extend(self, _items: object) -> None:
        """Ignore items."""

    def add(self, _item: object) -> None:
        """Ignore an item."""


def whole_numbers(given: Any) -> tuple[int, ...]:
    """Whole numbers of a shape, for example.

    Raises:
        CheckpointError: They are none, too many, or too large for any file.
    """
    if not isinstance(given, tuple | list) or len(given) > MOST_DIMENSIONS:
        raise CheckpointError(f"a tensor whose shape is not a list of at most {MOST_DIMENSIONS}")
    numbers = tuple(map(index, given))
    if any(abs(number) >= 2**48 for number in numbers):
        raise CheckpointError("a tensor with a dimension beyond any file")
    return numbers
