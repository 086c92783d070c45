"""The loss of a run as a picture."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def plot(log: Path, output: Path, window: int = 20) -> None:
    """Draw what a run logged over its steps, as it was and smoothed: a panel for each figure."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    names = list(dict.fromkeys(name for record in records for name in record if name != "step"))
    figure = Figure(figsize=(8, 6), layout="constrained")
    for axis, name in zip(figure.subplots(len(names), 1, sharex=True), names, strict=True):
        steps = np.array([record["step"] for record in records if name in record])
        values = np.array([record[name] for record in records if name in record])
        reach = min(window, len(values))
        axis.plot(steps, values, alpha=0.3, linewidth=0.8)
        axis.plot(steps[reach - 1 :], np.convolve(values, np.ones(reach) / reach, mode="valid"))
        axis.set_ylabel(name)
    axis.set_xlabel("step")
    figure.savefig(output, dpi=110)
