"""The artifact against transformers' SwinModel, on the same pixels and weights."""

import numpy as np
import onnxruntime
import pytest

from benchmarks import torch_swin
from model_export.catalog import NANO, find
from model_export.checkpoints.seeded import seeded
from model_export.export import export
from model_export.source import find as find_source
from tests.support.small_model import SMALL_MODEL
from tests.support.weights import lively

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(
    ("entry", "weights"),
    [
        (SMALL_MODEL, lively),
        (NANO, lively),
        (find("swin_tiny_patch4_window7_224"), seeded),
    ],
    ids=["small", "nano", "tiny"],
)
def test_embedding_is_transformers(entry, weights, tmp_path):
    architecture, preprocessing = entry.architecture, entry.preprocessing
    checkpoint = weights(architecture)
    model = torch_swin.network(architecture, checkpoint.tensors)
    side = architecture.image_size
    pixels = np.random.default_rng(2).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    images = (pixels / 255 - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    with torch.inference_mode():
        channels_first = torch.from_numpy(images.astype(np.float32).transpose(0, 3, 1, 2).copy())
        expected = model(channels_first).pooler_output.numpy()

    export(entry, checkpoint, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (embedding,) = session.run(["embedding"], {"pixels": pixels})
    assert np.abs(embedding - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ({}, "SwinForImageClassification"),
        ({"mlp_ratio": 2.0, "patch_size": 2, "qkv_bias": False}, "SwinModel"),
        ({}, "Swinv2Model"),
        ({"pretrained_window_sizes": [3, 3, 2]}, "Swinv2ForImageClassification"),
        ({"out_features": ["stage1", "stage3"]}, "SwinBackbone"),
        ({}, "Swinv2Backbone"),
    ],
)
def test_what_it_saves_is_recognised_and_computes_the_same(tmp_path, config, model):
    make_config = transformers.Swinv2Config if "v2" in model else transformers.SwinConfig
    shape = {"image_size": 64, "embed_dim": 32, "depths": [2, 2, 2], "num_heads": [1, 2, 4]}
    theirs = getattr(transformers, model)(make_config(**shape, window_size=4, **config)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            draws = torch.randn(parameter.shape, generator=generator)
            if name.endswith("logit_scale"):  # some above the limit of log 100
                parameter.copy_(np.log(20) + draws)
            elif parameter.ndim == 1:
                parameter.copy_(draws / 2 + ("norm" in name and name.endswith("weight")))
            else:
                parameter.copy_(draws * 1.2 / parameter[0].numel() ** 0.5)
    theirs.save_pretrained(tmp_path, max_shard_size="300KB")
    name, entry, checkpoint = find_source(str(tmp_path), None)
    export(entry, checkpoint, tmp_path / "model.onnx", name)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    prepared = entry.preprocessing
    images = (pixels / 255 - np.array(prepared.mean)) / np.array(prepared.std)
    with torch.inference_mode():
        network = (theirs if "Backbone" in model else theirs.base_model).double()
        channels_first = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        found = network(channels_first)
        if "Backbone" in model:
            expected = found.feature_maps[-1].mean((2, 3)).numpy()
        else:
            expected = found.pooler_output.numpy()
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (embedding,) = session.run(["embedding"], {"pixels": pixels})
    assert np.abs(embedding - expected).max() <= 1e-5 * np.abs(expected).max()
