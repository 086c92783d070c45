"""The artifact against transformers' SwinModel, on the same pixels and weights."""

import re

import numpy as np
import onnxruntime
import pytest

from model_export.catalog import NANO, find
from model_export.checkpoints.seeded import seeded
from model_export.export import export
from model_export.source import find as find_source
from tests.model_export.weights import lively
from tests.small_model import SMALL_MODEL

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

RENAMES = (
    (r"^linear_embedding\.norm\.", "embeddings.norm."),
    (r"^linear_embedding\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^stages\.", "encoder.layers."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attention\.relative", ".attention.relative_position_bias.relative"),
    (r"\.attention\.projection\.", ".attention.o_proj."),
)


def renamed(tensors):
    state = {}
    for canonical, tensor in tensors.items():
        if merging := re.match(r"stages\.(\d+)\.patch_merging\.(.*)", canonical):
            # Theirs belongs to the stage that it ends, ours to the one that it starts.
            name = f"encoder.layers.{int(merging[1]) - 1}.downsample.{merging[2]}"
            state[name] = torch.from_numpy(tensor)
            continue
        name = canonical
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        if ".qkv." in name:
            for part, third in zip("qkv", np.split(tensor, 3), strict=True):
                state[name.replace(".qkv.", f".{part}_proj.")] = torch.from_numpy(third)
        else:
            state[name] = torch.from_numpy(tensor)
    return state


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
    config = transformers.SwinConfig(
        image_size=architecture.image_size,
        patch_size=architecture.patch_size,
        embed_dim=architecture.channels,
        depths=list(architecture.depths),
        num_heads=list(architecture.heads),
        window_size=architecture.windows[0],
    )
    model = transformers.SwinModel(config).eval()
    model.load_state_dict(renamed(checkpoint.tensors), strict=True)
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
        network = getattr(theirs, "base_model", theirs).double()
        channels_first = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        expected = network(channels_first).pooler_output.numpy()
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (embedding,) = session.run(["embedding"], {"pixels": pixels})
    assert np.abs(embedding - expected).max() <= 1e-5 * np.abs(expected).max()
