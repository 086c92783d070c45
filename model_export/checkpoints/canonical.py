"""The canonical form of a checkpoint: what a Swin Transformer's tensors are called, their shapes.

Names follow the paper; a linear layer's weight is `[out, in]`, as every published dialect has it.
The dialects next to this module only rename and reshape to this form; the network reads no other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.catalog import Architecture
from model_export.model_card import Weights

Tensor = npt.NDArray[np.float32]
Tensors = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights in canonical form, and where they came from.

    Attributes:
        tensors: float32 by canonical name, with exactly the names and shapes of `shapes`.
        weights: The source, for the model card.
        pretrained: True only for weights that somebody trained.
        notes: What the reader of the file should tell the person who named it.
    """

    tensors: Tensors
    weights: Weights
    pretrained: bool
    notes: tuple[str, ...] = ()


def shapes(architecture: Architecture) -> Shapes:
    """Name and shape of every tensor of a Swin Transformer without its classifier head."""
    patch, channels = architecture.patch_size, architecture.channels
    found: Shapes = {
        "linear_embedding.weight": (channels, 3, patch, patch),
        "linear_embedding.bias": (channels,),
        **_layer_norm("linear_embedding.norm", channels),
    }
    for stage, depth in enumerate(architecture.depths):
        width = architecture.stage_channels(stage)
        if stage:
            merging = f"stages.{stage}.patch_merging"
            found |= _layer_norm(f"{merging}.norm", 2 * width)
            found[f"{merging}.reduction.weight"] = (width, 2 * width)
        for block in range(depth):
            found |= _block(f"stages.{stage}.blocks.{block}", architecture, stage)
    return found | _layer_norm("norm", architecture.embedding_dim)


def parameter_count(architecture: Architecture) -> int:
    """Parameters of the network without its classifier head."""
    return sum(math.prod(shape) for shape in shapes(architecture).values())


def _block(name: str, architecture: Architecture, stage: int) -> Shapes:
    width = architecture.stage_channels(stage)
    offsets = (2 * architecture.stage_window(stage) - 1) ** 2
    return {
        **_layer_norm(f"{name}.norm1", width),
        **_linear(f"{name}.attention.qkv", width, 3 * width),
        f"{name}.attention.relative_position_bias_table": (offsets, architecture.heads[stage]),
        **_linear(f"{name}.attention.projection", width, width),
        **_layer_norm(f"{name}.norm2", width),
        **_linear(f"{name}.mlp.fc1", width, architecture.mlp_ratio * width),
        **_linear(f"{name}.mlp.fc2", architecture.mlp_ratio * width, width),
    }


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _layer_norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
