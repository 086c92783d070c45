"""Batches of a few sizes only, through buffers that every run of a stream reuses: for GPUs."""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from model_export.model_card import EMBEDDING, PIXELS
from service.engine.gpu import devices
from service.engine.model import Model
from service.types import Pixels, Vectors

GRAPH = "gpu_graph_id"
"""The run option that names the CUDA graph to record or replay."""


@dataclass(frozen=True)
class Bucket:
    """Buffers on the device for runs of one size, bound to the session once and for all.

    CUDA graphs replay addresses, so these stay where they are.
    """

    pixels: ort.OrtValue
    vectors: ort.OrtValue
    binding: ort.IOBinding
    options: ort.RunOptions


class Buckets:
    """Runs a model on batches, padded to the next of a few sizes; for one thread alone.

    An image's pixels are copied twice: beside those of its batch into page-locked memory, and from
    there to the device. `warm_up` makes the buffers and has to come first, in the thread that will
    run: the CUDA provider keeps its handles, and the graphs it recorded, a thread.
    """

    def __init__(self, model: Model, sizes: Sequence[int], *, graphs: bool = False) -> None:
        self._model = model
        self._sizes = sizes
        self._graphs = graphs
        self._buckets: dict[int, Bucket] = {}
        size = model.card.image_size
        self._staged = np.zeros((self._sizes[-1], size, size, 3), np.uint8)

    def warm_up(self) -> float:
        """Make each bucket and run it; seconds that a run of the largest takes.

        Raises:
            ArtifactError: the vectors are not what the card promises.
        """
        devices.page_lock(self._staged, self._model.device)
        seconds = 0.0
        for size in self._sizes:
            self._buckets[size] = self._bucket(size)
            grey = [np.full_like(self._staged[0], 128)] * size
            self._model.check(self.run(grey))
            began = time.monotonic()
            self.run(grey)
            seconds = time.monotonic() - began
        return seconds

    def run(self, images: Sequence[Pixels]) -> Vectors:
        """Embed images, each uint8 `[height, width, 3]`; float32 `[n, dim]`, not normalised."""
        count = len(images)
        size = self._sizes[bisect_left(self._sizes, count)]
        bucket = self._buckets[size]
        np.stack(images, out=self._staged[:count])
        bucket.pixels.update_inplace(self._staged[:size])  # what pads it is of an earlier batch
        self._model.session.run_with_iobinding(bucket.binding, bucket.options)
        vectors: Vectors = bucket.vectors.numpy()
        return vectors[:count].copy()  # on the CPU it is the buffer itself

    def _bucket(self, size: int) -> Bucket:
        card, device = self._model.card, self._model.device
        pixels = _buffer((size, *self._staged.shape[1:]), np.uint8, device)
        vectors = _buffer((size, card.embedding_dim), np.float32, device)
        binding = self._model.session.io_binding()
        binding.bind_ortvalue_input(PIXELS, pixels)
        binding.bind_ortvalue_output(EMBEDDING, vectors)
        options = ort.RunOptions()
        if self._graphs:
            options.add_run_config_entry(GRAPH, str(size))
        return Bucket(pixels, vectors, binding, options)


def _buffer(shape: Sequence[int], numbers: npt.DTypeLike, device: str) -> ort.OrtValue:
    memory = "cpu" if devices.kind(device) == "cpu" else "cuda"
    return ort.OrtValue.ortvalue_from_shape_and_type(shape, numbers, memory, devices.number(device))
