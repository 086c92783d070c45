"""Pickles read as data: nothing in them can run, and they cannot grow far beyond their file.

A pickle is a program that may call whatever it can import. Here it can import nothing: each name it
asks for is answered from the lists below, by something of ours that records what it is given or
ignores it; any other name refuses the file. Python's reader in C allocates whatever size a pickle
announces. So this one extends the reader in Python, reads from a file that returns no more than it
has, and counts operations.
"""

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import index
from typing import Any, BinaryIO, NamedTuple

from model_export.errors import CheckpointError

OPERATIONS = 1_000_000
"""Operations that a pickle may have. Each makes at most an empty dictionary."""

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
"""torch's storage classes, and the type of their elements by safetensors' names."""

ARRAYS = {
    "f2": "F16",
    "f4": "F32",
    "f8": "F64",
    "b1": "BOOL",
    "u1": "U8",
    "i1": "I8",
    "i2": "I16",
    "i4": "I32",
    "i8": "I64",
}
"""NumPy's types, and what safetensors calls them."""

SETTINGS = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "yacs.config.CfgNode",  # the paper's repository saves its configuration
    "fvcore.common.config.CfgNode",
    "detectron2.config.config.CfgNode",
    "addict.addict.Dict",
    "mmengine.config.config.ConfigDict",
    "mmcv.utils.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "String", "Integer", "Float", "Boolean", "Bytes", "Path", "Enum")
    ),
)
"""Classes that hold the settings of a training run: kept as dictionaries."""

IGNORED = {
    # What training scripts keep beside weights and settings: paths, best scores, logs.
    "copy_reg._reconstructor",
    "copyreg._reconstructor",
    "builtins.object",
    "typing.Any",
    "uuid.UUID",
    "datetime.datetime",
    "datetime.timedelta",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.base.Node",
    "omegaconf.nodes.ValueNode",
    "omegaconf.nodes.InterpolationResultNode",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "pathlib.PurePosixPath",
    "collections.Counter",
    "collections.defaultdict",
    *(f"builtins.{name}" for name in ("set", "frozenset", "complex", "slice", "bytearray")),
    *(f"builtins.{name}" for name in ("bool", "int", "float", "str", "list", "tuple", "dict")),
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    *(f"torch.{name}" for name in ("float16", "bfloat16", "float32", "float64", "int64")),
}
"""Names that are no weights and do no harm unread: what they would make is not made."""


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
        self.shape, self.dtype = _whole_numbers(shape), dtype.name
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
        if isinstance(state, dict):
            self.update(state)

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


MOST_DIMENSIONS = 32
"""Dimensions that an array may have; no weight has more than four."""


def load(file: BinaryIO, storage: Callable[[tuple[Any, ...]], Storage]) -> Any:
    """The next pickle of a file, as dictionaries, lists, plain values, `View`s and `Array`s.

    Args:
        file: Read up to the end of the pickle; its `read` allocates no more than the file has.
        storage: What to make of a storage that the pickle refers to.

    Raises:
        CheckpointError: It names something that is neither a tensor nor harmless, has more than
            `OPERATIONS` operations, holds a name twice, or is damaged.
    """
    try:
        return _Reader(file, storage).load()
    except CheckpointError:
        raise
    except Exception as error:  # damaged pickles raise anything
        raise CheckpointError(
            f"not a whole pickle ({type(error).__name__}: {str(error)[:80]}); download it again"
        ) from error


def _whole_numbers(given: Any) -> tuple[int, ...]:
    if not isinstance(given, tuple | list) or len(given) > MOST_DIMENSIONS:
        raise CheckpointError(f"a tensor whose shape is not a list of at most {MOST_DIMENSIONS}")
    numbers = tuple(map(index, given))
    if any(abs(number) >= 2**48 for number in numbers):
        raise CheckpointError("a tensor with a dimension beyond any file")
    return numbers


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_rest: Any) -> View:
    if not isinstance(storage, Storage):
        raise CheckpointError("a tensor without a storage")
    (start,) = _whole_numbers([offset])
    return View(storage, start, _whole_numbers(shape), _whole_numbers(strides))


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    return Array(_whole_numbers(shape), dtype.name, order == "F", data)


class _Reader(pickle._Unpickler):
    """The standard library's reader in Python: private, but the one in C cannot be limited."""

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: BinaryIO, storage: Callable[[tuple[Any, ...]], Storage]) -> None:
        super().__init__(file, encoding="latin1")
        self._storage = storage
        self._counted = _Counted(self.operations)
        begin = file.tell()
        file.seek(0, 2)
        self._to_encode = file.tell() - begin
        file.seek(begin)
        # Made anew for every file: a pickle may set attributes of what it is given.
        ignored, settings = type("Ignored", (Ignored,), {}), type("Settings", (Settings,), {})
        self._known: dict[str, Any] = {
            "collections.OrderedDict": self._ordered,
            "_codecs.encode": self._encoded,
            "torch._utils._rebuild_tensor_v2": _view,
            "torch._utils._rebuild_parameter": lambda data, *_: data,
            "numpy.dtype": ArrayType,
            "numpy.ndarray": ignored,
        }
        for numpy in ("numpy.core", "numpy._core"):
            self._known[f"{numpy}.multiarray._reconstruct"] = lambda *_: Array()
            self._known[f"{numpy}.numeric._frombuffer"] = _array
        self._known |= {f"torch.{name}": dtype for name, dtype in STORAGES.items()}
        self._known |= dict.fromkeys(IGNORED, ignored) | dict.fromkeys(SETTINGS, settings)

    @property
    def dispatch(self) -> "_Counted":  # type: ignore[override]
        return self._counted

    def persistent_load(self, pid: Any) -> Storage:
        return self._storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if full in self._known:
            return self._known[full]
        if module.startswith("__torch__"):
            raise CheckpointError("a TorchScript archive; save model.state_dict() instead")
        raise CheckpointError(
            f"refused: it wants to make a '{full[:80]}', which is not data, and nothing of it was "
            "run; save only the weights, torch.save(model.state_dict(), FILE), or as .safetensors"
        )

    def _ordered(self, items: Iterable[tuple[Any, Any]] = ()) -> dict[Any, Any]:
        """An OrderedDict; Python 2 writes it as a list of pairs."""
        made: dict[Any, Any] = {}
        for key, value in items:
            self._counted.spend(1)
            _put(made, key, value)
        return made

    def _encoded(self, text: str, _encoding: str = "latin1") -> bytes:
        """Bytes, which the protocols of Python 2 write as text."""
        self._to_encode -= len(text)
        if self._to_encode < 0:
            raise CheckpointError("refused: its pickle makes more bytes than the file has")
        return text.encode("latin1")

    # What the operations that are not safe, or not needed as they are, do instead.

    def _build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(state, dict):
            self._counted.spend(len(state))
        if isinstance(made, Array | ArrayType | Settings | Ignored):
            made.__setstate__(state)
        elif not isinstance(made, dict):  # attributes of a state_dict are versions of modules
            raise CheckpointError(f"refused: it sets attributes of a {type(made).__name__}")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], key, value)

    def _set_items(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            _put(self.stack[-1], key, value)

    def _dictionary(self) -> None:
        items = self.pop_mark()
        made: dict[Any, Any] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            _put(made, key, value)
        self.append(made)

    def _set_as_list(self) -> None:
        self.append(self.pop_mark())

    operations = pickle._Unpickler.dispatch | {
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dictionary,
        # Members of sets are hashed, and a small nest of tuples takes years to hash.
        pickle.EMPTY_SET[0]: pickle._Unpickler.dispatch[pickle.EMPTY_LIST[0]],
        pickle.ADDITEMS[0]: pickle._Unpickler.dispatch[pickle.APPENDS[0]],
        pickle.FROZENSET[0]: _set_as_list,
        # Would be allocated before it is read.
        pickle.BYTEARRAY8[0]: pickle._Unpickler.dispatch[pickle.BINBYTES8[0]],
    }


class _Counted:
    """The operations of a reader, counted as they are looked up."""

    def __init__(self, operations: dict[int, Any]) -> None:
        self.operations = operations
        self.left = OPERATIONS

    def __getitem__(self, code: int) -> Any:
        self.spend(1)
        return self.operations[code]

    def spend(self, count: int) -> None:
        """Count operations.

        Raises:
            CheckpointError: They are more than `OPERATIONS`.
        """
        self.left -= count
        if self.left < 0:
            raise CheckpointError(
                f"refused: its pickle has more than {OPERATIONS:,} operations, which no "
                "checkpoint of a Swin needs"
            )


def _put(mapping: Any, key: Any, value: Any) -> None:
    """Set an item of a dictionary; keys that are neither text nor a number are left out."""
    if isinstance(mapping, Ignored):
        return
    if not isinstance(mapping, dict):
        raise CheckpointError(f"refused: it sets items of a {type(mapping).__name__}")
    if isinstance(key, str) and key in mapping:
        raise CheckpointError(f"refused: it holds '{key[:80]}' twice")
    if isinstance(key, str | int | float):
        mapping[key] = value
