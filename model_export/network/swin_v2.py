"""What Swin V2 does otherwise (Liu et al., 2022, arXiv:2111.09883): cosine attention, continuous
relative position bias, LayerNorm at the end of each residual branch.
"""

import math

import numpy as np
import onnx_ir as ir
from onnxscript import OpBuilder

from model_export.network import windows
from model_export.network.architecture import Architecture
from model_export.network.layers import constant
from model_export.network.parameters import Tensors
from model_export.network.swin_v1 import Bias, Mask, PatchMerging, SwinBlock, WindowAttention

LOGIT_SCALE_LIMIT = math.log(100)
"""The learnt temperature is kept above 0.01 (paper, 3.3)."""

SMALLEST_NORM = np.float32(1e-12)
"""What a vector of zeros is divided by, in the paper's implementation."""

BIAS_LIMIT = 16
"""The paper's implementation keeps position biases between 0 and 16."""


class CosineAttention(WindowAttention):
    """Attention by angle: softmax(cos(q, k) / temperature + bias) v, projected (paper, eq. 2)."""

    def __init__(
        self, tensors: Tensors, architecture: Architecture, stage: int, mask: Mask
    ) -> None:
        super().__init__(tensors, architecture, stage, mask)
        logit_scale = tensors["logit_scale"].astype(np.float64)
        # [h] -> [h, 1]
        self.scale = constant(np.exp(np.minimum(logit_scale, LOGIT_SCALE_LIMIT))[:, None])
        self.unit = constant(np.ones(1, np.float32))
        self.smallest = constant(np.array([SMALLEST_NORM]))

    def query_scale(self) -> float:
        """Nothing: a cosine does not depend on length."""
        return 1.0

    def position_bias(self, tensors: Tensors, architecture: Architecture, stage: int) -> Bias:
        """Continuous relative position bias [h, N, N], from a small MLP over log-spaced offsets."""
        window = architecture.stage_window(stage)
        offsets = windows.log_spaced_offsets(window, architecture.bias_window(stage))
        hidden = offsets @ tensors["position_mlp.fc1.weight"].T.astype(np.float64)
        hidden = np.maximum(hidden + tensors["position_mlp.fc1.bias"], 0)
        # [(2M - 1)^2, 512] -> [(2M - 1)^2, h]
        table = hidden @ tensors["position_mlp.fc2.weight"].T.astype(np.float64)
        bias = BIAS_LIMIT / (1 + np.exp(-table[windows.relative_position_index(window)]))
        # [N, N, h] -> [h, N, N]
        return bias.transpose(2, 0, 1)

    def compared(self, op: OpBuilder, query: ir.Value, key: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Vectors of unit length, the queries' times 1 / temperature."""
        return self.of_length(op, query, self.scale), self.of_length(op, key, self.unit)

    def of_length(self, op: OpBuilder, x: ir.Value, length: ir.Value) -> ir.Value:
        """Vectors [N, W, B, h, d] scaled to a length [h, 1] or [1]."""
        norm = op.ReduceL2(x, [-1], keepdims=1)
        return op.Mul(x, op.Div(length, op.Max(norm, self.smallest)))


class PostNormBlock(SwinBlock):
    """Attention and an MLP, each with a LayerNorm at the end of its residual branch (paper, 3.2).

    What is added to the main branch has been normalised, so activations do not grow with depth.
    """

    make_attention = CosineAttention

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        if self.cyclic_shift is not None:
            x = self.cyclic_shift(op, x)
        x = op.Add(x, self.norm1(op, self.attention(op, x)))
        return op.Add(x, self.norm2(op, self.mlp(op, x)))


class PostNormMerging(PatchMerging):
    """2 x 2 neighbours concatenated, projected, then normalised."""

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return self.norm(op, self.reduction(op, self.concatenated(op, x)))
