"""The check every export runs: does its reference agree, does it notice mistakes?"""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from model_export.errors import VerificationError
from model_export.export import export
from model_export.network import windows
from model_export.network.reference import reference as shipped_reference
from model_export.verify import verify
from tests.reference import swin, swin_v2
from tests.support.small_model import SMALL_MODEL, SMALL_MODEL_V2
from tests.support.weights import lively

ARCHITECTURE, PREPROCESSING = SMALL_MODEL.architecture, SMALL_MODEL.preprocessing


def test_the_shipped_reference_equals_the_one_written_for_reading():
    checkpoint = lively(ARCHITECTURE)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    shipped = shipped_reference(pixels, checkpoint.tensors, ARCHITECTURE, PREPROCESSING)
    for_reading = swin.embed(
        pixels[0],
        checkpoint.tensors,
        mean=PREPROCESSING.mean,
        std=PREPROCESSING.std,
        patch=ARCHITECTURE.patch_size,
        window=ARCHITECTURE.windows[0],
        depths=ARCHITECTURE.depths,
        heads=ARCHITECTURE.heads,
    )
    np.testing.assert_allclose(shipped["embedding"][0], for_reading, rtol=0, atol=1e-12)


def test_the_shipped_v2_reference_equals_the_one_written_for_reading():
    architecture = replace(SMALL_MODEL_V2.architecture, pretrained_windows=(3, 0))
    checkpoint = lively(architecture)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    shipped = shipped_reference(pixels, checkpoint.tensors, architecture, PREPROCESSING)
    for_reading = swin_v2.embed(
        pixels[0],
        checkpoint.tensors,
        mean=PREPROCESSING.mean,
        std=PREPROCESSING.std,
        patch=architecture.patch_size,
        window=4,
        trained=(3, 4),
        depths=architecture.depths,
        heads=architecture.heads,
    )
    np.testing.assert_allclose(shipped["embedding"][0], for_reading, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("mistaken", "mistake"),
    [
        ("relative_position_index", lambda right: lambda *a: right(*a).T),
        ("attention_mask", lambda right: lambda *a: np.zeros_like(right(*a))),
        ("merging_groups", lambda right: lambda *a: right(*a).reshape(-1, 4)[:, ::-1].reshape(-1)),
    ],
)
def test_a_mistake_in_the_geometry_stops_the_export(monkeypatch, tmp_path, mistaken, mistake):
    right = getattr(windows, mistaken)
    monkeypatch.setattr(windows, mistaken, mistake(right))
    with pytest.raises(VerificationError, match="it was not kept"):
        export(SMALL_MODEL, lively(ARCHITECTURE), tmp_path / "small.onnx")


@pytest.mark.parametrize(("off", "kept"), [(3e-6, True), (3e-5, False)])
def test_the_largest_difference_allowed_is_a_hundred_thousandth(tmp_path, off, kept):
    right, path = lively(ARCHITECTURE), tmp_path / "small.onnx"
    export(SMALL_MODEL, right, path)
    scaled = {name: right.tensors[name] * (1 + off) for name in ("norm.weight", "norm.bias")}
    other = replace(right, tensors=right.tensors | scaled)
    with nullcontext() if kept else pytest.raises(VerificationError, match="more than 1e-05"):
        verify(path, SMALL_MODEL, other)
