"""The graph: the paper's figures in its shapes, its cost, and what it computes."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from model_export.catalog import NANO, Entry, imagenet
from model_export.checkpoints.seeded import seeded
from model_export.export import build, export
from tests.reference import swin as reference
from tests.support.small_model import SMALL_MODEL, SMALL_MODEL_V2
from tests.support.weights import lively

SMALL = SMALL_MODEL.architecture


def shape(value):
    """Shape of a value without the batch."""
    return tuple(length for length in value.shape if isinstance(length, int))


def nodes(architecture, op_type, within=""):
    entry = Entry(architecture, imagenet(architecture.image_size, architecture.image_size))
    graph = build(entry, seeded(architecture)).graph
    return [node for node in graph if node.op_type == op_type and within in node.name]


def attention_cost(architecture):
    """Multiplications between tokens, q k^T and scores v, in all blocks, for one image."""
    products = [n for n in nodes(architecture, "MatMul") if len(shape(n.outputs[0])) == 4]
    return sum(math.prod(shape(n.outputs[0])) * shape(n.inputs[0])[-1] for n in products)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lively")
    found = {}
    for entry in (SMALL_MODEL, SMALL_MODEL_V2, NANO):
        path = folder / f"{entry.architecture.name}.onnx"
        export(entry, lively(entry.architecture), path)
        found[entry] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return found


def pixels(entry, count, seed=0):
    side = entry.architecture.image_size
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def embed(session, images):
    return session.run(["embedding"], {"pixels": images})[0]


def test_the_seed_example_has_the_papers_shapes():
    (patches,) = nodes(SMALL, "Cast", "patch_partition")
    assert shape(patches.outputs[0]) == (64, 48)
    (embedding,) = nodes(SMALL, "MatMul", "linear_embedding")
    assert shape(embedding.outputs[0]) == (8 * 8, 64)
    softmaxes = nodes(SMALL, "Softmax", "stages.0")
    # 4 windows, 2 heads, 16 x 16 = 256 dot products each
    assert [shape(node.outputs[0]) for node in softmaxes] == [(4, 2, 16, 16)] * 2
    (concatenated,) = nodes(SMALL, "LayerNormalization", "stages.1/patch_merging")
    assert shape(concatenated.outputs[0]) == (4 * 4, 256)
    (merged,) = nodes(SMALL, "MatMul", "stages.1/patch_merging")
    assert shape(merged.outputs[0]) == (4 * 4, 128)


def test_attention_cost_grows_linearly_where_global_attention_grows_with_the_square():
    windowed = replace(SMALL, depths=(2,), heads=(2,), windows=(4,))
    everywhere = replace(windowed, windows=(windowed.stage_side(0),))
    # 2 M^2 hw C a block; 2 (hw)^2 C where one window holds everything (paper, equations 1, 2)
    assert attention_cost(windowed) == 2 * (2 * 4**2 * 8 * 8 * 64)
    assert attention_cost(everywhere) == 2 * (2 * (8 * 8) ** 2 * 64)

    four_times_the_patches = {"image_size": 64}
    assert attention_cost(replace(windowed, **four_times_the_patches)) == 4 * attention_cost(
        windowed
    )
    everywhere_larger = replace(everywhere, windows=(16,), **four_times_the_patches)
    assert attention_cost(everywhere_larger) == 16 * attention_cost(everywhere)


@pytest.mark.parametrize("entry", [SMALL_MODEL, NANO], ids=lambda entry: entry.architecture.name)
def test_it_computes_what_the_reference_does(sessions, entry):
    architecture, preprocessing = entry.architecture, entry.preprocessing
    images = pixels(entry, 2)
    expected = np.stack(
        [
            reference.embed(
                image,
                lively(architecture).tensors,
                mean=preprocessing.mean,
                std=preprocessing.std,
                patch=architecture.patch_size,
                window=architecture.windows[0],
                depths=architecture.depths,
                heads=architecture.heads,
            )
            for image in images
        ]
    )
    difference = np.abs(embed(sessions[entry], images) - expected).max()
    assert difference <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    "entry", [SMALL_MODEL, SMALL_MODEL_V2, NANO], ids=lambda entry: entry.architecture.name
)
@pytest.mark.parametrize("count", [2, 3, 5, 16])
def test_an_embedding_has_the_same_bits_alone_and_in_a_batch(sessions, entry, count):
    images = pixels(entry, count)
    together = embed(sessions[entry], images)
    alone = np.concatenate([embed(sessions[entry], images[i : i + 1]) for i in range(count)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[::-1], embed(sessions[entry], images[::-1]))


def test_tokens_move_only_before_sw_msa_and_into_patch_merging():
    moves = [node.name.rsplit("/", 1)[0] for node in nodes(NANO.architecture, "Gather")]
    assert moves == [
        "stages.0/blocks.1/cyclic_shift",
        "stages.1/patch_merging/groups",
        "stages.1/blocks.1/cyclic_shift",
        "stages.2/patch_merging/groups",
        "stages.2/blocks.1/cyclic_shift",
        "stages.3/patch_merging/groups",
    ]


@pytest.mark.parametrize("entry", [NANO, SMALL_MODEL_V2], ids=["v1", "v2"])
def test_onnxruntime_reads_queries_keys_and_values_where_they_lie(tmp_path, entry):
    export(entry, lively(entry.architecture), tmp_path / "plain.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(
        tmp_path / "plain.onnx", options, providers=["CPUExecutionProvider"]
    )
    loaded = onnx.load(tmp_path / "loaded.onnx").graph
    blocks = sum(entry.architecture.depths)
    assert sum(node.op_type == "FusedMatMul" for node in loaded.node) == 2 * blocks
    moved = [node.name.rsplit("/", 2)[-2] for node in loaded.node if node.op_type == "Transpose"]
    # What attention made, the pixels, patch merging's groups and the mean's tokens.
    assert Counter(moved) == {
        "attention": blocks,
        "patch_merging": len(entry.architecture.depths) - 1,
        "patch_partition": 1,
        "mean": 1,
    }
