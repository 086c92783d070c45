"""The measured part of docs/performance.md, between two marks; the rest of the page is by hand."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks import plots
from benchmarks.servers import ROOT

PAGE = ROOT / "docs" / "performance.md"
PLOT = PAGE.with_suffix(".png")
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def write(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the tables of all pieces into the page."""
    if measured.get("served"):
        plots.draw(measured["served"], PLOT)
        plots.gains(measured["served"], PLOT.with_stem("performance-gains"))
    sections = tables(measured, TABLES)
    if measured.get("served"):
        sections.append(f"![Images a second and p99 over clients]({PLOT.name})\n")
    page = PAGE.read_text() if PAGE.exists() else "# Performance\n"
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(sections) + f"\n{END}{after}")


def tables(measured: Mapping[str, Mapping[str, Any]], pieces: Iterable[str]) -> list[str]:
    """The tables of these pieces, as far as they were measured."""
    return [TABLES[piece](measured[piece]) for piece in pieces if measured.get(piece)]


def _ceilings(models: Mapping[str, Mapping[str, float]]) -> str:
    lines = ["### Ceilings: no HTTP\n", f"| images/s | {' | '.join(models)} |"]
    lines.append("| --- " * (len(models) + 1) + "|")
    for name in next(iter(models.values())):
        rates = " | ".join(f"{rates[name]:.1f}" for rates in models.values())
        lines.append(f"| {name} | {rates} |")
    return "\n".join(lines) + "\n"


def _served(models: Mapping[str, Any]) -> str:
    lines = ["### Served: images/s, p50 / p99 in ms\n"]
    for precision, measured in models.items():
        rows = measured["servers"]
        counts = sorted({count for row in rows.values() for count in row["clients"]}, key=int)
        columns = [f"{count} client{'s' if int(count) > 1 else ''}" for count in counts]
        columns += ["wrong answers", "ready, s", "resident, MB"]
        lines.append(f"| {precision} | {' | '.join(columns)} |")
        lines.append("| --- " * (len(columns) + 1) + "|")
        for name, row in rows.items():
            cells = [
                f"{one['images_per_s']:.1f}, {one['p50_ms']:.0f} / {one['p99_ms']:.0f}"
                if (one := row["clients"].get(count))
                else "not measured"
                for count in counts
            ]
            cells.append(str(sum(one["wrong"] for one in row["clients"].values())))
            cells += [f"{row['ready_s']:.1f}", f"{row['resident_mb']:.0f}"]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
        for name, rate in measured["ceiling"].items():
            lines.append(f"Without HTTP, {name}: {rate:.1f} images/s, {1000 / rate:.0f} ms each.")
        lines.append("")
    return "\n".join(lines) + "\n"


def free(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The table of what was measured around a model that costs nothing."""
    lines = ["### A model that costs nothing\n"]
    lines += ["| | requests/s | p50 / p99 ms | wrong answers |", "| --- " * 4 + "|"]
    for name, row in rows.items():
        latencies = f"{row['p50_ms']:.1f} / {row['p99_ms']:.1f}"
        lines.append(f"| {name} | {row['images_per_s']:.0f} | {latencies} | {row['wrong']:.0f} |")
    return "\n".join(lines) + "\n"


def _photo(rows: Mapping[str, float]) -> str:
    lines = ["### A 12-megapixel JPEG: decode and resize\n", "| | ms |", "| --- | --- |"]
    return "\n".join(lines + [f"| {name} | {ms:.1f} |" for name, ms in rows.items()]) + "\n"


TABLES = {"ceilings": _ceilings, "served": _served, "free": free, "photo": _photo}
