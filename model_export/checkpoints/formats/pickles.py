"""Pickles read as data: nothing in them can run, and they cannot grow far beyond their file.

A pickle is a program that may call whatever it can import. Here it can import nothing: each name it
asks for is answered from the lists below, by something of ours that records what it is given or
ignores it; any other name refuses the file. Python's reader in C allocates whatever size a pickle
announces. So this one extends the reader in Python, reads from a file that returns no more than it
has, and counts operations.
"""

import pickle
import re
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from model_export.checkpoints.formats.pickled_names import IGNORED, SETTINGS, STORAGES
from model_export.checkpoints.formats.pickled_objects import (
    Array,
    ArrayType,
    Ignored,
    Settings,
    Storage,
    View,
    whole_numbers,
)
from model_export.errors import CheckpointError

OPERATIONS = 1_000_000
"""Operations that a pickle may have. Each makes at most an empty dictionary."""


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


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_rest: Any) -> View:
    if not isinstance(storage, Storage):
        raise CheckpointError("a tensor without a storage")
    (start,) = whole_numbers([offset])
    return View(storage, start, whole_numbers(shape), whole_numbers(strides))


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    return Array(whole_numbers(shape), dtype.name, order == "F", data)


KINDS = re.compile(r"torch\.(_utils\._rebuild_\w*tensor\w*|(storage\.)?\w+Storage)")
"""Names of tensors and storages that are neither read nor dangerous."""


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
        if KINDS.fullmatch(full):
            raise CheckpointError(
                f"holds tensors of a kind that is not read ({full[:80]}): quantised, 8-bit, "
                "complex, sparse or without data; save model.float().state_dict()"
            )
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
