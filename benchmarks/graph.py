"""Our graphs against torch.onnx.export's and OpenVINO's, of the same network, on CPU.

    python -m benchmarks.graph quantize FOLDER
    python -m benchmarks.graph measure FOLDER

FOLDER has this project's bench-fp32.onnx and bench-int8.onnx and what `benchmarks.torch_swin` wrote
to bench-torch; `make bench-graph` makes them. `quantize` adds OpenVINO's int8 of both fp32 graphs,
by NNCF. `measure` runs everything in turns, one image a run, and prints a table of medians. Both
need an environment with requirements/peers.txt.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import numpy.typing as npt
import onnxruntime
import openvino

from model_export.precision.calibration import Pixels, procedural
from service.engine import model

Run = Callable[[], object]

OURS = "bench-{}.onnx"
FP32 = OURS.format("fp32")
TORCH = "bench-torch/model.onnx"
CALIBRATION_IMAGES = 32
SIDE = 224
THREADS = (1, 2)
RUNS = 3
"""Of a contender's turn, after one that fills the caches."""


def quantize(folder: Path) -> None:
    """Write OpenVINO's int8 of the fp32 graphs, calibrated on images that are made up."""
    for path in (folder / FP32, folder / TORCH):
        images = [_input(path, procedural(SIDE, seed)) for seed in range(CALIBRATION_IMAGES)]
        graph = openvino.Core().read_model(path)
        lowered = nncf.quantize(graph, nncf.Dataset(images), model_type=nncf.ModelType.TRANSFORMER)
        openvino.save_model(lowered, path.with_suffix(".xml"))


def measure(folder: Path, rounds: int) -> None:
    """Run everything in turns and print milliseconds, medians of single runs."""
    contenders = {threads: _contenders(folder, threads) for threads in THREADS}
    taken: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for threads, runs in contenders.items():
            for name, run in runs.items():
                run()
                for _ in range(RUNS):
                    began = time.perf_counter()
                    run()
                    taken.setdefault((name, threads), []).append(time.perf_counter() - began)
    columns = [f"{threads} thread{'s' * (threads > 1)}" for threads in THREADS]
    print(f"| ms; fastest; of our fp32 | {' | '.join(columns)} |")
    print("| --- " * (len(columns) + 1) + "|")
    medians = {key: statistics.median(seconds) for key, seconds in taken.items()}
    for name in contenders[THREADS[0]]:
        cells = [
            f"{1000 * medians[name, threads]:.1f}; {1000 * min(taken[name, threads]):.1f}; "
            f"{medians['ours, fp32', threads] / medians[name, threads]:.2f}"
            for threads in THREADS
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def _contenders(folder: Path, threads: int) -> dict[str, Run]:
    pixels = procedural(SIDE, 0)
    contenders: dict[str, Run] = {}
    for precision in ("fp32", "int8"):
        path = folder / OURS.format(precision)
        # The service's own session, as it runs an image alone.
        contenders[f"ours, {precision}"] = partial(
            model.load(path, "cpu", threads).run, _input(path, pixels)
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        folder / TORCH, options, providers=["CPUExecutionProvider"]
    )
    feed = {"pixels": _input(folder / TORCH, pixels)}
    contenders["torch.onnx.export, onnxruntime"] = partial(session.run, None, feed)
    for graph, file in (("our graph", FP32), ("torch.onnx.export", TORCH)):
        path = folder / file
        for precision, stored, hint in (
            ("f32", path, "f32"),
            ("bf16", path, "bf16"),
            ("int8 by NNCF", path.with_suffix(".xml"), "f32"),
        ):
            contenders[f"OpenVINO {precision}, {graph}"] = _openvino(
                stored, _input(path, pixels), threads, hint
            )
    return contenders


def _openvino(path: Path, images: npt.NDArray[Any], threads: int, precision: str) -> Run:
    core = openvino.Core()
    graph = core.read_model(path)
    graph.reshape(list(images.shape))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    return partial(
        core.compile_model(graph, "CPU", settings).create_infer_request().infer, [images]
    )


def _input(path: Path, pixels: Pixels) -> npt.NDArray[Any]:
    """An image [H, W, 3] as a graph takes it: ours bytes, torch's normalised channels."""
    if path.match(TORCH):
        return ((pixels.transpose(2, 0, 1)[None] / 255 - 0.45) / 0.225).astype(np.float32)
    return pixels[None]


def main() -> None:
    """Do one of the two steps."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("step", choices=["quantize", "measure"])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=12, help="for measure (default: 12)")
    options = parser.parse_args()
    if options.step == "quantize":
        quantize(options.folder)
    else:
        measure(options.folder, options.rounds)


if __name__ == "__main__":
    main()
