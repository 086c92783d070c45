"""Swin Transformer (Liu et al., 2021, arXiv:2103.14030) as a graph: the paper's parts in its order.

Calling a module writes ONNX nodes. A module is made from canonical tensors and computes at export
whatever does not depend on the image: the input's normalisation, the attention scale, biases that
cancel out, relative position bias and mask. `B` is the batch, free at run time; `N` tokens per
window, `W` windows, `C` channels, `h` heads, `d` channels per head.
"""

import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnxscript import OpBuilder, nn

from model_export import windows
from model_export.catalog import Architecture
from model_export.checkpoints.canonical import Tensors
from model_export.model_card import Preprocessing

LAYER_NORM_EPSILON = 1e-5


def constant(array: npt.NDArray[np.generic]) -> nn.Parameter:
    """A tensor of the graph; float64 results of folding become float32."""
    kept = array.astype(np.float32) if array.dtype == np.float64 else array
    return nn.Parameter(kept.shape, data=ir.tensor(kept))


def under(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors of one part, by their names within it."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


class LayerNorm(nn.Module):
    """Normalisation over channels: [B, tokens, C] -> [B, tokens, C]."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.weight = constant(tensors["weight"])
        self.bias = constant(tensors["bias"])

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return op.LayerNormalization(x, self.weight, self.bias, epsilon=LAYER_NORM_EPSILON)


class Linear(nn.Module):
    """x W^T + b over channels: [B, tokens, in] -> [B, tokens, out]; without b if there is none."""

    def __init__(
        self, weight: npt.NDArray[np.generic], bias: npt.NDArray[np.generic] | None = None
    ) -> None:
        super().__init__()
        self.weight = constant(weight.T)
        self.bias = None if bias is None else constant(bias)

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        product = op.MatMul(x, self.weight)
        return product if self.bias is None else op.Add(product, self.bias)


class Reorder(nn.Module):
    """Tokens to another place in the sequence: [B, tokens, C] -> [B, tokens, C]."""

    def __init__(self, index: windows.Order) -> None:
        super().__init__()
        self.index = constant(index)

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return op.Gather(x, self.index, axis=1)


class PatchPartition(nn.Module):
    """Pixels to patches, in window order: uint8 [B, H, W, 3] -> float32 [B, tokens, P * P * 3]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.patch = architecture.patch_size
        self.window = architecture.stage_window(0)
        self.side = architecture.stage_side(0)

    def forward(self, op: OpBuilder, pixels: ir.Value) -> ir.Value:
        along = (self.side // self.window, self.window, self.patch)
        # [B, H, W, 3] -> [B, window row, row, y, window column, column, x, 3]
        cut = op.Reshape(pixels, [-1, *along, *along, 3])
        # -> [B, window row, window column, row, column, y, x, 3], while a value is still one byte
        cut = op.Transpose(cut, perm=[0, 1, 4, 2, 5, 3, 6, 7])
        patches = op.Reshape(cut, [-1, self.side**2, self.patch**2 * 3])
        return op.Cast(patches, to=ir.DataType.FLOAT)


class LinearEmbedding(nn.Module):
    """Patches to tokens: [B, tokens, P * P * 3] -> [B, tokens, C].

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


class WindowAttention(nn.Module):
    """Multi-head self-attention within each window, W-MSA or SW-MSA: [B, W * N, C] -> same.

    Softmax((q k^T) / sqrt(d) + bias) v, projected. Two biases need no adding at run time: the key's
    adds the same to all of a query's scores, which softmax ignores, and the value's passes through,
    since attention weights sum to one, and joins the projection's.
    """

    def __init__(
        self, tensors: Tensors, heads: int, window: int, mask: npt.NDArray[np.float32]
    ) -> None:
        super().__init__()
        self.heads, self.tokens, self.windows = heads, window * window, len(mask)
        query, key, value = np.split(tensors["qkv.weight"], 3)
        query_bias, _, value_bias = np.split(tensors["qkv.bias"].astype(np.float64), 3)
        self.head_channels = len(query) // heads
        scale = 1 / math.sqrt(self.head_channels)
        projection = tensors["projection.weight"]
        self.query = Linear(query * scale, query_bias * scale)
        self.key = Linear(key)
        self.value = Linear(value)
        self.projection = Linear(projection, tensors["projection.bias"] + projection @ value_bias)
        table = tensors["relative_position_bias_table"]
        # [N, N, h] -> [h, N, N]
        bias = table[windows.relative_position_index(window)].transpose(2, 0, 1)
        # [W or 1, 1, N, N] + [h, N, N] -> [W or 1, h, N, N]
        self.bias = constant(bias + mask[:, None] if mask.any() else bias)

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        split = [-1, self.windows, self.tokens, self.heads, self.head_channels]
        # [B, W, N, h, d] -> [B, W, h, N, d], the key -> [B, W, h, d, N]
        query = op.Transpose(op.Reshape(self.query(op, x), split), perm=[0, 1, 3, 2, 4])
        key = op.Transpose(op.Reshape(self.key(op, x), split), perm=[0, 1, 3, 4, 2])
        value = op.Transpose(op.Reshape(self.value(op, x), split), perm=[0, 1, 3, 2, 4])
        # [B, W, h, N, d] x [B, W, h, d, N] -> [B, W, h, N, N]
        scores = op.Add(op.MatMul(query, key), self.bias)
        attended = op.MatMul(op.Softmax(scores, axis=-1), value)
        # [B, W, h, N, d] -> [B, W * N, h * d]
        joined = op.Transpose(attended, perm=[0, 1, 3, 2, 4])
        joined = op.Reshape(
            joined, [-1, self.windows * self.tokens, self.heads * self.head_channels]
        )
        return self.projection(op, joined)


class MLP(nn.Module):
    """Two layers with GELU in between: [B, tokens, C] -> [B, tokens, C]."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.fc1 = Linear(tensors["fc1.weight"], tensors["fc1.bias"])
        self.fc2 = Linear(tensors["fc2.weight"], tensors["fc2.bias"])

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return self.fc2(op, op.Gelu(self.fc1(op, x)))


class SwinBlock(nn.Module):
    """Windowed attention and an MLP, each after a LayerNorm and with a residual (paper, eq. 3).

    Tokens arrive in `arriving` order and leave in `order`, that of the block's own windows.
    """

    def __init__(
        self,
        tensors: Tensors,
        architecture: Architecture,
        stage: int,
        shift: int,
        arriving: windows.Order,
    ) -> None:
        super().__init__()
        side, window = architecture.stage_side(stage), architecture.stage_window(stage)
        self.order = windows.window_order(side, side, window, shift)
        moved = not np.array_equal(arriving, self.order)
        self.cyclic_shift = Reorder(windows.reordering(arriving, self.order)) if moved else None
        mask = windows.attention_mask(side, side, window, shift)
        self.norm1 = LayerNorm(under("norm1", tensors))
        self.attention = WindowAttention(
            under("attention", tensors), architecture.heads[stage], window, mask
        )
        self.norm2 = LayerNorm(under("norm2", tensors))
        self.mlp = MLP(under("mlp", tensors))

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        if self.cyclic_shift is not None:
            x = self.cyclic_shift(op, x)
        x = op.Add(x, self.attention(op, self.norm1(op, x)))
        return op.Add(x, self.mlp(op, self.norm2(op, x)))


class PatchMerging(nn.Module):
    """2 x 2 neighbours concatenated, then projected: [B, tokens, C] -> [B, tokens / 4, 2 C].

    Tokens arrive in `arriving` order and leave in `order`, that of the next stage's windows.
    """

    def __init__(
        self, tensors: Tensors, architecture: Architecture, stage: int, arriving: windows.Order
    ) -> None:
        super().__init__()
        side, window = architecture.stage_side(stage), architecture.stage_window(stage)
        self.order = windows.window_order(side, side, window)
        self.groups = Reorder(windows.merging_groups(2 * side, 2 * side, arriving, self.order))
        self.norm = LayerNorm(under("norm", tensors))
        self.reduction = Linear(tensors["reduction.weight"])
        self.merged = [-1, side * side, 2 * architecture.stage_channels(stage)]

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        # [B, tokens, C] -> [B, tokens / 4, 4 C]
        merged = op.Reshape(self.groups(op, x), self.merged)
        return self.reduction(op, self.norm(op, merged))


class Stage(nn.Module):
    """Patch merging, except in the first stage, then blocks of W-MSA and SW-MSA in turn."""

    def __init__(
        self, tensors: Tensors, architecture: Architecture, stage: int, arriving: windows.Order
    ) -> None:
        super().__init__()
        self.patch_merging = None
        self.order = arriving
        if stage:
            merging = under("patch_merging", tensors)
            self.patch_merging = PatchMerging(merging, architecture, stage, self.order)
            self.order = self.patch_merging.order
        self.blocks = nn.ModuleList()
        for i in range(architecture.depths[stage]):
            shift = architecture.shift(stage, i)
            part = under(f"blocks.{i}", tensors)
            block = SwinBlock(part, architecture, stage, shift, self.order)
            self.blocks.append(block)
            self.order = block.order

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        if self.patch_merging is not None:
            x = self.patch_merging(op, x)
        for block in self.blocks:
            x = block(op, x)
        return x


class TokenMean(nn.Module):
    """Mean over tokens: [B, tokens, C] -> [B, C].

    As a product with a constant row, which sums in the same order whatever the batch; a reduction
    does not, and an image's embedding would depend on its neighbours' number.
    """

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.row = constant(np.full((1, tokens), 1 / tokens))
        self.channels = channels

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        # [1, tokens] x [B, tokens, C] -> [B, 1, C] -> [B, C]
        return op.Reshape(op.MatMul(self.row, x), [-1, self.channels])


class SwinTransformer(nn.Module):
    """uint8 [B, H, W, 3] -> float32 [B, embedding_dim]."""

    def __init__(
        self, tensors: Tensors, architecture: Architecture, preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        side = architecture.stage_side(0)
        self.patch_partition = PatchPartition(architecture)
        self.linear_embedding = LinearEmbedding(under("linear_embedding", tensors), preprocessing)
        self.stages = nn.ModuleList()
        order = windows.window_order(side, side, architecture.stage_window(0))
        for i in range(len(architecture.depths)):
            stage = Stage(under(f"stages.{i}", tensors), architecture, i, order)
            self.stages.append(stage)
            order = stage.order
        self.norm = LayerNorm(under("norm", tensors))
        self.mean = TokenMean(order.size, architecture.embedding_dim)

    def forward(self, op: OpBuilder, pixels: ir.Value) -> ir.Value:
        x = self.linear_embedding(op, self.patch_partition(op, pixels))
        for stage in self.stages:
            x = stage(op, x)
        return self.mean(op, self.norm(op, x))
