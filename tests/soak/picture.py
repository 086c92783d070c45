"""Draws what a soak found."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

SETTLED_MIN = 5.0


@dataclass(frozen=True)
class Reading:
    """One look at a service, and what its clients saw since the one before."""

    minutes: float
    resident_mib: float
    queue_depth: float
    p99_ms: float
    errors: int
    requests: int


def slope_mib_per_min(readings: Sequence[Reading]) -> float:
    """How fast resident memory grows once settled; NaN if that was not yet.

    The median of the slopes between any two readings (Theil and Sen): one that was taken while a
    large image was decoded says nothing.
    """
    settled = [one for one in readings if one.minutes >= SETTLED_MIN]
    slopes = [
        (after.resident_mib - before.resident_mib) / (after.minutes - before.minutes)
        for before, after in combinations(settled, 2)
    ]
    return float(np.median(slopes)) if slopes else float("nan")


def draw(readings: Sequence[Reading], output: Path) -> None:
    """Resident memory, queue depth, p99 and errors over time, in one PNG."""
    minutes = [one.minutes for one in readings]
    panels = {
        f"resident memory, MiB ({slope_mib_per_min(readings):+.2f} MiB/min settled)": [
            one.resident_mib for one in readings
        ],
        "images waiting": [one.queue_depth for one in readings],
        "p99 of a photo, ms": [one.p99_ms for one in readings],
        "wrong answers": [float(one.errors) for one in readings],
    }
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True)
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        axis.plot(minutes, values, linewidth=1)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    total = sum(one.requests for one in readings)
    axes[-1].set_xlabel(f"minutes; {total} requests")
    figure.savefig(output, dpi=110)
