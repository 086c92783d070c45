"""Where the model runs: the devices, and a lane for each stream."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from service.engine import model, resources
from service.engine.gpu import devices
from service.engine.gpu.buckets import Buckets
from service.engine.model import Model
from service.engine.resources import Plan
from service.engine.stream import Lane
from service.settings import Settings
from service.types import ModelInfo, Pixels, Vectors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """A model, and the lanes on which streams run it.

    With 0 `decode_threads` each stream decodes its own images. `healthy` says whether the process
    behind the lanes works, where there is one; `close` gives the lanes back.
    """

    model: ModelInfo
    lanes: Sequence[Lane]
    max_batch_size: int
    decode_threads: int
    on_gpu: bool = False
    healthy: Callable[[], bool] = lambda: True
    close: Callable[[], None] = lambda: None


def load(settings: Settings, *, lone_runs: bool = True) -> Placement:
    """Load the model into this process, on the devices that the settings ask for.

    Without `lone_runs` there is one session: while a collection is embedded, no run is alone.

    Raises:
        ArtifactError: the model file cannot be served.
        DeviceError: the device asked for cannot be had.
    """
    chosen = devices.choose(settings.device)
    on_gpu = chosen != ("cpu",)
    plan = resources.plan(settings, chosen, resources.usable_cores(), lone_runs=lone_runs)
    if on_gpu:
        loaded, lanes = on_gpus(settings.model, chosen, plan)
    else:
        loaded, lanes = on_cpu(settings.model, plan)
    card = loaded.card.with_color_profiles(settings.color_profiles)
    loaded = replace(loaded, card=card)
    logger.info(
        "%s on %s: streams=%d threads=%d, of a lone run %d, images a run up to %d",
        *(title(loaded), ", ".join(chosen)),
        *(plan.streams, plan.threads_per_stream, plan.lone_threads, plan.max_batch_size),
    )
    if not on_gpu and card.precision == "fp32":
        logger.info(
            "in int8 this model takes 0.6 of the time on a CPU, and a quarter of the memory for "
            "its weights: serve it with --precision int8, or export it so"
        )
    if not card.pretrained:
        logger.warning(
            "these weights are UNTRAINED (%s): vectors have the right shape and cost, but "
            "little meaning; serve a trained checkpoint for real use",
            card.weights.source,
        )
    return Placement(loaded, lanes, plan.max_batch_size, plan.decode_threads, on_gpu)


def title(model: ModelInfo) -> str:
    """A model's name, precision and the beginning of its file's SHA-256, for the log."""
    return f"{model.card.name} {model.card.precision} {model.digest[:12]}"


def on_cpu(path: Path | None, plan: Plan) -> tuple[Model, list[Lane]]:
    """One model that all streams share; the first stream warms it up."""
    loaded = model.load(path, "cpu", plan.threads_per_stream, plan.lone_threads)

    lanes: list[Lane] = []

    def run(images: Sequence[Pixels]) -> Vectors:
        """Run on more threads while at most half of the streams are busy."""
        lone = 2 * sum(lane.busy for lane in lanes) <= len(lanes)
        return loaded.run(np.stack(images), lone=lone)  # [n, h, w, 3]

    lanes += [Lane(run) for _ in range(plan.streams)]
    lanes[0].prepare = loaded.warm_up
    return loaded, lanes


def on_gpus(path: Path | None, devices: Sequence[str], plan: Plan) -> tuple[Model, list[Lane]]:
    """Lanes over all GPUs in turn. Lanes of one GPU share its model, unless they record graphs.

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
