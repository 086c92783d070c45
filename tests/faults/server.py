"""`python -m tests.faults.server`: the service, in which an image of one grey breaks something."""

import ctypes
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
from PIL import Image
from starlette.requests import Request

from service import __main__
from service.api import embed
from service.engine import embedder, model, resources
from service.images import preprocess
from tests.support.images import encode

FOREVER_S = 1000


def fail() -> None:
    raise RuntimeError("an operator failed")


def run_out_of_memory() -> None:
    raise MemoryError


def hang() -> None:
    time.sleep(FOREVER_S)


def end_the_thread() -> None:
    raise SystemExit


def crash() -> None:
    ctypes.string_at(0)


GREYS: dict[str, int] = {
    name: 10 * number
    for number, name in enumerate(
        (
            *("run fails", "run gives NaN", "run has no memory", "run gives too few vectors"),
            *("run hangs", "run ends its thread", "run crashes"),
            *("decode fails", "decode has no memory", "decode hangs", "decode ends its thread"),
            *("decode crashes", "body has no memory"),
        ),
        start=2,
    )
}
"""The grey that brings each fault about."""

RUN: dict[str, Callable[[], None]] = {
    "run fails": fail,
    "run has no memory": run_out_of_memory,
    "run hangs": hang,
    "run ends its thread": end_the_thread,
    "run crashes": crash,
}
DECODE: dict[str, Callable[[], None]] = {
    "decode fails": fail,
    "decode has no memory": run_out_of_memory,
    "decode hangs": hang,
    "decode ends its thread": end_the_thread,
    "decode crashes": crash,
}


def image(fault: str) -> bytes:
    """The image that brings a fault about."""
    return encode(Image.new("L", (8, 8), GREYS[fault]))


def _fault(pixels: np.ndarray) -> str | None:
    grey = pixels.flat[0]
    if (pixels != grey).any():
        return None
    return next((name for name, value in GREYS.items() if value == grey), None)


def _faulty_run(run: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def faulty(self: model.Model, pixels: np.ndarray, *, lone: bool = False) -> np.ndarray:
        fault = _fault(pixels)
        if fault in RUN:
            RUN[fault]()
        vectors = run(self, pixels, lone=lone)
        if fault == "run gives NaN":
            return vectors * np.nan
        return vectors[1:] if fault == "run gives too few vectors" else vectors

    return faulty


def _faulty_decode(to_rgb: Callable[[Image.Image], Image.Image]) -> Callable[..., Image.Image]:
    def faulty(image: Image.Image) -> Image.Image:
        rgb = to_rgb(image)
        fault = _fault(np.asarray(rgb))
        if fault in DECODE:
            DECODE[fault]()
        return rgb

    return faulty


def _faulty_reading(read: Callable[..., Awaitable[bytes]]) -> Callable[..., Awaitable[bytes]]:
    async def faulty(request: Request) -> bytes:
        body = await read(request)
        if body == image("body has no memory"):
            run_out_of_memory()
        return body

    return faulty


def _decode_ahead(plan: Callable[..., resources.Plan]) -> Callable[..., resources.Plan]:
    def ahead(*given: object, **options: object) -> resources.Plan:
        return replace(plan(*given, **options), decode_threads=2)

    return ahead


def main() -> int:
    """Serve, faultily; with `ahead` as the first argument decoding has threads as on a GPU."""
    if sys.argv[1:2] == ["ahead"]:
        del sys.argv[1]
        resources.plan = _decode_ahead(resources.plan)
    model.Model.run = _faulty_run(model.Model.run)
    preprocess.to_rgb = _faulty_decode(preprocess.to_rgb)
    embed._image = _faulty_reading(embed._image)
    embedder.STALLED_S = embedder.STALLED_DECODE_S = 1.0
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
