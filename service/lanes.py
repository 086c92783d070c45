"""What the streams run on: a model, and each stream's lane to it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service import model
from service.batcher import Lane
from service.buckets import Buckets
from service.model import Model, Vectors
from service.preprocess import Pixels
from service.resources import Plan


def on_cpu(path: Path | None, plan: Plan) -> tuple[Model, list[Lane]]:
    """One model that all streams share, and that the first of them warms up."""
    loaded = model.load(path, "cpu", plan.threads_per_stream, plan.lone_threads)

    def run(images: Sequence[Pixels], alone: bool) -> Vectors:
        return loaded.run(np.stack(images), alone)  # [n, h, w, 3]

    others = [Lane(run)] * (plan.streams - 1)
    return loaded, [Lane(run, prepare=loaded.warm_up), *others]


def on_gpus(path: Path | None, devices: Sequence[str], plan: Plan) -> tuple[Model, list[Lane]]:
    """Streams go round the GPUs. Those of one share its model, unless they record graphs.

    A session that replays graphs runs for one thread at a time (onnxruntime's CUDA provider).
    """
    gpu = plan.gpu
    each = plan.streams if gpu.graphs else len(devices)
    models = [
        model.load(path, devices[number % len(devices)], plan.threads_per_stream, gpu=gpu)
        for number in range(each)
    ]
    lanes = []
    for stream in range(plan.streams):
        loaded = models[stream % each]
        buckets = Buckets(loaded, gpu.buckets, graphs=gpu.graphs)
        lanes.append(Lane(buckets.run, loaded.device, buckets.warm_up))
    return models[0], lanes
