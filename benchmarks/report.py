"""The measured part of docs/performance.md, between two marks; the rest of the page is by hand."""

from collections.abc import Mapping
from typing import Any

from benchmarks.servers import ROOT

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def write(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the tables of all pieces into the page."""
    sections = [table(measured[piece]) for piece, table in TABLES.items() if measured.get(piece)]
    page = PAGE.read_text() if PAGE.exists() else "# Performance\n"
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(sections) + f"\n{END}{after}")


def _ceilings(rows: Mapping[str, float]) -> str:
    lines = ["### Ceilings: no HTTP\n", "| | images/s |", "| --- | --- |"]
    return "\n".join(lines + [f"| {name} | {rate:.1f} |" for name, rate in rows.items()]) + "\n"


def _served(rows: Mapping[str, Any]) -> str:
    clients = list(next(iter(rows.values()))["clients"])
    columns = [f"{count} clients: images/s, p50 / p99 ms" for count in clients]
    columns += ["wrong answers", "ready, s", "resident, MB"]
    lines = ["### Served\n", f"| | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [
            f"{one['images_per_s']:.1f}, {one['p50_ms']:.0f} / {one['p99_ms']:.0f}"
            for one in row["clients"].values()
        ]
        cells.append(str(sum(one["wrong"] for one in row["clients"].values())))
        cells += [f"{row['ready_s']:.1f}", f"{row['resident_mb']:.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _free(rows: Mapping[str, Any]) -> str:
    lines = [
        "### A model that costs nothing\n",
        "| | requests/s | p50 / p99 ms |",
        "| --- " * 3 + "|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['images_per_s']:.0f} | {row['p50_ms']:.1f} / {row['p99_ms']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _photo(rows: Mapping[str, float]) -> str:
    lines = ["### A 12-megapixel JPEG: decode and resize\n", "| | ms |", "| --- | --- |"]
    return "\n".join(lines + [f"| {name} | {ms:.1f} |" for name, ms in rows.items()]) + "\n"


TABLES = {"ceilings": _ceilings, "served": _served, "free": _free, "photo": _photo}
