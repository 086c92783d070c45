"""The network to train: transformers' SwinModel in the default model's shape, at any resolution."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import SwinConfig, SwinModel

from model_export.catalog import NANO
from model_export.network.architecture import Architecture

MEAN = torch.tensor(NANO.preprocessing.mean).view(3, 1, 1)
STD = torch.tensor(NANO.preprocessing.std).view(3, 1, 1)


class Network(nn.Module):
    """Images [n, 3, r, r] in [0, 1] to embeddings [n, dim]: the mean over the last tokens.

    `r` may be the architecture's image size over a power of two. Where a feature map is then
    smaller than a window, the window shrinks to it; its relative positions are a part of the full
    window's, so every resolution trains the same bias tables.

    `standardise` is for training: it gives every dimension mean 0 and variance 1 over a step's
    embeddings, without which a young network puts all images in one corner and the loss pushes the
    corner about. `published` folds it into the last LayerNorm, exactly.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.side = architecture.image_size
        self.swin = SwinModel(
            SwinConfig(
                image_size=architecture.image_size,
                patch_size=architecture.patch_size,
                embed_dim=architecture.channels,
                depths=list(architecture.depths),
                num_heads=list(architecture.heads),
                window_size=architecture.windows[0],
                mlp_ratio=architecture.mlp_ratio,
                drop_path_rate=0.0,
            ),
            add_pooling_layer=False,
        )
        self.standardise = nn.BatchNorm1d(architecture.embedding_dim, affine=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                # The published 0.02 suits widths of hundreds; at 32 it leaves the blocks silent.
                nn.init.xavier_uniform_(module.weight)

    def resize(self, side: int) -> None:
        """Set the windows for images of `side` x `side` pixels."""
        self.side = side
        height = side // self.architecture.patch_size
        full = self.architecture.windows[0]
        for stage in self.swin.encoder.layers:
            window = min(full, height)
            for i, block in enumerate(stage.blocks):
                block.window_size = window
                block.shift_size = window // 2 if i % 2 and window < height else 0
                bias = block.attention.relative_position_bias
                index = bias._create_relative_position_index().view(full, full, full, full)
                bias.relative_position_index = index[:window, :window, :window, :window].flatten()
                bias.window_area = window * window
            height = (height + 1) // 2

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.swin((images - MEAN) / STD).last_hidden_state
        return tokens.mean(1)


SOURCE = "swin-embed/procedural"
"""What the model card calls the weights' origin; the file carries it."""

RENAMES = (
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("embeddings.norm.", "patch_embed.norm."),
    ("encoder.layers.", "layers."),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("attention.o_proj", "attn.proj"),
    ("attention.relative_position_bias.", "attn."),
    ("attention.", "attn."),
    ("layernorm.", "norm."),
)


def published(network: Network) -> dict[str, Tensor]:
    """The weights by timm's names, float16: what the exporter reads.

    timm merges patches at the start of a stage, transformers at the end of the one before, and
    timm keeps query, key and value in one tensor.
    """
    state = dict(network.swin.state_dict())
    mean, variance = network.standardise.running_mean, network.standardise.running_var
    scale = torch.rsqrt(variance + network.standardise.eps)
    state["layernorm.bias"] = (state["layernorm.bias"] - mean) * scale
    state["layernorm.weight"] = state["layernorm.weight"] * scale
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for theirs, ours in RENAMES:
            name = name.replace(theirs, ours)
        parts = name.split(".")
        if "downsample" in parts:
            parts[1] = str(int(parts[1]) + 1)
        found[".".join(parts)] = tensor.detach().half()
    for name in [name for name in found if ".attn.q_proj." in name]:
        joined = [found.pop(name.replace("q_proj", part)) for part in QKV]
        found[name.replace("q_proj", "qkv")] = torch.cat(joined).contiguous()
    return found


QKV = ("q_proj", "k_proj", "v_proj")


def load(network: Network, path: Path) -> None:
    """Read weights that `save` wrote; their standardisation stays in the last LayerNorm."""
    theirs = load_file(path)
    state = dict(network.swin.state_dict())
    for name in state:
        ours = name
        for old, new in RENAMES:
            ours = ours.replace(old, new)
        parts = ours.split(".")
        if "downsample" in parts:
            parts[1] = str(int(parts[1]) + 1)
        ours = ".".join(parts)
        if ".attn." in ours and (part := next((q for q in QKV if q in ours), None)):
            joined = theirs[ours.replace(part, "qkv")]
            state[name] = joined.chunk(3)[QKV.index(part)].float()
        elif ours in theirs:
            state[name] = theirs[ours].float()
    network.swin.load_state_dict(state)
    network.standardise.reset_running_stats()


def save(network: Network, path: Path) -> None:
    """Write the weights as a safetensors file that `python -m model_export --weights` takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(published(network), path, {"source": SOURCE, "licence": "Apache-2.0"})
