"""The service on a GPU, in one table: the raw session, the pipeline without HTTP, and served.

    python -m benchmarks.gpu --device cuda:0        # tiny, base and large
    python -m benchmarks.gpu --device cpu --models swin_nano_patch4_window7_224 --buckets 1 2

Weights are seeded, which costs what trained ones do. Every cell of a table is measured once in each
of the repeats; medians are printed. PyTorch's columns, of the same network, are there where torch
and transformers are. The share is of the matrix products that the device does in onnxruntime.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks import corpus, layouts, torch_swin
from benchmarks.load import Plan
from benchmarks.measurements import MANY, under_load
from benchmarks.peak import peak, rate
from benchmarks.servers import running
from model_export.catalog import Entry, find
from model_export.checkpoints.seeded import seeded
from model_export.export import Lowering, export
from model_export.inspection import contents
from model_export.model_card import Precision
from model_export.precision.calibration import procedural
from model_export.verify import cosines
from service.engine import model
from service.engine.embedder import Embedder
from service.engine.gpu import devices
from service.engine.gpu.buckets import Buckets
from service.engine.gpu.providers import Gpu
from service.images.preprocess import preprocess
from service.observability.metrics import Metrics
from service.settings import Settings
from service.types import Embedding, Vector, Vectors

MODELS = [f"swin_{size}_patch4_window7_224" for size in ("tiny", "base", "large")]


@dataclass(frozen=True)
class Setup:
    """What to measure, where and for how long."""

    device: str
    buckets: Sequence[int]
    precisions: Sequence[Precision]
    folder: Path
    side: int
    seconds: float
    repeats: int
    images: int
    clients: int
    compiled: bool


def measure(entry: Entry, setup: Setup) -> Iterator[str]:
    """Lines of Markdown on one architecture."""
    exact: Vectors | None = None
    for precision in setup.precisions:
        path = setup.folder / f"{entry.architecture.name}-{precision}.onnx"
        export(entry, seeded(entry.architecture), path, lowering=Lowering(precision))
        gpu = Gpu(buckets=setup.buckets)
        buckets = Buckets(model.load(path, setup.device, 1, gpu=gpu), setup.buckets)
        buckets.warm_up()
        yield from _raw(entry, precision, path, buckets, setup)
        vectors = _embed(buckets, entry, setup)
        if exact is not None:
            worst = cosines(exact, vectors).min()
            yield f"{precision} to fp32, worst cosine of {setup.images} images: {worst:.6f}\n"
        exact = vectors if precision == "fp32" else exact
        yield _across(buckets, entry, setup)
        files = [file.read_bytes() for file in corpus.write(setup.folder)]
        recipe = model.load(path, "cpu", 1).card.preprocessing
        expected = [buckets.run([preprocess(file, recipe, MANY).pixels])[0] for file in files]
        del buckets
        yield from _whole(path, expected, setup)


def _raw(
    entry: Entry, precision: Precision, path: Path, buckets: Buckets, setup: Setup
) -> Iterator[str]:
    """Images/s of each bucket and of PyTorch, and the share of the device's products."""
    image = procedural(entry.architecture.image_size, 0)
    ways: dict[int, dict[str, Callable[[], object]]] = {
        size: {"onnxruntime": partial(buckets.run, [image] * size)} for size in setup.buckets
    }
    by_torch = torch_swin.ways(
        entry.architecture, precision, setup.device, setup.buckets, compiled=setup.compiled
    )
    for size, name, run in by_torch:
        ways[size][name] = run
    rates: dict[int, dict[str, list[float]]] = {size: defaultdict(list) for size in ways}
    peaks = []
    for _ in range(setup.repeats):
        peaks.append(peak(setup.device, precision, setup.side, setup.seconds))
        for size, contenders in ways.items():
            for name, run in contenders.items():
                rates[size][name].append(size * rate(run, setup.seconds))
    names = list(rates[setup.buckets[0]])
    operations = 2 * contents(path).multiplications
    most = statistics.median(peaks)
    yield f"### {entry.architecture.name}, {precision}\n"
    yield f"| images/s of | {' | '.join(names)} | share of {most / 1e12:.3g} TFLOP/s |"
    yield "| --- " * (len(names) + 2) + "|"
    for size, by_name in rates.items():
        medians = [statistics.median(several) for several in by_name.values()]
        cells = " | ".join(f"{rate:.1f}" for rate in medians)
        yield f"| {size} | {cells} | {medians[0] * operations / most:.2f} |"
    yield ""


def _whole(path: Path, expected: Sequence[Vector], setup: Setup) -> Iterator[str]:
    """Images/s from files, without HTTP and with it."""
    files = corpus.write(setup.folder)
    vectors = [vector.tolist() for vector in expected]
    environment = {
        "SWIN_DEVICE": setup.device,
        "SWIN_MAX_BATCH_SIZE": str(setup.buckets[-1]),
    }
    ours = layouts.ours(path)
    layout = replace(ours, environment={**ours.environment, **environment})
    plan = Plan(0, "", [str(file) for file in files], vectors, setup.clients, setup.seconds)
    pipeline = [
        _pipeline(path, [file.read_bytes() for file in files], setup) for _ in range(setup.repeats)
    ]
    with running([layout]) as (server,):
        served = [under_load(server, plan) for _ in range(setup.repeats)]
    yield f"without HTTP: {statistics.median(pipeline):.1f} images/s"
    yield (
        f"served, {setup.clients} clients: "
        f"{statistics.median(one['images_per_s'] for one in served):.1f} images/s, p50 / p99 "
        f"{statistics.median(one['p50_ms'] for one in served):.0f} / "
        f"{statistics.median(one['p99_ms'] for one in served):.0f} ms, "
        f"{sum(one['wrong'] for one in served)} wrong\n"
    )


def _pipeline(path: Path, files: Sequence[bytes], setup: Setup) -> float:
    settings = Settings(
        model=path, device=setup.device, max_batch_size=setup.buckets[-1], max_queue_size=4096
    )
    embedder = Embedder(settings, Metrics())
    room = threading.Semaphore(4 * setup.buckets[-1])
    done = []

    def finish(future: Future[Embedding]) -> None:
        future.result()
        done.append(time.perf_counter())
        room.release()

    began = time.perf_counter()
    while time.perf_counter() < began + setup.seconds:
        room.acquire()
        (future,) = embedder.submit([files[len(done) % len(files)]], 600)
        future.add_done_callback(finish)
    embedder.close()
    return len(done) / (done[-1] - began)


def _embed(buckets: Buckets, entry: Entry, setup: Setup) -> Vectors:
    side = entry.architecture.image_size
    size = setup.buckets[-1]
    parts = [
        buckets.run(
            [procedural(side, seed) for seed in range(first, min(first + size, setup.images))]
        )
        for first in range(0, setup.images, size)
    ]
    return np.concatenate(parts)


def _across(buckets: Buckets, entry: Entry, setup: Setup) -> str:
    """How far vectors of one image in runs of different sizes are apart."""
    image = procedural(entry.architecture.image_size, 0)
    vectors = np.concatenate([buckets.run([image] * size)[:1] for size in setup.buckets])
    alone = np.repeat(vectors[:1], len(vectors), axis=0)
    same = "the same bits" if np.array_equal(vectors, alone) else "not the same bits"
    return f"one image across sizes: {same}, worst cosine {cosines(alone, vectors).min():.8f}\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", default="cuda:0", help="as in SWIN_DEVICE; one")
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "fp16"])
    parser.add_argument("--buckets", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--side", type=int, default=8192, help="of the matrices of the peak")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=256, help="to compare precisions on")
    parser.add_argument("--clients", type=int, default=128)
    parser.add_argument("--no-compile", dest="compiled", action="store_false")
    options = parser.parse_args()
    names = options.__dict__.pop("models")
    where = devices.gpus()[devices.number(options.device)] if options.device != "cpu" else "CPU"
    print(f"# {where}, {options.device}, onnxruntime {ort.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(folder=Path(folder), **vars(options))
        for name in names:
            for line in measure(find(name), setup):
                print(line, flush=True)


if __name__ == "__main__":
    main()
