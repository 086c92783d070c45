"""Drift: cheap statistics that show whether images still look like yesterday's.

A client that starts to send thumbnails, swaps red and blue, or posts one frame again and again gets
valid vectors, but its searches get worse. Each such fault moves one of these histograms
(docs/operations.md has the table, docs/performance.md the cost).
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric

from service.types import Picture, Pixels, Vector

SAMPLED = 16
"""Rows and columns of an image that are sampled, about."""

RECENT = 4096
"""Distinct images that a new one is compared with, to find duplicates."""

LOOKS_PER_S = 100.0
LOOKS_AT_ONCE = 1000.0
"""Limits on the images that are examined: enough for histograms, under 1 % of a core."""

SLOWNESS = 10_000
"""Images in the running mean of vectors."""

RATIOS = [0.25, 0.33, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6, 2.0, 3.0, 4.0]
SHARES = [step / 20 for step in range(1, 20)]
BALANCES = [step / 20 for step in range(-10, 11) if step != 0]
SHARPNESSES = [step / 10 for step in range(1, 20)]
NORMS = [round(2 ** (step / 4), 4) for step in range(-8, 33)]  # 0.25 to 256, a fifth apart
# Trained networks spread vectors out, untrained ones keep them close together: fine near 1.
COSINES = [step / 10 for step in range(-5, 9)]
COSINES += [0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999]


@dataclass(frozen=True, slots=True)
class Look:
    """What an image looks like, in numbers.

    Attributes:
        brightness: mean luma (Rec. 601), 0 to 1.
        saturation: mean of the largest channel less the smallest, 0 to 1; grey pictures have 0.
        warmth: mean red less mean blue, -1 to 1; mostly above 0 for photos, and below 0 where red
            and blue are swapped.
        sharpness: mean change of slope over mean slope along rows, 0 to 2; contrast cancels out.
            Above 1 for photos, below 1 for enlarged images.
        fingerprint: equal for equal pixels.
    """

    brightness: float
    saturation: float
    warmth: float
    sharpness: float
    fingerprint: int


def look(pixels: Pixels) -> Look:
    """What uint8 `[height, width, 3]` RGB pixels look like, from a sample of them."""
    step = max(1, pixels.shape[0] // SAMPLED)
    sample = pixels[::step, ::step].transpose(2, 0, 1).copy()  # [3, rows, columns]
    full = 255 * sample[0].size
    red, green, blue = (sample.reshape(3, -1).sum(axis=1) / full).tolist()
    spread = sample.max(axis=0) - sample.min(axis=0)  # [rows, columns]
    rows = pixels[:: 2 * step, :, 1].astype(np.int16)
    slope = rows[:, 1:] - rows[:, :-1]
    change = slope[:, 1:] - slope[:, :-1]
    return Look(
        brightness=0.299 * red + 0.587 * green + 0.114 * blue,
        saturation=float(spread.sum()) / full,
        warmth=red - blue,
        sharpness=float(np.abs(change).sum()) / max(1.0, float(np.abs(slope).sum())),
        fingerprint=hash(sample.tobytes()),
    )


class Allowance:
    """Permits: `LOOKS_AT_ONCE` in a burst, `LOOKS_PER_S` on average.

    Two threads that ask at the same moment may get one too many, which does not matter here.
    """

    def __init__(self) -> None:
        self._left = LOOKS_AT_ONCE
        self._counted_at = time.monotonic()

    def take(self) -> bool:
        """Use up a permit; whether there was one."""
        now = time.monotonic()
        grown = self._left + (now - self._counted_at) * LOOKS_PER_S
        self._left, self._counted_at = min(LOOKS_AT_ONCE, grown), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class SignedHistogram(Histogram):
    """A histogram that allows negative numbers: buckets only.

    OpenMetrics allows no sum of negative numbers, because it may fall, and no count without a sum.
    """

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            family.samples = [one for one in family.samples if one.name.endswith("_bucket")]
            yield family


class Drift:
    """Histograms of images and vectors, and the recent images among which duplicates are found."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: list[float]) -> Histogram:
            kind = SignedHistogram if buckets[0] < 0 else Histogram
            return kind(f"swin_{name}", text, buckets=buckets, registry=registry)

        self._aspect = histogram("image_aspect_ratio", "Width over height of an image", RATIOS)
        self._brightness = histogram("image_brightness", "Mean luma of an image, 0 to 1", SHARES)
        self._saturation = histogram(
            "image_saturation", "Largest less smallest channel of an image, 0 to 1", SHARES
        )
        self._warmth = histogram(
            "image_warmth", "Mean red less mean blue of an image, -1 to 1", BALANCES
        )
        self._sharpness = histogram(
            "image_sharpness", "Change of slope over slope of an image, 0 to 2", SHARPNESSES
        )
        self._duplicates = Counter(
            "swin_image_duplicates",
            f"Images whose pixels equal those of one of the last {RECENT}",
            registry=registry,
        )
        self._norm = histogram("embedding_norm", "Length of a vector before normalisation", NORMS)
        self._cosine = histogram(
            "embedding_cosine", "Cosine of a vector and the slow mean of all vectors", COSINES
        )
        self._lock = threading.Lock()
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._mean: npt.NDArray[np.floating] | None = None
        self._seen = 0

    def observe_picture(self, picture: Picture) -> None:
        """Add an image to the histograms."""
        seen = look(picture.pixels)
        self._aspect.observe(picture.width / picture.height)
        self._brightness.observe(seen.brightness)
        self._saturation.observe(seen.saturation)
        self._warmth.observe(seen.warmth)
        self._sharpness.observe(seen.sharpness)
        with self._lock:
            known = seen.fingerprint in self._recent
            self._recent[seen.fingerprint] = None
            self._recent.move_to_end(seen.fingerprint)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        if known:
            self._duplicates.inc()

    def observe_vector(self, vector: Vector) -> None:
        """Add a vector to the histograms: float32 `[dim]`, not normalised."""
        norm = float(np.sqrt(vector @ vector))
        self._norm.observe(norm)
        if norm == 0:
            return
        unit = vector / norm
        with self._lock:
            if self._mean is None or self._mean.shape != unit.shape:
                self._mean, self._seen = unit, 1  # the first one, or of another model
                return
            mean = self._mean
            cosine = float(unit @ mean) / max(float(np.sqrt(mean @ mean)), 1e-9)
            self._seen = min(self._seen + 1, SLOWNESS)
            self._mean = mean + (unit - mean) / self._seen
        self._cosine.observe(cosine)
