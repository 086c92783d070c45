"""What was served, as pictures: images a second and p99 over clients, and shares of the ceiling."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.measurements import BUSY


def draw(models: Mapping[str, Any], output: Path) -> None:
    """Draw a row of panels for each model: images/s, share of the ceiling, p99 in milliseconds."""
    figure = Figure(figsize=(13, 4 * len(models) + 1), layout="constrained")
    rows = figure.subplots(len(models), 3, squeeze=False)
    names = list(dict.fromkeys(name for one in models.values() for name in one["servers"]))
    lines: dict[str, Any] = {}
    for (precision, measured), (rate, share, tail) in zip(models.items(), rows, strict=True):
        ceiling = measured["ceiling"][BUSY]
        for name, row in measured["servers"].items():
            clients = [int(count) for count in row["clients"]]
            rates = [one["images_per_s"] for one in row["clients"].values()]
            # The first is ours.
            style = {"color": f"C{names.index(name)}", "linewidth": 1 if names.index(name) else 3}
            (lines[name],) = rate.plot(clients, rates, marker="o", label=name, **style)
            share.plot(clients, [one / ceiling for one in rates], marker="o", **style)
            p99 = [one["p99_ms"] for one in row["clients"].values()]
            tail.plot(clients, p99, marker="o", **style)
        lines["without HTTP"] = rate.axhline(
            ceiling, color="grey", linestyle=":", label="without HTTP"
        )
        rate.set_ylabel(f"{precision}: images/s")
        rate.set_ylim(bottom=0)
        share.axhline(1, color="grey", linestyle=":")
        share.set_ylabel("share of what runs without HTTP")
        tail.set_yscale("log")
        tail.set_ylabel("p99, ms")
        for axis in (rate, share, tail):
            axis.set_xscale("log", base=2)
            axis.set_xticks(clients, [str(count) for count in clients])
            axis.set_xlabel("clients")
    figure.legend(handles=list(lines.values()), loc="outside lower center", ncols=4)
    figure.savefig(output, dpi=100)
