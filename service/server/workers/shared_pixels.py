"""Memory that a worker process and the engine share: pixels one way, vectors the other."""

import mmap
import os
import time
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

BEAT_LASTS_S = 4.0
"""How long the engine counts as healthy after a heartbeat; a hung process sends none."""


@dataclass(frozen=True)
class Layout:
    """The shape of shared memory: `lanes` batches of `images`, and the size of each.

    Attributes:
        lanes: batches that may be on their way at once.
        images: most images in one of them.
        side: height and width of an image.
        dim: numbers in a vector.
    """

    lanes: int
    images: int
    side: int
    dim: int

    @property
    def pixels(self) -> tuple[int, ...]:
        """Shape of all pixels, uint8."""
        return self.lanes, self.images, self.side, self.side, 3

    @property
    def vectors(self) -> tuple[int, ...]:
        """Shape of all vectors, float32."""
        return self.lanes, self.images, self.dim


class SharedPixels:
    """An unnamed file that both processes map; it ends with the last mapping.

    It needs neither a writable folder nor room in /dev/shm.

    Attributes:
        descriptor: of the file; it may be closed once the file is mapped.
        pixels: uint8 `[lanes, images, side, side, 3]`.
        vectors: float32 `[lanes, images, dim]`.
    """

    def __init__(self, layout: Layout, descriptor: int) -> None:
        self.descriptor = descriptor
        memory = mmap.mmap(descriptor, _bytes(layout))
        self._healthy_until: npt.NDArray[np.float64] = np.frombuffer(memory, np.float64, 1)
        vectors = np.frombuffer(memory, np.float32, _count(layout.vectors), _HEARTBEAT_BYTES)
        self.vectors = vectors.reshape(layout.vectors)
        offset = _HEARTBEAT_BYTES + vectors.nbytes
        pixels = np.frombuffer(memory, np.uint8, _count(layout.pixels), offset)
        self.pixels = pixels.reshape(layout.pixels)

    @classmethod
    def create(cls, layout: Layout) -> Self:
        """New memory, all zeros."""
        descriptor = os.memfd_create("swin-embed")
        os.truncate(descriptor, _bytes(layout))
        return cls(layout, descriptor)

    def beat(self, *, healthy: bool) -> None:
        """Tell the other process whether the engine makes progress, for the next `BEAT_LASTS_S`."""
        self._healthy_until[0] = time.monotonic() + BEAT_LASTS_S if healthy else 0.0

    def healthy(self) -> bool:
        """Whether the engine has said so recently."""
        return time.monotonic() < float(self._healthy_until[0])


_HEARTBEAT_BYTES = np.dtype(np.float64).itemsize


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _bytes(layout: Layout) -> int:
    vectors = _count(layout.vectors) * np.dtype(np.float32).itemsize
    return _HEARTBEAT_BYTES + vectors + _count(layout.pixels)
