import hashlib

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from model_export.checkpoints.reading import read
from model_export.checkpoints.seeded import seeded
from model_export.errors import CheckpointError
from tests.small_model import SMALL_MODEL

ARCHITECTURE = SMALL_MODEL.architecture


@pytest.fixture
def tensors():
    """A checkpoint with timm's names, written out by hand, and values of ours."""
    ours = seeded(ARCHITECTURE).tensors
    in_block = {
        "norm1.weight": "norm1.weight",
        "norm1.bias": "norm1.bias",
        "attn.qkv.weight": "attention.qkv.weight",
        "attn.qkv.bias": "attention.qkv.bias",
        "attn.relative_position_bias_table": "attention.relative_position_bias_table",
        "attn.proj.weight": "attention.projection.weight",
        "attn.proj.bias": "attention.projection.bias",
        "norm2.weight": "norm2.weight",
        "norm2.bias": "norm2.bias",
        "mlp.fc1.weight": "mlp.fc1.weight",
        "mlp.fc1.bias": "mlp.fc1.bias",
        "mlp.fc2.weight": "mlp.fc2.weight",
        "mlp.fc2.bias": "mlp.fc2.bias",
    }
    return {
        "patch_embed.proj.weight": ours["linear_embedding.weight"],
        "patch_embed.proj.bias": ours["linear_embedding.bias"],
        "patch_embed.norm.weight": ours["linear_embedding.norm.weight"],
        "patch_embed.norm.bias": ours["linear_embedding.norm.bias"],
        "layers.1.downsample.norm.weight": ours["stages.1.patch_merging.norm.weight"],
        "layers.1.downsample.norm.bias": ours["stages.1.patch_merging.norm.bias"],
        "layers.1.downsample.reduction.weight": ours["stages.1.patch_merging.reduction.weight"],
        **{
            f"layers.{stage}.blocks.{block}.{theirs}": ours[f"stages.{stage}.blocks.{block}.{name}"]
            for stage in range(2)
            for block in range(2)
            for theirs, name in in_block.items()
        },
        "norm.weight": ours["norm.weight"],
        "norm.bias": ours["norm.bias"],
    }


@pytest.fixture
def reading(tmp_path):
    """Write tensors to a file and read them as a checkpoint."""

    def write_and_read(tensors):
        path = tmp_path / "checkpoint.safetensors"
        save_file(tensors, path)
        return read(path, ARCHITECTURE)

    return write_and_read


def test_a_file_with_timms_names_is_read_whole(reading, tensors, tmp_path):
    checkpoint = reading(tensors)
    expected = seeded(ARCHITECTURE).tensors
    assert checkpoint.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], tensor)
    assert checkpoint.pretrained
    assert checkpoint.weights.source == "checkpoint.safetensors"
    content = (tmp_path / "checkpoint.safetensors").read_bytes()
    assert checkpoint.weights.sha256 == hashlib.sha256(content).hexdigest()


def test_half_precision_becomes_float32(reading, tensors):
    halved = reading({name: tensor.astype(np.float16) for name, tensor in tensors.items()})
    assert {tensor.dtype for tensor in halved.tensors.values()} == {np.dtype(np.float32)}


def test_the_head_is_left_out_and_that_is_said(reading, tensors):
    checkpoint = reading(tensors | {"head.fc.weight": np.zeros((10, 128), np.float32)})
    assert checkpoint.tensors.keys() == seeded(ARCHITECTURE).tensors.keys()
    assert checkpoint.notes == ("left out the classifier head: head.fc.weight",)


def test_buffers_that_geometry_determines_are_not_unexpected(reading, tensors):
    index = {"layers.0.blocks.0.attn.relative_position_index": np.zeros((16, 16), np.int64)}
    assert reading(tensors | index).tensors.keys() == seeded(ARCHITECTURE).tensors.keys()


def test_everything_wrong_is_named_at_once(reading, tensors):
    del tensors["norm.bias"], tensors["layers.0.blocks.1.mlp.fc2.weight"]
    tensors["layers.7.surprise"] = np.zeros(1, np.float32)
    tensors["patch_embed.proj.bias"] = np.zeros(65, np.float32)
    tensors["norm.weight"] = np.zeros(128, np.int64)
    with pytest.raises(CheckpointError) as caught:
        reading(tensors)
    assert str(caught.value).split(": ", 1)[1] == (
        "missing layers.0.blocks.1.mlp.fc2.weight, norm.bias; unexpected layers.7.surprise; "
        "patch_embed.proj.bias has shape [65], not [64]; norm.weight holds I64, not F16, F32 or F64"
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", save({"a": np.zeros(100, np.float32)})[:-10]],
    ids=["empty", "text", "truncated"],
)
def test_another_kind_of_file_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read(path, ARCHITECTURE)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read(tmp_path / "nowhere.safetensors", ARCHITECTURE)
