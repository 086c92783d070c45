"""Checkpoint to artifact: what the file says about itself, and that it is whole or not there."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from model_export.checkpoints.seeded import seeded
from model_export.errors import VerificationError
from model_export.export import export
from model_export.model_card import METADATA_KEY, ModelCard
from tests.support.small_model import SMALL_MODEL


@pytest.fixture
def checkpoint():
    return seeded(SMALL_MODEL.architecture)


def test_the_artifact_is_a_valid_model_that_carries_its_card(checkpoint, tmp_path):
    path = tmp_path / "small.onnx"
    returned = export(SMALL_MODEL, checkpoint, path, name="an-example")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (entry,) = model.metadata_props
    assert entry.key == METADATA_KEY
    card = ModelCard.model_validate_json(entry.value)
    assert card == returned
    assert card.name == "an-example"
    assert card.architecture == SMALL_MODEL.architecture.name
    assert card.embedding_dim == 128
    assert card.patch_tokens == 64
    assert card.precision == "fp32"
    assert card.weights == checkpoint.weights
    assert not card.pretrained
    assert 0 < card.verification.max_relative_difference <= 1e-5
    assert 1 - 1e-9 < card.verification.worst_cosine <= 1 + 1e-15


def test_the_artifacts_input_and_output_are_the_contracts(checkpoint, tmp_path):
    export(SMALL_MODEL, checkpoint, tmp_path / "small.onnx")
    graph = onnx.load(tmp_path / "small.onnx").graph

    def described(value):
        kind = value.type.tensor_type
        dimensions = [d.dim_param or d.dim_value for d in kind.shape.dim]
        return value.name, onnx.TensorProto.DataType.Name(kind.elem_type), dimensions

    assert [described(v) for v in graph.input] == [("pixels", "UINT8", ["batch", 32, 32, 3])]
    assert [described(v) for v in graph.output] == [("embedding", "FLOAT", ["batch", 128])]


def test_trained_weights_are_called_trained(checkpoint, tmp_path):
    trained = replace(checkpoint, pretrained=True)
    assert export(SMALL_MODEL, trained, tmp_path / "small.onnx").pretrained


def test_what_fails_verification_leaves_no_trace(checkpoint, tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(b"the previous one")
    broken = checkpoint.tensors | {"norm.bias": np.full(128, np.nan, np.float32)}
    with pytest.raises(VerificationError, match="differs from the reference by nan"):
        export(SMALL_MODEL, replace(checkpoint, tensors=broken), path)
    assert path.read_bytes() == b"the previous one"
    assert list(tmp_path.iterdir()) == [path]
