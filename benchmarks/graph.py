"""Our graphs against torch.onnx.export's and OpenVINO's, of the same architecture, on CPU.

    python -m benchmarks.graph build DIR       # needs torch, transformers, onnxscript
    python -m benchmarks.graph quantize DIR    # needs openvino and nncf
    python -m benchmarks.graph measure DIR     # needs onnxruntime; openvino if it is to be compared

`build` writes fp32.onnx and int8.onnx (this project's) and torch.onnx (transformers' SwinModel by
`torch.onnx.export`); `quantize` writes OpenVINO's int8 of the first and the last, made by NNCF.
`measure` runs everything in DIR in turns, one image a run, and prints medians. The packages of the
second and third step may live in another environment than those of the first.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from model_export.calibration import Pixels, procedural

Array = npt.NDArray[np.generic]
Run = Callable[[], Any]

CALIBRATION_IMAGES = 32
SIDE = 224


def build(folder: Path, name: str) -> None:
    """Write this project's artifacts and torch's export."""
    import torch
    import transformers

    from model_export.catalog import find
    from model_export.checkpoints.seeded import seeded
    from model_export.export import Lowering, export

    entry = find(name)
    shape = entry.architecture
    checkpoint = seeded(shape)
    export(entry, checkpoint, folder / "fp32.onnx")
    export(entry, checkpoint, folder / "int8.onnx", lowering=Lowering("int8"))
    configuration = transformers.SwinConfig(
        image_size=shape.image_size,
        embed_dim=shape.channels,
        depths=list(shape.depths),
        num_heads=list(shape.heads),
        window_size=shape.stage_window(0),
    )

    class Embedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.swin = transformers.SwinModel(configuration)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.swin(pixels).pooler_output

    image = torch.zeros(1, 3, shape.image_size, shape.image_size)
    torch.onnx.export(
        Embedding().eval(),
        (image,),
        str(folder / "torch.onnx"),
        input_names=["pixels"],
        dynamo=False,  # its newer exporter fails on this model (torch 2.13, transformers 5.23)
    )


def quantize(folder: Path) -> None:
    """Write OpenVINO's int8 of the fp32 graphs, calibrated on images that are made up."""
    import nncf
    import openvino

    for name in ("fp32", "torch"):
        model = openvino.Core().read_model(folder / f"{name}.onnx")
        images = [
            _as_input(procedural(SIDE, seed)[None], name != "torch")
            for seed in range(CALIBRATION_IMAGES)
        ]
        dataset = nncf.Dataset(images)
        lowered = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER)
        openvino.save_model(lowered, folder / f"{name}-nncf.xml")


def measure(folder: Path, threads: int, rounds: int) -> None:
    """Run everything in turns and print images/s, medians of single runs."""
    runs = _onnxruntime(folder, threads)
    try:
        runs |= _openvino(folder, threads)
    except ModuleNotFoundError:
        print("openvino is not installed here: left out")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()  # another's turn has emptied the caches
            for _ in range(3):
                started = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(of_one) for name, of_one in seconds.items()}
    print(f"one image a run, {threads} threads, {rounds} rounds in turns")
    print("images/s: median, relative to fp32's; fastest, relative to fp32's")
    for name, median in sorted(medians.items(), key=lambda item: item[1]):
        ratio = medians["onnxruntime fp32"] / median
        # On a machine with other work the fastest run tells more than the median.
        fastest = min(seconds[name])
        best = min(seconds["onnxruntime fp32"]) / fastest
        print(f"{name:32}{1 / median:7.2f} {ratio:5.2f} {1 / fastest:7.2f} {best:5.2f}")


def _onnxruntime(folder: Path, threads: int) -> dict[str, Run]:
    runs = {}
    for path in sorted(folder.glob("*.onnx")):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = {"pixels": _as_input(procedural(SIDE, 0)[None], path.stem != "torch")}
        runs[f"onnxruntime {path.stem}"] = partial(session.run, None, feed)
    return runs


def _openvino(folder: Path, threads: int) -> dict[str, Run]:
    import openvino

    runs = {}
    core = openvino.Core()
    candidates = [
        (f"{name} {precision}", folder / f"{name}.onnx", precision)
        for name in ("fp32", "torch")
        for precision in ("f32", "bf16")
    ] + [(f"{path.stem} int8", path, "f32") for path in sorted(folder.glob("*-nncf.xml"))]
    for name, path, precision in candidates:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
        }
        model = core.read_model(path)
        feed = _as_input(procedural(SIDE, 0)[None], "torch" not in name)
        model.reshape(list(feed.shape))
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        runs[f"openvino {name}"] = partial(request.infer, [feed])
    return runs


def _as_input(pixels: Pixels, ours: bool) -> Array:
    """An image [1, H, W, 3] as a graph takes it: ours bytes, torch's normalised channels."""
    return pixels if ours else ((pixels.transpose(0, 3, 1, 2) / 255 - 0.45) / 0.225).astype("f4")


def main() -> None:
    """Do one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("step", choices=["build", "quantize", "measure"])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--name", default="swin_tiny_patch4_window7_224", help="for build")
    parser.add_argument("--threads", type=int, default=2, help="for measure (default: 2)")
    parser.add_argument("--rounds", type=int, default=8, help="for measure (default: 8)")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.step == "build":
        build(options.folder, options.name)
    elif options.step == "quantize":
        quantize(options.folder)
    else:
        measure(options.folder, options.threads, options.rounds)


if __name__ == "__main__":
    main()
