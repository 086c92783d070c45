"""How the available memory is divided, before anything is loaded.

    available memory >= process and model + images that are being decoded + COPIES x budget

The budget is for what clients send and do not read (`memory_budget`). Where the default of
`SWIN_MAX_IMAGE_PIXELS` is too large for the rest, it is lowered.
"""

import contextlib
import logging
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.engine import resources
from service.engine.memory_budget import COPIES
from service.images.cost import DEAREST, SMALL_BYTES, dearest_bytes
from service.settings import Settings

MIB = 1024 * 1024

PROCESS_BYTES = 200 * MIB
"""Resident memory of a process without a model, with its connections and its metrics."""

PROCESS_ADDRESSES = 700 * MIB
"""Its address space: `RLIMIT_AS` also counts unused parts of libraries, stacks and heaps."""

MODEL_COPIES = 3
"""Sizes of the model file: the weights, and copies packed for single-threaded and other runs."""

DECODING = 4
"""One byte in this many is for decoding large images at the same time. A larger image is decoded
while no other large one is (`decode_memory`)."""

LEAST_REQUESTS = 4
"""Room for at least this many of the largest requests."""

LEAST_PIXELS = 1_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MemoryPlan:
    """How many bytes each part may take.

    Attributes:
        usable: all that the service may take.
        process: the process with its model, before the first request.
        decoding: images that are being decoded, with `max_image_pixels`.
        budget: requests and answers.
        max_image_pixels: the largest image.
    """

    usable: int
    process: int
    decoding: int
    budget: int
    max_image_pixels: int

    def fits(self) -> bool:
        """Whether everything fits."""
        return self.needed() <= self.usable

    def needed(self) -> int:
        """Bytes that everything takes together."""
        return self.process + self.decoding + COPIES * self.budget


def fit(settings: Settings) -> Settings:
    """Settings with a memory budget, and a largest image that fits beside it."""
    plan = make(settings, *usable_memory(), resources.usable_cores())
    logger.info(
        "memory: %d MiB, of which the process and its model may take %d, decoding %d "
        "(images of up to %d pixels), and requests and answers %d x %d",
        *(plan.usable // MIB, plan.process // MIB, plan.decoding // MIB),
        *(plan.max_image_pixels, COPIES, plan.budget // MIB),
    )
    if plan.max_image_pixels < settings.max_image_pixels:
        logger.warning(
            "SWIN_MAX_IMAGE_PIXELS is %d instead of %d, so that the largest image fits the memory",
            *(plan.max_image_pixels, settings.max_image_pixels),
        )
    if not plan.fits():
        logger.warning(
            "memory is short: give the service %d MiB, or lower SWIN_MAX_IMAGE_PIXELS, "
            "SWIN_MEMORY_BUDGET_BYTES or SWIN_MAX_REQUEST_BYTES",
            plan.needed() // MIB,
        )
    return settings.model_copy(
        update={
            "memory_budget_bytes": plan.budget,
            "max_image_pixels": plan.max_image_pixels,
        }
    )


def make(settings: Settings, usable: int, process: int, cores: int) -> MemoryPlan:
    """Divide memory.

    Args:
        settings: explicit ones are kept, even if they do not fit.
        usable: bytes that all processes of the service may take.
        process: bytes that one takes without a model.
        cores: that may be used.
    """
    workers = settings.workers
    processes = workers + 1 if workers > 1 else 1
    decoders = max(settings.streams or cores, 2 * workers if workers > 1 else 1)
    taken = process * processes + MODEL_COPIES * _size(settings.model)
    asked = settings.memory_budget_bytes
    least = asked or LEAST_REQUESTS * settings.max_request_bytes * workers
    small = decoders * SMALL_BYTES
    pixels = settings.max_image_pixels
    if "max_image_pixels" not in settings.model_fields_set:
        for_largest = usable - taken - COPIES * least - small
        fitting = int(for_largest / workers / DEAREST.pixel_bytes)
        pixels = min(pixels, max(LEAST_PIXELS, fitting // LEAST_PIXELS * LEAST_PIXELS))
    decoding = small + max(workers * dearest_bytes(pixels), usable // DECODING)
    budget = asked or max(least, (usable - taken - decoding) // COPIES)
    return MemoryPlan(usable, taken, decoding, budget, pixels)


def decode_bytes(settings: Settings) -> int:
    """Bytes that this process may take for decoding large images at the same time."""
    usable, _ = usable_memory()
    return usable // DECODING // settings.workers


def usable_memory(
    cgroup: Path = resources.CGROUP, membership: Path = resources.MEMBERSHIP
) -> tuple[int, int]:
    """Bytes that the process may take, and how many of them it takes without a model.

    The limit is the least of the machine's memory, the limits of the process's control groups, and
    `RLIMIT_AS`; against `RLIMIT_AS` a process counts for more.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = min([memory, *_cgroup_limits(cgroup, membership)])
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    limited = addresses != resource.RLIM_INFINITY
    if limited and addresses - PROCESS_ADDRESSES < memory - PROCESS_BYTES:
        return addresses, PROCESS_ADDRESSES
    return memory, PROCESS_BYTES


def _cgroup_limits(cgroup: Path, membership: Path) -> Iterator[int]:
    """Version 2 has `memory.max` in each group, version 1 `memory.limit_in_bytes`."""
    for group in resources.control_groups("memory", cgroup, membership):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                yield int((group / name).read_text())


def _size(model: Path | None) -> int:
    try:
        return model.stat().st_size if model else 0
    except OSError:
        return 0  # loading it says what is wrong
