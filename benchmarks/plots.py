"""What was served, as pictures: images a second and p99 over clients, and shares of the ceiling."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measurements import BUSY

FEW, MANY = "1", "32"
"""Numbers of clients between which no other layout should have to be chosen."""


def gains(models: Mapping[str, Any], output: Path) -> None:
    """Draw what a user gains: for each server images/s for one caller and for many, and its memory.

    Peers that serve our file are shown with int8 where there is one; others as they are.
    """
    servers = {
        name: (precision, row)
        for precision in ("fp32", "int8")
        for name, row in models.get(precision, {}).get("servers", {}).items()
        if {FEW, MANY} <= row["clients"].keys()
    }
    ours = next(iter(servers))
    rows = [(f"{name}, {precision}", row) for name, (precision, row) in servers.items()]
    if servers[ours][0] == "int8" and "fp32" in models:
        rows.insert(1, (f"{ours}, fp32", models["fp32"]["servers"][ours]))
    names = [name for name, _ in rows]
    colours = ["C0" if name.startswith(ours) else "silver" for name in names]
    places = range(len(rows))
    from matplotlib.figure import Figure  # tests import this module without it

    figure = Figure(figsize=(12, 0.42 * len(rows) + 1.2), layout="constrained")
    rate, memory = figure.subplots(1, 2, sharey=True)
    for clients, shift, alpha in ((FEW, -0.2, 0.55), (MANY, 0.2, 1.0)):
        rates = [row["clients"][clients]["images_per_s"] for _, row in rows]
        bars = rate.barh([at + shift for at in places], rates, 0.38, color=colours, alpha=alpha)
        rate.bar_label(bars, [f"{one:.1f} ({clients})" for one in rates], padding=3, fontsize=7)
    rate.set_yticks(places, names)
    rate.set_xlabel(f"images/s, for {FEW} caller and for {MANY}")
    rate.margins(x=0.15)
    held = [row["resident_mb"] for _, row in rows]
    memory.bar_label(
        memory.barh(places, held, 0.7, color=colours), [f"{one:.0f}" for one in held], padding=3
    )
    memory.set_xlabel("memory, MB")
    memory.margins(x=0.12)
    memory.invert_yaxis()
    figure.savefig(output, dpi=100)


def draw(models: Mapping[str, Any], output: Path) -> None:
    """Draw a row of panels for each model: images/s, share of the ceiling, p99 in milliseconds."""
    from matplotlib.figure import Figure

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
