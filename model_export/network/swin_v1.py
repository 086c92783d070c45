"""Swin V1's parts (Liu et al., 2021, arXiv:2103.14030), in the paper's words and order.

Computed at export: the attention scale, biases that cancel out, relative position bias and mask.
"""

import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnxscript import OpBuilder, nn

from model_export.network import windows
from model_export.network.architecture import Architecture
from model_export.network.layers import MLP, LayerNorm, Linear, Reorder, constant, under
from model_export.network.parameters import Tensors

Bias = npt.NDArray[np.floating]
Mask = npt.NDArray[np.float32]


class WindowAttention(nn.Module):
    """Multi-head self-attention within each window, W-MSA or SW-MSA: [N * W, B, C] -> same.

    Softmax((q k^T) / sqrt(d) + bias) v, projected. Two biases need no adding at run time: the key's
    adds the same to all of a query's scores, which softmax ignores, and the value's passes through,
    since attention weights sum to one, and joins the projection's.
    """

    def __init__(
        self, tensors: Tensors, architecture: Architecture, stage: int, mask: Mask
    ) -> None:
        """Make the module; `mask` [W, N, N] is added to every head's scores."""
        super().__init__()
        self.heads = architecture.heads[stage]
        self.windows, self.tokens, _ = mask.shape
        self.head_channels = architecture.stage_channels(stage) // self.heads
        query, key, value = np.split(tensors["qkv.weight"], 3)
        query_bias, _, value_bias = np.split(tensors["qkv.bias"].astype(np.float64), 3)
        scale = self.query_scale()
        projection = tensors["projection.weight"]
        self.query = Linear(query * scale, query_bias * scale)
        self.key = Linear(key)
        self.value = Linear(value)
        self.projection = Linear(projection, tensors["projection.bias"] + projection @ value_bias)
        self.bias = constant(self.position_bias(tensors, architecture, stage))
        # [W, N, N] -> [W, 1, 1, N, N]
        self.mask = constant(mask[:, None, None]) if mask.any() else None

    def query_scale(self) -> float:
        """What to fold into the query's weights: 1 / sqrt(d)."""
        return 1 / math.sqrt(self.head_channels)

    def position_bias(self, tensors: Tensors, architecture: Architecture, stage: int) -> Bias:
        """Relative position bias [h, N, N], from its learnt table."""
        table = tensors["relative_position_bias_table"]
        index = windows.relative_position_index(architecture.stage_window(stage))
        # [N, N, h] -> [h, N, N]
        return table[index].transpose(2, 0, 1)

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        split = [self.tokens, self.windows, -1, self.heads, self.head_channels]
        query, key = self.compared(
            op, op.Reshape(self.query(op, x), split), op.Reshape(self.key(op, x), split)
        )
        # [N, W, B, h, d] -> [W, B, h, N, d], the key -> [W, B, h, d, N]. It is the first axis that
        # moves, so onnxruntime's products read all three where they lie, and nothing is copied.
        query = op.Transpose(query, perm=[1, 2, 3, 0, 4])
        key = op.Transpose(key, perm=[1, 2, 3, 4, 0])
        value = op.Transpose(op.Reshape(self.value(op, x), split), perm=[1, 2, 3, 0, 4])
        # [W, B, h, N, d] x [W, B, h, d, N] -> [W, B, h, N, N]
        scores = op.Add(op.MatMul(query, key), self.added(op))
        attended = op.MatMul(op.Softmax(scores, axis=-1), value)
        # [W, B, h, N, d] -> [N * W, B, h * d]
        joined = op.Transpose(attended, perm=[3, 0, 1, 2, 4])
        joined = op.Reshape(
            joined, [self.tokens * self.windows, -1, self.heads * self.head_channels]
        )
        return self.projection(op, joined)

    def added(self, op: OpBuilder) -> ir.Value:
        """What is added to the scores: [h, N, N] or, with a mask, [W, 1, h, N, N].

        onnxruntime adds the mask when it loads the model. In the file it stands once for all blocks
        of a stage, where the sum would be 4 % of Swin-T and an eighth of its int8.
        """
        return self.bias if self.mask is None else op.Add(self.bias, self.mask)

    def compared(self, _op: OpBuilder, query: ir.Value, key: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Queries and keys [N, W, B, h, d], as their products are to be taken."""
        return query, key


class SwinBlock(nn.Module):
    """Windowed attention and an MLP, each after a LayerNorm and with a residual (paper, eq. 3).

    Tokens arrive in `arriving` order and leave in `order`, that of the block's own windows.
    """

    make_attention: type[WindowAttention] = WindowAttention

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
        mask = windows.attention_mask(side, side, window, shift, architecture.mask_value)
        self.norm1 = LayerNorm(under("norm1", tensors))
        part = under("attention", tensors)
        self.attention = self.make_attention(part, architecture, stage, mask)
        self.norm2 = LayerNorm(under("norm2", tensors))
        self.mlp = MLP(under("mlp", tensors))

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        if self.cyclic_shift is not None:
            x = self.cyclic_shift(op, x)
        x = op.Add(x, self.attention(op, self.norm1(op, x)))
        return op.Add(x, self.mlp(op, self.norm2(op, x)))


class PatchMerging(nn.Module):
    """2 x 2 neighbours concatenated, then projected: [tokens, B, C] -> [tokens / 4, B, 2 C].

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
        self.tokens = side * side
        self.channels = architecture.stage_channels(stage - 1)

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return self.reduction(op, self.norm(op, self.concatenated(op, x)))

    def concatenated(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        """Tokens of 2 x 2 neighbours each: [tokens, B, C] -> [tokens / 4, B, 4 C]."""
        groups = op.Reshape(self.groups(op, x), [self.tokens, 4, -1, self.channels])
        # [tokens / 4, 4, B, C] -> [tokens / 4, B, 4, C]
        groups = op.Transpose(groups, perm=[0, 2, 1, 3])
        return op.Reshape(groups, [self.tokens, -1, 4 * self.channels])
