"""A selection of images as a file."""

import csv
import io
from collections.abc import Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from swin_embed.batch.facts import Picture

COLUMNS = ("id", "path", "sha256", "width", "height")


def write(
    pictures: Sequence[Picture], form: Literal["paths", "csv", "parquet"]
) -> tuple[bytes, str, str]:
    """The file's bytes, its name and its media type."""
    if form == "paths":
        lines = "".join(f"{picture.path}\n" for picture in pictures)
        return (
            lines.encode("utf-8", "surrogateescape"),
            "selection.txt",
            "text/plain; charset=utf-8",
        )
    rows = [{name: getattr(picture, name) for name in COLUMNS} for picture in pictures]
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        content = text.getvalue().encode("utf-8", "surrogateescape")
        return content, "selection.csv", "text/csv; charset=utf-8"
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes(), "selection.parquet", "application/vnd.apache.parquet"
