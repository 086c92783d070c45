"""Pickles read as data: nothing in them can run.

A pickle is a program that may call whatever it can import. Here it can import nothing: every name
it asks for is answered from the lists below, with a recorder or an inert stand-in of ours, or the
whole file is refused.
"""

import collections
import pickle
from collections.abc import Callable
from operator import index
from typing import Any, BinaryIO, NamedTuple

from model_export.errors import CheckpointError

STORAGES = {
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
    "BoolStorage": "BOOL",
    "ByteStorage": "U8",
    "CharStorage": "I8",
    "ShortStorage": "I16",
    "IntStorage": "I32",
    "LongStorage": "I64",
}
"""torch's storage classes, by the type of their elements."""

INERT = {
    # What training scripts keep beside the weights: settings, paths, best scores.
    "argparse.Namespace",
    "yacs.config.CfgNode",  # the paper's repository saves its configuration
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "pathlib.PurePosixPath",
    "collections.Counter",
    "collections.defaultdict",
    *(f"builtins.{name}" for name in ("set", "frozenset", "complex", "slice")),
    *(f"builtins.{name}" for name in ("bool", "int", "float", "str", "list", "tuple", "dict")),
    "_codecs.encode",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    *(f"torch.{name}" for name in ("float16", "bfloat16", "float32", "float64", "int64")),
}
"""Names that are no weights but do no harm unread: what they would make is not made."""


class Storage(NamedTuple):
    """A run of numbers in a file: which one, and what is in it."""

    key: str
    dtype: str


class View(NamedTuple):
    """A tensor: a part of a storage. Offset and strides are in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Inert:
    """Stands for an object that is not made: takes whatever a pickle does to it, keeps nothing."""

    def __new__(cls, *_arguments: object, **_named: object) -> "Inert":
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None: ...

    def __setitem__(self, _key: object, _value: object) -> None: ...

    def append(self, _item: object) -> None:
        """Take an item."""

    def extend(self, _items: object) -> None:
        """Take items."""

    def add(self, _item: object) -> None:
        """Take an item."""


def load(file: BinaryIO, storage: Callable[[tuple[Any, ...]], Storage]) -> Any:
    """The next pickle of a file, as dictionaries, lists, plain values and `View`s of tensors.

    Args:
        file: Read up to the end of the pickle.
        storage: What to make of a storage that the pickle refers to.

    Raises:
        CheckpointError: It names something that is neither a tensor nor harmless, or is damaged.
    """
    try:
        return _Reader(file, storage).load()
    except CheckpointError:
        raise
    except Exception as error:  # damaged pickles raise anything
        raise CheckpointError(
            f"not a whole pickle ({type(error).__name__}: {error}); download it again"
        ) from error


def _view(storage: Storage, offset: Any, shape: Any, strides: Any) -> View:
    if not isinstance(storage, Storage):
        raise CheckpointError("a tensor without a storage")
    return View(storage, index(offset), tuple(map(index, shape)), tuple(map(index, strides)))


class _Reader(pickle.Unpickler):
    def __init__(self, file: BinaryIO, storage: Callable[[tuple[Any, ...]], Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage
        # Made anew for every file: a pickle may set attributes of what it is given.
        self._known: dict[str, Any] = {
            "collections.OrderedDict": collections.OrderedDict,
            "torch._utils._rebuild_tensor_v2": lambda *tensor: _view(*tensor[:4]),
            "torch._utils._rebuild_parameter": lambda data, *_: data,
        }
        self._known |= {f"torch.{name}": dtype for name, dtype in STORAGES.items()}
        self._known |= dict.fromkeys(INERT, type("Inert", (Inert,), {}))

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if full in self._known:
            return self._known[full]
        raise CheckpointError(
            f"refused: it wants to make a '{full}', which is not data, and nothing of it was run; "
            "save only the weights, torch.save(model.state_dict(), FILE), or as .safetensors"
        )

    def persistent_load(self, identifier: Any) -> Storage:
        return self._storage(identifier)
