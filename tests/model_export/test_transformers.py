"""The artifact against transformers' SwinModel, on the same pixels and weights."""

import re

import numpy as np
import onnxruntime
import pytest

from model_export.catalog import NANO, find
from model_export.checkpoints.seeded import seeded
from model_export.export import export
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
