"""An image's embedding has the same bits alone, among 3 and among 8, in every precision.

On CPUs, with weights that make attention peaked, for the architectures that people use most and the
largest. Each is made without its comparison with the reference, which other tests are for.
"""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from model_export.catalog import find
from model_export.export import build
from model_export.precision import half, quantize
from tests.support.weights import lively

pytestmark = pytest.mark.slow

ARCHITECTURES = (
    "swin_nano_patch4_window7_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    pytest.param("swin_small_patch4_window7_224", marks=pytest.mark.large),
    pytest.param("swin_large_patch4_window7_224", marks=pytest.mark.large),
)


def fp32(entry, checkpoint, path, pixels):
    return build(entry, checkpoint)


def fp16(entry, checkpoint, path, pixels):
    return half.halved(build(entry, checkpoint))


def int8(entry, checkpoint, path, pixels):
    ir.save(quantize.instrumented(build(entry, checkpoint)), path)
    return quantize.quantized(build(entry, checkpoint), quantize.observe(path, pixels[:2]))


@pytest.mark.parametrize("make", [fp32, fp16, int8])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_embedding_has_the_same_bits_in_any_batch(tmp_path, name, make):
    entry = find(name)
    side = entry.architecture.image_size
    pixels = np.random.default_rng(1).integers(0, 256, (8, side, side, 3), dtype=np.uint8)
    path = tmp_path / "model.onnx"
    model = make(entry, lively(entry.architecture), path, pixels)
    ir.save(model, path)
    del model
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (all_eight,) = session.run(["embedding"], {"pixels": pixels})
    (three,) = session.run(["embedding"], {"pixels": pixels[:3]})
    alone = [session.run(["embedding"], {"pixels": image[None]})[0] for image in pixels]
    assert np.isfinite(all_eight).all()
    np.testing.assert_array_equal(np.concatenate(alone), all_eight)
    np.testing.assert_array_equal(three, all_eight[:3])
