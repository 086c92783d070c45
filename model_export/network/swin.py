"""Swin Transformers, V1 and V2, as one graph: the papers' parts put together.

Besides what the parts compute at export, the input's normalisation is folded into the linear
embedding. `B` is the batch, free at run time; `P` the patch's side, `C` channels.
"""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from onnxscript import OpBuilder, nn

from model_export.model_card import EMBEDDING, LOGITS, Preprocessing, feature_map
from model_export.network import windows
from model_export.network.architecture import Architecture
from model_export.network.layers import LayerNorm, Linear, Reorder, constant, under
from model_export.network.parameters import Tensors
from model_export.network.swin_v1 import PatchMerging, SwinBlock
from model_export.network.swin_v2 import PostNormBlock, PostNormMerging

PARTS: dict[int, tuple[type[SwinBlock], type[PatchMerging]]] = {
    1: (SwinBlock, PatchMerging),
    2: (PostNormBlock, PostNormMerging),
}
"""What a version of Swin Transformer makes its stages of."""


class PatchPartition(nn.Module):
    """Pixels to patches, in window order: uint8 [B, H, W, 3] -> float32 [tokens, B, P * P * 3]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.patch = architecture.patch_size
        self.window = architecture.stage_window(0)
        self.side = architecture.stage_side(0)

    def forward(self, op: OpBuilder, pixels: ir.Value) -> ir.Value:
        along = (self.side // self.window, self.window, self.patch)
        # [B, H, W, 3] -> [B, window row, row, y, window column, column, x, 3]
        cut = op.Reshape(pixels, [-1, *along, *along, 3])
        # -> [row, column, window row, window column, B, y, x, 3], while a value is still one byte
        cut = op.Transpose(cut, perm=[2, 5, 1, 4, 0, 3, 6, 7])
        patches = op.Reshape(cut, [self.side**2, -1, self.patch**2 * 3])
        return op.Cast(patches, to=ir.DataType.FLOAT)


class LinearEmbedding(nn.Module):
    """Patches to tokens: [tokens, B, P * P * 3] -> [tokens, B, C].

    Takes values from 0 to 255: W ((x / 255 - mean) / std) + b is W' x + b' with other weights.
    """

    def __init__(self, tensors: Tensors, preprocessing: Preprocessing) -> None:
        super().__init__()
        mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
        # [C, 3, P, P] -> [C, P, P, 3], the order of a patch's values
        weight = tensors["weight"].transpose(0, 2, 3, 1).astype(np.float64) / std
        bias = tensors["bias"] - (weight * mean).sum(axis=(1, 2, 3))
        self.projection = Linear(weight.reshape(len(weight), -1) / 255, bias)
        self.norm = LayerNorm(under("norm", tensors))

    def forward(self, op: OpBuilder, patches: ir.Value) -> ir.Value:
        return self.norm(op, self.projection(op, patches))


class Stage(nn.Module):
    """Patch merging, except in the first stage, then blocks of W-MSA and SW-MSA in turn."""

    def __init__(
        self, tensors: Tensors, architecture: Architecture, stage: int, arriving: windows.Order
    ) -> None:
        super().__init__()
        make_block, make_merging = PARTS[architecture.version]
        self.patch_merging = None
        self.order = arriving
        if stage:
            merging = under("patch_merging", tensors)
            self.patch_merging = make_merging(merging, architecture, stage, self.order)
            self.order = self.patch_merging.order
        self.blocks = nn.ModuleList()
        for i in range(architecture.depths[stage]):
            shift = architecture.shift(stage, i)
            part = under(f"blocks.{i}", tensors)
            block = make_block(part, architecture, stage, shift, self.order)
            self.blocks.append(block)
            self.order = block.order

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        if self.patch_merging is not None:
            x = self.patch_merging(op, x)
        for block in self.blocks:
            x = block(op, x)
        return x


class TokenMean(nn.Module):
    """Mean over tokens: [tokens, B, C] -> [B, C].

    As a product with a constant row, which sums in the same order whatever the batch; a reduction
    does not, and an image's embedding would depend on its neighbours' number.
    """

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.row = constant(np.full((1, tokens), 1 / tokens))
        self.channels = channels

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        # [1, tokens] x [B, tokens, C] -> [B, 1, C] -> [B, C]
        mean = op.MatMul(self.row, op.Transpose(x, perm=[1, 0, 2]))
        return op.Reshape(mean, [-1, self.channels])


class FeatureMap(nn.Module):
    """A stage's tokens as a feature map: [tokens, B, C] in some order -> [B, C, side, side]."""

    def __init__(self, architecture: Architecture, stage: int, order: windows.Order) -> None:
        super().__init__()
        side = architecture.stage_side(stage)
        self.raster = Reorder(windows.places(order))
        self.shape = [-1, architecture.stage_channels(stage), side, side]

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return op.Reshape(op.Transpose(self.raster(op, x), perm=[1, 2, 0]), self.shape)


class SwinTransformer(nn.Module):
    """uint8 [B, H, W, 3] -> outputs by name: float32 `embedding` [B, embedding_dim] and others."""

    def __init__(
        self,
        tensors: Tensors,
        architecture: Architecture,
        preprocessing: Preprocessing,
        outputs: Collection[str] = (),
    ) -> None:
        """Make the network.

        Args:
            tensors: Its weights, in canonical form.
            architecture: Its shape.
            preprocessing: Whose mean and standard deviation to fold into the linear embedding.
            outputs: What to return besides the embedding: `logits`, feature maps.
        """
        super().__init__()
        self.outputs = outputs
        side = architecture.stage_side(0)
        self.patch_partition = PatchPartition(architecture)
        self.linear_embedding = LinearEmbedding(under("linear_embedding", tensors), preprocessing)
        self.stages = nn.ModuleList()
        self.feature_maps = nn.ModuleList()
        self.map_names = []
        order = windows.window_order(side, side, architecture.stage_window(0))
        for i in range(len(architecture.depths)):
            stage = Stage(under(f"stages.{i}", tensors), architecture, i, order)
            self.stages.append(stage)
            order = stage.order
            self.feature_maps.append(FeatureMap(architecture, i, order))
            self.map_names.append(feature_map(architecture.stage_stride(i)))
        self.norm = LayerNorm(under("norm", tensors)) if architecture.final_norm else None
        self.mean = TokenMean(order.size, architecture.embedding_dim)
        self.head = None
        if LOGITS in outputs:
            self.head = Linear(tensors["head.weight"], tensors.get("head.bias"))

    def forward(self, op: OpBuilder, pixels: ir.Value) -> dict[str, ir.Value]:
        outputs = {}
        x = self.linear_embedding(op, self.patch_partition(op, pixels))
        for stage, to_map, name in zip(self.stages, self.feature_maps, self.map_names, strict=True):
            x = stage(op, x)
            if name in self.outputs:
                outputs[name] = to_map(op, x)
        outputs[EMBEDDING] = self.mean(op, x if self.norm is None else self.norm(op, x))
        if self.head is not None:
            outputs[LOGITS] = self.head(op, outputs[EMBEDDING])
        return outputs
