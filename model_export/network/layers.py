"""Layers that every Swin Transformer is made of, as modules that write ONNX nodes.

Calling a module writes nodes. A module is made from canonical tensors and computes at export
whatever does not depend on the image. `B` is the batch, free at run time; `N` tokens per window,
`W` windows, `C` channels, `h` heads, `d` channels per head. The batch comes second, after the
tokens: see windows.py.
"""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnxscript import OpBuilder, nn

from model_export.network import windows
from model_export.network.parameters import Tensors

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
    """Normalisation over channels: [tokens, B, C] -> [tokens, B, C]."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.weight = constant(tensors["weight"])
        self.bias = constant(tensors["bias"])

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return op.LayerNormalization(x, self.weight, self.bias, epsilon=LAYER_NORM_EPSILON)


class Linear(nn.Module):
    """x W^T + b over channels: [tokens, B, in] -> [tokens, B, out]; without b if there is none."""

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
    """Tokens to another place in the sequence: [tokens, B, C] -> [tokens, B, C]."""

    def __init__(self, index: windows.Order) -> None:
        super().__init__()
        self.index = constant(index)

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return op.Gather(x, self.index, axis=0)


class MLP(nn.Module):
    """Two layers with GELU in between: [tokens, B, C] -> [tokens, B, C]."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.fc1 = Linear(tensors["fc1.weight"], tensors["fc1.bias"])
        self.fc2 = Linear(tensors["fc2.weight"], tensors["fc2.bias"])

    def forward(self, op: OpBuilder, x: ir.Value) -> ir.Value:
        return self.fc2(op, op.Gelu(self.fc1(op, x)))
