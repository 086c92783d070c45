"""How fast a device multiplies matrices in onnxruntime: what a network is to be compared with."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from model_export.model_card import Precision
from service.engine.gpu import devices

PRODUCTS = 16
"""Products in a row, so that starting them does not count."""


def peak(device: str, precision: Precision, side: int, seconds: float) -> float:
    """Floating-point operations a second in products of two `side` x `side` matrices.

    TensorRT runs on the same units as CUDA, which is asked in its place.
    """
    kind, numbers = {
        "fp32": (TensorProto.FLOAT, np.float32),
        "fp16": (TensorProto.FLOAT16, np.float16),
    }[precision]
    matrix = helper.make_tensor_value_info("0", kind, [side, side])
    result = helper.make_tensor_value_info(str(PRODUCTS), kind, [side, side])
    nodes = [
        helper.make_node("MatMul", [str(step), "0"], [str(step + 1)]) for step in range(PRODUCTS)
    ]
    graph = helper.make_graph(nodes, "peak", [matrix], [result])
    opset = [helper.make_opsetid("", 18)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    number = devices.number(device)
    if device == "cpu":
        session = ort.InferenceSession(made, providers=["CPUExecutionProvider"])
    else:
        options = {"device_id": number, "use_tf32": 0}
        session = ort.InferenceSession(made, providers=[("CUDAExecutionProvider", options)])
    memory = ("cpu", 0) if device == "cpu" else ("cuda", number)
    factor, products = (
        ort.OrtValue.ortvalue_from_numpy(np.zeros((side, side), numbers), *memory) for _ in "io"
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input("0", factor)
    binding.bind_ortvalue_output(str(PRODUCTS), products)
    runs_per_s = rate(partial(session.run_with_iobinding, binding), seconds)
    return 2 * side**3 * PRODUCTS * runs_per_s


def rate(run: Callable[[], object], seconds: float) -> float:
    """Runs a second, after one to warm up."""
    run()
    began = time.perf_counter()
    runs = 0
    while (taken := time.perf_counter() - began) < seconds:
        run()
        runs += 1
    return runs / taken
