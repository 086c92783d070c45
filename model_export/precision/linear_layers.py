"""The linear layers of a graph, and how to put others in their place."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class LinearLayer:
    """x W + b, as the nodes of a graph: the product and, if there is a bias, its addition."""

    name: str
    nodes: tuple[ir.Node, ...]
    weight: Array
    bias: Array | None

    @property
    def input(self) -> ir.Value:
        """The activation that is multiplied."""
        return given(self.nodes[0].inputs[0])

    @property
    def output(self) -> ir.Value:
        """The result, with the bias added."""
        return self.nodes[-1].outputs[0]


def _linear_layers(graph: ir.Graph) -> Iterator[LinearLayer]:
    """Products of tokens with constant matrices, but for the linear embedding's."""
    for product in graph:
        weight = product.inputs[1] if product.op_type == "MatMul" else None
        if weight is None or weight.const_value is None or not weight.is_initializer():
            continue
        name = name_of(weight).removesuffix(".weight")
        if not name.startswith("stages."):
            continue
        (use, *_) = product.outputs[0].uses()
        bias = use.node.inputs[1] if use.node.op_type == "Add" else None
        nodes: tuple[ir.Node, ...] = (product,)
        array = None
        if bias is not None and bias.is_initializer() and name_of(bias) == f"{name}.bias":
            nodes, array = (product, use.node), array_of(bias)
        yield LinearLayer(name, nodes, array_of(weight), array)


def sharing_an_input(graph: ir.Graph) -> dict[str, list[LinearLayer]]:
    """Linear layers by the name of what enters them: a query, a key and a value enter together."""
    found: dict[str, list[LinearLayer]] = {}
    for layer in _linear_layers(graph):
        found.setdefault(name_of(layer.input), []).append(layer)
    return found


def constant(graph: ir.Graph, name: str, array: npt.NDArray[np.generic] | np.generic) -> ir.Value:
    """A new constant of the graph."""
    value = ir.val(name, const_value=ir.tensor(np.asarray(array), name=name))
    graph.register_initializer(value)
    return value


# A value may have no tensor and no name, a node no input; those met here have them.


def array_of(value: ir.Value) -> Array:
    """What a constant holds."""
    return cast(ir.TensorProtocol, value.const_value).numpy()


def given(value: ir.Value | None) -> ir.Value:
    """An input that a node has."""
    return cast(ir.Value, value)


def name_of(value: ir.Value) -> str:
    """The name of a value."""
    return cast(str, value.name)
