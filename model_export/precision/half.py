"""fp16: weights and activations in half precision, for GPUs.

In float32 stay: the linear embedding, whose weights are so small that they would lose bits (they
contain 1 / 255); the final LayerNorm and the mean; the lengths of V2's queries and keys, whose
squares could overflow; and the softmax. onnxruntime's CPU kernel for a softmax in half precision
splits the work by the size of the batch, and its sums depend on the split. LayerNorm's statistics
are float32 by ONNX's definition (`stash_type`). Where a kernel for half precision is missing, as on
CPUs, onnxruntime computes in float32 and rounds.
"""

from typing import cast

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

IN_FLOAT32 = ("patch_partition/", "linear_embedding/", "norm/", "mean/", "head/")
"""Parts of the network that stay in float32, by the start of their nodes' names."""

OPERATORS_IN_FLOAT32 = ("ReduceL2", "Max", "Div", "Softmax")
"""Operators that stay in float32 wherever they stand."""


def halved(model: ir.Model) -> ir.Model:
    """The model with its stages in float16; it takes the model's place."""
    graph = model.graph
    casts: dict[tuple[str | None, ir.DataType], ir.Value] = {}
    for node in list(graph):
        kind = ir.DataType.FLOAT if _stays(node) else ir.DataType.FLOAT16
        for place, value in enumerate(node.inputs):
            if value is not None and value.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
                node.replace_input_with(place, _as(graph, node, value, kind, casts))
        for output in node.outputs:
            if output.dtype == ir.DataType.FLOAT:
                output.dtype = kind
    for place, output in enumerate(graph.outputs):
        if output.dtype == ir.DataType.FLOAT16:
            graph.outputs[place] = _output(graph, output)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        graph.initializers.pop(name)
    return model


def _stays(node: ir.Node) -> bool:
    """Whether a node computes in float32."""
    # onnxruntime computes what only depends on constants when it loads, on the CPU.
    constant = all(value is None or value.is_initializer() for value in node.inputs)
    part = cast(str, node.name).startswith(IN_FLOAT32)
    return constant or part or node.op_type in OPERATORS_IN_FLOAT32


def _as(
    graph: ir.Graph,
    node: ir.Node,
    value: ir.Value,
    kind: ir.DataType,
    casts: dict[tuple[str | None, ir.DataType], ir.Value],
) -> ir.Value:
    """A value in another type: an initializer once more, or a cast before the node."""
    if value.dtype == kind:
        return value
    key = (value.name, kind)
    if key not in casts and value.is_initializer() and value.const_value is not None:
        name = f"{value.name}/fp16"
        array = value.const_value.numpy().astype(np.float16)
        casts[key] = ir.val(name, const_value=ir.tensor(array, name=name))
        graph.register_initializer(casts[key])
    elif key not in casts:
        tape = Tape()
        casts[key] = tape.op("Cast", [value], {"to": kind})
        casts[key].dtype = kind
        casts[key].shape = value.shape
        graph.insert_before(node, tape.nodes)
    return casts[key]


def _output(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """An output of the graph in float32, under the name it had."""
    tape = Tape()
    output = tape.op("Cast", [value], {"to": ir.DataType.FLOAT})
    output.name, output.shape, output.dtype = value.name, value.shape, ir.DataType.FLOAT
    value.name = f"{value.name}/fp16"
    graph.extend(tape.nodes)
    return output
