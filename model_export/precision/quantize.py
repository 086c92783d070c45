"""int8: the linear layers on 8-bit integers, everything else in float32.

Every activation that enters a linear layer has one scale and zero point, fixed at export from the
values seen on calibration images. So an image's bits cannot depend on what else is in its batch,
and nothing has to be measured at run time. Left in float32: the linear embedding, whose inputs are
pixels, attention's products and softmax, LayerNorm, GELU, residuals and the classifier. GELU is
its approximation by tanh (Hendrycks and Gimpel, 2016, arXiv:1606.08415), a third faster than erf.
It is off by less than 5e-4, and rounded to 8 bits right after.

Activations are unsigned 8-bit numbers, weights signed ones between -64 and 64, one scale for each
output channel. x86 without VNNI adds pairs of products in 16 bits: 2 * 255 * 64 fits, and with
weights up to 127 it saturates, silently.

Before that, ranges are evened out between channels, as in SmoothQuant (Xiao et al., 2022,
arXiv:2211.10438): an activation is divided and its weights multiplied by the same numbers, where
what makes the activation can take the division in for nothing. Afterwards what rounding the weights
adds to a layer's output on average is taken out of its bias (Nagel et al., 2019, arXiv:1906.04721).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnx_ir.tape import Tape

from model_export.model_card import PIXELS
from model_export.precision.calibration import Pixels
from model_export.precision.linear_layers import (
    Array,
    LinearLayer,
    array_of,
    constant,
    given,
    name_of,
    sharing_an_input,
)

MICROSOFT = "com.microsoft"
"""The domain of the operators that onnxruntime adds to ONNX's."""

LARGEST_WEIGHT = 64
STRENGTH = 0.5
"""SmoothQuant's alpha: how far ranges move from activations into weights."""


@dataclass(frozen=True)
class ActivationRange:
    """An activation on calibration images, channel by channel: [C] each."""

    lowest: Array
    highest: Array
    mean: Array


def instrumented(model: ir.Model) -> ir.Model:
    """The model with three more outputs for every activation to quantise: `ActivationRange`."""
    for name, layers in sharing_an_input(model.graph).items():
        tape = Tape()
        batch_and_tokens = constant(model.graph, f"{name}/axes", np.array([0, 1]))
        for fact, op_type in (
            ("lowest", "ReduceMin"),
            ("highest", "ReduceMax"),
            ("mean", "ReduceMean"),
        ):
            value = tape.op(op_type, [layers[0].input, batch_and_tokens], {"keepdims": 0})
            value.name, value.type = f"{name}/{fact}", ir.TensorType(ir.DataType.FLOAT)
            model.graph.outputs.append(value)
        model.graph.extend(tape.nodes)
    return model


def observe(path: Path, pixels: Pixels) -> Mapping[str, ActivationRange]:
    """Run a `instrumented` model in a file on images, uint8 [n, H, W, 3]: activations by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    end = "/lowest"
    found = {}
    runs = [
        dict(zip(outputs, session.run(outputs, {PIXELS: image[None]}), strict=True))
        for image in pixels
    ]
    for name in [o.removesuffix(end) for o in outputs if o.endswith(end)]:
        found[name] = ActivationRange(
            lowest=np.min([run[f"{name}/lowest"] for run in runs], axis=0),
            highest=np.max([run[f"{name}/highest"] for run in runs], axis=0),
            mean=np.mean([run[f"{name}/mean"] for run in runs], axis=0),
        )
    return found


def quantized(model: ir.Model, seen: Mapping[str, ActivationRange]) -> ir.Model:
    """The model with integer linear layers; it takes the model's place."""
    graph = model.graph
    value_scales = _ValueScales(graph)
    for name, layers in sharing_an_input(graph).items():
        smoothing = _smoothing_scale(layers, seen[name])
        if not (
            value_scales.take(layers, smoothing) or _normalisation_takes(graph, layers, smoothing)
        ):
            smoothing = np.ones_like(smoothing)
        scale, zero = _grid(seen[name], smoothing)
        scale_value = constant(graph, f"{name}/scale", scale)
        zero_value = constant(graph, f"{name}/zero_point", zero)
        tape = Tape()
        activation = tape.op("QuantizeLinear", [layers[0].input, scale_value, zero_value])
        graph.insert_before(layers[0].nodes[0], tape.nodes)
        for layer in layers:
            weight, weight_scale = _whole_numbers(layer.weight * smoothing[:, None])
            inputs = [
                activation,
                constant(graph, f"{layer.name}.weight/int8", weight),
                scale_value,
                constant(graph, f"{layer.name}.weight/scale", weight_scale),
                zero_value,
            ]
            rounding = layer.weight - weight * weight_scale / smoothing[:, None]
            bias = seen[name].mean @ rounding + (0 if layer.bias is None else layer.bias)
            inputs += [
                constant(graph, f"{layer.name}.weight/zero_point", np.int8(0)),
                constant(graph, f"{layer.name}.bias/corrected", bias.astype(np.float32)),
            ]
            tape = Tape()
            output = tape.op("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
            tape.nodes[0].name = layer.nodes[0].name
            ir.convenience.replace_nodes_and_values(
                graph, layer.nodes[-1], layer.nodes[-1:], tape.nodes, [layer.output], [output]
            )
            value_scales.made(layer, tape.nodes[0])
    for node in graph:
        if node.op_type == "Gelu":
            node.attributes["approximate"] = ir.AttrString("approximate", "tanh")
    graph.opset_imports[MICROSOFT] = 1
    RemoveUnusedNodesPass()(model)
    for value in [v for v in graph.initializers.values() if not v.uses()]:
        graph.initializers.pop(name_of(value))
    return model


def _smoothing_scale(layers: list[LinearLayer], seen: ActivationRange) -> Array:
    """What to divide each channel of an activation by (SmoothQuant, equation 4), around 1."""
    weight = np.max([np.abs(layer.weight).max(axis=1) for layer in layers], axis=0)
    activation = np.maximum(np.maximum(-seen.lowest, seen.highest), 1e-6)
    by: Array = activation**STRENGTH / np.maximum(weight, 1e-6) ** (1 - STRENGTH)
    by /= np.exp(np.log(by).mean())
    return by


def _grid(seen: ActivationRange, divided_by: Array) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of an activation; zero is a number of its own."""
    lowest = min((seen.lowest / divided_by).min(), 0)
    highest = max((seen.highest / divided_by).max(), np.finfo(np.float32).tiny)
    scale = np.float32((highest - lowest) / 255)
    return scale, np.uint8(np.rint(-lowest / scale))


def _normalisation_takes(graph: ir.Graph, layers: list[LinearLayer], by: Array) -> bool:
    """Divide the output of a LayerNorm, if that is what enters the layers and only them."""
    normalisation = layers[0].input.producer()
    if normalisation is None or normalisation.op_type != "LayerNormalization":
        return False
    if len(layers[0].input.uses()) != len(layers):
        return False
    for place in (1, 2):
        old = given(normalisation.inputs[place])
        new = constant(graph, f"{name_of(old)}/smoothed", (array_of(old) / by).astype(np.float32))
        normalisation.replace_input_with(place, new)
    return True


class _ValueScales:
    """Attention weights sum values of one channel: dividing the values' channels divides theirs."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.products: dict[str, ir.Node] = {}

    def made(self, layer: LinearLayer, product: ir.Node) -> None:
        """Remember a quantised layer."""
        self.products[layer.name] = product

    def take(self, layers: list[LinearLayer], by: Array) -> bool:
        """Divide the values that attention's projection receives, if the layer is one."""
        name = layers[0].name.removesuffix(".projection")
        product = self.products.get(f"{name}.value")
        if product is None:
            return False
        for place in (3, 6):  # the scale of the weight, the bias
            old = given(product.inputs[place])
            divided = (array_of(old) / by).astype(np.float32)
            product.replace_input_with(
                place, constant(self.graph, f"{name_of(old)}/smoothed", divided)
            )
        return True


def _whole_numbers(weight: Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """A weight [in, out] as int8 and the scale of each output channel [out]."""
    largest = np.maximum(np.abs(weight).max(axis=0), np.finfo(np.float32).tiny)
    scale = largest / LARGEST_WEIGHT
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)
