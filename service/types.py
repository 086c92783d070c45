"""Types that several packages share: pixels, pictures, vectors, embeddings."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from model_export.model_card import ModelCard

Pixels = npt.NDArray[np.uint8]
"""uint8 `[height, width, 3]`, RGB."""

Image = bytes | Pixels
"""An encoded image, or pixels as the model takes them: uint8 `[image_size, image_size, 3]`."""

Vector = npt.NDArray[np.float32]
"""float32 `[dim]`, not normalised."""

Vectors = npt.NDArray[np.float32]
"""float32 `[n, dim]`, not normalised."""


class Picture(NamedTuple):
    """An image ready for the network; the size it had, in pixels; its format, such as `jpeg`."""

    pixels: Pixels
    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector, how long each stage took to make it, in seconds, and the size of its image.

    `width` and `height` are of the image as it was stored, in pixels; of an image that came as
    pixels, those of its array.
    """

    vector: Vector
    decode_s: float
    queue_s: float
    inference_s: float
    width: int
    height: int


class ModelInfo(Protocol):
    """A model as answers and metrics describe it."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def digest(self) -> str: ...

    @property
    def provider(self) -> str: ...


@dataclass(frozen=True, slots=True)
class EngineState:
    """What an engine is doing now.

    Attributes:
        queued: images that wait, decoded or not.
        undecoded: queued images that are not decoded yet.
        capacity: places in the queue.
        streams: runs that can be under way at once.
        busy: streams that decode or run a batch.
        longest_run_s: seconds since the oldest run under way began; 0 if there is none.
    """

    queued: int
    undecoded: int
    capacity: int
    streams: int
    busy: int
    longest_run_s: float
