"""fp16: what stays in float32, how near it comes, and that the batch makes no difference."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from model_export.export import Lowering, export, further_outputs
from tests.support.small_model import SMALL_MODEL
from tests.support.weights import lively

FP16 = Lowering("fp16", min_cosine=0.9999)
SMALL_V2 = replace(
    SMALL_MODEL, architecture=replace(SMALL_MODEL.architecture, name="small_v2", version=2)
)


@pytest.fixture(scope="module", params=[SMALL_MODEL, SMALL_V2], ids=["v1", "v2"])
def made(request, tmp_path_factory):
    entry = request.param
    path = tmp_path_factory.mktemp("fp16") / "fp16.onnx"
    checkpoint = lively(entry.architecture)
    outputs = further_outputs(entry.architecture, checkpoint, features=True, logits=False)
    return path, export(entry, checkpoint, path, outputs=outputs, lowering=FP16)


def test_it_comes_near_fp32_and_says_so(made):
    _, card = made
    assert card.precision == "fp16"
    assert card.verification.reference == "fp32"
    assert 0.9999 < card.verification.worst_cosine < 1


def test_the_stages_are_in_half_precision_and_the_outputs_in_float32(made):
    path, _ = made
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    kinds = {i.name: i.data_type for i in model.graph.initializer}
    for node in model.graph.node:
        weight = node.input[1] if node.op_type == "MatMul" else ""
        if weight in kinds:
            expected = (
                onnx.TensorProto.FLOAT16 if "stages." in node.name else onnx.TensorProto.FLOAT
            )
            assert kinds[weight] == expected, node.name
    outputs = {o.name: o.type.tensor_type.elem_type for o in model.graph.output}
    assert set(outputs.values()) == {onnx.TensorProto.FLOAT}
    assert set(outputs) == {"embedding", "features_stride4", "features_stride8"}


def test_an_embedding_has_the_same_bits_in_any_batch(made):
    path, _ = made
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    alone = np.concatenate(
        [session.run(["embedding"], {"pixels": image[None]})[0] for image in pixels]
    )
    for count in range(2, 10):
        together = session.run(["embedding"], {"pixels": pixels[:count]})[0]
        np.testing.assert_array_equal(together, alone[:count])


def test_onnxruntime_folds_bias_and_mask_when_it_loads(made, tmp_path):
    """Sums of constants in half precision have no kernel on CPUs and would be made every run."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(made[0], options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    constants = {i.name for i in graph.initializer}
    assert not [n.name for n in graph.node if n.op_type == "Add" and constants.issuperset(n.input)]
