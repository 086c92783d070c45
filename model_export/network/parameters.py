"""The canonical form of a checkpoint: what a Swin Transformer's tensors are called, their shapes.

Names follow the paper; a linear layer's weight is `[out, in]`, as every published dialect has it.
The dialects next to this module only rename and reshape to this form; the network reads no other.
V2's keys have no bias: that part of `qkv.bias` is 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.model_card import Weights
from model_export.network.architecture import Architecture

Tensor = npt.NDArray[np.float32]
Tensors = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights in canonical form, and where they came from.

    Attributes:
        tensors: float32 by canonical name, with exactly the names and shapes of `shapes`; also
            `head.weight` and perhaps `head.bias` if it has a classifier.
        weights: The source, for the model card.
        pretrained: True only for weights that somebody trained.
        notes: What the reader of the file should tell the person who named it.
        licence: Of the weights, if known.
    """

    tensors: Tensors
    weights: Weights
    pretrained: bool
    notes: tuple[str, ...] = ()
    licence: str | None = None


POSITION_MLP_HIDDEN = 512
"""V2: hidden width of the MLP that makes the position bias (arXiv:2111.09883, A1)."""


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
            # V1 normalises what it concatenates, V2 what it has reduced.
            found |= _layer_norm(
                f"{merging}.norm", 2 * width if architecture.version == 1 else width
            )
            found[f"{merging}.reduction.weight"] = (width, 2 * width)
        for block in range(depth):
            found |= _block(f"stages.{stage}.blocks.{block}", architecture, stage)
    if architecture.final_norm:
        found |= _layer_norm("norm", architecture.embedding_dim)
    return found


def parameter_count(architecture: Architecture) -> int:
    """Parameters of the network without its classifier head."""
    return sum(math.prod(shape) for shape in shapes(architecture).values())


def _block(name: str, architecture: Architecture, stage: int) -> Shapes:
    width, hidden = architecture.stage_channels(stage), architecture.stage_hidden(stage)
    return {
        **_layer_norm(f"{name}.norm1", width),
        **_linear(f"{name}.attention.qkv", width, 3 * width),
        **_position_bias(f"{name}.attention", architecture, stage),
        **_linear(f"{name}.attention.projection", width, width),
        **_layer_norm(f"{name}.norm2", width),
        **_linear(f"{name}.mlp.fc1", width, hidden),
        **_linear(f"{name}.mlp.fc2", hidden, width),
    }


def _position_bias(name: str, architecture: Architecture, stage: int) -> Shapes:
    heads = architecture.heads[stage]
    if architecture.version == 1:
        offsets = (2 * architecture.stage_window(stage) - 1) ** 2
        return {f"{name}.relative_position_bias_table": (offsets, heads)}
    return {
        f"{name}.logit_scale": (heads,),
        **_linear(f"{name}.position_mlp.fc1", 2, POSITION_MLP_HIDDEN),
        f"{name}.position_mlp.fc2.weight": (heads, POSITION_MLP_HIDDEN),
    }


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _layer_norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
