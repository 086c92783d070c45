"""What torch.save wrote, read without torch, and pickles that would do harm."""

import io
import os
import pickle
import struct
import sys
import tracemalloc
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model_export.checkpoints.formats import torch_file
from model_export.checkpoints.formats.pickles import load
from model_export.errors import CheckpointError


class Named:
    """Pickles as a call of a class or function that need not exist here."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class Pickler(pickle._Pickler):
    """Writes calls by name, and references to storages, as torch's pickler does."""

    def persistent_id(self, obj):
        return obj[1] if isinstance(obj, tuple) and obj[:1] == ("persistent",) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
            if obj.arguments:
                super().save(obj.arguments)
                self.write(b"R")
            return
        super().save(obj, save_persistent_id)


def pickled(content):
    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(content)
    return buffer.getvalue()


def tensor(key, kind, count, offset, shape, strides):
    storage = ("storage", Named("torch", kind), key, "cpu", count)
    hooks = Named("collections", "OrderedDict", *())
    return Named(
        "torch._utils",
        "_rebuild_tensor_v2",
        ("persistent", storage),
        offset,
        shape,
        strides,
        False,
        hooks,
    )


def write(path, content, storages=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("checkpoint/data.pkl", pickled(content))
        for key, data in dict(storages).items():
            archive.writestr(f"checkpoint/data/{key}", data)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pth"


NUMBERS = np.arange(12, dtype="<f4")


def test_strided_and_shared_storages_are_read(path):
    storages = {"0": NUMBERS.tobytes()}
    content = {
        "whole": tensor("0", "FloatStorage", 12, 0, (3, 4), (4, 1)),
        "transposed": tensor("0", "FloatStorage", 12, 0, (4, 3), (1, 4)),
        "part": tensor("0", "FloatStorage", 12, 5, (2,), (3,)),
        "parameter": Named(
            "torch._utils",
            "_rebuild_parameter",
            tensor("0", "FloatStorage", 12, 11, (), ()),
            True,
            {},
        ),
    }
    found = torch_file.read(write(path, content, storages))
    assert found.key is None
    read = {name: stored.read() for name, stored in found.tensors.items()}
    np.testing.assert_array_equal(read["whole"], NUMBERS.reshape(3, 4))
    np.testing.assert_array_equal(read["transposed"], NUMBERS.reshape(3, 4).T)
    np.testing.assert_array_equal(read["part"], [5, 8])
    assert read["parameter"] == 11


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("HalfStorage", NUMBERS.astype("<f2").tobytes()),
        ("DoubleStorage", NUMBERS.astype("<f8").tobytes()),
        # bfloat16 is the upper half of a float32
        ("BFloat16Storage", (NUMBERS.view("<u4") >> 16).astype("<u2").tobytes()),
    ],
)
def test_other_types_become_float32(path, kind, data):
    content = {"a": tensor("0", kind, 12, 0, (12,), (1,))}
    tensors = torch_file.read(write(path, content, {"0": data})).tensors
    np.testing.assert_array_equal(tensors["a"].read(), NUMBERS)


def test_the_papers_training_checkpoints_are_read_without_their_classes(path):
    weights = {"a": tensor("0", "FloatStorage", 12, 0, (12,), (1,))}
    content = {
        "optimizer": {"state": {0: weights}, "param_groups": []},
        "config": Named("yacs.config", "CfgNode", {"MODEL": {}}),
        "args": Named("argparse", "Namespace"),
        "best": Named(
            "numpy.core.multiarray", "scalar", Named("numpy", "dtype", "f8"), b"12345678"
        ),
        "model": weights,
    }
    found = torch_file.read(write(path, content, {"0": NUMBERS.tobytes()}))
    assert (list(found.tensors), found.key) == (["a"], "model")


def test_an_average_is_preferred_to_the_weights_it_is_of(path):
    average = {"a": tensor("0", "FloatStorage", 12, 0, (12,), (1,))}
    content = {"state_dict": {}, "model": {"b": 1}, "state_dict_ema": average}
    found = torch_file.read(write(path, content, {"0": NUMBERS.tobytes()}))
    assert found.key == "state_dict_ema"


def old_format(content, storages):
    pieces = [pickled(torch_file.OLD_MAGIC), pickled(1001), pickled({"little_endian": True})]
    pieces += [pickled(content), pickled(list(storages))]
    pieces += [struct.pack("<q", len(data) // 4) + data for data in storages.values()]
    return b"".join(pieces)


def test_the_format_before_torch_1_6_is_read(path):
    content = {
        "a": tensor("one", "FloatStorage", 12, 0, (12,), (1,)),
        "b": tensor("two", "FloatStorage", 12, 6, (2, 3), (3, 1)),
    }
    storages = {"one": NUMBERS.tobytes(), "two": (2 * NUMBERS).tobytes()}
    path.write_bytes(old_format(content, storages))
    tensors = torch_file.read(path).tensors
    np.testing.assert_array_equal(tensors["a"].read(), NUMBERS)
    np.testing.assert_array_equal(tensors["b"].read(), 2 * NUMBERS[6:].reshape(2, 3))


class Attack:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("container", ["zip", "old", "bare"])
def test_nothing_in_a_pickle_runs(path, tmp_path, protocol, container):
    canary = tmp_path / "canary"
    attack = pickle.dumps({"model": {}, "x": Attack(os.mkdir, str(canary))}, protocol)
    if container == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("checkpoint/data.pkl", attack)
    else:
        start = old_format({}, {})[: -len(pickled({}) + pickled([]))]
        path.write_bytes((start if container == "old" else b"") + attack)
    with pytest.raises(CheckpointError, match=r"refused: it wants to make a 'posix.mkdir'"):
        torch_file.read(path)
    assert not canary.exists()
    pickle.loads(attack)  # noqa: S301 (it would have run)
    assert canary.exists()


@pytest.mark.parametrize(
    "wanted",
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("collections", "OrderedDict.__init_subclass__"),
        ("argparse", "Namespace.__init__"),
        ("timm.models.swin_transformer", "SwinTransformer"),
    ],
)
def test_every_other_name_is_refused(wanted):
    content = pickled(Named(*wanted))
    with pytest.raises(CheckpointError, match=rf"'{wanted[0]}\.{wanted[1]}', which is not data"):
        load(io.BytesIO(content), lambda identifier: identifier)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"state": {}, "param_groups": []}, "state of an optimiser and no weights"),
        ({"epoch": 3, "optimizer": {}}, r"no weights \(found epoch, optimizer\)"),
        ({"epoch": 3}, r"holds no weights \(found epoch\)"),
        ({}, r"holds no weights \(found nothing\)"),
        ([1], "holds a list, not weights by name"),
        ({"a": tensor("0", "FloatStorage", 12, 0, (99,), (1,))}, "reaches beyond its data"),
        ({"a": tensor("0", "FloatStorage", 12, 0, (2,), (-1,))}, "reaches beyond its data"),
        ({"a": tensor("9", "FloatStorage", 12, 0, (2,), (1,))}, "storage 9 is not in the file"),
    ],
)
def test_files_without_whole_weights_are_refused(path, content, reason):
    write(path, content, {"0": NUMBERS.tobytes()})
    with pytest.raises(CheckpointError, match=reason):
        [stored.read() for stored in torch_file.read(path).tensors.values()]


def test_damaged_files_are_refused(path):
    content = {"a": tensor("0", "FloatStorage", 12, 0, (12,), (1,))}
    whole = write(path, content, {"0": NUMBERS.tobytes()}).read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(CheckpointError, match="not a whole one"):
        torch_file.read(path)
    write(path, content, {"0": NUMBERS.tobytes()}, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        torch_file.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("something", "else")
    with pytest.raises(CheckpointError, match=r"no data\.pkl"):
        torch_file.read(path)


@pytest.mark.torch
@pytest.mark.parametrize("new", [True, False])
def test_torchs_own_files_are_read(path: Path, new):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 4).to(torch.bfloat16)
    torch.save({"model": layer.state_dict()}, path, _use_new_zipfile_serialization=new)
    found = torch_file.read(path)
    assert found.key == "model"
    for name, expected in layer.state_dict().items():
        np.testing.assert_array_equal(found.tensors[name].read(), expected.float().numpy())


def numbered(count):
    return b"".join(b"(X\x04\x00\x00\x00%04dNt" % number for number in range(count))


@pytest.mark.parametrize(
    "content",
    [
        b"}r\xff\xff\xff\x7f.",  # an entry far down the memo
        b"\x8e\x00\x00\x00\x00\x02\x00\x00\x00x.",  # 8 GB of bytes announced
        b"\x96\x00\x00\x00\x00\x02\x00\x00\x00x.",
        b"\x95\x00\x00\x00\x00\x02\x00\x00\x00}.",
        b"}q\x00X\x05\x00\x00\x00modelh\x00s.",  # a dictionary in itself
        b"}X\x05\x00\x00\x00model" * 50_000 + b"}" + b"s" * 50_000 + b".",
        b")" + b"q\x00h\x00\x86" * 60 + b"}" + b"h\x00Ns.",  # 2^60 tuples to hash
        b"\x8f" * 2_000_000,  # sets of 200 bytes each
        # 10,000 copies of a list of 1,000 pairs
        b"ccollections\nOrderedDict\nq\x00]("
        + numbered(1000)
        + b"e\x85q\x01"
        + b"h\x00h\x01R" * 10_000,
        b"}X\x01\x00\x00\x00aNsX\x01\x00\x00\x00aNs.",  # a name twice
    ],
    ids=["memo", "bytes", "bytearray", "frame", "self", "deep", "hash", "sets", "copies", "twice"],
)
def test_a_pickle_takes_no_more_than_in_proportion(path, content):
    path.write_bytes(b"\x80\x04" + content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            torch_file.read(path)
        assert tracemalloc.get_traced_memory()[1] < 100e6 + 10 * len(content)
    finally:
        tracemalloc.stop()


def test_a_zip_that_inflates_is_refused(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("checkpoint/data.pkl", b"}" * 10_000_000)
    with pytest.raises(CheckpointError, match="compressed, which"):
        torch_file.read(path)


def test_entries_of_a_zip_have_one_name_each(path):
    with zipfile.ZipFile(path, "w") as archive:
        for folder in ("one", "other"):
            archive.writestr(f"{folder}/data.pkl", pickled({}))
    with pytest.raises(CheckpointError, match=r"two entries 'data\.pkl'"):
        torch_file.read(path)


def test_a_tensor_has_no_more_numbers_than_its_storage(path):
    content = {"a": tensor("0", "FloatStorage", 1, 0, (2**20, 2**20), (0, 0))}
    write(path, content, {"0": NUMBERS[:1].tobytes()})
    with pytest.raises(CheckpointError, match=r"a has 1,099,511,627,776 numbers and 4 bytes"):
        torch_file.read(path)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_in_a_plain_pickle_are_read(path, protocol):
    """As detectron2 converts checkpoints."""
    arrays = {
        "whole": NUMBERS.reshape(3, 4),
        "columns": np.asfortranarray(NUMBERS.reshape(3, 4)),
        "half": NUMBERS.astype("<f2"),
    }
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "someone"}, protocol))
    found = torch_file.read(path)
    assert found.key == "model"
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.tensors[name].read(), array)


def test_settings_are_kept_and_what_is_no_data_of_a_trainer_is_ignored(path):
    weights = {"a": tensor("0", "FloatStorage", 12, 0, (12,), (1,))}
    content = {
        "state_dict": weights,
        "arch": "swinv2_tiny_window8_256",
        "hyper_parameters": Named("omegaconf.dictconfig", "DictConfig"),
        "types": [Named("__builtin__", "long"), Named("__builtin__", "unicode")],
        "hparams": Named("lightning.fabric.utilities.data", "AttributeDict"),
        "message_hub": Named("mmengine.logging.history_buffer", "HistoryBuffer"),
    }
    found = torch_file.read(write(path, content, {"0": NUMBERS.tobytes()}))
    assert found.settings["arch"] == "swinv2_tiny_window8_256"


class CfgNode(dict):
    """As yacs makes it: items are settings, attributes are its own."""

    def __init__(self, items):
        super().__init__(items)
        self.__dict__["__immutable__"] = True


def test_attributes_of_a_class_of_settings_are_no_settings(monkeypatch):
    module = types.ModuleType("yacs.config")
    module.CfgNode = CfgNode
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    monkeypatch.setattr(CfgNode, "__module__", "yacs.config")
    written = pickle.dumps(CfgNode({"MODEL": CfgNode({"TYPE": "swin"})}), protocol=2)
    assert load(io.BytesIO(written), lambda _: None) == {"MODEL": {"TYPE": "swin"}}


SHORT = {"layers.0.weight": [1.0, 2.0]}


@pytest.mark.torch
@pytest.mark.parametrize(
    ("content", "taken"),
    [
        ({"ema": {"decay": 0.9}, "state_dict": SHORT}, "state_dict"),
        ({"model": {"name": "swin"}, "net": SHORT}, "net"),
        ({"model": {"layers.0.weight": [0.0]}, "ema_state_dict": SHORT}, "ema_state_dict"),
        ({"student": {"layers.0.weight": [0.0, 1.0]}, "teacher": SHORT}, "teacher"),
        (
            {
                "meta": {"mmengine_version": "0.10"},
                "ema_state_dict": {"layers.0.weight": [0.0]},
                "state_dict": SHORT,
            },
            "state_dict",
        ),
    ],
)
def test_weights_are_taken_from_where_they_are(path, content, taken):
    torch = pytest.importorskip("torch")
    torch.save(_with_tensors(torch, content), path)
    found = torch_file.read(path)
    assert found.key == taken
    np.testing.assert_array_equal(found.tensors["layers.0.weight"].read(), [1.0, 2.0])


@pytest.mark.torch
@pytest.mark.parametrize(
    "content",
    [
        {"model": SHORT, "state_dict": {"layers.0.weight": [3.0, 4.0]}},
        {"student": SHORT, "teacher": {"layers.0.weight": [3.0]}},
    ],
)
def test_weights_in_two_places_are_refused(path, content):
    torch = pytest.importorskip("torch")
    torch.save(_with_tensors(torch, content), path)
    with pytest.raises(CheckpointError, match="save those that you mean alone"):
        torch_file.read(path)


@pytest.mark.torch
def test_tensors_of_another_kind_are_refused_as_that(path):
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.ones(4).to(torch.float8_e4m3fn)}, path)
    with pytest.raises(CheckpointError, match=r"a kind that is not read.*save model\.float"):
        torch_file.read(path)


def _with_tensors(torch, content):
    return {
        key: {
            name: torch.tensor(value) if isinstance(value, list) else value
            for name, value in inner.items()
        }
        for key, inner in content.items()
    }
