"""int8: what is quantised, that nothing saturates, and that the batch makes no difference."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from model_export.catalog import NANO, Entry
from model_export.errors import VerificationError
from model_export.export import Lowering, export
from model_export.precision import calibration
from tests.support.images import photos
from tests.support.small_model import SMALL_MODEL
from tests.support.weights import lively

INT8 = Lowering("int8")
SMALL_V2 = Entry(
    replace(SMALL_MODEL.architecture, name="small_v2", version=2), SMALL_MODEL.preprocessing
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos, as somebody has them."""
    path = tmp_path_factory.mktemp("photos")
    for name, photo in photos().items():
        photo.save(path / f"{name}.jpg", quality=90)
    (path / "notes.txt").write_text("not an image")
    return path


@pytest.fixture(scope="module", params=[SMALL_MODEL, SMALL_V2], ids=["v1", "v2"])
def artifact(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "int8.onnx"
    export(request.param, lively(request.param.architecture), path, lowering=INT8)
    return path


def embed(path, pixels, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"pixels": pixels})[0]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_embedding_has_the_same_bits_in_any_batch_and_with_any_threads(artifact, threads):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    alone = np.concatenate([embed(artifact, image[None]) for image in pixels])
    assert len(np.unique(alone, axis=0)) == 9
    for count in range(1, 10):
        together = embed(artifact, pixels[:count], threads)
        np.testing.assert_array_equal(together, alone[:count])


def test_every_linear_layer_but_the_first_is_in_integers(artifact):
    graph = onnx.load(artifact).graph
    integers = [node.name for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    assert len(integers) == 4 * 6 + 1  # query, key, value, projection, fc1, fc2; one merging
    weights = {i.name for i in graph.initializer}
    constants = [
        n.name for n in graph.node if n.op_type == "MatMul" and weights.intersection(n.input)
    ]
    assert [name.split("/")[0] for name in constants] == ["linear_embedding", "mean"]
    # A query, a key and a value share an activation: four to a block and the merging's.
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) == 4 * 4 + 1


def test_every_gelu_is_approximated(artifact):
    gelus = [node for node in onnx.load(artifact).graph.node if node.op_type == "Gelu"]
    assert [node.attribute[0].s for node in gelus] == [b"tanh"] * 4


def test_no_two_products_overflow_16_bits(artifact):
    weights = [
        onnx.numpy_helper.to_array(i)
        for i in onnx.load(artifact).graph.initializer
        if i.name.endswith("weight/int8")
    ]
    largest = max(int(np.abs(weight.astype(int)).max()) for weight in weights)
    assert largest == 64
    assert 2 * 255 * largest <= np.iinfo(np.int16).max


@pytest.mark.parametrize("entry", [SMALL_MODEL, SMALL_V2, NANO], ids=["v1", "v2", "nano"])
def test_it_stays_near_fp32_on_photos(folder, tmp_path, entry):
    checkpoint = lively(entry.architecture)
    export(entry, checkpoint, tmp_path / "fp32.onnx")
    # Its ranges come from images that were made up.
    export(entry, checkpoint, tmp_path / "int8.onnx", lowering=INT8)
    pixels = calibration.images(folder, entry.preprocessing)
    exact, lowered = (embed(tmp_path / f"{p}.onnx", pixels) for p in ("fp32", "int8"))
    cosines = (exact * lowered).sum(1) / np.linalg.norm(exact, axis=1)
    cosines /= np.linalg.norm(lowered, axis=1)
    assert cosines.mean() >= 0.995
    assert cosines.min() >= 0.98


def test_the_card_says_how_near_it_is_on_someones_images(folder, tmp_path):
    lowering = Lowering("int8", images=folder)
    checkpoint = lively(SMALL_MODEL.architecture)
    card = export(SMALL_MODEL, checkpoint, tmp_path / "int8.onnx", lowering=lowering)
    assert card.precision == "int8"
    assert card.verification.reference == "fp32"
    assert card.verification.images == 3  # the other half of six gave the ranges
    assert 0.995 < card.verification.mean_cosine < 1
    assert card.verification.worst_cosine <= card.verification.mean_cosine


def test_an_artifact_below_the_floor_is_not_kept(tmp_path):
    lowering = Lowering("int8", min_cosine=0.999999)
    with pytest.raises(VerificationError, match=r"worst of 16 images has a cosine of 0\.9.*0\.999"):
        export(
            SMALL_MODEL, lively(SMALL_MODEL.architecture), tmp_path / "x.onnx", lowering=lowering
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("made_by", "taken_by"),
    [
        (("norm1.weight", "norm1.bias"), "attention.qkv.weight"),
        (("attention.value", "attention.value_bias"), "attention.projection.weight"),
    ],
)
def test_a_channel_much_larger_than_the_others_costs_nothing(tmp_path, made_by, taken_by):
    """The same function with one channel scaled up before a linear layer and down in it."""
    checkpoint = lively(SMALL_MODEL.architecture)
    tensors = {name: tensor.copy() for name, tensor in checkpoint.tensors.items()}
    for block in ("stages.0.blocks.0", "stages.0.blocks.1"):
        for name in made_by:
            values = tensors[f"{block}.attention.qkv.{'bias' if 'bias' in name else 'weight'}"]
            scaled = (
                values[2 * 64 + 5 :][:1] if "value" in name else tensors[f"{block}.{name}"][5:6]
            )
            scaled *= 100
        tensors[f"{block}.{taken_by}"][:, 5] /= 100
    card = export(
        SMALL_MODEL, replace(checkpoint, tensors=tensors), tmp_path / "x.onnx", lowering=INT8
    )
    assert card.verification.worst_cosine > 0.998
